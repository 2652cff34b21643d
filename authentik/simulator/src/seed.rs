//! The users and groups of a new simulator. Their keys never change, so every start without a state directory
//! is the same.

use uuid::{Uuid, uuid};

use crate::clock::{self, Timestamp};
use crate::json::object;
use crate::store::Row;
use crate::store::group::Group;
use crate::store::user::{Role, User, UserType};

/// authentik's `install_id`, which is part of every `uid`.
pub const INSTALL_ID: Uuid = uuid!("5e3a2f6c-93d1-4c0b-8f4e-1f0c6a7b2d90");
/// The username of the administrator, who owns the admin token.
pub const ADMIN: &str = "akadmin";
/// The username of the service account that owns the reader token.
pub const READER: &str = "authentik-events";

const ADMINS: Uuid = uuid!("f61248b6-1e16-4e4a-ae06-e5dfd8eb5f13");
const READ_ONLY: Uuid = uuid!("ae8a94cd-fbb9-4c02-a44e-e19eb13a8e80");
const SERVICE: Uuid = uuid!("5ad562ef-c9fd-42e2-a3f8-0cd12774d163");
const FORCES: Uuid = uuid!("5145a86f-5f55-40ad-b611-31f52681676f");
const NAVY: Uuid = uuid!("1ca5cc4b-c6b5-4128-838f-ca18ffa6d060");
const MATHEMATICS: Uuid = uuid!("b0e6a1f4-7c52-4d39-9a86-3d1f5e2c7b08");

/// The groups, the service accounts and the people.
pub fn rows() -> Vec<Row> {
    let users = service_accounts().into_iter().chain(people());
    groups().into_iter().map(Row::Group).chain(users.map(Row::User)).collect()
}

/// Only the groups, the administrator and the service accounts. The users have new UUIDs.
pub fn newly_installed() -> Vec<Row> {
    let administrators = people().into_iter().filter(|user| user.username == ADMIN);
    let users = service_accounts().into_iter().chain(administrators);
    let users = users.map(|user| Row::User(User { uuid: clock::new_uuid(), ..user }));
    groups().into_iter().map(Row::Group).chain(users).collect()
}

fn groups() -> Vec<Group> {
    let group = |pk, name: &str| Group {
        pk,
        name: name.to_owned(),
        is_superuser: false,
        parents: vec![],
        attributes: object([]),
        roles: vec![],
    };
    let read_only_role = role(uuid!("cbe830f1-edbd-4b23-8f9e-e02018623217"), "authentik Read-only");
    vec![
        Group { is_superuser: true, ..group(ADMINS, "authentik Admins") },
        Group { roles: vec![read_only_role], ..group(READ_ONLY, "authentik Read-only") },
        group(SERVICE, READER),
        group(FORCES, "armed-forces"),
        Group { parents: vec![FORCES], ..group(NAVY, "navy") },
        group(MATHEMATICS, "mathematics"),
    ]
}

fn service_accounts() -> Vec<User> {
    let outpost_role = role(uuid!("6e6abc5f-c433-4868-b264-d902aea2e11e"), "ak-managed-role--user-4");
    let reader_role = role(uuid!("3de4d3ff-dee6-41ff-9cd0-ae1b30c4486a"), "authentik-events-reader");
    let outpost = uuid!("0a39946c-bf59-4b83-9bd7-a1496f7903a3");
    let reader = uuid!("0d52de5e-ac4b-42dc-9c76-839dc26d18ff");
    vec![
        User {
            name: "Outpost authentik Embedded Outpost Service-Account".to_owned(),
            path: "goauthentik.io/outposts".to_owned(),
            kind: UserType::InternalServiceAccount,
            roles: vec![outpost_role],
            ..service_account(4, outpost, "ak-outpost-4bc25a858ea94f7690dbee390b072bd6")
        },
        User {
            name: "Authentik events".to_owned(),
            path: "service-accounts".to_owned(),
            groups: [SERVICE].into(),
            roles: vec![reader_role],
            ..service_account(5, reader, READER)
        },
    ]
}

fn people() -> Vec<User> {
    let admin = uuid!("28c1a914-2788-4640-a790-c972aea06619");
    let ada = uuid!("3f7d2c10-51c8-4e0e-a2b7-6f0d9c4e8a11");
    let alan = uuid!("9c1b7e52-0d64-4f8b-8a35-2e7c6d1f4b23");
    let grace = uuid!("8c68b6b6-9a66-4e8d-9359-10d7286dcf2d");
    let katherine = uuid!("d4a05f38-6b1e-4c7a-9f20-8b5e3c7d6a45");
    let former = uuid!("66959cde-103f-4e14-90a8-7150b863b8cd");
    vec![
        User { groups: [ADMINS].into(), ..person(3, admin, ADMIN, "authentik Default Admin") },
        User { groups: [MATHEMATICS].into(), ..person(6, ada, "ada", "Ada Lovelace") },
        User { groups: [MATHEMATICS].into(), ..person(7, alan, "alan", "Alan Turing") },
        User { groups: [NAVY].into(), ..person(8, grace, "grace", "Grace Hopper") },
        person(9, katherine, "katherine", "Katherine Johnson"),
        User {
            is_active: false,
            kind: UserType::External,
            path: "users/self-registered".to_owned(),
            ..person(10, former, "former", "For Mer")
        },
    ]
}

fn person(pk: i64, uuid: Uuid, username: &str, name: &str) -> User {
    User {
        name: name.to_owned(),
        email: format!("{username}@lab.invalid"),
        kind: UserType::Internal,
        password: Some(format!("{username}-password")),
        ..service_account(pk, uuid, username)
    }
}

fn service_account(pk: i64, uuid: Uuid, username: &str) -> User {
    let joined = Timestamp::new(time::macros::datetime!(2026-01-05 09:00:00.000_001 UTC));
    User {
        pk,
        uuid,
        username: username.to_owned(),
        name: username.to_owned(),
        email: String::new(),
        is_active: true,
        kind: UserType::ServiceAccount,
        path: "users".to_owned(),
        attributes: object([]),
        groups: [].into(),
        roles: vec![],
        password: None,
        date_joined: joined,
        last_login: None,
        password_change_date: joined,
        last_updated: joined,
    }
}

fn role(pk: Uuid, name: &str) -> Role {
    Role { pk, name: name.to_owned() }
}
