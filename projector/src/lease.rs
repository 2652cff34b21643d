//! Leases: one process among all does a task, the others stand by.
//!
//! A holder renews its lease by writing it again. A standby takes the lease when its revision has not changed for
//! [`EXPIRY`], measured by the standby's own clock. A former holder that was suspended cannot do harm: all writes are
//! conditional, so the server refuses them.

use std::time::Duration;

use runtime::CancellationToken;
use runtime::nats::Nats;
use serde::{Deserialize, Serialize};
use store::publish::PublishError;
use store::views;
use tokio::time::Instant;

/// How long a lease is valid without a renewal.
const EXPIRY: Duration = Duration::from_secs(6);

/// The interval at which a holder renews its lease, and a standby reads it.
const RENEWAL: Duration = Duration::from_millis(1500);

/// The value in the meta bucket. A released lease has no `holder`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    holder: Option<String>,
}

/// A lease held by this process.
#[derive(Debug)]
pub(crate) struct Held {
    nats: Nats,
    key: String,
    holder: String,
    revision: u64,
}

/// The result of one attempt to take a lease.
enum Attempt {
    /// This process holds the lease, at this revision.
    Taken(u64),
    /// Another process holds the lease; it may be dead.
    Held,
    /// This holder renewed the lease since the last attempt.
    Renewed(String),
}

/// A process that stands by for a lease.
struct Standby<'a> {
    nats: &'a Nats,
    name: &'a str,
    holder: String,
    /// The last revision read, and when it was read first.
    seen: Option<(u64, Instant)>,
}

/// Waits for the lease; `None` if the shutdown comes first.
pub(crate) async fn acquire(nats: &Nats, name: &str, shutdown: &CancellationToken) -> Option<Held> {
    let mut standby = Standby::new(nats, name);
    let mut attempts = attempts();
    loop {
        shutdown.run_until_cancelled(attempts.tick()).await?;
        match standby.attempt().await {
            Ok(Attempt::Taken(revision)) => return Some(standby.holding(revision)),
            Ok(Attempt::Held | Attempt::Renewed(_)) => {}
            Err(error) => tracing::debug!("cannot read the lease {name}: {error:#}"),
        }
    }
}

/// Takes the lease, or returns its holder once that holder has renewed it. Waits up to [`EXPIRY`] for a renewal.
pub(crate) async fn try_acquire(nats: &Nats, name: &str) -> anyhow::Result<Result<Held, String>> {
    let mut standby = Standby::new(nats, name);
    let mut attempts = attempts();
    loop {
        attempts.tick().await;
        match standby.attempt().await? {
            Attempt::Taken(revision) => return Ok(Ok(standby.holding(revision))),
            Attempt::Renewed(holder) => return Ok(Err(holder)),
            Attempt::Held => tracing::info!("waiting to see whether the holder of the lease {name} is alive"),
        }
    }
}

fn attempts() -> tokio::time::Interval {
    let mut attempts = tokio::time::interval(RENEWAL);
    attempts.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    attempts
}

impl<'a> Standby<'a> {
    fn new(nats: &'a Nats, name: &'a str) -> Self {
        // The host name of a container is its id.
        let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        let id = runtime::clock::new_id().simple();
        let holder = format!("process {} on {} ({id})", std::process::id(), host.trim());
        Self { nats, name, holder, seen: None }
    }

    fn key(&self) -> String {
        format!("lease.{}", self.name)
    }

    fn holding(self, revision: u64) -> Held {
        Held { nats: self.nats.clone(), key: self.key(), holder: self.holder, revision }
    }

    async fn attempt(&mut self) -> anyhow::Result<Attempt> {
        let key = self.key();
        let bucket = self.nats.namespace.meta_bucket();
        let entry = views::read_bytes(self.nats, &bucket, &key).await?;
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        if let Some(holder) = entry.and_then(|entry| holder_of(&entry.value)) {
            match self.seen {
                Some((known, since)) if known == revision && since.elapsed() >= EXPIRY => {}
                Some((known, _)) if known == revision => return Ok(Attempt::Held),
                before => {
                    self.seen = Some((revision, Instant::now()));
                    return Ok(if before.is_some() { Attempt::Renewed(holder) } else { Attempt::Held });
                }
            }
        }
        let lease = Lease { holder: Some(self.holder.clone()) };
        match views::write(self.nats, &bucket, &key, &lease, revision).await {
            Ok(stored) => Ok(Attempt::Taken(stored.sequence)),
            // Another standby was faster, or NATS is unavailable; the next attempt reads the lease again.
            Err(_) => Ok(Attempt::Held),
        }
    }
}

/// The holder in a stored lease. An unreadable value counts as held by an unknown process, and expires like any lease.
fn holder_of(value: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Lease>(value) {
        Ok(lease) => lease.holder,
        Err(_) => Some("an unknown process".to_owned()),
    }
}

impl Held {
    /// Renews the lease periodically. Returns when the lease is lost.
    pub(crate) async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.renew().await {
                Ok(()) => renewed = Instant::now(),
                Err(PublishError::Conflict) => return,
                // While NATS is unavailable, no standby can take the lease before its expiry.
                Err(error) if renewed.elapsed() < EXPIRY => {
                    tracing::debug!("cannot renew the lease {}: {error}", self.key);
                }
                Err(_) => return,
            }
        }
    }

    /// Releases the lease, so that a standby need not wait for its expiry.
    pub(crate) async fn give_back(mut self) {
        if let Err(error) = self.release().await {
            tracing::debug!("cannot release the lease {}: {error:#}", self.key);
        }
    }

    async fn release(&mut self) -> anyhow::Result<()> {
        while self.refresh_revision().await? {
            match self.write(None).await {
                // A cancelled renewal was stored after this process read the revision.
                Err(PublishError::Conflict) => {}
                written => return Ok(written?),
            }
        }
        Ok(())
    }

    /// Writes the lease again. A conflict means that the lease is lost.
    pub(crate) async fn renew(&mut self) -> Result<(), PublishError> {
        loop {
            match self.write(Some(self.holder.clone())).await {
                // An earlier renewal was stored, but its acknowledgement was lost.
                Err(PublishError::Conflict) if self.is_still_held().await? => {}
                written => return written,
            }
        }
    }

    async fn is_still_held(&mut self) -> Result<bool, PublishError> {
        self.refresh_revision().await.map_err(|error| PublishError::Unacknowledged(format!("{error:#}")))
    }

    /// Reads the revision of the lease; returns false if this process does not hold it any more.
    async fn refresh_revision(&mut self) -> anyhow::Result<bool> {
        let bucket = self.nats.namespace.meta_bucket();
        let entry = views::read::<Lease>(&self.nats, &bucket, &self.key).await?;
        let ours = entry.filter(|entry| entry.value.holder.as_ref() == Some(&self.holder));
        self.revision = ours.as_ref().map_or(self.revision, |entry| entry.revision);
        Ok(ours.is_some())
    }

    async fn write(&mut self, holder: Option<String>) -> Result<(), PublishError> {
        let bucket = self.nats.namespace.meta_bucket();
        let stored = views::write(&self.nats, &bucket, &self.key, &Lease { holder }, self.revision).await?;
        self.revision = stored.sequence;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use testkit::wait::DEADLINE;
    use testkit::{NatsServer, eventually};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_renewal_with_a_lost_acknowledgement_keeps_the_lease() {
        let server = NatsServer::start().await;
        let nats = server.provisioned().await;
        let meta = nats.namespace.meta_bucket();
        let mut held = acquire(&nats, "test", &CancellationToken::new()).await.unwrap();
        let key = held.key.clone();
        let ours = Lease { holder: Some(held.holder.clone()) };
        let unknown = views::write(&nats, &meta, &key, &ours, held.revision).await.unwrap().sequence;
        let renewed = eventually("the lease is renewed", || async {
            let entry = views::read::<Lease>(&nats, &meta, &key).await.unwrap().unwrap();
            (entry.revision > unknown).then_some(entry.value)
        });
        tokio::select! {
            () = held.keep() => panic!("the lease was lost"),
            lease = renewed => assert_eq!(lease, ours),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lease_taken_by_another_process_is_lost() {
        let server = NatsServer::start().await;
        let nats = server.provisioned().await;
        let mut held = acquire(&nats, "test", &CancellationToken::new()).await.unwrap();
        let other = Lease { holder: Some("other".to_owned()) };
        let meta = nats.namespace.meta_bucket();
        views::write(&nats, &meta, &held.key, &other, held.revision).await.unwrap();
        tokio::time::timeout(DEADLINE, held.keep()).await.expect("the lease is lost");
    }
}
