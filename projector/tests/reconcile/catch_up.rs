//! `projector catch-up`, run as the real binary.

use std::time::Duration;

use async_nats::jetstream::stream::Config as StreamConfig;
use poem::endpoint::make;
use poem::{IntoResponse, Request, Response};
use runtime::CancellationToken;
use serde_json::{Value, json};
use store::views;
use testkit::eventually;
use tokio::process::Command;

use crate::support::World;

/// The last sequences of all streams that the command can write to.
async fn last_sequences(world: &World) -> Vec<u64> {
    let namespace = &world.nats.namespace;
    let meta = format!("KV_{}", namespace.meta_bucket());
    let mut sequences = vec![];
    for stream in [namespace.events_stream(), namespace.inbox_stream(), meta] {
        let info = world.nats.jetstream.get_stream(&stream).await.unwrap();
        sequences.push(info.cached_info().state.last_sequence);
    }
    sequences
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_projector_a_catch_up_imports_all_users_and_records_every_difference() {
    let world = World::new().await;
    world.create_users(150).await;
    let caught_up = world.catch_up(&[]).await;
    assert_eq!(caught_up["n_users"], world.state().await["n_users"]);
    assert_eq!((&caught_up["dry_run"], &caught_up["n_failed"]), (&json!(false), &json!(0)));
    world.everything_is_imported_once().await;
    assert_eq!(world.n_single_reads().await, 0);
    world.silently(json!({"op": "update_user", "pk": 8, "name": "Grace B. Hopper"})).await;
    world.silently(json!({"op": "delete_user", "pk": 7})).await;
    let caught_up = world.catch_up(&[]).await;
    let counts =
        ["n_imported", "n_differing", "n_missing", "n_held_back"].map(|name| caught_up[name].clone());
    assert_eq!(counts, [json!(0), json!(2), json!(1), json!(0)]);
    assert_eq!(world.types_of("user/8").await, ["user-registered", "user-updated"]);
    assert_eq!(world.types_of("user/7").await, ["user-registered", "user-deleted"]);
    let (status, printed, _) = world.command(&["catch-up"]).await;
    assert_eq!(status, 0);
    assert!(printed.contains("imported   0\ndiffering  0\nmissing    0\nheld back  0\n"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_what_a_catch_up_records_and_writes_nothing() {
    let world = World::new().await;
    world.catch_up(&[]).await;
    let made = world.create_users(120).await;
    world
        .silently(json!({"op": "update_user", "pk": 8, "name": "Grace B. Hopper", "is_active": false}))
        .await;
    world.silently(json!({"op": "add_to_group", "pk": 6, "group": "navy"})).await;
    world.silently(json!({"op": "delete_user", "pk": 7})).await;
    world.silently(json!({"op": "update_group", "group": "navy", "name": "marines"})).await;
    world.control("emit", json!({"action": "login", "user_pk": 9})).await;
    let before = last_sequences(&world).await;
    let dry_run = world.catch_up(&["--dry-run"]).await;
    assert_eq!(last_sequences(&world).await, before);
    assert_eq!((&dry_run["dry_run"], &dry_run["n_from_event_log"]), (&json!(true), &json!(1)));
    let differences = dry_run["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 100);
    let changed = json!({"subject": "user/8", "events": ["user-updated", "user-deactivated"]});
    assert!(differences.contains(&changed), "{differences:?}");
    assert!(!dry_run.to_string().contains("Hopper"), "the dry run shows personal data");
    let n_dry = |event_type: &str| dry_run["n_events"][event_type].as_u64().unwrap_or_default();
    assert_eq!(n_dry("user-registered"), made.len() as u64);
    let begin = world.log.head().await.unwrap() + 1;
    world.catch_up(&[]).await;
    let recorded = world.recorded_from(begin).await;
    let mut n_recorded = serde_json::Map::new();
    for body in recorded.values().flatten() {
        let n = n_recorded.entry(body.event_type().as_str()).or_insert(json!(0));
        *n = json!(n.as_u64().unwrap() + 1);
    }
    assert_eq!(json!(n_recorded), dry_run["n_events"]);
    let (status, printed, _) = world.command(&["catch-up", "--dry-run"]).await;
    assert!(status == 0 && printed.contains("0 events would be recorded; nothing was recorded"), "{printed}");
}

/// A proxy that serves outdated pages of users, from before the renaming of grace, and passes on everything else.
async fn with_old_pages(authentik: String) -> String {
    let bound = runtime::http::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", bound.address());
    let app = make(move |request: Request| {
        let url = format!("{authentik}{}", request.original_uri());
        async move {
            let answer = reqwest::Client::new().get(url).bearer_auth("token").send().await.unwrap();
            let (status, body) = (answer.status(), answer.text().await.unwrap());
            let is_page = request.uri().path() == "/api/v3/core/users/";
            let body = if is_page { body.replace("Grace B. Hopper", "Grace Hopper") } else { body };
            let answer = Response::builder().status(status).content_type("application/json").body(body);
            Ok::<_, poem::Error>(answer.into_response())
        }
    });
    tokio::spawn(bound.serve(app, CancellationToken::new()));
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_request_decides_if_a_page_is_outdated() {
    let mut world = World::new().await;
    world.silently(json!({"op": "update_user", "pk": 8, "name": "Grace B. Hopper"})).await;
    world.catch_up(&[]).await;
    world.authentik = with_old_pages(world.authentik.clone()).await;
    let n_reads = world.n_single_reads().await;
    let dry_run = world.catch_up(&["--dry-run"]).await;
    assert_eq!((&dry_run["n_differing"], &dry_run["differences"]), (&json!(0), &json!([])));
    assert!(world.n_single_reads().await > n_reads, "the page was not outdated");
    world.catch_up(&[]).await;
    assert_eq!(world.types_of("user/8").await, ["user-registered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn since_backfills_older_events_and_does_not_move_the_cursor() {
    let world = World::new().await;
    let emit = async || {
        for _ in 0..5 {
            world.control("emit", json!({"action": "login", "user_pk": 8})).await;
        }
    };
    emit().await;
    let n_found = async |arguments: &[&str]| world.catch_up(arguments).await["n_from_event_log"].clone();
    assert_eq!(n_found(&[]).await, Value::Null);
    assert_eq!(n_found(&["--since", "1h", "--dry-run"]).await, 5);
    assert_eq!(n_found(&["--since", "1h"]).await, 5);
    assert_eq!(n_found(&["--since", "1h"]).await, 0);
    let meta = world.nats.namespace.meta_bucket();
    let cursor = async || views::read::<Value>(&world.nats, &meta, "event-log").await.unwrap().unwrap();
    let before = cursor().await;
    emit().await;
    let now = runtime::clock::now().to_string();
    assert_eq!(n_found(&["--since", &now]).await, 0);
    assert_eq!(cursor().await, before);
    assert_eq!(n_found(&[]).await, 5);
    let (status, _, said) = world.command(&["catch-up", "--since", "yesterday"]).await;
    assert!(status == 1 && said.contains("like 36h or 7d"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_older_than_the_inbox_are_left_out_because_they_would_be_recorded_twice() {
    let world = World::new().await;
    world.control("emit", json!({"action": "login", "user_pk": 8})).await;
    let dry_run = ["--since", "7d", "--dry-run"];
    assert_eq!(world.catch_up(&dry_run).await["n_from_event_log"], 1);
    let inbox = world.nats.jetstream.get_stream(world.nats.namespace.inbox_stream()).await.unwrap();
    // The backfill keeps one hour of margin, so nothing remains.
    let config = StreamConfig { max_age: Duration::from_hours(1), ..inbox.cached_info().config.clone() };
    world.nats.jetstream.update_stream(config).await.unwrap();
    let (status, printed, said) = world.command(&[&["catch-up"][..], &dry_run].concat()).await;
    assert!(status == 0 && printed.contains("\n0 events of authentik's event log"), "{printed}");
    assert!(said.contains("are left out"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brake_makes_a_catch_up_fail_and_a_confirmation_records_the_deletions() {
    let world = World::new().await;
    let made = world.create_users(40).await;
    world.catch_up(&[]).await;
    world.delete_users(&made).await;
    for arguments in [&["catch-up"][..], &["catch-up", "--dry-run"]] {
        let (status, printed, said) = world.command(arguments).await;
        assert!(status == 1 && printed.contains("held back  40\n"), "{printed}");
        assert!(said.contains("--allow-deletions"), "{said}");
        assert_eq!(world.n_deleted().await, 0);
    }
    let caught_up = world.catch_up(&["--allow-deletions", "40"]).await;
    assert_eq!((&caught_up["n_missing"], &caught_up["n_held_back"]), (&json!(40), &json!(0)));
    assert_eq!(world.n_deleted().await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_catch_up_is_refused_while_one_runs() {
    let world = World::new().await;
    let nats = world.nats.clone();
    let other = tokio::spawn(async move {
        let (meta, mut revision) = (nats.namespace.meta_bucket(), 0);
        let mut renewals = tokio::time::interval(Duration::from_millis(200));
        loop {
            renewals.tick().await;
            let lease = json!({"holder": "process 7 on other"});
            revision = views::write(&nats, &meta, "lease.catch-up", &lease, revision).await.unwrap().sequence;
        }
    });
    let meta = world.nats.namespace.meta_bucket();
    eventually("the other process holds the lease", || async {
        views::read::<Value>(&world.nats, &meta, "lease.catch-up").await.unwrap()
    })
    .await;
    let (status, printed, said) = world.command(&["catch-up", "--allow-deletions", "5"]).await;
    assert_eq!((status, printed.as_str()), (1, ""));
    assert!(said.contains("another catch-up is run by process 7 on other"), "{said}");
    assert!(world.recorded().await.is_empty());
    assert!(views::read::<Value>(&world.nats, &meta, "brake").await.unwrap().is_none());
    // A dry run writes nothing, so it needs no lease.
    world.catch_up(&["--dry-run"]).await;
    other.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catch_up_beside_an_importing_projector_records_nothing_twice() {
    let world = World::new().await;
    world.create_users(1000).await;
    let sweeping = world.sweep();
    let caught_up = world.catch_up(&[]).await;
    assert_eq!((&caught_up["n_users"], &caught_up["n_failed"]), (&json!(1008), &json!(0)));
    world.everything_is_imported_once().await;
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_a_catch_up_releases_the_lease_and_the_next_one_completes() {
    let world = World::new().await;
    world.create_users(4000).await;
    world.control("faults", json!({"rest_delay_ms": 20})).await;
    let begun = world.start(&["catch-up"]);
    eventually("the import has started", || async { (world.log.head().await.unwrap() > 200).then_some(()) })
        .await;
    let pid = begun.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let output = begun.wait_with_output().await.unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("stopped by a signal"), "{said}");
    assert!(world.log.head().await.unwrap() < 4000, "the import was already complete");
    let meta = world.nats.namespace.meta_bucket();
    let lease = views::read::<Value>(&world.nats, &meta, "lease.catch-up").await.unwrap().unwrap();
    assert_eq!(lease.value, json!({"holder": null}));
    world.catch_up(&[]).await;
    world.everything_is_imported_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_authentik_gives_an_error_of_one_line() {
    let world = World::new().await;
    for (option, said_of) in [
        ("--authentik-url=nowhere", "AUTHENTIK_URL"),
        ("--authentik-url=http://127.0.0.1:1", "cannot connect"),
    ] {
        let (status, printed, said) = world.command(&[option, "catch-up"]).await;
        assert_eq!((status, printed.as_str(), said.lines().count()), (1, "", 1), "{said}");
        assert!(said.contains(said_of), "{said}");
    }
}
