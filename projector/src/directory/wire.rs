//! The JSON of authentik's answers.

use std::collections::{BTreeMap, BTreeSet};

use domain::key::{GroupId, UserPk};
use domain::snapshot::{Group, User};
use domain::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{GroupAndMembers, LoggedEvent, Page};

#[derive(Deserialize)]
pub(super) struct UserAnswer {
    pk: UserPk,
    uuid: Uuid,
    uid: String,
    username: String,
    name: String,
    email: Option<String>,
    is_active: bool,
    is_superuser: bool,
    #[serde(rename = "type")]
    kind: String,
    path: String,
    groups: BTreeSet<GroupId>,
    #[serde(default)]
    groups_obj: Option<Vec<GroupName>>,
    #[serde(default)]
    attributes: Map<String, Value>,
    date_joined: Option<Timestamp>,
    last_login: Option<Timestamp>,
    last_updated: Option<Timestamp>,
    password_change_date: Option<Timestamp>,
}

#[derive(Deserialize)]
struct GroupName {
    pk: GroupId,
    name: String,
}

impl UserAnswer {
    /// The user, with only the allowed attributes.
    pub(super) fn into_user(mut self, allowed: &BTreeSet<String>) -> User {
        let names = self.groups_obj.unwrap_or_default().into_iter();
        let attributes: BTreeMap<_, _> =
            allowed.iter().filter_map(|name| Some((name.clone(), self.attributes.remove(name)?))).collect();
        User {
            pk: self.pk,
            uuid: self.uuid,
            uid: self.uid,
            username: self.username,
            name: self.name,
            email: self.email.unwrap_or_default(),
            is_active: self.is_active,
            kind: self.kind,
            path: self.path,
            is_superuser: self.is_superuser,
            group_names: names
                .filter(|group| self.groups.contains(&group.pk))
                .map(|group| (group.pk, group.name))
                .collect(),
            groups: self.groups,
            attributes,
            date_joined: self.date_joined,
            last_login: self.last_login,
            last_updated: self.last_updated,
            password_change_date: self.password_change_date,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct GroupAnswer {
    pk: GroupId,
    name: String,
    is_superuser: bool,
    #[serde(default)]
    parents: BTreeSet<GroupId>,
    #[serde(default)]
    users: BTreeSet<UserPk>,
}

impl From<GroupAnswer> for GroupAndMembers {
    fn from(answer: GroupAnswer) -> Self {
        let group = Group {
            uuid: answer.pk,
            name: answer.name,
            is_superuser: answer.is_superuser,
            parents: answer.parents,
            n_members: answer.users.len() as u64,
        };
        Self { group, members: answer.users }
    }
}

/// An event of the log: the same values as in the webhook mapping, under other names.
#[derive(Deserialize)]
pub(super) struct EventAnswer {
    pk: Uuid,
    action: String,
    created: Timestamp,
    #[serde(default)]
    client_ip: Option<String>,
    #[serde(default)]
    user: Value,
    #[serde(default)]
    context: Value,
}

impl From<EventAnswer> for LoggedEvent {
    fn from(answer: EventAnswer) -> Self {
        let body = json!({
            "schema": "authentik.event.v1",
            "event": {
                "id": answer.pk,
                "action": answer.action,
                "created": answer.created,
                "client_ip": answer.client_ip,
                "actor": if answer.user["pk"].is_null() { json!({"pk": null}) } else { answer.user },
                "model": answer.context.get("model"),
                "context": answer.context,
            },
        });
        Self { id: answer.pk, created: answer.created, body: body.to_string().into_bytes() }
    }
}

#[derive(Deserialize)]
pub(super) struct PageAnswer<T> {
    pagination: Pagination,
    pub(super) results: Vec<T>,
}

#[derive(Deserialize)]
struct Pagination {
    /// 0 on the last page.
    next: u64,
    count: u64,
}

impl<T> Default for PageAnswer<T> {
    fn default() -> Self {
        Self { pagination: Pagination { next: 0, count: 0 }, results: vec![] }
    }
}

impl<T> PageAnswer<T> {
    pub(super) fn into_page<U>(self, item: impl Fn(T) -> U) -> Page<U> {
        let next = Some(self.pagination.next).filter(|next| *next > 0);
        Page { items: self.results.into_iter().map(item).collect(), next, n_all: self.pagination.count }
    }
}

#[derive(Deserialize)]
pub(super) struct Detail {
    pub(super) detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded_user(name: &str, allowed: &[&str]) -> User {
        let recording = testkit::recordings::json(&format!("rest/{name}.json"));
        let answer: UserAnswer = serde_json::from_value(recording["body"].clone()).unwrap();
        answer.into_user(&allowed.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_recorded_user_is_parsed() {
        let user = recorded_user("user", &["k"]);
        assert_eq!((user.pk, user.username.as_str(), user.kind.as_str()), (8, "grace", "internal"));
        let navy = "1ca5cc4b-c6b5-4128-838f-ca18ffa6d060".parse().unwrap();
        assert_eq!(user.groups, BTreeSet::from([navy]));
        assert_eq!(user.group_names[&navy], "navy");
        assert_eq!(user.attributes, BTreeMap::from([("k".to_owned(), Value::from(23))]));
    }

    #[test]
    fn only_allowed_attributes_are_kept() {
        assert!(recorded_user("user", &[]).attributes.is_empty());
    }

    #[test]
    fn a_user_without_group_objects_is_parsed() {
        let recording = testkit::recordings::json("rest/user_without_groups_and_roles.json");
        let page: PageAnswer<UserAnswer> = serde_json::from_value(recording["body"].clone()).unwrap();
        let user = page.results.into_iter().next().unwrap().into_user(&BTreeSet::new());
        assert_eq!((user.groups.len(), user.group_names.len()), (1, 0));
    }

    #[test]
    fn an_event_of_the_log_gives_the_same_hint_as_its_webhook() {
        use domain::event::Channel;
        use domain::hint::{Parsed, read};
        let recording = testkit::recordings::json("rest/events_newest.json");
        let page: PageAnswer<EventAnswer> = serde_json::from_value(recording["body"].clone()).unwrap();
        let hint = |id: Uuid, body: &[u8]| match read(id.into(), Channel::Webhook, body).unwrap() {
            Parsed::Hint(hint) => *hint,
            Parsed::Ignored(reason) => panic!("{reason:?}"),
        };
        let mut n_compared = 0;
        for event in page.into_page(LoggedEvent::from).items {
            for name in
                ["user_created_enrollment", "login_after_enrollment", "user_write_enrollment", "logout"]
            {
                let webhook = testkit::recordings::webhook(name);
                if webhook.header("webhook-id") == Some(&event.id.to_string()) {
                    let expected = hint(event.id, webhook.body.as_bytes());
                    assert_eq!(hint(event.id, &event.body), expected, "{name}");
                    n_compared += 1;
                }
            }
        }
        assert_eq!(n_compared, 4);
    }

    #[test]
    fn a_group_is_parsed_with_and_without_its_users() {
        for name in ["group", "group_without_users"] {
            let recording = testkit::recordings::json(&format!("rest/{name}.json"));
            let answer: GroupAnswer = serde_json::from_value(recording["body"].clone()).unwrap();
            let group = GroupAndMembers::from(answer);
            assert_eq!((group.group.name.as_str(), group.group.n_members), ("navy", 1));
            assert_eq!(group.members, BTreeSet::from([8]));
        }
    }
}
