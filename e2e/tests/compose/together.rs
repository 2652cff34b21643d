//! The services of the Compose files find each other.

use std::process::Stdio;

use e2e::{Authentik, Feed};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::env::made_anew;
use crate::file::{CLUSTER, Compose, ONE_NODE};
use crate::frontend;
use crate::running::Running;

/// Starts the simulator, configured from the worker's environment as the blueprint configures the real authentik.
fn start_authentik(running: &mut Running, public_url: &str) -> Authentik {
    let worker = running.environment("authentik-worker");
    let port = running.port("authentik-server", 9000);
    let admin_token = worker["AUTHENTIK_BOOTSTRAP_TOKEN"].clone();
    let environment = [
        ("SIMULATOR_LISTEN", format!("127.0.0.1:{port}")),
        ("SIMULATOR_PUBLIC_URL", public_url.to_owned()),
        ("SIMULATOR_WEBHOOK_URL", worker["EVENTS_WEBHOOK_URL"].clone()),
        ("SIMULATOR_WEBHOOK_SECRET", worker["EVENTS_WEBHOOK_SECRET"].clone()),
        ("SIMULATOR_API_TOKEN", worker["EVENTS_API_TOKEN"].clone()),
        ("SIMULATOR_ADMIN_TOKEN", admin_token.clone()),
        ("SIMULATOR_REDIRECT_URIS", worker["EVENTS_REDIRECT_URI"].clone()),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let simulator = Command::new(e2e::process::binary("simulator"));
    running.spawn("authentik-server", simulator, environment);
    Authentik::new(running.url("authentik-server", 9000), admin_token)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_services_start_connect_and_become_healthy() {
    let variables = made_anew();
    let mut running = Running::new(Compose::read(ONE_NODE, &variables));
    running.start_nats("nats");
    running.healthy("nats").await;
    for name in ["ingress", "projector", "api"] {
        assert!(!running.is_healthy(name).await.0, "{name} is not started yet");
        running.start_ours(name);
    }
    // Without authentik the projector must stay unhealthy.
    running.healthy("ingress").await;
    running.healthy("api").await;
    assert!(!running.is_healthy("projector").await.0);
    let authentik = start_authentik(&mut running, &variables["AUTHENTIK_PUBLIC_URL"]);
    running.healthy("projector").await;
    frontend::start(&mut running);
    running.healthy("frontend").await;

    // Through the front end, like a browser: a token of the public issuer, and live events.
    let front_end = running.url("frontend", 8080);
    let mut feed = Feed::from_the_beginning(&front_end, authentik.token("akadmin").await);
    let mary = authentik.create_user("mary").await;
    feed.read_until("mary is registered", |received| {
        received.iter().any(|event| event.data["subject"] == format!("user/{mary}"))
    })
    .await;
    testkit::eventually("every webhook is delivered", || async {
        let deliveries = authentik.state().await["deliveries"].clone();
        assert_eq!(deliveries["rejected"], 0, "{deliveries}");
        (deliveries["pending"] == 0 && deliveries["delivered"].as_u64()? > 0).then_some(())
    })
    .await;

    let config: Value = reqwest::get(format!("{front_end}/config.json")).await.unwrap().json().await.unwrap();
    let worker = running.environment("authentik-worker");
    assert_eq!(
        config["issuer"],
        format!("{}/application/o/authentik-events/", variables["AUTHENTIK_PUBLIC_URL"])
    );
    assert_eq!(config["client_id"], "authentik-events");
    assert!(config["enrollment_url"].as_str().unwrap().ends_with("/if/flow/authentik-events-enrollment/"));
    let redirect_path = config["redirect_uri_path"].as_str().unwrap();
    assert_eq!(worker["EVENTS_REDIRECT_URI"], format!("{}{redirect_path}", variables["PUBLIC_URL"]));
    let event = &feed.received[0].data;
    assert_eq!(event["source"], variables["AUTHENTIK_PUBLIC_URL"]);
    assert!(event["dataschema"].as_str().unwrap().starts_with(&variables["PUBLIC_URL"]), "{event}");
    doctor(&running, &worker["AUTHENTIK_BOOTSTRAP_TOKEN"]).await;
}

/// Runs the doctor as docs/deployment.md says, with the administrator's token on standard input; it must find no fault.
async fn doctor(running: &Running, admin_token: &str) {
    let mut command = Command::new(e2e::process::binary("projector"));
    command.args(["doctor", "--admin-token-file", "/dev/stdin"]);
    command.env_clear().envs(running.environment("projector")).current_dir(running.directory());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut doctor = command.spawn().unwrap();
    doctor.stdin.take().unwrap().write_all(admin_token.as_bytes()).await.unwrap();
    let output = doctor.wait_with_output().await.unwrap();
    let printed = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&printed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three_nodes_stores_three_replicas_of_every_stream() {
    let mut running = Running::new(Compose::read(CLUSTER, &made_anew()));
    for node in ["nats", "nats-2", "nats-3"] {
        running.start_nats(node);
    }
    for node in ["nats", "nats-2", "nats-3"] {
        running.healthy(node).await;
    }
    for name in ["projector", "ingress", "api"] {
        running.start_ours(name);
    }
    running.healthy("ingress").await;
    running.healthy("api").await;

    let environment = running.environment("projector");
    let admin_password = running.environment("nats")["NATS_ADMIN_PASSWORD"].clone();
    let options = async_nats::ConnectOptions::with_user_and_password("admin".to_owned(), admin_password);
    let client = options.connect(environment["NATS_URL"].split(',').collect::<Vec<_>>()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    for stream in ["AUTHENTIK_INBOX", "AUTHENTIK_EVENTS", "AUTHENTIK_DEAD_LETTERS"] {
        let stream = jetstream.get_stream(stream).await.unwrap();
        assert_eq!(stream.cached_info().config.num_replicas, 3);
    }
}
