//! While two of three nodes are unavailable, every ingress refuses every attempt of a webhook.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::checks::not_stored_once;
use e2e::process::Process;
use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use runtime::clock;
use serde_json::json;
use tempfile::TempDir;
use testkit::cluster::N_NODES;
use testkit::free_port;
use testkit::recordings::sign;
use testkit::{NatsCluster, eventually};

const SECRET: &str = "whsec_cXVvcnVtLXdlYmhvb2stc2VjcmV0LTAxMjM0NTY3ODk=";
/// Webhooks that arrive at once and are therefore stored as one batch.
const N_AT_ONCE: usize = 8;

/// As many ingresses as nodes, each connected to any node.
struct Ingresses {
    client: Client,
    processes: Vec<(Process, String)>,
    _directory: TempDir,
}

impl Ingresses {
    async fn start(cluster: &NatsCluster) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let start = |_| {
            let address = format!("127.0.0.1:{}", free_port());
            let environment = vec![
                ("NATS_URL", cluster.url()),
                ("NATS_USER", "ingress".to_owned()),
                ("NATS_PASSWORD", testkit::nats::password("ingress")),
                ("INGRESS_LISTEN", address.clone()),
                ("WEBHOOK_SECRETS", SECRET.to_owned()),
            ];
            (Process::start("ingress", directory.path(), environment), format!("http://{address}"))
        };
        let processes: Vec<_> = (0..N_NODES).map(start).collect();
        let ingresses = Self { client: Client::new(), processes, _directory: directory };
        ingresses.ready().await;
        ingresses
    }

    async fn ready(&self) {
        for (process, url) in &self.processes {
            process.ready(url).await;
        }
    }

    /// Restarts all ingresses, which closes their circuit breakers: they send every webhook to NATS at once.
    async fn restart(&mut self) {
        for (process, _) in &mut self.processes {
            process.restart().await;
        }
        for (_, url) in &self.processes {
            eventually("the ingress has found a node", || async {
                let answer = self.client.get(format!("{url}/readyz")).send().await.ok()?;
                (!answer.text().await.ok()?.contains("\"nats\"")).then_some(())
            })
            .await;
        }
    }

    async fn post(&self, ingress: usize, id: &str) -> StatusCode {
        let body = json!({"schema": "authentik.event.v1", "event": {"id": id}}).to_string();
        let now = clock::now().to_offset_date_time().unix_timestamp();
        let request = self
            .client
            .post(format!("{}/authentik/webhook", self.processes[ingress % N_NODES].1))
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now.to_string())
            .header("webhook-signature", sign(SECRET, id, now, &body))
            .body(body);
        request.send().await.unwrap().status()
    }

    /// Posts a webhook until it is accepted. Returns the status.
    async fn post_until_accepted(&self, ingress: usize, id: &str) -> StatusCode {
        eventually("the webhook is accepted", || async {
            Some(self.post(ingress, id).await).filter(StatusCode::is_success)
        })
        .await
    }

    /// Posts all webhooks at once to one ingress, which must refuse all.
    async fn check_refused(&self, ingress: usize, ids: &[String]) {
        let answers = join_all(ids.iter().map(|id| self.post(ingress, id))).await;
        assert!(answers.iter().all(|status| *status == StatusCode::SERVICE_UNAVAILABLE), "{answers:?}");
    }
}

async fn lose_the_majority(cluster: &mut NatsCluster, ingresses: &mut Ingresses, survivor: usize) {
    let ids: Vec<_> = (0..N_AT_ONCE).map(|_| clock::new_id().to_string()).collect();
    let others: Vec<_> = (0..N_NODES).filter(|node| *node != survivor).collect();
    for node in &others {
        cluster.kill(*node).await;
    }
    ingresses.check_refused(survivor, &ids).await;
    // First the leader has the messages in flight, then there is no leader.
    let nats = cluster.connect().await;
    let n_tries = AtomicUsize::new(0);
    eventually("the inbox has no leader", || async {
        ingresses.check_refused(survivor + n_tries.fetch_add(1, Ordering::Relaxed), &ids).await;
        (!nats.inbox_has_leader().await).then_some(())
    })
    .await;
    ingresses.restart().await;
    for ingress in 0..N_NODES {
        ingresses.check_refused(ingress, &ids).await;
    }
    for node in &others {
        cluster.restart(*node).await;
    }
    for (n, id) in ids.iter().enumerate() {
        ingresses.post_until_accepted(survivor + n, id).await;
    }
    cluster.all_current().await;
    assert_eq!(not_stored_once(&nats, &ids).await, Vec::<String>::new());
    cluster.restart_all().await;
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(
            ingresses.post_until_accepted(survivor + n, id).await,
            StatusCode::OK,
            "{id} was stored before"
        );
    }
    assert_eq!(not_stored_once(&cluster.connect().await, &ids).await, Vec::<String>::new());
}

async fn check_rounds(n_rounds: usize) {
    let mut cluster = NatsCluster::start().await;
    let nats = cluster.provisioned().await;
    let mut ingresses = Ingresses::start(&cluster).await;
    for _ in 0..n_rounds {
        // Only the leader accepts messages that cannot be committed, so it must survive.
        let leader = cluster.leader(&nats, &nats.namespace.inbox_stream()).await;
        lose_the_majority(&mut cluster, &mut ingresses, leader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_every_attempt_of_a_webhook_is_refused() {
    check_rounds(1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn nothing_is_accepted_through_40_losses_of_the_majority() {
    check_rounds(40).await;
}
