//! Two ingresses and two projectors that get every webhook produce the same result as one of each.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use e2e::system::Setup;
use e2e::webhooks::Spread;
use e2e::{Feed, System};
use serde_json::{Value, json};
use testkit::eventually;
use testkit::nats::inbox_is_drained;

const N_USERS: usize = 30;

/// Makes the same changes in every run, to many users at once.
async fn make_changes(system: &System) -> Vec<i64> {
    let authentik = &system.authentik;
    let group = authentik.create_group("engineers").await;
    let mut users = vec![];
    for n in 0..N_USERS {
        users.push(authentik.create_user(&format!("user-{n}")).await);
    }
    for (n, pk) in users.iter().enumerate() {
        authentik.update_user(*pk, json!({"name": format!("User {n}")})).await;
        match n % 3 {
            0 => authentik.update_user(*pk, json!({"is_active": false})).await,
            1 => authentik.add_to_group(&group, *pk).await,
            _ => authentik.set_password(*pk).await,
        }
    }
    users
}

async fn delete_some(system: &System, users: &[i64]) {
    for pk in users.iter().step_by(5) {
        system.authentik.delete_user(*pk).await;
    }
}

/// Waits until everything is delivered and processed, and the API agrees with authentik about each user.
async fn converged(system: &System, users: &[i64]) {
    system.authentik.finish_deliveries().await;
    inbox_is_drained(&system.nats.connect().await).await;
    for pk in users {
        let awaited = format!("the API agrees with authentik about user {pk}");
        eventually(&awaited, || async {
            let (_, view) = system.get(&format!("/api/users/{pk}"), "akadmin").await;
            let source = system.authentik.find_user(*pk).await;
            let agrees = match source {
                None => view["status"] == json!("deleted"),
                Some(source) => {
                    let fields = ["name", "username", "email", "is_active", "groups", "uuid"];
                    view["status"] != json!("deleted")
                        && fields.iter().all(|field| view["user"][*field] == source[*field])
                }
            };
            agrees.then_some(())
        })
        .await;
    }
}

/// The result that must not depend on the number of workers: the number of registrations and password
/// changes, and the last state. The number of updates may differ, because a late worker records two changes
/// as one event.
fn facts_and_last_state(feed: &Feed, pk: i64) -> (usize, usize, Option<Value>) {
    let types = feed.types_of(pk);
    let count = |wanted: &str| types.iter().filter(|event| *event == wanted).count();
    let last =
        feed.received.iter().rev().find(|received| received.data["subject"] == json!(format!("user/{pk}")));
    let mut user = last.map(|received| received.data["data"]["user"].clone());
    if let Some(user) = user.as_mut().and_then(Value::as_object_mut) {
        for field in
            ["uuid", "uid", "groups", "group_names", "date_joined", "last_updated", "password_change_date"]
        {
            user.remove(field);
        }
    }
    (count("user-registered"), count("user-password-changed"), user)
}

async fn run(n_of_each: usize) -> Vec<(usize, usize, Option<Value>)> {
    let setup =
        Setup { n_ingresses: n_of_each, n_projectors: n_of_each, spread: Spread::ToAll, ..Setup::default() };
    let system = System::start_with(setup).await;
    let mut feed = system.feed().await;
    let users = make_changes(&system).await;
    converged(&system, &users).await;
    // Delete only now, as the states of users who are deleted before they are read are not recorded.
    delete_some(&system, &users).await;
    converged(&system, &users).await;
    let (_, status) = system.get("/api/events?limit=1", "akadmin").await;
    let last = status["as_of"].clone();
    feed.read_until("the feed has the newest event", |received| {
        received.last().is_some_and(|received| json!(received.id) == last)
    })
    .await;
    for pk in &users {
        let bodies: Vec<_> = feed
            .received
            .iter()
            .filter(|received| received.data["subject"] == json!(format!("user/{pk}")))
            .map(|received| {
                domain::event::Event::from_json(received.data.to_string().as_bytes()).unwrap().body
            })
            .collect();
        assert_eq!(domain::history::check(&bodies), Ok(()), "user {pk}: {:?}", feed.types_of(*pk));
    }
    users.iter().map(|pk| facts_and_last_state(&feed, *pk)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_each_produce_the_same_result_as_one_of_each() {
    let alone = run(1).await;
    let together = run(2).await;
    for (alone, together) in alone.iter().zip(&together) {
        assert_eq!(alone, together);
    }
    assert!(alone.iter().all(|(n_registered, _, _)| *n_registered == 1));
    assert_eq!(alone.iter().map(|(_, n_passwords, _)| n_passwords).sum::<usize>(), N_USERS / 3);
}
