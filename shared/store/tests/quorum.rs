//! What an answer of JetStream is worth in a cluster: neither an acknowledgement nor "stored before" comes for what
//! a majority of the nodes does not have.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::HeaderMap;
use domain::key::{DeliveryId, Namespace};
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use runtime::clock;
use runtime::nats::Nats;
use store::publish::{Expected, Outgoing, PublishError, publish, publish_batch};
use testkit::cluster::N_NODES;
use testkit::{NatsCluster, eventually};

/// Deliveries of one round: as many alone as in batches.
const N_DELIVERIES: usize = 120;
const BATCH: usize = 6;
/// How many publishes of a round are under way at once; the nodes die after this many were accepted.
const AT_ONCE: usize = 8;

/// Several clients that store the same deliveries, and what they were told.
struct Clients {
    connections: Vec<Nats>,
    deliveries: Vec<DeliveryId>,
    n_tries: AtomicUsize,
    accepted: Mutex<BTreeSet<DeliveryId>>,
}

impl Clients {
    /// One client of each node, and deliveries that nobody has stored.
    async fn connect(cluster: &NatsCluster) -> Self {
        let connect = |node| testkit::nats::connect(cluster.node_url(node), Namespace::default());
        let connections = join_all((0..N_NODES).map(connect)).await;
        let deliveries = (0..N_DELIVERIES).map(|_| clock::new_id().into()).collect();
        Self { connections, deliveries, n_tries: AtomicUsize::new(0), accepted: Mutex::default() }
    }

    /// Tries once more what was not accepted yet, each delivery through another client than the last time, half of
    /// them in batches.
    async fn try_all(&self) {
        let n_tries = self.n_tries.fetch_add(1, Ordering::Relaxed);
        let pending: Vec<_> = {
            let accepted = self.accepted.lock().unwrap();
            self.deliveries.iter().filter(|id| !accepted.contains(id)).cloned().collect()
        };
        let (alone, together) = pending.split_at(pending.len() / 2);
        let tries = alone.chunks(1).chain(together.chunks(BATCH)).map(|ids| self.try_batch(n_tries, ids));
        stream::iter(tries).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Whether this node says that nobody leads the stream. It is asked with a delivery of its own: all others can
    /// have been accepted by then.
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
            // Of a batch it says only that one of its members was stored before.
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

fn message(nats: &Nats, id: &DeliveryId) -> Outgoing {
    Outgoing {
        subject: nats.namespace.inbox_subject(id),
        headers: HeaderMap::new(),
        payload: "{}".into(),
        expected: Some(Expected { last_sequence: 0, filter: None }),
    }
}

/// How often each of the deliveries is in the inbox; those that are not there are left out.
async fn stored(nats: &Nats) -> BTreeMap<String, usize> {
    eventually("the inbox can be read", || async {
        let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.ok()?;
        inbox.info_with_subjects(">").await.ok()?.try_collect().await.ok()
    })
    .await
}

async fn are_stored_once(nats: &Nats, ids: &BTreeSet<DeliveryId>) {
    let stored = stored(nats).await;
    for id in ids {
        assert_eq!(stored.get(&nats.namespace.inbox_subject(id)), Some(&1), "{id}");
    }
}

/// Deliveries are stored while all nodes but `survivor` die. What was accepted must be with the others, who then
/// come back without the survivor.
async fn lose_the_majority(cluster: &mut NatsCluster, survivor: usize) {
    let clients = Clients::connect(cluster).await;
    let others: Vec<_> = (0..N_NODES).filter(|node| *node != survivor).collect();
    let deaths = async {
        eventually("some are accepted", || async { (clients.accepted().len() >= AT_ONCE).then_some(()) })
            .await;
        for node in &others {
            cluster.kill(*node).await;
        }
    };
    tokio::join!(deaths, clients.try_all());
    let n_committed = clients.accepted().len();
    eventually("the survivor notices that it is alone", || async {
        clients.try_all().await;
        clients.finds_no_leader(survivor).await.then_some(())
    })
    .await;
    clients.try_all().await;
    let accepted = clients.accepted();
    eprintln!(
        "of {N_DELIVERIES}, {n_committed} were accepted before, {} alone",
        accepted.len() - n_committed
    );

    cluster.kill(survivor).await;
    for node in &others {
        cluster.restart(*node).await;
    }
    are_stored_once(&cluster.connect().await, &accepted).await;
    cluster.restart(survivor).await;
    cluster.all_current().await;
    eventually("every delivery is accepted", || async {
        clients.try_all().await;
        (clients.accepted().len() == N_DELIVERIES).then_some(())
    })
    .await;
    cluster.restart_all().await;
    are_stored_once(&cluster.connect().await, &clients.accepted()).await;
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
    /// It alone has what nobody else has heard of.
    Leader,
    Follower,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_accepts_that_is_left_alone_is_with_the_others() {
    rounds(&[Survivor::Leader]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_follower_accepts_that_is_left_alone_is_with_the_others() {
    rounds(&[Survivor::Follower]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn what_is_accepted_by_the_last_node_is_with_the_others_every_time() {
    rounds(&[Survivor::Leader, Survivor::Follower].repeat(30)).await;
}
