//! Whether a message mentions a user: by key, or by what the user is called.

use std::collections::BTreeSet;

use domain::key::UserPk;
use domain::snapshot::User;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Keys of JSON whose values are words of authentik's and ours: a user who is called `notice` is not meant by them.
const VOCABULARY: [&str; 6] = ["schema", "severity", "action", "app", "model_name", "method"];

/// Headers whose values are words of ours or of the server's.
const OWN_HEADERS: [&str; 2] = ["content-type", "channel"];

/// Attributes that are shorter tell of nobody: `de`, `yes`, `42`.
const MIN_ATTRIBUTE: usize = 4;

/// What is shorter can stand in the middle of another text by chance.
const MIN_DISTINCTIVE: usize = 6;

/// Where a body has a user without saying so.
const USER_PLACES: [&str; 4] = ["actor", "on_behalf_of", "authenticated_as", "user"];

/// Where a body has the key of a user, and nothing else.
const KEY_PLACES: [&str; 2] = ["user", "asked_by"];

/// What tells of some users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traces {
    pks: BTreeSet<UserPk>,
    uuids: BTreeSet<Uuid>,
    /// What they are called, in lower case.
    texts: BTreeSet<String>,
}

impl Traces {
    pub(super) fn of_key(pk: UserPk) -> Self {
        Self { pks: BTreeSet::from([pk]), ..Self::default() }
    }

    /// Takes in what one event records of them.
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

    /// What somebody else is called as well tells of nobody: their messages would be taken for these users'.
    pub(super) fn leave_to(&mut self, other: &User) {
        let groups = other.group_names.values().map(|name| name.to_lowercase());
        for text in texts_of(other).into_iter().chain(groups) {
            self.texts.remove(&text);
        }
    }

    /// Every uuid that was recorded.
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
        let is_key = || KEY_PLACES.contains(&name) && self.has_key(value);
        let is_user = || USER_PLACES.contains(&name) && self.has_key(&value["pk"]);
        let is_word = VOCABULARY.contains(&name) && value.is_string();
        is_key()
            || is_user()
            || self.are_inside(&name.to_lowercase())
            || (!is_word && self.are_in_json(value))
    }

    /// Whether an object is one of the users, or the original sample's body about one.
    fn names_key(&self, members: &Map<String, Value>) -> bool {
        let is_about_user = members.contains_key("username")
            || members.contains_key("event_type")
            || members.get("model_name").is_some_and(|name| name == "user");
        is_about_user && members.get("pk").is_some_and(|pk| self.has_key(pk))
    }

    /// A body that nobody could read may have the key as text.
    fn has_key(&self, value: &Value) -> bool {
        let pk = value.as_i64().or_else(|| value.as_str()?.parse().ok());
        pk.is_some_and(|pk| self.pks.contains(&pk))
    }

    /// A string of JSON, which is a value of its own more often than not: a plain word in the middle of one can be
    /// anybody's.
    fn are_in_text(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.texts.contains(&text) || self.are_inside(&text)
    }

    /// Whether a text in lower case has one in its middle.
    fn are_inside(&self, text: &str) -> bool {
        let is_inside = |wanted: &String| {
            if is_distinctive(wanted) { contains_whole(text, wanted) } else { contains_quoted(text, wanted) }
        };
        self.texts.iter().any(is_inside) || self.is_in_path(text)
    }

    /// What is no JSON can have it anywhere.
    fn are_in_prose(&self, prose: &str) -> bool {
        let prose = prose.to_lowercase();
        self.texts.iter().any(|wanted| contains_whole(&prose, wanted)) || self.is_in_path(&prose)
    }

    /// Whether it has the path of one of the users in authentik's API.
    fn is_in_path(&self, text: &str) -> bool {
        text.split("/core/users/").skip(1).any(|rest| {
            let key = rest.split(|c: char| !c.is_ascii_digit()).next();
            key.and_then(|key| key.parse().ok()).is_some_and(|pk| self.pks.contains(&pk))
        })
    }
}

/// Everything that names a user, in lower case.
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

/// Whether it is more than a word or a number: nobody else is meant where it stands in the middle of a text.
fn is_distinctive(text: &str) -> bool {
    let is_letter = |c: char| c.is_alphabetic();
    text.chars().count() >= MIN_DISTINCTIVE && text.contains(is_letter) && !text.chars().all(is_letter)
}

fn contains_whole(text: &str, wanted: &str) -> bool {
    let continues = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    occurrences(text, wanted).any(|(before, after)| !continues(before) && !continues(after))
}

/// As in what authentik makes of a context: `{'username': 'mary'}`.
fn contains_quoted(text: &str, wanted: &str) -> bool {
    let is_quote = |c: Option<char>| matches!(c, Some('\'' | '"'));
    occurrences(text, wanted).any(|(before, after)| is_quote(before) && is_quote(after))
}

/// What stands before and after each place where the text has it.
fn occurrences<'a>(
    text: &'a str,
    wanted: &'a str,
) -> impl Iterator<Item = (Option<char>, Option<char>)> + 'a {
    text.match_indices(wanted)
        .map(|(start, found)| (text[..start].chars().next_back(), text[start + found.len()..].chars().next()))
}

#[cfg(test)]
mod tests;
