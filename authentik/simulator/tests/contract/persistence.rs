//! What survives a restart.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};

use reqwest::Method;
use serde_json::json;
use simulator::Config;

use crate::support::{Running, Target, config, wait_for};

#[tokio::test]
async fn users_events_and_the_signing_key_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { state_dir: Some(directory.path().to_owned()), ..config() };
    let first = Running::start(config.clone()).await;
    let pk = first.create_user("kept").await;
    let events = first.get("/api/v3/events/events/").await;
    let keys = first.get("/application/o/authentik-events/jwks/").await;
    first.stop().await;

    let second = Running::start(config).await;
    assert_eq!(second.get(&format!("/api/v3/core/users/{pk}/")).await["username"], "kept");
    assert_eq!(second.get("/api/v3/events/events/").await, events);
    assert_eq!(second.get("/application/o/authentik-events/jwks/").await, keys);
    assert_eq!(second.create_user("next").await, pk + 1);
}

#[tokio::test]
async fn webhooks_that_are_pending_at_a_kill_are_sent_after_the_restart() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::start(&[], 204).await;
    let config = Config {
        state_dir: Some(directory.path().to_owned()),
        webhook_url: Some(target.url.clone()),
        ..config()
    };
    let first = Running::start(config.clone()).await;
    first.control("faults", json!({"hold_webhooks": true})).await;
    let event = first.control("emit", json!({"action": "login", "user_pk": 8})).await;
    first.kill();

    let second = Running::start(config).await;
    let received = target.until(|received| !received.is_empty()).await;
    assert_eq!(received[0].header("webhook-id"), event["pk"]);
    assert_eq!(received[0].header("webhook-signature"), "", "a webhook is signed without a secret");
    second.until(|state| state["deliveries"]["delivered"] == 1).await;
}

#[tokio::test]
async fn every_start_without_a_state_directory_is_the_same() {
    let first = Running::start(config()).await;
    first.create_user("forgotten").await;
    let second = Running::start(config()).await;
    assert_eq!(second.state().await["n_users"], 8);
    let third = Running::start(config()).await;
    assert_eq!(second.state().await["users"], third.state().await["users"]);
}

#[tokio::test]
async fn a_membership_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { state_dir: Some(directory.path().to_owned()), ..config() };
    let first = Running::start(config.clone()).await;
    let navy = "/api/v3/core/groups/1ca5cc4b-c6b5-4128-838f-ca18ffa6d060/";
    first.admin(Method::POST, &format!("{navy}add_user/"), json!({"pk": 6})).await;
    first.stop().await;
    let second = Running::start(config).await;
    assert_eq!(second.get(navy).await["users"], json!([6, 8]));
}

/// A process of the simulator, which is killed when dropped.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    async fn start(state: &Path, target: &Target) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_simulator"))
            .env("SIMULATOR_LISTEN", address.to_string())
            .env("SIMULATOR_STATE_DIR", state)
            .env("SIMULATOR_WEBHOOK_URL", &target.url)
            .env("SIMULATOR_DELIVERY_DELAY_MS", "0")
            .spawn()
            .unwrap();
        let program = Self { child, address };
        wait_for(async || reqwest::get(format!("http://{address}/")).await.is_ok().then_some(())).await;
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Sends SIGKILL. It fails only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn an_attempt_interrupted_by_sigkill_is_repeated_after_the_restart() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::start(&[0], 204).await;
    let first = Program::start(directory.path(), &target).await;
    let emit = reqwest::Client::new().post(format!("http://{}/_control/emit", first.address));
    emit.json(&json!({"action": "login", "user_pk": 8})).send().await.unwrap();
    target.until(|received| received.len() == 1).await;
    drop(first);
    let _second = Program::start(directory.path(), &target).await;
    let received = target.until(|received| received.len() == 2).await;
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[0].body, received[1].body);
}
