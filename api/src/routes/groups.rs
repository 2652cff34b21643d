//! Groups.

use domain::key::GroupId;
use domain::view::groups::GroupView;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{Tag, contains, limit_parameter};
use crate::answer::{Json, Refusal, bad_parameter};
use crate::caller::Caller;
use crate::refused::{ADMIN, BAD_REQUEST, NOT_FOUND, Routed};

/// Some groups, by uuid.
#[derive(Serialize, JsonSchema)]
pub struct GroupList {
    groups: Vec<GroupView>,
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
    /// Groups that are there, by uuid.
    #[oai(path = "/groups", method = "get", tag = "Tag::Groups")]
    async fn list(
        &self,
        caller: Caller,
        /// Part of the name, in whatever case.
        search: Query<Option<String>>,
        /// How many at most: 1 to 500, 50 by default.
        limit: Query<Option<u32>>,
        /// `next` of the page before.
        cursor: Query<Option<String>>,
    ) -> Routed<Json<GroupList>, { ADMIN | BAD_REQUEST }> {
        caller.require_admin()?;
        let search = search.0.map(|search| search.to_lowercase());
        let limit = limit_parameter(limit.0)?;
        let cursor = cursor.0.map(|cursor| cursor.parse::<GroupId>());
        let cursor = cursor.transpose().map_err(|_| bad_parameter("cursor", "expected `next` of a page"))?;
        Ok(Json(list(&caller, search.as_deref(), limit, cursor)))
    }

    /// One group.
    #[oai(path = "/groups/:uuid", method = "get", tag = "Tag::Groups")]
    async fn one(
        &self,
        caller: Caller,
        uuid: Path<Uuid>,
    ) -> Routed<Json<GroupView>, { ADMIN | BAD_REQUEST | NOT_FOUND }> {
        caller.require_admin()?;
        let view = caller.live.groups.get().read(|views| views.get(&uuid.0.to_string()).cloned());
        let missing = || Refusal::not_found(format!("no group {} is recorded", uuid.0));
        Ok(Json(view.ok_or_else(missing)?))
    }
}

fn list(caller: &Caller, search: Option<&str>, limit: usize, cursor: Option<GroupId>) -> GroupList {
    let groups = caller.live.groups.get();
    // Before reading: what changes meanwhile comes after this place.
    let as_of = caller.live.cursor(groups.sequence());
    let is_wanted = |view: &GroupView| {
        let named = |search| view.group.as_ref().is_some_and(|group| contains(&group.name, search));
        !view.deleted && cursor.is_none_or(|cursor| view.uuid > cursor) && search.is_none_or(named)
    };
    // uuids are written in one way, in which their texts are in their own order. One more than is wanted
    // tells whether there is another page.
    let mut found: Vec<GroupView> = groups.read(|views| {
        let wanted = views.iter().map(|(_, view)| view).filter(|view| is_wanted(view));
        wanted.take(limit + 1).cloned().collect()
    });
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|view| view.uuid.to_string());
    GroupList { groups: found, next, as_of }
}
