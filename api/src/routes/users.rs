//! Users.

use domain::hint::InternalHint;
use domain::key::{Entity, UserPk};
use domain::view::Views;
use domain::view::users::{UserStatus, UserView, Users};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::events::{EventPage, page};
use super::me::{ResyncAnswer, resync};
use super::{Tag, contains, limit_parameter};
use crate::answer::{Answer, Json, Refusal, bad_parameter};
use crate::caller::Caller;
use crate::feed::Filter;
use crate::refused::{ADMIN, BAD_REQUEST, GONE, NOT_FOUND, Routed, TOO_MANY};

/// How many users are looked at under the lock at once.
const CHUNK: usize = 1_024;

/// Some users, by primary key.
#[derive(Serialize, JsonSchema)]
pub struct UserList {
    users: Vec<UserView>,
    /// Give this as `cursor` for more; missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The place in the log that this is true for: events after it may change it.
    as_of: String,
}

/// The routes of this group.
#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Users by primary key. Deleted ones are left out unless asked for.
    #[oai(path = "/users", method = "get", tag = "Tag::Users")]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn list(
        &self,
        caller: Caller,
        /// Part of the username, the display name or the e-mail address, in whatever case.
        search: Query<Option<String>>,
        /// `active`, `inactive`, `deleted` or `erased`.
        status: Query<Option<String>>,
        /// authentik's type of user, such as `internal`.
        r#type: Query<Option<String>>,
        /// uuid or name of a group that the user is a direct member of.
        group: Query<Option<String>>,
        /// How many at most: 1 to 500, 50 by default.
        limit: Query<Option<u32>>,
        /// `next` of the page before.
        cursor: Query<Option<String>>,
    ) -> Routed<Json<UserList>, { ADMIN | BAD_REQUEST }> {
        caller.require_admin()?;
        let wanted = Wanted {
            search: search.0.map(|search| search.to_lowercase()),
            status: status.0.as_deref().map(status_parameter).transpose()?,
            kind: r#type.0,
            group: group.0,
        };
        let limit = limit_parameter(limit.0)?;
        let cursor = cursor.0.map(|cursor| cursor.parse::<UserPk>());
        let cursor = cursor.transpose().map_err(|_| bad_parameter("cursor", "expected `next` of a page"))?;
        Ok(Json(list(&caller, &wanted, limit, cursor).await))
    }

    /// One user.
    #[oai(path = "/users/:pk", method = "get", tag = "Tag::Users")]
    async fn one(
        &self,
        caller: Caller,
        pk: Path<UserPk>,
    ) -> Routed<Json<UserView>, { ADMIN | BAD_REQUEST | NOT_FOUND }> {
        caller.require_own_or_admin(pk.0)?;
        Ok(Json(view(&caller, pk.0)?))
    }

    /// What was recorded of a user. A caller's own history begins at their last registration.
    #[oai(path = "/users/:pk/events", method = "get", tag = "Tag::Users")]
    async fn events(
        &self,
        caller: Caller,
        pk: Path<UserPk>,
        /// Where to begin: `earliest` (the default), `now`, a cursor, or a time.
        after: Query<Option<String>>,
        /// How many at most: 1 to 500, 50 by default.
        limit: Query<Option<u32>>,
    ) -> Routed<Json<EventPage>, { ADMIN | BAD_REQUEST | NOT_FOUND | GONE }> {
        caller.require_own_or_admin(pk.0)?;
        view(&caller, pk.0)?;
        let filter = Filter { entity: Some(Entity::User(pk.0)), types: vec![] };
        Ok(page(&caller, filter, after.0.as_deref(), limit.0).await?)
    }

    /// Has authentik asked about a user now.
    #[oai(path = "/users/:pk/resync", method = "post", tag = "Tag::Users")]
    async fn resync(
        &self,
        caller: Caller,
        pk: Path<UserPk>,
    ) -> Routed<ResyncAnswer, { ADMIN | BAD_REQUEST | TOO_MANY }> {
        caller.require_admin()?;
        let hint = InternalHint::about_user(pk.0, "resync", caller.asked_by());
        Ok(resync(&caller, &hint).await?)
    }
}

fn view(caller: &Caller, pk: UserPk) -> Answer<UserView> {
    let view = caller.live.users.get().read(|views| views.get(&pk.to_string()).cloned());
    let view = view.filter(|view| view.status != UserStatus::Erased);
    view.ok_or_else(|| Refusal::not_found(format!("no user {pk} is recorded")))
}

fn status_parameter(text: &str) -> Answer<UserStatus> {
    match text {
        "active" => Ok(UserStatus::Active),
        "inactive" => Ok(UserStatus::Inactive),
        "deleted" => Ok(UserStatus::Deleted),
        "erased" => Ok(UserStatus::Erased),
        _ => Err(bad_parameter("status", "expected active, inactive, deleted or erased")),
    }
}

/// Which users a list is to hold.
struct Wanted {
    /// In lower case.
    search: Option<String>,
    status: Option<UserStatus>,
    kind: Option<String>,
    group: Option<String>,
}

impl Wanted {
    fn includes(&self, view: &UserView) -> bool {
        let by_status = match self.status {
            Some(status) => view.status == status,
            None => view.present().is_some(),
        };
        let user = view.user.as_ref();
        let by_kind = self.kind.as_ref().is_none_or(|kind| user.is_some_and(|user| user.kind == *kind));
        let by_group = self.group.as_ref().is_none_or(|wanted| {
            let uuid = wanted.parse::<Uuid>().ok();
            user.is_some_and(|user| {
                let names = |group| user.group_names.get(group).is_some_and(|name| name == wanted);
                user.groups.iter().any(|group| Some(*group) == uuid || names(group))
            })
        });
        let by_search = || {
            self.search.as_ref().is_none_or(|search| {
                user.is_some_and(|user| {
                    [&user.username, &user.name, &user.email].into_iter().any(|text| contains(text, search))
                })
            })
        };
        by_status && by_kind && by_group && by_search()
    }
}

/// Looks at all users after the cursor, a chunk at a time: neither the tail of the log nor other requests may
/// wait for a search through a million.
async fn list(caller: &Caller, wanted: &Wanted, limit: usize, cursor: Option<UserPk>) -> UserList {
    let users = caller.live.users.get();
    // Before reading: what changes meanwhile comes after this place.
    let as_of = caller.live.cursor(users.sequence());
    let mut found: Vec<UserView> = vec![];
    let mut cursor = cursor;
    loop {
        let pks = caller.live.people.pks_after(cursor, CHUNK);
        let Some(last) = pks.last() else { break };
        cursor = Some(*last);
        users.read(|views: &Views<Users>| {
            let chunk = pks.iter().filter_map(|pk| views.get(&pk.to_string()));
            // One more than is wanted tells whether there is another page.
            found.extend(chunk.filter(|view| wanted.includes(view)).take(limit + 1 - found.len()).cloned());
        });
        if found.len() > limit {
            break;
        }
        tokio::task::yield_now().await;
    }
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|view| view.pk.to_string());
    UserList { users: found, next, as_of }
}
