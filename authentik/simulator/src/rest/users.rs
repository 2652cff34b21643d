//! Reading users.

use std::cmp::Ordering;

use poem::http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::answer::Refusal;
use super::{Answer, auth, avatar, filters, paging};
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

/// A user as REST shows it, in its order.
#[derive(Serialize)]
struct Shown<'a> {
    pk: i64,
    username: &'a str,
    name: &'a str,
    is_active: bool,
    last_login: Option<Timestamp>,
    date_joined: Timestamp,
    is_superuser: bool,
    groups: Vec<Uuid>,
    groups_obj: Option<Vec<ShownGroup<'a>>>,
    roles: Vec<Uuid>,
    roles_obj: Option<&'a [Role]>,
    email: &'a str,
    avatar: String,
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
struct ShownGroup<'a> {
    pk: Uuid,
    num_pk: i64,
    name: &'a str,
    is_superuser: bool,
    attributes: &'a Json,
}

impl<'a> From<&'a Group> for ShownGroup<'a> {
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

/// `GET /core/users/`.
pub fn list(world: &World, call: &Call) -> Answer {
    let may_see = auth::reader_of_users(world, call)?;
    let filter = Filter::of(call)?;
    let ordering = call.parameter("ordering").and_then(Ordered::named).unwrap_or(Ordered::USERNAME);
    let show = shape(call);
    let sees_all = world.faults().visible_users.is_none();
    world.read(|store| {
        let show = |user| show(store, user);
        // A walk over everybody asks for page after page of this.
        if sees_all && filter == Filter::default() && ordering == Ordered::PK {
            let (count, users) = (store.users.len(), store.users.values());
            return Ok(call::json(StatusCode::OK, &paging::page(call, MODEL, count, users, show)?));
        }
        let all = store.users.values().filter(|user| may_see(user));
        let mut users: Vec<&User> = all.filter(|user| filter.takes(store, user)).collect();
        if ordering.column != Column::Pk {
            users.sort_by(|left, right| ordering.column.compare(left, right));
        }
        let count = users.len();
        let page = if ordering.is_descending {
            // The other way round also means that users without a value stand first.
            paging::page(call, MODEL, count, users.iter().rev().copied(), show)?
        } else {
            paging::page(call, MODEL, count, users.iter().copied(), show)?
        };
        Ok(call::json(StatusCode::OK, &page))
    })
}

/// `GET /core/users/{pk}/`.
pub fn one(world: &World, call: &Call, pk: &str) -> Answer {
    let may_see = auth::reader_of_users(world, call)?;
    let show = shape(call);
    world.read(|store| {
        let user = find(store, pk)?;
        if !may_see(user) {
            return Err(Refusal::Unknown("User"));
        }
        Ok(call::json(StatusCode::OK, &show(store, user)))
    })
}

/// The user of a key in a path.
pub fn find<'a>(store: &'a Store, pk: &str) -> Result<&'a User, Refusal> {
    let pk: i64 = pk.parse().map_err(|_| Refusal::NotFound)?;
    store.users.get(&pk).ok_or(Refusal::Unknown("User"))
}

/// The JSON of one user, as writes answer it.
pub fn shown<'a>(store: &'a Store, user: &'a User) -> impl Serialize {
    show(store, user, true, true)
}

fn shape(call: &Call) -> impl for<'a> Fn(&'a Store, &'a User) -> Shown<'a> + use<> {
    let with_groups = filters::boolean(call, "include_groups").unwrap_or(true);
    let with_roles = filters::boolean(call, "include_roles").unwrap_or(true);
    move |store, user| show(store, user, with_groups, with_roles)
}

fn show<'a>(store: &'a Store, user: &'a User, with_groups: bool, with_roles: bool) -> Shown<'a> {
    let groups = store.groups_of(user);
    Shown {
        pk: user.pk,
        username: &user.username,
        name: &user.name,
        is_active: user.is_active,
        last_login: user.last_login,
        date_joined: user.date_joined,
        is_superuser: store.is_superuser(user),
        groups: groups.iter().map(|group| group.pk).collect(),
        groups_obj: with_groups.then(|| groups.into_iter().map(ShownGroup::from).collect()),
        roles: user.roles.iter().map(|role| role.pk).collect(),
        roles_obj: with_roles.then_some(user.roles.as_slice()),
        email: &user.email,
        avatar: avatar::data_uri(&user.name),
        attributes: &user.attributes,
        uid: uid(user.pk),
        path: &user.path,
        kind: user.kind,
        uuid: user.uuid,
        password_change_date: user.password_change_date,
        last_updated: user.last_updated,
    }
}

/// The hash by which authentik names a user to others: sha256 of `{pk}-{install id}`.
pub fn uid(pk: i64) -> String {
    hash::sha256_hex(&format!("{pk}-{}", seed::INSTALL_ID.simple()))
}

/// The filters of the list.
#[derive(Default, PartialEq)]
struct Filter<'a> {
    is_active: Option<bool>,
    is_superuser: Option<bool>,
    kinds: Vec<UserType>,
    uuid: Option<Uuid>,
    username: Option<&'a str>,
    name: Option<&'a str>,
    email: Option<&'a str>,
    path: Option<&'a str>,
    path_start: Option<&'a str>,
    groups: Vec<Uuid>,
    date_joined: (Option<Timestamp>, Option<Timestamp>),
    last_login: (Option<Timestamp>, Option<Timestamp>),
    last_updated: (Option<Timestamp>, Option<Timestamp>),
    search: Option<&'a str>,
}

impl<'a> Filter<'a> {
    fn of(call: &'a Call) -> Result<Self, Refusal> {
        let kind = |name| UserType::from_name(name).ok_or_else(|| not_a_choice(name));
        let group = |pk: &str| {
            let message = format!("“{pk}” is not a valid value.");
            pk.parse().map_err(|_| Refusal::field("groups_by_pk", message))
        };
        Ok(Self {
            is_active: filters::boolean(call, "is_active"),
            is_superuser: filters::boolean(call, "is_superuser"),
            kinds: call.parameters("type").map(kind).collect::<Result<_, _>>()?,
            uuid: filters::uuid(call, "uuid")?,
            username: filters::text(call, "username"),
            name: filters::text(call, "name"),
            email: filters::text(call, "email"),
            path: filters::text(call, "path"),
            path_start: filters::text(call, "path_startswith"),
            groups: call.parameters("groups_by_pk").map(group).collect::<Result<_, _>>()?,
            date_joined: filters::between(call, "date_joined")?,
            last_login: filters::between(call, "last_login")?,
            last_updated: filters::between(call, "last_updated")?,
            search: filters::text(call, "search"),
        })
    }

    fn takes(&self, store: &Store, user: &User) -> bool {
        let is = |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted == value);
        self.is_active.is_none_or(|wanted| wanted == user.is_active)
            && (self.kinds.is_empty() || self.kinds.contains(&user.kind))
            && self.uuid.is_none_or(|wanted| wanted == user.uuid)
            && is(self.username, &user.username)
            && is(self.name, &user.name)
            && is(self.email, &user.email)
            && is(self.path, &user.path)
            && self.path_start.is_none_or(|start| user.path.starts_with(start))
            && (self.groups.is_empty() || self.groups.iter().any(|group| user.groups.contains(group)))
            && filters::is_between(Some(user.date_joined), self.date_joined)
            && filters::is_between(user.last_login, self.last_login)
            && filters::is_between(Some(user.last_updated), self.last_updated)
            && self
                .search
                .is_none_or(|search| filters::is_found(search, &[&user.username, &user.name, &user.email]))
            && self.is_superuser.is_none_or(|wanted| wanted == store.is_superuser(user))
    }
}

fn not_a_choice(name: &str) -> Refusal {
    let message = format!("Select a valid choice. {name} is not one of the available choices.");
    Refusal::field("type", message)
}

/// The order of the list.
#[derive(PartialEq, Eq)]
struct Ordered {
    column: Column,
    is_descending: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Pk,
    Username,
    Name,
    Email,
    IsActive,
    DateJoined,
    LastLogin,
    LastUpdated,
}

impl Ordered {
    /// In which they are kept.
    const PK: Self = Self { column: Column::Pk, is_descending: false };

    const USERNAME: Self = Self { column: Column::Username, is_descending: false };

    fn named(name: &str) -> Option<Self> {
        let (is_descending, name) = name.strip_prefix('-').map_or((false, name), |name| (true, name));
        let column = match name {
            "pk" | "id" => Column::Pk,
            "username" => Column::Username,
            "name" => Column::Name,
            "email" => Column::Email,
            "is_active" => Column::IsActive,
            "date_joined" => Column::DateJoined,
            "last_login" => Column::LastLogin,
            "last_updated" => Column::LastUpdated,
            _ => return None,
        };
        Some(Self { column, is_descending })
    }
}

impl Column {
    fn compare(self, left: &User, right: &User) -> Ordering {
        match self {
            Self::Pk => left.pk.cmp(&right.pk),
            Self::Username => left.username.cmp(&right.username),
            Self::Name => left.name.cmp(&right.name),
            Self::Email => left.email.cmp(&right.email),
            Self::IsActive => left.is_active.cmp(&right.is_active),
            Self::DateJoined => left.date_joined.cmp(&right.date_joined),
            // PostgreSQL puts what has no value last.
            Self::LastLogin => {
                let key = |user: &User| (user.last_login.is_none(), user.last_login);
                key(left).cmp(&key(right))
            }
            Self::LastUpdated => left.last_updated.cmp(&right.last_updated),
        }
    }
}
