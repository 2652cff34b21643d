//! Reads groups.

use poem::Response;
use poem::http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::response::{Refusal, RestResult};
use super::{auth, filters, paging, users};
use crate::call::{self, Call};
use crate::clock::Timestamp;
use crate::json::Json;
use crate::store::Store;
use crate::store::group::Group;
use crate::store::user::{Role, User};
use crate::world::World;

/// A group as REST shows it, in authentik's order.
#[derive(Serialize)]
struct GroupJson<'a> {
    pk: Uuid,
    num_pk: i64,
    name: &'a str,
    is_superuser: bool,
    parents: &'a [Uuid],
    parents_obj: Option<()>,
    users: Vec<i64>,
    users_obj: Option<Vec<MemberJson<'a>>>,
    attributes: &'a Json,
    roles: Vec<Uuid>,
    roles_obj: &'a [Role],
    inherited_roles_obj: Option<()>,
    children: Vec<Uuid>,
    children_obj: Option<()>,
}

#[derive(Serialize)]
struct MemberJson<'a> {
    pk: i64,
    username: &'a str,
    name: &'a str,
    is_active: bool,
    last_login: Option<Timestamp>,
    email: &'a str,
    attributes: &'a Json,
    uid: String,
}

impl<'a> From<&'a User> for MemberJson<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            pk: user.pk,
            username: &user.username,
            name: &user.name,
            is_active: user.is_active,
            last_login: user.last_login,
            email: &user.email,
            attributes: &user.attributes,
            uid: users::uid(user.pk),
        }
    }
}

/// `GET /core/groups/`, sorted by name.
pub fn list(world: &World, call: &Call) -> RestResult {
    auth::may_view(world, call, "group")?;
    let name = filters::text(call, "name");
    let with_users = filters::boolean(call, "include_users").unwrap_or(true);
    world.read(|store| {
        let is_named = |group: &&Group| name.is_none_or(|name| name == group.name);
        let mut groups: Vec<&Group> = store.groups.values().filter(is_named).collect();
        groups.sort_by(|left, right| left.name.cmp(&right.name));
        let show = |group| show(store, group, with_users);
        let page = paging::page(call, "authentik_core.group", groups.len(), groups.iter().copied(), show)?;
        Ok(call::json(StatusCode::OK, &page))
    })
}

/// `GET /core/groups/{pk}/`.
pub fn one(world: &World, call: &Call, pk: &str) -> RestResult {
    auth::may_view(world, call, "group")?;
    let with_users = filters::boolean(call, "include_users").unwrap_or(true);
    world.read(|store| Ok(call::json(StatusCode::OK, &show(store, find(store, pk)?, with_users))))
}

/// The group with the key in a path. The key may have dashes or not.
pub fn find<'a>(store: &'a Store, pk: &str) -> Result<&'a Group, Refusal> {
    let pk: Uuid = pk.parse().map_err(|_| Refusal::NotFound)?;
    store.groups.get(&pk).ok_or(Refusal::Unknown("Group"))
}

/// A response with one group, without `users_obj`, which can be megabytes.
pub fn group_response(store: &Store, group: &Group) -> Response {
    call::json(StatusCode::OK, &shown(store, group, false))
}

/// The JSON of one group.
pub fn shown<'a>(store: &'a Store, group: &'a Group, with_users: bool) -> impl Serialize {
    show(store, group, with_users)
}

fn show<'a>(store: &'a Store, group: &'a Group, with_users: bool) -> GroupJson<'a> {
    let members = || store.members(group.pk).filter_map(|pk| store.users.get(&pk)).map(MemberJson::from);
    let is_child = |child: &&Group| child.parents.contains(&group.pk);
    GroupJson {
        pk: group.pk,
        num_pk: group.num_pk(),
        name: &group.name,
        is_superuser: group.is_superuser,
        parents: &group.parents,
        parents_obj: None,
        users: store.members(group.pk).collect(),
        users_obj: with_users.then(|| members().collect()),
        attributes: &group.attributes,
        roles: group.roles.iter().map(|role| role.pk).collect(),
        roles_obj: &group.roles,
        inherited_roles_obj: None,
        children: store.groups.values().filter(is_child).map(|child| child.pk).collect(),
        children_obj: None,
    }
}
