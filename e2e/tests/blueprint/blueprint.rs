//! The blueprint as authentik reads it: entries, and values that it finds elsewhere.

use serde_yaml::Value;
use serde_yaml::value::TaggedValue;

/// `authentik/blueprints/authentik-events.yaml`.
pub struct Blueprint {
    document: Value,
}

impl Blueprint {
    pub fn read() -> Self {
        let text = include_str!("../../../authentik/blueprints/authentik-events.yaml");
        Self { document: serde_yaml::from_str(text).unwrap() }
    }

    pub fn entries(&self) -> &[Value] {
        self.document["entries"].as_sequence().unwrap()
    }

    /// Attributes of the entries of a model, such as `authentik_events.notificationrule`.
    pub fn all(&self, model: &str) -> Vec<&Value> {
        self.entries().iter().filter(|entry| entry["model"] == model).collect()
    }

    /// The one entry of a model.
    pub fn one(&self, model: &str) -> &Value {
        let all = self.all(model);
        assert_eq!(all.len(), 1, "{model}");
        all[0]
    }

    /// A mapping's expression.
    pub fn expression(&self, name: &str) -> &str {
        let mappings = self.all("authentik_events.notificationwebhookmapping");
        let mapping = mappings.into_iter().find(|mapping| mapping["identifiers"]["name"] == name).unwrap();
        mapping["attrs"]["expression"].as_str().unwrap()
    }

    /// What a `!Env` of the context says where its variable is not set.
    pub fn default_of(&self, name: &str) -> &str {
        let tagged = tagged(&self.document["context"][name], "Env");
        tagged[1].as_str().unwrap()
    }

    /// Every value with this tag, anywhere.
    pub fn with_tag(&self, tag: &str) -> Vec<&Value> {
        let mut found = vec![];
        collect(&self.document, tag, &mut found);
        found
    }
}

/// What a tag, such as `!KeyOf`, is given.
pub fn tagged<'a>(value: &'a Value, tag: &str) -> &'a Value {
    match value {
        Value::Tagged(tagged) if tagged.tag == tag => &tagged.value,
        other => panic!("{other:?} is no !{tag}"),
    }
}

fn collect<'a>(value: &'a Value, tag: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Tagged(tagged) => {
            let TaggedValue { tag: known, value } = tagged.as_ref();
            if known == tag {
                found.push(value);
            }
            collect(value, tag, found);
        }
        Value::Sequence(items) => items.iter().for_each(|item| collect(item, tag, found)),
        Value::Mapping(items) => items.values().for_each(|item| collect(item, tag, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
