//! Reads the fields of JSON bodies, with the error messages of the Django REST framework.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::response::Refusal;
use crate::call::Call;
use crate::json::{Json, object};
use crate::store::Store;

/// The fields of a body. Wrong fields are collected, so that one response names all of them.
pub struct Fields {
    body: Json,
    wrong: Vec<(String, String)>,
}

impl Fields {
    /// Parses the body of a request. An empty body counts as an empty object.
    pub fn of(call: &Call) -> Result<Self, Refusal> {
        let body = if call.body.is_empty() {
            object([])
        } else {
            serde_json::from_slice(&call.body).map_err(|error| Refusal::InvalidJson(error.to_string()))?
        };
        if matches!(body, Json::Object(_)) {
            Ok(Self { body, wrong: vec![] })
        } else {
            Err(Refusal::field("non_field_errors", "Invalid data. Expected a dictionary."))
        }
    }

    /// Marks a field as wrong.
    pub fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.wrong.push((name.to_owned(), message.into()));
    }

    /// Reads a text that must not be empty, and that must be present if it `is_required`.
    pub fn non_empty_text(&mut self, name: &str, is_required: bool) -> Option<String> {
        if self.body.get(name).is_none() && is_required {
            self.refuse(name, "This field is required.");
        }
        let text = self.text(name)?;
        if text.trim().is_empty() {
            self.refuse(name, "This field may not be blank.");
            return None;
        }
        Some(text)
    }

    /// Reads a text, which may be empty.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.read(name, "Not a valid string.", |value| value.as_str().map(str::to_owned))
    }

    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        self.read(name, "Must be a valid boolean.", Json::as_bool)
    }

    pub fn integer(&mut self, name: &str) -> Option<i64> {
        self.read(name, "A valid integer is required.", Json::as_i64)
    }

    pub fn object(&mut self, name: &str) -> Option<Json> {
        self.read(name, "Value must be a dictionary.", |value| {
            matches!(value, Json::Object(_)).then(|| value.clone())
        })
    }

    /// Reads a list of keys of existing groups.
    pub fn groups(&mut self, name: &str, store: &Store) -> Option<BTreeSet<Uuid>> {
        self.keys(name, |value| value.as_str()?.parse().ok().filter(|pk| store.groups.contains_key(pk)))
    }

    /// Reads a list of keys of existing users.
    pub fn users(&mut self, name: &str, store: &Store) -> Option<BTreeSet<i64>> {
        self.keys(name, |value| value.as_i64().filter(|pk| store.users.contains_key(pk)))
    }

    fn keys<K: Ord>(&mut self, name: &str, read: impl Fn(&Json) -> Option<K>) -> Option<BTreeSet<K>> {
        let items =
            self.read(name, "Expected a list of items.", |value| value.as_array().map(<[_]>::to_vec))?;
        let mut keys = BTreeSet::new();
        for item in items {
            if let Some(key) = read(&item) {
                keys.insert(key);
            } else {
                let text = serde_json::to_string(&item).unwrap_or_default();
                let pk = text.trim_matches('"');
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

    /// Refuses the body if any field was wrong.
    pub fn check(&mut self) -> Result<(), Refusal> {
        let wrong = std::mem::take(&mut self.wrong);
        if wrong.is_empty() { Ok(()) } else { Err(Refusal::InvalidFields(wrong)) }
    }
}
