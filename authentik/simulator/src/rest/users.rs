//! Reads users.

use poem::Response;
use poem::http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::filters::{self, Between};
use super::response::{Refusal, RestResult};
use super::{auth, paging};
use crate::call::{self, Call};
use crate::clock::Timestamp;
use crate::hash;
use crate::json::Json;
use crate::seed;
use crate::store::Store;
use crate::store::group::Group;
use crate::store::user::{Role, User, UserType};
use crate::world::World;

const MODEL: &str = "authentik_core.user";

/// One recorded avatar, used for every user. authentik draws an image of this size for each user.
pub const AVATAR: &str = "data:image/svg+xml;base64,\
    PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI2NHB4IiBoZWlnaHQ9IjY0cHgiIHZpZXdCb3g9\
    IjAgMCA2NCA2NCIgdmVyc2lvbj0iMS4xIj48cmVjdCBmaWxsPSIjYjljOGE2IiBjeD0iMzIiIGN5PSIzMiIgd2lkdGg9IjY0IiBo\
    ZWlnaHQ9IjY0IiByPSIzMiIvPjx0ZXh0IHg9IjUwJSIgeT0iNTAlIiBzdHlsZT0iY29sb3I6ICMwMDA7IGxpbmUtaGVpZ2h0OiAx\
    OyBmb250LWZhbWlseTogJ1JlZEhhdFRleHQnLCdPdmVycGFzcycsb3ZlcnBhc3MsaGVsdmV0aWNhLGFyaWFsLHNhbnMtc2VyaWY7\
    ICIgZmlsbD0iIzAwMCIgYWxpZ25tZW50LWJhc2VsaW5lPSJtaWRkbGUiIGRvbWluYW50LWJhc2VsaW5lPSJtaWRkbGUiIHRleHQt\
    YW5jaG9yPSJtaWRkbGUiIGZvbnQtc2l6ZT0iMjgiIGZvbnQtd2VpZ2h0PSI0MDAiIGR5PSIuMWVtIj5HKDwvdGV4dD48L3N2Zz4=";

/// A user as REST shows it, in authentik's order.
#[derive(Serialize)]
struct UserJson<'a> {
    pk: i64,
    username: &'a str,
    name: &'a str,
    is_active: bool,
    last_login: Option<Timestamp>,
    date_joined: Timestamp,
    is_superuser: bool,
    groups: Vec<Uuid>,
    groups_obj: Option<Vec<UserGroupJson<'a>>>,
    roles: Vec<Uuid>,
    roles_obj: Option<&'a [Role]>,
    email: &'a str,
    avatar: &'static str,
    attributes: &'a Json,
    uid: String,
    path: &'a str,
    #[serde(rename = "type")]
    kind: UserType,
    uuid: Uuid,
    password_change_date: Timestamp,
    last_updated: Timestamp,
}

#[derive(Serialize)]
struct UserGroupJson<'a> {
    pk: Uuid,
    num_pk: i64,
    name: &'a str,
    is_superuser: bool,
    attributes: &'a Json,
}

impl<'a> From<&'a Group> for UserGroupJson<'a> {
    fn from(group: &'a Group) -> Self {
        Self {
            pk: group.pk,
            num_pk: group.num_pk(),
            name: &group.name,
            is_superuser: group.is_superuser,
            attributes: &group.attributes,
        }
    }
}

/// `GET /core/users/`, sorted by `pk`, `-pk` or (by default) `username`. Other orderings are not simulated.
pub fn list(world: &World, call: &Call) -> RestResult {
    let may_see = auth::may_view_users(world, call)?;
    let filter = Filter::of(call)?;
    let show = shape(call);
    let ordering = call.parameter("ordering").unwrap_or_default();
    let sees_all = world.faults().visible_users.is_none();
    world.read(|store| {
        let show = |user| show(store, user);
        // A walk over all users requests many of these pages, so they are built without a list of all users.
        if sees_all && filter == Filter::default() && ordering == "pk" {
            let page = paging::page(call, MODEL, store.users.len(), store.users.values(), show)?;
            return Ok(call::json(StatusCode::OK, &page));
        }
        let all = store.users.values().filter(|user| may_see(user));
        let mut users: Vec<&User> = all.filter(|user| filter.matches(user)).collect();
        match ordering {
            // The store is sorted by key.
            "pk" => {}
            "-pk" => users.reverse(),
            _ => users.sort_by(|left, right| left.username.cmp(&right.username)),
        }
        let page = paging::page(call, MODEL, users.len(), users.into_iter(), show)?;
        Ok(call::json(StatusCode::OK, &page))
    })
}

/// `GET /core/users/{pk}/`.
pub fn one(world: &World, call: &Call, pk: &str) -> RestResult {
    let may_see = auth::may_view_users(world, call)?;
    let show = shape(call);
    world.read(|store| {
        let user = find(store, pk)?;
        if !may_see(user) {
            return Err(Refusal::Unknown("User"));
        }
        Ok(call::json(StatusCode::OK, &show(store, user)))
    })
}

/// The user with the key in a path.
pub fn find<'a>(store: &'a Store, pk: &str) -> Result<&'a User, Refusal> {
    let pk: i64 = pk.parse().map_err(|_| Refusal::NotFound)?;
    store.users.get(&pk).ok_or(Refusal::Unknown("User"))
}

/// A response with one user.
pub fn user_response(store: &Store, user: &User) -> Response {
    call::json(StatusCode::OK, &shown(store, user))
}

/// The JSON of one user, with all of its parts.
pub fn shown<'a>(store: &'a Store, user: &'a User) -> impl Serialize {
    show(store, user, true, true)
}

fn shape(call: &Call) -> impl for<'a> Fn(&'a Store, &'a User) -> UserJson<'a> + use<> {
    let with_groups = filters::boolean(call, "include_groups").unwrap_or(true);
    let with_roles = filters::boolean(call, "include_roles").unwrap_or(true);
    move |store, user| show(store, user, with_groups, with_roles)
}

fn show<'a>(store: &'a Store, user: &'a User, with_groups: bool, with_roles: bool) -> UserJson<'a> {
    let groups = store.groups_of(user);
    UserJson {
        pk: user.pk,
        username: &user.username,
        name: &user.name,
        is_active: user.is_active,
        last_login: user.last_login,
        date_joined: user.date_joined,
        is_superuser: store.is_superuser(user),
        groups: groups.iter().map(|group| group.pk).collect(),
        groups_obj: with_groups.then(|| groups.into_iter().map(UserGroupJson::from).collect()),
        roles: user.roles.iter().map(|role| role.pk).collect(),
        roles_obj: with_roles.then_some(user.roles.as_slice()),
        email: &user.email,
        avatar: AVATAR,
        attributes: &user.attributes,
        uid: uid(user.pk),
        path: &user.path,
        kind: user.kind,
        uuid: user.uuid,
        password_change_date: user.password_change_date,
        last_updated: user.last_updated,
    }
}

/// The `uid` of a user: the SHA-256 hash of `{pk}-{install id}`.
pub fn uid(pk: i64) -> String {
    hash::sha256_hex(&format!("{pk}-{}", seed::INSTALL_ID.simple()))
}

/// The filters of the list. authentik has more.
#[derive(Default, PartialEq)]
struct Filter<'a> {
    is_active: Option<bool>,
    kinds: Vec<UserType>,
    uuid: Option<Uuid>,
    username: Option<&'a str>,
    email: Option<&'a str>,
    path: Option<&'a str>,
    groups: Vec<Uuid>,
    date_joined: Between,
    last_login: Between,
    last_updated: Between,
}

impl<'a> Filter<'a> {
    fn of(call: &'a Call) -> Result<Self, Refusal> {
        let kind = |name| {
            let message = || format!("Select a valid choice. {name} is not one of the available choices.");
            UserType::from_name(name).ok_or_else(|| Refusal::field("type", message()))
        };
        let group = |pk: &str| {
            let message = format!("“{pk}” is not a valid value.");
            pk.parse().map_err(|_| Refusal::field("groups_by_pk", message))
        };
        Ok(Self {
            is_active: filters::boolean(call, "is_active"),
            kinds: call.parameters("type").map(kind).collect::<Result<_, _>>()?,
            uuid: filters::parsed(call, "uuid", "Enter a valid UUID.")?,
            username: filters::text(call, "username"),
            email: filters::text(call, "email"),
            path: filters::text(call, "path"),
            groups: call.parameters("groups_by_pk").map(group).collect::<Result<_, _>>()?,
            date_joined: Between::of(call, "date_joined")?,
            last_login: Between::of(call, "last_login")?,
            last_updated: Between::of(call, "last_updated")?,
        })
    }

    fn matches(&self, user: &User) -> bool {
        let is = |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted == value);
        self.is_active.is_none_or(|wanted| wanted == user.is_active)
            && (self.kinds.is_empty() || self.kinds.contains(&user.kind))
            && self.uuid.is_none_or(|wanted| wanted == user.uuid)
            && is(self.username, &user.username)
            && is(self.email, &user.email)
            && is(self.path, &user.path)
            && (self.groups.is_empty() || self.groups.iter().any(|group| user.groups.contains(group)))
            && self.date_joined.contains(Some(user.date_joined))
            && self.last_login.contains(user.last_login)
            && self.last_updated.contains(Some(user.last_updated))
    }
}
