//! Decides whether a message mentions a user: by primary key, uuid, name, address or attribute.

use std::collections::BTreeSet;

use domain::key::UserPk;
use domain::snapshot::User;
use serde_json::{Map, Value};
use uuid::Uuid;

/// JSON members whose values are fixed words: `"severity": "notice"` does not mention a user called `notice`.
const VOCABULARY: [&str; 6] = ["schema", "severity", "action", "app", "model_name", "method"];

/// Headers that this system sets; their values are fixed words.
const OWN_HEADERS: [&str; 2] = ["content-type", "channel"];

/// Shortest attribute value that identifies a user, in characters. Shorter ones do not: `de`, `yes`, `42`.
const MIN_ATTRIBUTE: usize = 4;

/// Shortest text that is searched for inside another text, in characters. A shorter one can occur by chance.
const MIN_DISTINCTIVE: usize = 6;

/// JSON members whose value is a user object.
const USER_MEMBERS: [&str; 4] = ["actor", "on_behalf_of", "authenticated_as", "user"];

/// JSON members whose value is the primary key of a user.
const KEY_MEMBERS: [&str; 2] = ["user", "asked_by"];

/// Everything that identifies some users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identifiers {
    pks: BTreeSet<UserPk>,
    uuids: BTreeSet<Uuid>,
    /// Names, addresses, uuids and attribute values, in lower case.
    texts: BTreeSet<String>,
}

impl Identifiers {
    pub(super) fn of_key(pk: UserPk) -> Self {
        Self { pks: BTreeSet::from([pk]), ..Self::default() }
    }

    /// Adds the uuid and all texts of one recorded state of a user.
    pub(super) fn add(&mut self, user: &User) {
        if !user.uuid.is_nil() {
            self.uuids.insert(user.uuid);
        }
        self.texts.extend(texts_of(user));
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.pks.extend(other.pks);
        self.uuids.extend(other.uuids);
        self.texts.extend(other.texts);
    }

    /// Removes the texts that another user shares: they would also match that user's messages.
    pub(super) fn remove_shared_with(&mut self, other: &User) {
        let groups = other.group_names.values().map(|name| name.to_lowercase());
        for text in texts_of(other).into_iter().chain(groups) {
            self.texts.remove(&text);
        }
    }

    /// All recorded uuids of the users.
    pub(super) fn uuids(&self) -> &BTreeSet<Uuid> {
        &self.uuids
    }

    /// Whether a message with these headers and this body mentions one of the users.
    pub(super) fn are_in<'a>(
        &self,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        body: &[u8],
    ) -> bool {
        let in_body = || match serde_json::from_slice(body) {
            Ok(json) => self.are_in_json(&json),
            Err(_) => self.are_in_prose(&String::from_utf8_lossy(body)),
        };
        let is_own = |name: &str| {
            let name = name.to_ascii_lowercase();
            OWN_HEADERS.contains(&name.as_str()) || name.starts_with("nats-")
        };
        headers.into_iter().any(|(name, value)| !is_own(name) && self.are_in_text(value)) || in_body()
    }

    fn are_in_json(&self, json: &Value) -> bool {
        match json {
            Value::String(text) => self.are_in_text(text),
            Value::Array(items) => items.iter().any(|item| self.are_in_json(item)),
            Value::Object(members) => {
                self.names_key(members) || members.iter().any(|(name, value)| self.are_in_member(name, value))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn are_in_member(&self, name: &str, value: &Value) -> bool {
        let is_key = || KEY_MEMBERS.contains(&name) && self.has_key(value);
        let is_user = || USER_MEMBERS.contains(&name) && self.has_key(&value["pk"]);
        let is_word = VOCABULARY.contains(&name) && value.is_string();
        is_key()
            || is_user()
            || self.are_inside(&name.to_lowercase())
            || (!is_word && self.are_in_json(value))
    }

    /// Whether a JSON object is one of the users, or a webhook body of the original sample about one.
    fn names_key(&self, members: &Map<String, Value>) -> bool {
        let is_about_user = members.contains_key("username")
            || members.contains_key("event_type")
            || members.get("model_name").is_some_and(|name| name == "user");
        is_about_user && members.get("pk").is_some_and(|pk| self.has_key(pk))
    }

    /// Whether a value is the primary key of one of the users, as a number or as text.
    fn has_key(&self, value: &Value) -> bool {
        let pk = value.as_i64().or_else(|| value.as_str()?.parse().ok());
        pk.is_some_and(|pk| self.pks.contains(&pk))
    }

    /// Whether a JSON string mentions one of the users. A plain word counts only if it is the whole string:
    /// inside a longer string it may refer to anyone.
    fn are_in_text(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.texts.contains(&text) || self.are_inside(&text)
    }

    /// Whether a lower-case text contains a distinctive text, a quoted word, or an API path of a user.
    fn are_inside(&self, text: &str) -> bool {
        let is_inside = |wanted: &String| {
            if is_distinctive(wanted) { contains_whole(text, wanted) } else { contains_quoted(text, wanted) }
        };
        self.texts.iter().any(is_inside) || self.is_in_path(text)
    }

    /// Whether a body that is not JSON mentions one of the users, anywhere.
    fn are_in_prose(&self, prose: &str) -> bool {
        let prose = prose.to_lowercase();
        self.texts.iter().any(|wanted| contains_whole(&prose, wanted)) || self.is_in_path(&prose)
    }

    /// Whether a text contains the path of one of the users in authentik's API.
    fn is_in_path(&self, text: &str) -> bool {
        text.split("/core/users/").skip(1).any(|rest| {
            let key = rest.split(|c: char| !c.is_ascii_digit()).next();
            key.and_then(|key| key.parse().ok()).is_some_and(|pk| self.pks.contains(&pk))
        })
    }
}

/// Every text that identifies a user, in lower case.
fn texts_of(user: &User) -> Vec<String> {
    let mut texts = vec![];
    user.attributes.values().for_each(|value| strings_in(value, &mut texts));
    texts.retain(|text| text.chars().count() >= MIN_ATTRIBUTE);
    texts.extend([&user.username, &user.name, &user.email, &user.uid].map(|text| text.to_lowercase()));
    if !user.uuid.is_nil() {
        texts.extend([user.uuid.hyphenated().to_string(), user.uuid.simple().to_string()]);
    }
    texts.retain(|text| !text.is_empty());
    texts
}

fn strings_in(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.to_lowercase()),
        Value::Array(items) => items.iter().for_each(|item| strings_in(item, texts)),
        Value::Object(members) => members.values().for_each(|member| strings_in(member, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a text cannot occur elsewhere by chance: it is long, and no plain word or number.
fn is_distinctive(text: &str) -> bool {
    let is_letter = |c: char| c.is_alphabetic();
    text.chars().count() >= MIN_DISTINCTIVE && text.contains(is_letter) && !text.chars().all(is_letter)
}

fn contains_whole(text: &str, wanted: &str) -> bool {
    let continues = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    occurrences(text, wanted).any(|(before, after)| !continues(before) && !continues(after))
}

/// Finds quoted words, as in a context that authentik wrote as Python text: `{'username': 'mary'}`.
fn contains_quoted(text: &str, wanted: &str) -> bool {
    let is_quote = |c: Option<char>| matches!(c, Some('\'' | '"'));
    occurrences(text, wanted).any(|(before, after)| is_quote(before) && is_quote(after))
}

/// The characters before and after each occurrence of `wanted`.
fn occurrences<'a>(
    text: &'a str,
    wanted: &'a str,
) -> impl Iterator<Item = (Option<char>, Option<char>)> + 'a {
    text.match_indices(wanted)
        .map(|(start, found)| (text[..start].chars().next_back(), text[start + found.len()..].chars().next()))
}

#[cfg(test)]
mod tests;
