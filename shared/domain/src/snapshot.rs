//! Snapshots of users and groups: the state that authentik reports and that every event carries.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::key::{GroupId, UserPk};
use crate::timestamp::Timestamp;

/// A user as authentik reports them, without the avatar and without attributes that are not allowed.
///
/// `date_joined`, `last_login`, `last_updated`, `password_change_date` and `group_names` are not compared:
/// authentik changes them on its own, so a change of them alone leads to no event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// authentik's primary key. After a restore of authentik it can belong to another user: compare `uuid`.
    pub pk: UserPk,
    /// Permanent id of the account. Nil if authentik deleted the user before this system could read them.
    pub uuid: Uuid,
    /// authentik's hashed id of the user: `sub` of tokens in the subject mode `hashed_user_id`.
    pub uid: String,
    /// Name that the user signs in with.
    pub username: String,
    /// Display name.
    pub name: String,
    /// E-mail address; empty if the user has none.
    pub email: String,
    /// False if the user may not sign in.
    pub is_active: bool,
    /// `internal`, `external`, `service_account`, `internal_service_account`, or a newer type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Path of the user's folder in authentik.
    pub path: String,
    /// True if a group of the user grants all permissions in authentik.
    pub is_superuser: bool,
    /// Groups that the user is a direct member of.
    pub groups: BTreeSet<GroupId>,
    /// Names of those groups when this system last read the user.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub group_names: BTreeMap<GroupId, String>,
    /// Those attributes of the user that `PROJECTOR_USER_ATTRIBUTES` allows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
    /// When the account was created.
    pub date_joined: Option<Timestamp>,
    /// When the user last signed in.
    pub last_login: Option<Timestamp>,
    /// When authentik last saved the user; sign-ins and changes of membership do not update it.
    pub last_updated: Option<Timestamp>,
    /// When the password was last set.
    pub password_change_date: Option<Timestamp>,
}

impl User {
    /// A user whom authentik deleted before this system could read them: only key and display name are known.
    pub fn partial(pk: UserPk, name: String) -> Self {
        Self {
            pk,
            uuid: Uuid::nil(),
            uid: String::new(),
            username: String::new(),
            name,
            email: String::new(),
            is_active: false,
            kind: String::new(),
            path: String::new(),
            is_superuser: false,
            groups: BTreeSet::new(),
            group_names: BTreeMap::new(),
            attributes: BTreeMap::new(),
            date_joined: None,
            last_login: None,
            last_updated: None,
            password_change_date: None,
        }
    }
}

/// A group as authentik reports it, without its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// authentik's primary key.
    pub uuid: GroupId,
    /// Name; unique in authentik.
    pub name: String,
    /// True if the group grants its members all permissions in authentik.
    pub is_superuser: bool,
    /// Parent groups.
    pub parents: BTreeSet<GroupId>,
    /// Number of direct members when this system last read the group. A change of it alone is no event.
    pub n_members: u64,
}
