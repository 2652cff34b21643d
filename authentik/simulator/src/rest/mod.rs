//! The REST API under `/api/v3/`, as far as the recordings show it.

mod answer;
mod auth;
mod avatar;
mod events;
mod fields;
mod filters;
mod groups;
mod groups_write;
mod misc;
mod notifications;
mod paging;
mod users;
mod users_write;

use poem::Response;
use poem::http::{Method, StatusCode};

use self::answer::Refusal;
use crate::blueprint;
use crate::call::{self, Call};
use crate::store::Store;
use crate::store::group::Group;
use crate::store::user::User;
use crate::world::World;

const LIST: &str = "GET, POST, HEAD, OPTIONS";
const DETAIL: &str = "GET, PUT, PATCH, DELETE, HEAD, OPTIONS";
const READ: &str = "GET, HEAD, OPTIONS";
const ACTION: &str = "POST, OPTIONS";

/// Answers a request whose path goes on with `segments` after `/api/v3/`.
pub fn answer(world: &World, call: &Call, segments: &[&str]) -> Response {
    if let Some(status) = world.faults().rest_status {
        return answer::fault(status);
    }
    // Every route ends in a slash, so the last segment is empty; authentik does not redirect to it.
    let Some((&"", segments)) = segments.split_last() else { return answer::page_not_found() };
    let method = if call.method == Method::HEAD { Method::GET } else { call.method.clone() };
    if method == Method::GET {
        world.count_read(kind(segments));
    }
    let (allow, answer) = match segments {
        ["core", "users"] => (LIST, users_list(world, call, &method)),
        ["core", "users", "me"] => (READ, get(&method, || misc::me(world, call))),
        ["core", "users", "service_account"] => {
            (ACTION, post(&method, || users_write::create_service_account(world, call)))
        }
        ["core", "users", "impersonate_end"] => (READ, get(&method, || misc::end_impersonation(world, call))),
        ["core", "users", pk] => (DETAIL, user(world, call, &method, pk)),
        ["core", "users", pk, "set_password"] => {
            (ACTION, post(&method, || users_write::set_password(world, call, pk)))
        }
        ["core", "users", pk, "impersonate"] => {
            (ACTION, post(&method, || misc::impersonate(world, call, pk)))
        }
        ["core", "groups"] => (LIST, groups_list(world, call, &method)),
        ["core", "groups", pk] => (DETAIL, group(world, call, &method, pk)),
        ["core", "groups", pk, "add_user"] => {
            (ACTION, post(&method, || groups_write::add_user(world, call, pk)))
        }
        ["core", "groups", pk, "remove_user"] => {
            (ACTION, post(&method, || groups_write::remove_user(world, call, pk)))
        }
        ["events", "events"] => (LIST, get(&method, || events::list(world, call))),
        ["events", "events", pk] => (DETAIL, get(&method, || events::one(world, call, pk))),
        ["admin", "version"] => (READ, get(&method, || misc::version(world, call))),
        _ => match administration(world, call, &method, segments) {
            Some(answer) => (LIST, answer),
            None => return answer::page_not_found(),
        },
    };
    answer::with_allow(answer.unwrap_or_else(|refusal| refusal.answer(&call.method)), allow)
}

/// What only an administrator reads.
fn administration(world: &World, call: &Call, method: &Method, segments: &[&str]) -> Option<Answer> {
    let (model, objects) = match segments {
        ["events", "transports"] => ("authentik_events.notificationtransport", blueprint::transports(world)),
        ["events", "rules"] => ("authentik_events.notificationrule", blueprint::rules(world)),
        ["propertymappings", "notification"] => {
            ("authentik_events.notificationwebhookmapping", blueprint::mappings(world))
        }
        ["policies", "bindings"] => ("authentik_policies.policybinding", blueprint::bindings(world)),
        ["policies", "event_matcher"] => {
            ("authentik_policies_event_matcher.eventmatcherpolicy", blueprint::matchers())
        }
        ["policies", "expression"] => ("authentik_policies_expression.expressionpolicy", vec![]),
        _ => return None,
    };
    Some(get(method, || notifications::list(world, call, model, &objects)))
}

/// Answers what somebody else must be asked for first; nothing where [`answer`] is to be asked.
pub async fn answer_later(world: &World, call: &Call) -> Option<Response> {
    if !notifications::is_test(call) {
        return None;
    }
    match world.faults().rest_status {
        Some(status) => Some(answer::fault(status)),
        None => Some(notifications::test(world, call).await),
    }
}

/// What a GET asks for, as it is counted.
fn kind(segments: &[&str]) -> &'static str {
    match segments {
        ["core", "users"] => "users",
        ["core", "users", pk] if pk.parse::<i64>().is_ok() => "user",
        ["core", "groups"] => "groups",
        ["core", "groups", _] => "group",
        ["events", "events"] => "events",
        _ => "other",
    }
}

/// A user as REST shows it.
pub fn shown_user(store: &Store, user: &User) -> Response {
    call::json(StatusCode::OK, &users::shown(store, user))
}

/// A group as REST shows it, without the objects of its users, which can be megabytes.
pub fn shown_group(store: &Store, group: &Group) -> Response {
    call::json(StatusCode::OK, &groups::shown(store, group, false))
}

/// An answer or the reason why not.
type Answer = Result<Response, Refusal>;

fn get(method: &Method, handle: impl FnOnce() -> Answer) -> Answer {
    if *method == Method::GET { handle() } else { Err(Refusal::Method) }
}

fn post(method: &Method, handle: impl FnOnce() -> Answer) -> Answer {
    if *method == Method::POST { handle() } else { Err(Refusal::Method) }
}

fn users_list(world: &World, call: &Call, method: &Method) -> Answer {
    match *method {
        Method::GET => users::list(world, call),
        Method::POST => users_write::create(world, call),
        _ => Err(Refusal::Method),
    }
}

fn user(world: &World, call: &Call, method: &Method, pk: &str) -> Answer {
    match *method {
        Method::GET => users::one(world, call, pk),
        Method::PATCH => users_write::update(world, call, pk, fields::Missing::Keep),
        Method::PUT => users_write::update(world, call, pk, fields::Missing::Refuse),
        Method::DELETE => users_write::delete(world, call, pk),
        _ => Err(Refusal::Method),
    }
}

fn groups_list(world: &World, call: &Call, method: &Method) -> Answer {
    match *method {
        Method::GET => groups::list(world, call),
        Method::POST => groups_write::create(world, call),
        _ => Err(Refusal::Method),
    }
}

fn group(world: &World, call: &Call, method: &Method, pk: &str) -> Answer {
    match *method {
        Method::GET => groups::one(world, call, pk),
        Method::PATCH => groups_write::update(world, call, pk, fields::Missing::Keep),
        Method::PUT => groups_write::update(world, call, pk, fields::Missing::Refuse),
        Method::DELETE => groups_write::delete(world, call, pk),
        _ => Err(Refusal::Method),
    }
}

/// `204 No Content`.
fn no_content() -> Response {
    call::empty(StatusCode::NO_CONTENT)
}
