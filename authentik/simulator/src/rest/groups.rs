//! Reading groups.

use poem::http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::answer::Refusal;
use super::{Answer, auth, filters, paging, users};
use crate::call::{self, Call};
use crate::clock::Timestamp;
use crate::json::Json;
use crate::store::Store;
use crate::store::group::Group;
use crate::store::user::{Role, User};
use crate::world::World;

/// A group as REST shows it, in its order.
#[derive(Serialize)]
struct Shown<'a> {
    pk: Uuid,
    num_pk: i64,
    name: &'a str,
    is_superuser: bool,
    parents: &'a [Uuid],
    parents_obj: Option<()>,
    users: Vec<i64>,
    users_obj: Option<Vec<ShownMember<'a>>>,
    attributes: &'a Json,
    roles: Vec<Uuid>,
    roles_obj: &'a [Role],
    inherited_roles_obj: Option<()>,
    children: Vec<Uuid>,
    children_obj: Option<()>,
}

#[derive(Serialize)]
struct ShownMember<'a> {
    pk: i64,
    username: &'a str,
    name: &'a str,
    is_active: bool,
    last_login: Option<Timestamp>,
    email: &'a str,
    attributes: &'a Json,
    uid: String,
}

impl<'a> From<&'a User> for ShownMember<'a> {
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

/// `GET /core/groups/`.
pub fn list(world: &World, call: &Call) -> Answer {
    auth::viewer(world, call, "group")?;
    let name = filters::text(call, "name");
    let is_superuser = filters::boolean(call, "is_superuser");
    let search = filters::text(call, "search");
    let with_users = filters::boolean(call, "include_users").unwrap_or(true);
    let members: Vec<i64> = call.parameters("members_by_pk").filter_map(|pk| pk.parse().ok()).collect();
    world.read(|store| {
        let takes = |group: &&Group| {
            name.is_none_or(|name| name == group.name)
                && is_superuser.is_none_or(|wanted| wanted == group.is_superuser)
                && search.is_none_or(|search| filters::is_found(search, &[&group.name]))
                && (members.is_empty() || store.members(group.pk).any(|pk| members.contains(&pk)))
        };
        let mut groups: Vec<&Group> = store.groups.values().filter(takes).collect();
        match call.parameter("ordering") {
            // They are kept in this order.
            Some("pk") => {}
            Some("-pk") => groups.reverse(),
            Some("-name") => groups.sort_by(|left, right| right.name.cmp(&left.name)),
            _ => groups.sort_by(|left, right| left.name.cmp(&right.name)),
        }
        let show = |group| show(store, group, with_users);
        let page = paging::page(call, "authentik_core.group", groups.len(), groups.iter().copied(), show)?;
        Ok(call::json(StatusCode::OK, &page))
    })
}

/// `GET /core/groups/{pk}/`.
pub fn one(world: &World, call: &Call, pk: &str) -> Answer {
    auth::viewer(world, call, "group")?;
    let with_users = filters::boolean(call, "include_users").unwrap_or(true);
    world.read(|store| Ok(call::json(StatusCode::OK, &show(store, find(store, pk)?, with_users))))
}

/// The group of a key in a path, with dashes or without.
pub fn find<'a>(store: &'a Store, pk: &str) -> Result<&'a Group, Refusal> {
    let pk: Uuid = pk.parse().map_err(|_| Refusal::NotFound)?;
    store.groups.get(&pk).ok_or(Refusal::Unknown("Group"))
}

/// The JSON of one group; writes answer it with the objects of its users.
pub fn shown<'a>(store: &'a Store, group: &'a Group, with_users: bool) -> impl Serialize {
    show(store, group, with_users)
}

fn show<'a>(store: &'a Store, group: &'a Group, with_users: bool) -> Shown<'a> {
    let members = || store.members(group.pk).filter_map(|pk| store.users.get(&pk)).map(ShownMember::from);
    let is_below = |child: &&Group| child.parents.contains(&group.pk);
    Shown {
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
        children: store.groups.values().filter(is_below).map(|child| child.pk).collect(),
        children_obj: None,
    }
}
