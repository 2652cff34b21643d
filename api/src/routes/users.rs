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
use super::parameters::{self, contains};
use super::tags::Tag;
use crate::answer::{
    ADMIN, Answer, BAD_REQUEST, GONE, Json, NOT_FOUND, Refusal, RouteResult, TOO_MANY, bad_parameter,
};
use crate::caller::Caller;
use crate::feed::Filter;

/// Number of users that a search examines while it holds the lock.
const CHUNK: usize = 1_024;

/// A page of users, by primary key.
#[derive(Serialize, JsonSchema)]
pub struct UserList {
    users: Vec<UserView>,
    /// Pass this as `cursor` to get the next page; missing on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The position in the log up to which the page is certainly current. Later events may change it.
    as_of: String,
}

#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Lists users by primary key. Deleted users are listed only if `status` requests them.
    #[oai(path = "/users", method = "get", tag = "Tag::Users")]
    #[expect(clippy::too_many_arguments, reason = "one argument for each query parameter")]
    async fn list(
        &self,
        caller: Caller,
        /// Part of the username, display name or e-mail address, ignoring case.
        search: Query<Option<String>>,
        /// `active`, `inactive`, `deleted` or `erased`.
        status: Query<Option<String>>,
        /// Type of the user in authentik, such as `internal`.
        r#type: Query<Option<String>>,
        /// Uuid or name of a group of which the user is a direct member.
        group: Query<Option<String>>,
        /// Maximum number of users: 1 to 500, 50 by default.
        limit: Query<Option<u32>>,
        /// `next` of the previous page.
        cursor: Query<Option<String>>,
    ) -> RouteResult<Json<UserList>, { ADMIN | BAD_REQUEST }> {
        caller.require_admin()?;
        let filter = UserFilter {
            search: search.0.map(|search| search.to_lowercase()),
            status: status.0.as_deref().map(status_parameter).transpose()?,
            kind: r#type.0,
            group: group.0,
        };
        let limit = parameters::limit(limit.0)?;
        Ok(Json(list(&caller, &filter, limit, parameters::page_cursor(cursor.0)?).await))
    }

    /// Returns one user.
    #[oai(path = "/users/:pk", method = "get", tag = "Tag::Users")]
    async fn one(
        &self,
        caller: Caller,
        pk: Path<UserPk>,
    ) -> RouteResult<Json<UserView>, { ADMIN | BAD_REQUEST | NOT_FOUND }> {
        caller.require_own_or_admin(pk.0)?;
        Ok(Json(view(&caller, pk.0)?))
    }

    /// Lists the events about a user. Callers who are not admins get events from their last registration on.
    #[oai(path = "/users/:pk/events", method = "get", tag = "Tag::Users")]
    async fn events(
        &self,
        caller: Caller,
        pk: Path<UserPk>,
        /// Start position: `earliest` (the default), `now`, a cursor, or a time in RFC 3339.
        after: Query<Option<String>>,
        /// Maximum number of events: 1 to 500, 50 by default.
        limit: Query<Option<u32>>,
    ) -> RouteResult<Json<EventPage>, { ADMIN | BAD_REQUEST | NOT_FOUND | GONE }> {
        caller.require_own_or_admin(pk.0)?;
        view(&caller, pk.0)?;
        let filter = Filter { entity: Some(Entity::User(pk.0)), types: vec![] };
        Ok(page(&caller, filter, after.0.as_deref(), limit.0).await?)
    }

    /// Reads a user from authentik again, and records what differs.
    #[oai(path = "/users/:pk/resync", method = "post", tag = "Tag::Users")]
    async fn resync(
        &self,
        caller: Caller,
        pk: Path<UserPk>,
    ) -> RouteResult<ResyncAnswer, { ADMIN | BAD_REQUEST | TOO_MANY }> {
        caller.require_admin()?;
        let hint = InternalHint::about_user(pk.0, "resync", caller.pk());
        Ok(resync(&caller, &hint).await?)
    }
}

fn view(caller: &Caller, pk: UserPk) -> Answer<UserView> {
    let view = caller.live.replica::<Users>().read(|views| views.get(&pk.to_string()).cloned());
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

/// Selects the users of a list.
struct UserFilter {
    /// Must be in lower case.
    search: Option<String>,
    status: Option<UserStatus>,
    kind: Option<String>,
    group: Option<String>,
}

impl UserFilter {
    fn matches(&self, view: &UserView) -> bool {
        let by_status = match self.status {
            Some(status) => view.status == status,
            None => view.present().is_some(),
        };
        let user = view.user.as_ref();
        let by_kind = self.kind.as_ref().is_none_or(|kind| user.is_some_and(|user| user.kind == *kind));
        let by_group = self.group.as_ref().is_none_or(|requested| {
            let uuid = requested.parse::<Uuid>().ok();
            user.is_some_and(|user| {
                let is_named = |group| user.group_names.get(group).is_some_and(|name| name == requested);
                user.groups.iter().any(|group| Some(*group) == uuid || is_named(group))
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

/// Searches the users after the cursor in chunks, so that a long search does not delay events and other requests.
async fn list(caller: &Caller, filter: &UserFilter, limit: usize, cursor: Option<UserPk>) -> UserList {
    let users = caller.live.replica::<Users>();
    // Taken before reading, so that concurrent changes come after it.
    let as_of = caller.live.cursor(users.sequence());
    let mut found: Vec<UserView> = vec![];
    let mut cursor = cursor;
    loop {
        let pks = caller.live.user_pks_after(cursor, CHUNK);
        let Some(last) = pks.last() else { break };
        cursor = Some(*last);
        users.read(|views: &Views<Users>| {
            let chunk = pks.iter().filter_map(|pk| views.get(&pk.to_string()));
            // One item more than `limit` shows whether there is another page.
            found.extend(chunk.filter(|view| filter.matches(view)).take(limit + 1 - found.len()).cloned());
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
