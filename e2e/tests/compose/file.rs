//! Reads Compose files as Compose does: fills in variables, merges files, follows `extends`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

pub type Variables = BTreeMap<String, String>;

/// Directory of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Compose files for one NATS node.
pub const ONE_NODE: &[&str] = &["docker-compose.yml"];
/// The Compose files for three NATS nodes.
pub const CLUSTER: &[&str] = &["docker-compose.yml", "compose.cluster.yml"];

/// Compose files, merged.
pub struct Compose {
    document: Value,
}

/// One of its services.
#[derive(Clone, Copy)]
pub struct Service<'a> {
    pub name: &'a str,
    settings: &'a Value,
}

impl Compose {
    /// Merges each file over the files before it.
    pub fn read(files: &[&str], variables: &Variables) -> Self {
        let mut document = Value::Mapping(Mapping::new());
        for file in files {
            let mut own = parse(file);
            let names: Vec<_> = own["services"].as_mapping().unwrap().keys().cloned().collect();
            for name in names {
                let extended = &own["services"][&name]["extends"];
                let Some(extended) = extended.as_mapping() else { continue };
                let base = &parse(extended["file"].as_str().unwrap())["services"][&extended["service"]];
                let merged = merge(base.clone(), own["services"][&name].clone());
                own["services"][&name] = merged;
            }
            document = merge(document, own);
        }
        fill_in(&mut document, &|name| variables.get(name).cloned());
        Self { document }
    }

    pub fn services(&self) -> Vec<Service<'_>> {
        let services = self.document["services"].as_mapping().unwrap();
        services.iter().map(|(name, settings)| Service { name: name.as_str().unwrap(), settings }).collect()
    }

    pub fn service(&self, name: &str) -> Service<'_> {
        self.services()
            .into_iter()
            .find(|service| service.name == name)
            .unwrap_or_else(|| panic!("there is no service {name}"))
    }

    /// Whether a network has no access to the outside.
    pub fn is_internal(&self, network: &str) -> bool {
        self.document["networks"][network]["internal"] == true
    }

    pub fn has_volume(&self, name: &str) -> bool {
        self.document["volumes"].get(name).is_some()
    }
}

impl<'a> Service<'a> {
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.settings.get(key)
    }

    pub fn environment(&self) -> Variables {
        let Some(environment) = self.get("environment") else { return Variables::new() };
        let text =
            |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value:?} must be quoted")).to_owned();
        environment.as_mapping().unwrap().iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    pub fn list(&self, key: &str) -> Vec<&'a str> {
        let items = self.get(key).and_then(Value::as_sequence).map_or(&[][..], Vec::as_slice);
        items.iter().map(|item| item.as_str().unwrap()).collect()
    }

    /// Host path or volume, and path in the container.
    pub fn volumes(&self) -> Vec<(&'a str, &'a str)> {
        let parts = |volume: &'a str| {
            let mut parts = volume.split(':');
            (parts.next().unwrap(), parts.next().unwrap())
        };
        self.list("volumes").into_iter().map(parts).collect()
    }

    /// The command of its health check.
    pub fn healthcheck(&self) -> Vec<&'a str> {
        let test = self.settings["healthcheck"]["test"].as_sequence().unwrap();
        test.iter().map(|word| word.as_str().unwrap()).collect()
    }

    /// The services that must be healthy before this one is started.
    pub fn waits_for(&self) -> Vec<&'a str> {
        let Some(dependencies) = self.get("depends_on").and_then(Value::as_mapping) else { return vec![] };
        let healthy = dependencies.iter().map(|(name, how)| {
            assert_eq!(how["condition"], "service_healthy", "{} on {name:?}", self.name);
            name.as_str().unwrap()
        });
        healthy.collect()
    }

    /// The target of the Dockerfile, if the image is built here.
    pub fn target(&self) -> Option<&'a str> {
        self.get("build").map(|build| build["target"].as_str().unwrap())
    }
}

fn parse(file: &str) -> Value {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let mut document: Value = serde_yaml::from_str(&text).unwrap();
    document.apply_merge().unwrap();
    document
}

/// Merges mappings key by key and volumes by their path in the container. Other values are replaced.
fn merge(base: Value, over: Value) -> Value {
    let (Value::Mapping(mut base), Value::Mapping(over)) = (base, over.clone()) else { return over };
    for (key, over) in over {
        let merged = match base.remove(&key) {
            Some(Value::Sequence(volumes)) if key == "volumes" => merge_volumes(volumes, &over),
            Some(base) => merge(base, over),
            None => over,
        };
        base.insert(key, merged);
    }
    Value::Mapping(base)
}

fn merge_volumes(base: Vec<Value>, over: &Value) -> Value {
    let target = |volume: &Value| volume.as_str().unwrap().split(':').nth(1).unwrap().to_owned();
    let over = over.as_sequence().unwrap().clone();
    let replaced: BTreeSet<_> = over.iter().map(target).collect();
    let kept = base.into_iter().filter(|volume| !replaced.contains(&target(volume)));
    Value::Sequence(kept.chain(over).collect())
}

fn fill_in(value: &mut Value, variable: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) => *text = filled_in(text, variable),
        Value::Sequence(items) => items.iter_mut().for_each(|item| fill_in(item, variable)),
        Value::Mapping(items) => items.values_mut().for_each(|item| fill_in(item, variable)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Tagged(_) => {}
    }
}

/// Replaces `${NAME}`, `${NAME:-default}`, `${NAME:?error}`, and `$$` by a dollar sign.
fn filled_in(text: &str, variable: &impl Fn(&str) -> Option<String>) -> String {
    let Some((before, rest)) = text.split_once('$') else { return text.to_owned() };
    if let Some(rest) = rest.strip_prefix('$') {
        return format!("{before}${}", filled_in(rest, variable));
    }
    let (inner, rest) =
        rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).expect("a reference has the form ${…}");
    let (name, otherwise) = inner.split_once(':').unwrap_or((inner, "-"));
    let value = variable(name).filter(|value| !value.is_empty()).unwrap_or_else(|| {
        let default = otherwise.strip_prefix('-');
        default.unwrap_or_else(|| panic!("{name} is not set: {otherwise}")).to_owned()
    });
    format!("{before}{value}{}", filled_in(rest, variable))
}

/// Every variable that the files refer to, with the text after its name, such as `:?run scripts/init-env`.
pub fn referenced_variables(files: &[&str]) -> BTreeSet<(String, String)> {
    let texts = files.iter().map(|file| std::fs::read_to_string(root().join(file)).unwrap());
    let all: String = texts.collect();
    let references = all.split("${").skip(1).map(|rest| rest.split('}').next().unwrap());
    references
        .map(|inner| {
            let end = inner.find(':').unwrap_or(inner.len());
            (inner[..end].to_owned(), inner[end..].to_owned())
        })
        .collect()
}
