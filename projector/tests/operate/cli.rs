//! The subcommands of the real binary.

use serde_json::json;
use store::views;

use super::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_views_that_no_event_resulted_in() {
    let world = World::new().await;
    world.register(1..=5).await;
    let rebuilt = world.run_json(&["rebuild", "users"]).await;
    let verified = world.run_json(&["verify", "users"]).await;
    assert_eq!(verified["served"], rebuilt["fingerprint"]);
    assert_eq!(verified["expected"], rebuilt["fingerprint"]);

    let bucket = world.nats.namespace.projection_bucket("users", 1);
    let view = views::read::<serde_json::Value>(&world.nats, &bucket, "3").await.unwrap().unwrap();
    views::write(&world.nats, &bucket, "3", &json!({"pk": 3}), view.revision).await.unwrap();
    views::write(&world.nats, &bucket, "7", &json!({"pk": 7}), 0).await.unwrap();
    let (status, stdout, stderr) = world.run(&["verify", "users", "--json"]).await;
    assert_eq!(status, 1);
    let verified: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(verified["differences"], json!({"3": "other", "7": "unexpected"}));
    assert_ne!(verified["served"], verified["expected"]);
    assert!(stderr.contains("`projector rebuild users`"), "{stderr}");

    // The suggested rebuild repairs the projection.
    let repaired = world.run_json(&["rebuild", "users"]).await;
    assert_eq!(repaired["fingerprint"], rebuilt["fingerprint"]);
    assert_eq!(world.run(&["verify", "users"]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_streams_backlog_and_lag() {
    let world = World::new().await;
    world.register(1..=4).await;
    world.run_json(&["rebuild", "users"]).await;
    world.register(5..=6).await;
    let status = world.run_json(&["status"]).await;
    assert_eq!(status["streams"][1]["name"], "AUTHENTIK_EVENTS");
    assert_eq!(status["streams"][1]["last_sequence"], 6);
    assert_eq!(status["inbox"], json!({"pending": 0, "in_hand": 0}));
    assert_eq!(
        status["projections"][0],
        json!({"name": "users", "generation": 1, "checkpoint": 4, "lag": 2})
    );
    assert_eq!(
        status["projections"][1],
        json!({"name": "groups", "generation": null, "checkpoint": 0, "lag": 6})
    );
    assert_eq!(status["dead_letters"], 0);
    let (code, text, _) = world.run(&["status"]).await;
    assert!(code == 0 && text.contains("PROJECTION") && text.contains("dead letters: 0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_setting_is_an_error_of_one_line_that_names_it() {
    let world = World::new().await;
    for arguments in [&[][..], &["run"], &["catch-up"]] {
        let (status, _, stderr) = world.run(arguments).await;
        assert_eq!((status, stderr.lines().count()), (1, 1), "{stderr}");
        assert!(stderr.starts_with("error: AUTHENTIK_URL "), "{stderr}");
        let url = ["--authentik-url=http://127.0.0.1:1"];
        let (status, _, stderr) = world.run(&[&url, arguments].concat()).await;
        assert_eq!((status, stderr.lines().count()), (1, 1), "{stderr}");
        assert!(stderr.starts_with("error: AUTHENTIK_TOKEN "), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_subcommand_has_a_help_text_and_refuses_wrong_arguments() {
    let world = World::new().await;
    let subcommands: [&[&str]; 11] = [
        &["run"],
        &["catch-up"],
        &["rebuild"],
        &["verify"],
        &["status"],
        &["forget"],
        &["dead-letters"],
        &["dead-letters", "list"],
        &["dead-letters", "show"],
        &["dead-letters", "replay"],
        &["dead-letters", "drop"],
    ];
    for subcommand in subcommands {
        let (status, help, _) = world.run(&[subcommand, &["--help"]].concat()).await;
        assert!(status == 0 && help.contains("Usage: projector"), "{subcommand:?}: {help}");
    }
    assert_eq!(world.run(&["rebuild", "nothing"]).await.0, 1);
    assert_eq!(world.run(&["dead-letters", "replay"]).await.0, 1);
    assert_eq!(world.run(&["forget"]).await.0, 1);
}
