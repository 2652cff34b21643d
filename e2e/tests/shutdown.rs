//! Every process exits in time after one signal, even if something hangs, and at once after a second one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use e2e::System;
use e2e::process::Process;
use serde_json::json;
use store::publish::{NewMessage, publish_batch};
use tempfile::TempDir;
use testkit::free_port;
use testkit::{NatsServer, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// Exit status after a second signal.
const KILLED: i32 = 143;

/// A server that accepts connections and never answers.
struct Hanging {
    url: String,
    n_connections: Arc<AtomicUsize>,
}

impl Hanging {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let n_connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&n_connections);
        tokio::spawn(async move {
            let mut connections = vec![];
            while let Ok(connection) = listener.accept().await {
                connections.push(connection);
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { url, n_connections }
    }

    async fn wait_for_connections(&self, n: usize) {
        eventually("the hanging server has connections", || async {
            (self.n_connections.load(Ordering::SeqCst) >= n).then_some(())
        })
        .await;
    }
}

/// nats-server and one of each process. Those that send requests to authentik wait for its answer.
struct Waiting {
    ingress: Process,
    projector: Process,
    api: Process,
    /// Addresses of ingress and API.
    addresses: [String; 2],
    _nats: NatsServer,
    _directory: TempDir,
}

impl Waiting {
    async fn start() -> Self {
        let nats = NatsServer::start().await;
        let connection = nats.provisioned().await;
        let hints = (1..=100).map(|pk| NewMessage {
            subject: connection.namespace.inbox_subject(&format!("user-{pk}").parse().unwrap()),
            headers: HeaderMap::new(),
            payload: json!({"event_type": "model_updated", "pk": pk}).to_string().into(),
            expected: None,
        });
        publish_batch(&connection, "hints", hints.collect()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (authentik, issuer) = (Hanging::listen().await, Hanging::listen().await);
        let projector = vec![
            ("NATS_URL", nats.url()),
            ("PROJECTOR_LISTEN", "127.0.0.1:0".to_owned()),
            ("AUTHENTIK_URL", authentik.url.clone()),
            ("AUTHENTIK_TOKEN", "token".to_owned()),
        ];
        let addresses = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let ingress = vec![
            ("NATS_URL", nats.url()),
            ("INGRESS_LISTEN", addresses[0].clone()),
            ("WEBHOOK_ALLOW_UNSIGNED", "true".to_owned()),
        ];
        let api = vec![
            ("NATS_URL", nats.url()),
            ("API_LISTEN", addresses[1].clone()),
            ("AUTHENTIK_ISSUER", format!("{}/", issuer.url)),
        ];
        let ingress = Process::start("ingress", directory.path(), ingress);
        let projector = Process::start("projector", directory.path(), projector);
        let api = Process::start("api", directory.path(), api);
        // One request of the sweep, one of the health check, the others for hints in progress.
        authentik.wait_for_connections(10).await;
        issuer.wait_for_connections(1).await;
        ingress.ready(&format!("http://{}", addresses[0])).await;
        Self { ingress, projector, api, addresses, _nats: nats, _directory: directory }
    }
}

/// Sends an incomplete request to this address or URL.
async fn half_send(address: &str) -> TcpStream {
    let address = address.strip_prefix("http://").unwrap_or(address);
    let mut request = TcpStream::connect(address).await.unwrap();
    request.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_exits_in_time_while_authentik_hangs() {
    let mut waiting = Waiting::start().await;
    tokio::join!(waiting.ingress.terminate(), waiting.projector.terminate(), waiting.api.terminate());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_process_at_once() {
    let mut waiting = Waiting::start().await;
    // Incomplete requests delay the shutdown of ingress and API.
    let _half_sent = [half_send(&waiting.addresses[0]).await, half_send(&waiting.addresses[1]).await];
    for process in [&mut waiting.ingress, &mut waiting.projector, &mut waiting.api] {
        process.signal("TERM").await;
        process.logged("shutting down").await;
        process.signal("TERM").await;
        assert_eq!(process.ended(Duration::from_secs(1)).await.code(), Some(KILLED));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_exits_in_time_while_nats_hangs_and_nothing_is_lost() {
    let mut system = System::start().await;
    let mut feed = system.feed().await;
    let before = system.authentik.create_user("before").await;
    feed.read_until("the first user is registered", |received| !received.is_empty()).await;
    system.nats.as_server().pause().await;
    // The webhook waits in the ingress, and the sweep finds the user.
    let late = system.authentik.create_user("late").await;
    let _half_sent = [half_send(&system.api_url).await, half_send(&system.ingress_urls[0]).await];
    system.terminate().await;

    system.nats.as_server().resume().await;
    system.restart_everything().await;
    for pk in [before, late] {
        eventually("the user is served", || async {
            let (status, _) = system.get(&format!("/api/users/{pk}"), "akadmin").await;
            (status == 200).then_some(())
        })
        .await;
    }
}
