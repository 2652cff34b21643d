//! Fields of JSON bodies, with Django REST framework's words for what is wrong.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::answer::Refusal;
use crate::call::Call;
use crate::json::{Json, object};

/// What becomes of required fields that a body leaves out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// PATCH: they keep their value.
    Keep,
    /// POST and PUT: the body is refused.
    Refuse,
}

/// A body being read. Wrong fields are collected, so the answer names all of them.
pub struct Fields {
    body: Json,
    wrong: Vec<(String, String)>,
}

impl Fields {
    /// The body of a request; an absent one is an empty object.
    pub fn of(call: &Call) -> Result<Self, Refusal> {
        let body = if call.body.is_empty() {
            object([])
        } else {
            serde_json::from_slice(&call.body).map_err(|error| Refusal::NoJson(error.to_string()))?
        };
        match body {
            Json::Object(_) => Ok(Self { body, wrong: vec![] }),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
                Err(Refusal::field("non_field_errors", "Invalid data. Expected a dictionary."))
            }
        }
    }

    /// Says what is wrong with a field.
    pub fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.wrong.push((name.to_owned(), message.into()));
    }

    /// A text that must be there and not be empty.
    pub fn required(&mut self, name: &str, missing: Missing) -> Option<String> {
        if self.body.get(name).is_none() && missing == Missing::Refuse {
            self.refuse(name, "This field is required.");
        }
        let text = self.text(name)?;
        if text.trim().is_empty() {
            self.refuse(name, "This field may not be blank.");
            return None;
        }
        Some(text)
    }

    /// A text that may be empty or absent.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.read(name, "Not a valid string.", |value| value.as_str().map(str::to_owned))
    }

    /// A boolean.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        self.read(name, "Must be a valid boolean.", Json::as_bool)
    }

    /// An integer.
    pub fn integer(&mut self, name: &str) -> Option<i64> {
        self.read(name, "A valid integer is required.", Json::as_i64)
    }

    /// An object.
    pub fn object(&mut self, name: &str) -> Option<Json> {
        self.read(name, "Value must be a dictionary.", |value| {
            matches!(value, Json::Object(_)).then(|| value.clone())
        })
    }

    /// A list of keys of groups, all of which must exist.
    pub fn groups(&mut self, name: &str, exists: impl Fn(Uuid) -> bool) -> Option<BTreeSet<Uuid>> {
        self.keys(name, |value| value.as_str()?.parse().ok().filter(|pk| exists(*pk)))
    }

    /// A list of keys of users, all of which must exist.
    pub fn users(&mut self, name: &str, exists: impl Fn(i64) -> bool) -> Option<BTreeSet<i64>> {
        self.keys(name, |value| value.as_i64().filter(|pk| exists(*pk)))
    }

    fn keys<K: Ord>(&mut self, name: &str, read: impl Fn(&Json) -> Option<K>) -> Option<BTreeSet<K>> {
        let items =
            self.read(name, "Expected a list of items.", |value| value.as_array().map(<[_]>::to_vec))?;
        let mut keys = BTreeSet::new();
        for item in items {
            if let Some(key) = read(&item) {
                keys.insert(key);
            } else {
                let shown = serde_json::to_string(&item).unwrap_or_default();
                let pk = shown.trim_matches('"');
                self.refuse(name, format!("Invalid pk \"{pk}\" - object does not exist."));
                return None;
            }
        }
        Some(keys)
    }

    fn read<T>(&mut self, name: &str, message: &str, read: impl Fn(&Json) -> Option<T>) -> Option<T> {
        let value = self.body.get(name)?;
        if *value == Json::Null {
            self.refuse(name, "This field may not be null.");
            return None;
        }
        let read = read(value);
        if read.is_none() {
            self.refuse(name, message);
        }
        read
    }

    /// Refuses the body when any field was wrong.
    pub fn finish(self) -> Result<(), Refusal> {
        if self.wrong.is_empty() { Ok(()) } else { Err(Refusal::Invalid(self.wrong)) }
    }
}
