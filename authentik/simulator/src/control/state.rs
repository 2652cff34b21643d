//! A summary of the whole state.

use poem::Response;
use poem::http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use crate::call;
use crate::faults::Faults;
use crate::store::Store;
use crate::store::delivery::Status;
use crate::world::World;

#[derive(Serialize)]
struct State<'a> {
    n_users: usize,
    n_groups: usize,
    n_events: usize,
    deliveries: Counts,
    faults: Faults,
    users: Vec<UserSummary<'a>>,
    groups: Vec<GroupSummary<'a>>,
}

#[derive(Serialize)]
struct Counts {
    pending: u64,
    delivered: u64,
    rejected: u64,
    dropped: u64,
}

#[derive(Serialize)]
struct UserSummary<'a> {
    pk: i64,
    uuid: Uuid,
    username: &'a str,
    name: &'a str,
    email: &'a str,
    is_active: bool,
    #[serde(rename = "type")]
    kind: &'static str,
    groups: Vec<&'a str>,
}

#[derive(Serialize)]
struct GroupSummary<'a> {
    pk: Uuid,
    name: &'a str,
    users: Vec<i64>,
}

/// `GET /_control/state`: all users and groups in one response, without pages.
pub fn show(world: &World) -> Response {
    let faults = world.faults();
    world.read(|store| call::json(StatusCode::OK, &summary(store, faults)))
}

fn summary(store: &Store, faults: Faults) -> State<'_> {
    let users = store.users.values().map(|user| UserSummary {
        pk: user.pk,
        uuid: user.uuid,
        username: &user.username,
        name: &user.name,
        email: &user.email,
        is_active: user.is_active,
        kind: user.kind.name(),
        groups: store.groups_of(user).into_iter().map(|group| group.name.as_str()).collect(),
    });
    let groups = store.groups.values().map(|group| GroupSummary {
        pk: group.pk,
        name: &group.name,
        users: store.members(group.pk).collect(),
    });
    State {
        n_users: store.users.len(),
        n_groups: store.groups.len(),
        n_events: store.events.len(),
        deliveries: Counts {
            pending: store.deliveries.count(Status::Pending),
            delivered: store.deliveries.count(Status::Delivered),
            rejected: store.deliveries.count(Status::Rejected),
            dropped: store.deliveries.count(Status::Dropped),
        },
        faults,
        users: users.collect(),
        groups: groups.collect(),
    }
}
