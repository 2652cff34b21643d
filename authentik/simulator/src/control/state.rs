//! A summary of the whole state.

use poem::Response;
use poem::http::StatusCode;
use serde_json::json;

use crate::call;
use crate::store::delivery::Status;
use crate::store::group::Group;
use crate::store::user::User;
use crate::world::World;

/// `GET /_control/state`: all users and groups in one response, without pages.
pub fn show(world: &World) -> Response {
    let faults = world.faults();
    let summary = world.read(|store| {
        let user = |user: &User| {
            let groups: Vec<&str> =
                store.groups_of(user).into_iter().map(|group| group.name.as_str()).collect();
            json!({
                "pk": user.pk,
                "uuid": user.uuid,
                "username": user.username,
                "name": user.name,
                "email": user.email,
                "is_active": user.is_active,
                "type": user.kind,
                "groups": groups,
            })
        };
        let group = |group: &Group| {
            let users: Vec<i64> = store.members(group.pk).collect();
            json!({"pk": group.pk, "name": group.name, "users": users})
        };
        json!({
            "n_users": store.users.len(),
            "n_groups": store.groups.len(),
            "n_events": store.events.len(),
            "deliveries": {
                "pending": store.deliveries.count(Status::Pending),
                "delivered": store.deliveries.count(Status::Delivered),
                "rejected": store.deliveries.count(Status::Rejected),
                "dropped": store.deliveries.count(Status::Dropped),
            },
            "faults": faults,
            "users": store.users.values().map(user).collect::<Vec<_>>(),
            "groups": store.groups.values().map(group).collect::<Vec<_>>(),
        })
    });
    call::json(StatusCode::OK, &summary)
}
