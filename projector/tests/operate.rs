//! The operator's commands, by the real binary on a real nats-server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::process::Output;

use async_nats::HeaderMap;
use domain::view::Projection;
use domain::view::users::{UserView, Users};
use runtime::nats::Nats;
use serde_json::Value;
use store::publish::{Outgoing, publish};
use store::views::{self, Pointer, pointer_key};
use testkit::nats::inbox_is_worked_off;
use testkit::{NatsServer, eventually};

async fn operate(server: &NatsServer, arguments: &[&str]) -> Output {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_projector"))
        .args(arguments)
        .env_clear()
        .env("NATS_URL", server.url())
        .env("RUST_LOG", "warn")
        .output()
        .await
        .unwrap()
}

async fn succeeds(server: &NatsServer, arguments: &[&str]) -> String {
    let output = operate(server, arguments).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

async fn fails(server: &NatsServer, arguments: &[&str]) -> String {
    let output = operate(server, arguments).await;
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A projector on a simulator, whose users are imported.
async fn imported(server: &NatsServer) -> (Nats, runtime::CancellationToken) {
    let nats = server.provisioned().await;
    let config = simulator::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        api_token: Some("token".into()),
        ..simulator::Config::default()
    };
    let simulator = simulator::bind(config).await.unwrap();
    let flags = [
        "projector".to_owned(),
        format!("--nats-url={}", server.url()),
        "--projector-listen=127.0.0.1:0".to_owned(),
        format!("--authentik-url=http://{}", simulator.local_addr()),
        "--authentik-token=token".to_owned(),
    ];
    let shutdown = runtime::CancellationToken::new();
    tokio::spawn(simulator.serve(shutdown.clone()));
    let config = <projector::Config as clap::Parser>::parse_from(flags);
    tokio::spawn(projector::run(config, shutdown.clone()));
    let meta = nats.namespace.meta_bucket();
    eventually("everybody is imported", || async {
        views::read::<projector::sweep::LastSweep>(&nats, &meta, projector::sweep::LAST_SWEEP_KEY)
            .await
            .ok()?
    })
    .await;
    (nats, shutdown)
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_replay_equal_to_live_and_a_view_that_was_tampered_with() {
    let server = NatsServer::start().await;
    let (nats, _shutdown) = imported(&server).await;
    for projection in ["users", "groups", "activity"] {
        eventually("the projection is folded", || async {
            let status: Value =
                serde_json::from_str(&succeeds(&server, &["status", "--json"]).await).unwrap();
            let projections = status["projections"].as_array().unwrap();
            projections.iter().all(|projection| projection["lag"] == 0).then_some(())
        })
        .await;
        let comparison: Value =
            serde_json::from_str(&succeeds(&server, &["verify", projection, "--json"]).await).unwrap();
        assert_eq!(comparison["stored"], comparison["folded"], "{comparison}");
        assert!(comparison["n_views"].as_u64().unwrap() > 0);
    }
    let pointer = views::read::<Pointer>(&nats, &nats.namespace.meta_bucket(), &pointer_key("users")).await;
    let generation = pointer.unwrap().unwrap().value.generation;
    let bucket = nats.namespace.projection_bucket(Users::NAME, generation);
    let mut view = views::read::<UserView>(&nats, &bucket, "8").await.unwrap().unwrap();
    view.value.registered_sequence += 1;
    views::write(&nats, &bucket, "8", &view.value, view.revision).await.unwrap();
    assert!(fails(&server, &["verify", "users"]).await.contains("not what the events say"));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_replayed_and_dropped() {
    let server = NatsServer::start().await;
    let (nats, _shutdown) = imported(&server).await;
    assert!(succeeds(&server, &["dead-letters", "list"]).await.contains("no dead letters"));
    for id in ["broken", "hopeless"] {
        let subject = nats.namespace.inbox_subject(&id.parse().unwrap());
        let mut headers = HeaderMap::new();
        headers.insert("Channel", "webhook");
        let payload = "{\"schema\": \"hint.v1\"}".into();
        publish(&nats, Outgoing { subject, headers, payload, expected: None }).await.unwrap();
    }
    let ids = async || {
        let list: Value =
            serde_json::from_str(&succeeds(&server, &["dead-letters", "list", "--json"]).await).unwrap();
        let ids = list.as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    eventually("both are set aside", || async { (ids().await.len() == 2).then_some(()) }).await;
    assert!(
        succeeds(&server, &["dead-letters", "show", "broken"]).await.contains("{\"schema\": \"hint.v1\"}")
    );
    assert!(succeeds(&server, &["dead-letters", "replay", "broken"]).await.contains("broken.replay-1"));
    // It is as broken as before.
    eventually("it is set aside again", || async {
        ids().await.contains(&"broken.replay-1".to_owned()).then_some(())
    })
    .await;
    inbox_is_worked_off(&nats).await;
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    let replayed = inbox.get_last_raw_message_by_subject("authentik.inbox.broken.replay-1").await.unwrap();
    assert_eq!(replayed.headers.get("Replay-Of").unwrap().as_str(), "broken");
    assert_eq!(replayed.headers.get("Channel").unwrap().as_str(), "webhook");
    for id in ["broken.replay-1", "hopeless"] {
        succeeds(&server, &["dead-letters", "drop", id]).await;
    }
    assert_eq!(ids().await, Vec::<String>::new());
    let unknown = fails(&server, &["dead-letters", "show", "nobody"]).await;
    assert!(unknown.contains("dead-letters list"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_where_everything_is() {
    let server = NatsServer::start().await;
    let (_nats, _shutdown) = imported(&server).await;
    let text = succeeds(&server, &["status"]).await;
    for said in ["inbox", "events", "dead letters", "users", "generation 1", "last sweep"] {
        assert!(text.contains(said), "{text}");
    }
}

#[tokio::test]
async fn a_projector_that_is_to_run_names_what_it_lacks() {
    let server = NatsServer::start().await;
    let error = fails(&server, &[]).await;
    assert!(error.contains("--authentik-url") && error.lines().count() == 1, "{error}");
}
