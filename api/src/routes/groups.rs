//! Groups.

use domain::key::GroupId;
use domain::view::groups::{GroupView, Groups};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::parameters::{self, contains};
use super::tags::Tag;
use crate::answer::{ADMIN, BAD_REQUEST, Json, NOT_FOUND, Refusal, RouteResult};
use crate::caller::Caller;

/// A page of groups, by uuid.
#[derive(Serialize, JsonSchema)]
pub struct GroupList {
    groups: Vec<GroupView>,
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
    /// Lists groups by uuid, without deleted ones.
    #[oai(path = "/groups", method = "get", tag = "Tag::Groups")]
    async fn list(
        &self,
        caller: Caller,
        /// Part of the name, ignoring case.
        search: Query<Option<String>>,
        /// Maximum number of groups: 1 to 500, 50 by default.
        limit: Query<Option<u32>>,
        /// `next` of the previous page.
        cursor: Query<Option<String>>,
    ) -> RouteResult<Json<GroupList>, { ADMIN | BAD_REQUEST }> {
        caller.require_admin()?;
        let search = search.0.map(|search| search.to_lowercase());
        let limit = parameters::limit(limit.0)?;
        Ok(Json(list(&caller, search.as_deref(), limit, parameters::page_cursor(cursor.0)?)))
    }

    /// Returns one group.
    #[oai(path = "/groups/:uuid", method = "get", tag = "Tag::Groups")]
    async fn one(
        &self,
        caller: Caller,
        uuid: Path<Uuid>,
    ) -> RouteResult<Json<GroupView>, { ADMIN | BAD_REQUEST | NOT_FOUND }> {
        caller.require_admin()?;
        let groups = caller.live.replica::<Groups>();
        let view = groups.read(|views| views.get(&uuid.0.to_string()).cloned());
        let missing = || Refusal::not_found(format!("no group {} is recorded", uuid.0));
        Ok(Json(view.ok_or_else(missing)?))
    }
}

fn list(caller: &Caller, search: Option<&str>, limit: usize, cursor: Option<GroupId>) -> GroupList {
    let groups = caller.live.replica::<Groups>();
    // Taken before reading, so that concurrent changes come after it.
    let as_of = caller.live.cursor(groups.sequence());
    let matches = |view: &GroupView| {
        let by_name = |search| view.group.as_ref().is_some_and(|group| contains(&group.name, search));
        !view.deleted && cursor.is_none_or(|cursor| view.uuid > cursor) && search.is_none_or(by_name)
    };
    // The views are ordered by uuid. One item more than `limit` shows whether there is another page.
    let mut found: Vec<GroupView> = groups.read(|views| {
        let matching = views.iter().map(|(_, view)| view).filter(|view| matches(view));
        matching.take(limit + 1).cloned().collect()
    });
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|view| view.uuid.to_string());
    GroupList { groups: found, next, as_of }
}
