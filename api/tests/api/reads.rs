//! Lists, single objects, and recorded events.

use reqwest::Method;
use serde_json::Value;

use crate::support::events::{
    deactivated, deleted, erased, group_created, group_id, in_group, joined, left, logged_in, registered,
    user,
};
use crate::support::{ADMINS, World, problem, project};

fn pks(list: &Value) -> Vec<i64> {
    list["users"].as_array().unwrap().iter().map(|user| user["pk"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn users_are_listed_by_primary_key_in_pages() {
    let world = World::start().await;
    for pk in [100, 2, 10, 7, 33] {
        world.record(registered(user(pk, &format!("user{pk}")))).await;
    }
    let last = world.record(deleted(user(7, "user7"))).await;
    let admin = world.admin();
    let first = world.json("/api/users?limit=2", Some(&admin)).await;
    assert_eq!(pks(&first), [2, 10]);
    assert_eq!(first["as_of"], world.cursor(last));
    let next = first["next"].as_str().unwrap();
    let second = world.json(&format!("/api/users?limit=2&cursor={next}"), Some(&admin)).await;
    assert_eq!(pks(&second), [33, 100]);
    assert!(second.get("next").is_none());
}

#[tokio::test]
async fn users_are_filtered_by_name_status_type_and_group() {
    let world = World::start().await;
    world.record(registered(in_group(user(1, "ada"), 1, "math"))).await;
    world.record(registered(user(2, "Grace"))).await;
    world.record(registered(user(3, "linus"))).await;
    world.record(deactivated(user(2, "Grace"))).await;
    world.record(deleted(user(3, "linus"))).await;
    let admin = world.admin();
    let by_uuid = format!("group={}", group_id(1));
    let cases = [
        ("", vec![1, 2]),
        ("search=GRACE", vec![2]),
        ("search=name%20of", vec![1, 2]),
        ("search=ada@example", vec![1]),
        ("search=nobody", vec![]),
        ("status=inactive", vec![2]),
        ("status=deleted", vec![3]),
        ("status=active&type=internal", vec![1]),
        ("type=external", vec![]),
        ("group=math", vec![1]),
        (&by_uuid, vec![1]),
    ];
    for (query, expected) in cases {
        let list = world.json(&format!("/api/users?{query}"), Some(&admin)).await;
        assert_eq!(pks(&list), expected, "{query}");
    }
}

#[tokio::test]
async fn an_invalid_request_gets_a_problem_that_names_the_cause() {
    let world = World::start().await;
    let admin = world.admin();
    let cases = [
        ("/api/users?limit=0", 400, "limit"),
        ("/api/users?limit=501", 400, "limit"),
        ("/api/users?limit=many", 400, "limit"),
        ("/api/users?status=odd", 400, "status"),
        ("/api/users?cursor=x", 400, "cursor"),
        ("/api/users/ada", 400, "path"),
        ("/api/users/77", 404, "77"),
        ("/api/users/77/events", 404, "77"),
        ("/api/groups/x", 400, "path"),
        ("/api/groups?cursor=x", 400, "cursor"),
        ("/api/groups/00000000-0000-4000-8000-000000000000", 404, "no group"),
        ("/api/events?after=yesterday", 400, "after"),
        ("/api/events?type=user-eaten", 400, "type"),
        ("/api/events?user=ada", 400, "user"),
        ("/api/events?limit=-1", 400, "limit"),
        ("/api/events/stream?after=x", 400, "after"),
        ("/api/activity?days=0", 400, "days"),
        ("/api/schemas/user-eaten/v1", 404, "user-eaten"),
        ("/api/nothing", 404, ""),
        ("/api", 404, ""),
        ("/nothing", 404, ""),
        ("/api/events?after=other-1", 410, "another stream"),
        ("/api/events/stream?after=other-1", 410, "another stream"),
    ];
    for (path, status, cause) in cases {
        let detail = problem(world.get(path, Some(&admin)).await, status).await;
        assert!(detail.contains(cause), "{path}: {detail}");
    }
    problem(world.call(Method::DELETE, "/api/users/1", Some(&admin)).await, 405).await;
    let ahead = world.cursor(1_000_000);
    let beyond = problem(world.get(&format!("/api/events?after={ahead}"), Some(&admin)).await, 410).await;
    assert!(beyond.contains("beyond"), "{beyond}");
}

fn types(page: &Value) -> Vec<&str> {
    page["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn events_are_listed_in_pages_as_they_are_stored() {
    let world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    world.record(registered(user(2, "grace"))).await;
    world.record(logged_in(user(1, "ada"))).await;
    let last = world.record(group_created(1, "navy")).await;
    let admin = world.admin();
    let first = world.json("/api/events?limit=3", Some(&admin)).await;
    assert_eq!(types(&first), ["user-registered", "user-registered", "user-logged-in"]);
    assert_eq!(first["events"][0]["specversion"], "1.0");
    let next = first["next"].as_str().unwrap();
    let second = world.json(&format!("/api/events?limit=3&after={next}"), Some(&admin)).await;
    assert_eq!(types(&second), ["group-created"]);
    assert_eq!(second["next"], world.cursor(last));
    let end = world.json(&format!("/api/events?after={}", world.cursor(last)), Some(&admin)).await;
    assert_eq!((types(&end).len(), &end["next"]), (0, &end["as_of"]));
    let of_user = world.json("/api/events?user=1&type=user-logged-in,user-deleted", Some(&admin)).await;
    assert_eq!(types(&of_user), ["user-logged-in"]);
    let own = world.json("/api/events", Some(&world.token(2, &[]))).await;
    assert_eq!(types(&own), ["user-registered"]);
    assert_eq!(own["next"], world.cursor(last));
    assert_eq!(types(&world.json("/api/events?after=2026-01-01T00:00:00Z", Some(&admin)).await).len(), 4);
    assert_eq!(types(&world.json("/api/events?after=now", Some(&admin)).await).len(), 0);
    // An unrecorded caller has no events.
    let nobody = world.json("/api/events", Some(&world.token(3, &[]))).await;
    assert_eq!(types(&nobody).len(), 0);
}

#[tokio::test]
async fn a_callers_own_events_start_at_their_last_registration() {
    let world = World::start().await;
    world.record(registered(user(1, "before"))).await;
    world.record(deleted(user(1, "before"))).await;
    world.record(registered(user(1, "ada"))).await;
    world.record(logged_in(user(1, "ada"))).await;
    let own = world.token(1, &[]);
    let expected = ["user-registered", "user-logged-in"];
    assert_eq!(types(&world.json("/api/users/1/events", Some(&own)).await), expected);
    assert_eq!(types(&world.json("/api/events?after=earliest", Some(&own)).await), expected);
    assert_eq!(types(&world.json("/api/users/1/events", Some(&world.admin())).await).len(), 4);
}

#[tokio::test]
async fn groups_activity_and_status_are_answered() {
    let world = World::start().await;
    world.record(group_created(1, "navy")).await;
    world.record(group_created(2, "army")).await;
    world.record(registered(in_group(user(1, "ada"), 1, "navy"))).await;
    let admin = world.admin();
    let groups = world.json("/api/groups?limit=1", Some(&admin)).await;
    assert_eq!(groups["groups"][0]["group"]["name"], "navy");
    assert_eq!(groups["groups"][0]["n_members"], 1);
    let cursor = groups["next"].as_str().unwrap();
    let rest = world.json(&format!("/api/groups?cursor={cursor}"), Some(&admin)).await;
    assert_eq!(rest["groups"][0]["group"]["name"], "army");
    let found = world.json("/api/groups?search=ARM", Some(&admin)).await;
    assert_eq!(found["groups"].as_array().unwrap().len(), 1);
    let one = world.json(&format!("/api/groups/{}", group_id(2)), Some(&admin)).await;
    assert_eq!(one["uuid"], group_id(2).to_string());
    let activity = world.json("/api/activity?days=2", Some(&admin)).await;
    let days = activity["days"].as_array().unwrap();
    let n_created: u64 = days.iter().filter_map(|day| day["counts"]["group-created"].as_u64()).sum();
    assert_eq!(n_created, 2);
    let status = world.json("/api/status", Some(&admin)).await;
    assert_eq!((&status["users"]["lag"], &status["events"]["messages"]), (&0.into(), &3.into()));
    assert_eq!(status["connected"], true);
}

#[tokio::test]
async fn an_api_gives_the_same_answers_after_a_restart() {
    let mut world = World::start().await;
    world.record(group_created(1, ADMINS)).await;
    world.record(registered(in_group(user(1, "ada"), 1, ADMINS))).await;
    world.record(registered(user(2, "grace"))).await;
    world.record(joined(user(2, "grace"), 1, ADMINS)).await;
    let old_token = world.token(2, &[ADMINS]);
    world.record(left(user(2, "grace"), 1, ADMINS)).await;
    world.record(registered(user(3, "linus"))).await;
    let erased_token = world.token(3, &[ADMINS]);
    world.record(erased(3)).await;
    let paths = ["/api/users", "/api/users?status=erased", "/api/groups", "/api/activity", "/api/events"];
    let admin = world.token(1, &[ADMINS]);
    let mut before = vec![];
    for path in paths {
        before.push(world.json(path, Some(&admin)).await);
    }
    problem(world.get("/api/users", Some(&old_token)).await, 403).await;
    // The restarted API loads the projections, which contain the departure already.
    project::all(&world.nats, &world.log).await;
    world.restart_api().await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(world.json(path, Some(&admin)).await, before, "{path}");
    }
    // Revocations survive the restart.
    problem(world.get("/api/me", Some(&erased_token)).await, 401).await;
    problem(world.get("/api/users", Some(&old_token)).await, 403).await;
    world.json("/api/users", Some(&world.token(1, &[ADMINS]))).await;
}
