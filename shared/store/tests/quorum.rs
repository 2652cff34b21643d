//! A cluster acknowledges a message, or reports a conflict with it, only if a majority of the nodes stores it.
#![expect(clippy::unwrap_used, reason = "a failed step must fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::HeaderMap;
use domain::key::{DeliveryId, Namespace};
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use runtime::clock;
use runtime::nats::Nats;
use store::publish::{Expected, NewMessage, PublishError, publish, publish_batch};
use testkit::cluster::N_NODES;
use testkit::{NatsCluster, eventually};

/// Deliveries of a round. Half of them are published in batches.
const N_DELIVERIES: usize = 120;
const BATCH: usize = 6;
/// Concurrent publishes of a round. The nodes die after this many deliveries were accepted.
const N_CONCURRENT: usize = 8;

/// Several clients that publish the same deliveries, and the deliveries that JetStream reported as stored.
struct Clients {
    connections: Vec<Nats>,
    deliveries: Vec<DeliveryId>,
    n_tries: AtomicUsize,
    accepted: Mutex<BTreeSet<DeliveryId>>,
}

impl Clients {
    /// One client for each node, and new deliveries.
    async fn connect(cluster: &NatsCluster) -> Self {
        let connect = |node| testkit::nats::connect(cluster.node_url(node), Namespace::default());
        let connections = join_all((0..N_NODES).map(connect)).await;
        let deliveries = (0..N_DELIVERIES).map(|_| clock::new_id().into()).collect();
        Self { connections, deliveries, n_tries: AtomicUsize::new(0), accepted: Mutex::default() }
    }

    /// Publishes the deliveries that were not accepted yet, each through another client than before, half in batches.
    async fn try_all(&self) {
        let n_tries = self.n_tries.fetch_add(1, Ordering::Relaxed);
        let pending: Vec<_> = {
            let accepted = self.accepted.lock().unwrap();
            self.deliveries.iter().filter(|id| !accepted.contains(id)).cloned().collect()
        };
        let (single, batched) = pending.split_at(pending.len() / 2);
        let tries = single.chunks(1).chain(batched.chunks(BATCH)).map(|ids| self.try_batch(n_tries, ids));
        stream::iter(tries).buffer_unordered(N_CONCURRENT).collect::<()>().await;
    }

    /// Whether this node reports that the stream has no leader. Publishes a new delivery, because all deliveries of
    /// the round may be accepted already.
    async fn finds_no_leader(&self, node: usize) -> bool {
        let nats = &self.connections[node];
        let probe = publish(nats, message(nats, &clock::new_id().into())).await;
        matches!(probe, Err(PublishError::Unacknowledged(reason)) if reason.contains("no leader"))
    }

    async fn try_batch(&self, n_tries: usize, ids: &[DeliveryId]) {
        let nats = &self.connections[(n_tries + ids.len()) % N_NODES];
        let mut messages: Vec<_> = ids.iter().map(|id| message(nats, id)).collect();
        let result = if messages.len() == 1 {
            publish(nats, messages.remove(0)).await
        } else {
            publish_batch(nats, &clock::new_id().simple().to_string(), messages).await
        };
        match result {
            Ok(_) => self.accepted.lock().unwrap().extend(ids.iter().cloned()),
            // A conflict of a batch only means that one of its members is stored.
            Err(PublishError::Conflict) if ids.len() == 1 => {
                self.accepted.lock().unwrap().insert(ids[0].clone());
            }
            Err(PublishError::Conflict) => {
                let each = ids.iter().map(|id| self.try_batch(n_tries, std::slice::from_ref(id)));
                Box::pin(join_all(each)).await;
            }
            Err(PublishError::Unacknowledged(_) | PublishError::InFlight | PublishError::Busy) => {}
            Err(refused @ PublishError::Refused { .. }) => panic!("{refused}"),
        }
    }

    fn accepted(&self) -> BTreeSet<DeliveryId> {
        self.accepted.lock().unwrap().clone()
    }
}

fn message(nats: &Nats, id: &DeliveryId) -> NewMessage {
    NewMessage {
        subject: nats.namespace.inbox_subject(id),
        headers: HeaderMap::new(),
        payload: "{}".into(),
        expected: Some(Expected { last_sequence: 0, filter: None }),
    }
}

/// Number of messages on each subject of the inbox.
async fn stored(nats: &Nats) -> BTreeMap<String, usize> {
    eventually("the inbox can be read", || async {
        let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.ok()?;
        inbox.info_with_subjects(">").await.ok()?.try_collect().await.ok()
    })
    .await
}

async fn assert_stored_once(nats: &Nats, ids: &BTreeSet<DeliveryId>) {
    let stored = stored(nats).await;
    for id in ids {
        assert_eq!(stored.get(&nats.namespace.inbox_subject(id)), Some(&1), "{id}");
    }
}

/// Publishes deliveries while all nodes but `survivor` die. The other nodes, restarted without the survivor, must have
/// every accepted delivery.
async fn lose_the_majority(cluster: &mut NatsCluster, survivor: usize) {
    let clients = Clients::connect(cluster).await;
    let others: Vec<_> = (0..N_NODES).filter(|node| *node != survivor).collect();
    let deaths = async {
        eventually("some deliveries are accepted", || async {
            (clients.accepted().len() >= N_CONCURRENT).then_some(())
        })
        .await;
        for node in &others {
            cluster.kill(*node).await;
        }
    };
    tokio::join!(deaths, clients.try_all());
    let n_committed = clients.accepted().len();
    eventually("the survivor reports that there is no leader", || async {
        clients.try_all().await;
        clients.finds_no_leader(survivor).await.then_some(())
    })
    .await;
    clients.try_all().await;
    let accepted = clients.accepted();
    eprintln!(
        "of {N_DELIVERIES} deliveries, {n_committed} were accepted by the cluster, {} by the survivor alone",
        accepted.len() - n_committed
    );

    cluster.kill(survivor).await;
    for node in &others {
        cluster.restart(*node).await;
    }
    assert_stored_once(&cluster.connect().await, &accepted).await;
    cluster.restart(survivor).await;
    cluster.all_current().await;
    eventually("every delivery is accepted", || async {
        clients.try_all().await;
        (clients.accepted().len() == N_DELIVERIES).then_some(())
    })
    .await;
    cluster.restart_all().await;
    assert_stored_once(&cluster.connect().await, &clients.accepted()).await;
}

/// Loses the majority once for each survivor.
async fn rounds(survivors: &[Survivor]) {
    let mut cluster = NatsCluster::start().await;
    let nats = cluster.provisioned().await;
    for survivor in survivors {
        let leader = cluster.leader(&nats, &nats.namespace.inbox_stream()).await;
        let node = match survivor {
            Survivor::Leader => leader,
            Survivor::Follower => (leader + 1) % N_NODES,
        };
        lose_the_majority(&mut cluster, node).await;
    }
}

#[derive(Clone, Copy)]
enum Survivor {
    /// The leader can have messages that no other node has.
    Leader,
    Follower,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_followers_accepts_only_what_the_majority_has() {
    rounds(&[Survivor::Leader]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_without_peers_accepts_only_what_the_majority_has() {
    rounds(&[Survivor::Follower]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn in_many_rounds_the_last_node_accepts_only_what_the_majority_has() {
    rounds(&[Survivor::Leader, Survivor::Follower].repeat(30)).await;
}
