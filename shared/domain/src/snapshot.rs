//! What is known of a user or a group at one moment: what authentik says, and what an event records.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::key::{GroupId, UserPk};
use crate::timestamp::Timestamp;

/// A user as authentik describes them, less avatars and attributes that are not allowed.
///
/// Two snapshots agree when everything but the times (`date_joined` and below) is equal: authentik moves
/// those on its own, so they are carried along and make no event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// authentik's primary key. After a restore of authentik it can mean somebody else: compare `uuid`.
    pub pk: UserPk,
    /// Identifies the person's account for ever. Nil where authentik deleted the user before it could be read.
    pub uuid: Uuid,
    /// authentik's hashed id of the user: `sub` of tokens in the mode `hashed_user_id`.
    pub uid: String,
    /// Name to sign in with.
    pub username: String,
    /// Display name.
    pub name: String,
    /// E-mail address; empty where there is none.
    pub email: String,
    /// False for a user who may not sign in.
    pub is_active: bool,
    /// `internal`, `external`, `service_account`, `internal_service_account`, or what newer releases add.
    #[serde(rename = "type")]
    pub kind: String,
    /// Folder of the user in authentik.
    pub path: String,
    /// True where a group of the user has all rights in authentik.
    pub is_superuser: bool,
    /// Groups that the user is a direct member of.
    pub groups: BTreeSet<GroupId>,
    /// Names that those groups had when authentik was last asked about the user.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub group_names: BTreeMap<GroupId, String>,
    /// The attributes that `PROJECTOR_USER_ATTRIBUTES` allows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
    /// When the account was made.
    pub date_joined: Option<Timestamp>,
    /// When the user last signed in.
    pub last_login: Option<Timestamp>,
    /// When authentik last saved the user; sign-ins and memberships do not move it.
    pub last_updated: Option<Timestamp>,
    /// When the password was last set.
    pub password_change_date: Option<Timestamp>,
}

impl User {
    /// All that remains of a user whom authentik deleted before they could be read.
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

/// A group as authentik describes it, without its members' names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// authentik's primary key.
    pub uuid: GroupId,
    /// Name, unique in authentik.
    pub name: String,
    /// True where members have all rights in authentik.
    pub is_superuser: bool,
    /// Groups that this one belongs to.
    pub parents: BTreeSet<GroupId>,
    /// How many direct members it had when authentik was last asked. Carried along: makes no event.
    pub n_members: u64,
}
