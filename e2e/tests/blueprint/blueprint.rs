//! The blueprints as authentik reads them: entries, and values with tags such as `!KeyOf`.

use serde_yaml::Value;
use serde_yaml::value::TaggedValue;

/// A file in `authentik/blueprints`.
pub struct Blueprint {
    document: Value,
}

impl Blueprint {
    pub fn read() -> Self {
        Self::parse(include_str!("../../../authentik/blueprints/authentik-events.yaml"))
    }

    /// The blueprint for self-registration.
    pub fn sign_up() -> Self {
        Self::parse(include_str!("../../../authentik/blueprints/authentik-events-sign-up.yaml"))
    }

    fn parse(text: &str) -> Self {
        Self { document: serde_yaml::from_str(text).unwrap() }
    }

    pub fn entries(&self) -> &[Value] {
        self.document["entries"].as_sequence().unwrap()
    }

    /// The entries of a model, such as `authentik_events.notificationrule`.
    pub fn all(&self, model: &str) -> Vec<&Value> {
        self.entries().iter().filter(|entry| entry["model"] == model).collect()
    }

    /// The only entry of a model.
    pub fn one(&self, model: &str) -> &Value {
        let all = self.all(model);
        assert_eq!(all.len(), 1, "{model}");
        all[0]
    }

    /// The expression of the webhook mapping with this name.
    pub fn expression(&self, name: &str) -> &str {
        let mappings = self.all("authentik_events.notificationwebhookmapping");
        let mapping = mappings.into_iter().find(|mapping| mapping["identifiers"]["name"] == name).unwrap();
        mapping["attrs"]["expression"].as_str().unwrap()
    }

    /// The default of a context value's `!Env`, for an unset variable.
    pub fn default_of(&self, name: &str) -> &str {
        let tagged = tagged(&self.document["context"][name], "Env");
        tagged[1].as_str().unwrap()
    }

    /// The contents of all values with this tag.
    pub fn with_tag(&self, tag: &str) -> Vec<&Value> {
        let mut found = vec![];
        collect(&self.document, tag, &mut found);
        found
    }
}

/// The content of a value that must have this tag, such as `KeyOf`.
pub fn tagged<'a>(value: &'a Value, tag: &str) -> &'a Value {
    match value {
        Value::Tagged(tagged) if tagged.tag == tag => &tagged.value,
        other => panic!("{other:?} has no tag !{tag}"),
    }
}

fn collect<'a>(value: &'a Value, tag: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Tagged(tagged) => {
            let TaggedValue { tag: found_tag, value } = tagged.as_ref();
            if found_tag == tag {
                found.push(value);
            }
            collect(value, tag, found);
        }
        Value::Sequence(items) => items.iter().for_each(|item| collect(item, tag, found)),
        Value::Mapping(items) => items.values().for_each(|item| collect(item, tag, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
