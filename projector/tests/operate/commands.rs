//! The command line of the real binary.

use serde_json::json;
use store::views;

use super::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_a_view_that_was_tampered_with() {
    let world = World::new().await;
    world.register(1..=5).await;
    let rebuilt = world.json(&["rebuild", "users"]).await;
    let verified = world.json(&["verify", "users"]).await;
    assert_eq!(verified["served"], rebuilt["fingerprint"]);
    assert_eq!(verified["expected"], rebuilt["fingerprint"]);

    let bucket = world.nats.namespace.projection_bucket("users", 1);
    let view = views::read::<serde_json::Value>(&world.nats, &bucket, "3").await.unwrap().unwrap();
    views::write(&world.nats, &bucket, "3", &json!({"pk": 3}), view.revision).await.unwrap();
    views::write(&world.nats, &bucket, "7", &json!({"pk": 7}), 0).await.unwrap();
    let (status, printed, said) = world.command(&["verify", "users", "--json"]).await;
    assert_eq!(status, 1);
    let verified: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(verified["differences"], json!({"3": "other", "7": "unexpected"}));
    assert_ne!(verified["served"], verified["expected"]);
    assert!(said.contains("`projector rebuild users`"), "{said}");

    // What it advises mends it.
    let mended = world.json(&["rebuild", "users"]).await;
    assert_eq!(mended["fingerprint"], rebuilt["fingerprint"]);
    assert_eq!(world.command(&["verify", "users"]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_of_streams_backlog_and_lag() {
    let world = World::new().await;
    world.register(1..=4).await;
    world.json(&["rebuild", "users"]).await;
    world.register(5..=6).await;
    let status = world.json(&["status"]).await;
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
    let (code, text, _) = world.command(&["status"]).await;
    assert!(code == 0 && text.contains("PROJECTION") && text.contains("dead letters: 0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_setting_stops_what_needs_it_with_one_line() {
    let world = World::new().await;
    for arguments in [&[][..], &["run"], &["catch-up"]] {
        let (status, _, said) = world.command(arguments).await;
        assert_eq!((status, said.lines().count()), (1, 1), "{said}");
        assert!(said.starts_with("error: AUTHENTIK_URL "), "{said}");
        let url = ["--authentik-url=http://127.0.0.1:1"];
        let (status, _, said) = world.command(&[&url, arguments].concat()).await;
        assert_eq!((status, said.lines().count()), (1, 1), "{said}");
        assert!(said.starts_with("error: AUTHENTIK_TOKEN "), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_says_what_it_does() {
    let world = World::new().await;
    let commands: [&[&str]; 11] = [
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
    for command in commands {
        let (status, help, _) = world.command(&[command, &["--help"]].concat()).await;
        assert!(status == 0 && help.contains("Usage: projector"), "{command:?}: {help}");
    }
    assert_eq!(world.command(&["rebuild", "nothing"]).await.0, 1);
    assert_eq!(world.command(&["dead-letters", "replay"]).await.0, 1);
    assert_eq!(world.command(&["forget"]).await.0, 1);
}
