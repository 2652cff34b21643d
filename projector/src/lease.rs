//! One holder among all processes, others in hot standby.
//!
//! A holder renews its lease by writing it again. Who stands by takes it when its revision has not moved for the
//! expiry, by its own clock alone. A holder that hung meanwhile is stopped by its writes being refused: each one
//! is conditional.

use std::time::Duration;

use runtime::CancellationToken;
use runtime::nats::Nats;
use serde::{Deserialize, Serialize};
use store::publish::PublishError;
use store::views;
use tokio::time::Instant;

/// How long a lease lasts without being renewed.
const EXPIRY: Duration = Duration::from_secs(6);

/// How often a lease is renewed, and how often who stands by looks.
const RENEWAL: Duration = Duration::from_millis(1500);

/// What stands in the meta bucket; `holder` is missing in a lease that was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    holder: Option<String>,
}

/// A lease that is held.
#[derive(Debug)]
pub(crate) struct Held {
    nats: Nats,
    key: String,
    holder: String,
    revision: u64,
}

/// Waits until the lease is ours; nothing where the shutdown comes first.
pub(crate) async fn acquire(nats: &Nats, name: &str, shutdown: &CancellationToken) -> Option<Held> {
    let holder = runtime::clock::new_id().simple().to_string();
    let key = format!("lease.{name}");
    let bucket = nats.namespace.meta_bucket();
    let mut seen: Option<(u64, Instant)> = None;
    let mut looks = tokio::time::interval(RENEWAL);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        shutdown.run_until_cancelled(looks.tick()).await?;
        let entry = match views::read::<Lease>(nats, &bucket, &key).await {
            Ok(entry) => entry,
            Err(error) => {
                tracing::debug!("cannot read the lease of {name} now: {error:#}");
                continue;
            }
        };
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        let is_free = entry.is_none_or(|entry| entry.value.holder.is_none());
        let has_expired = seen.is_some_and(|(known, since)| known == revision && since.elapsed() >= EXPIRY);
        if !is_free && !has_expired {
            if seen.is_none_or(|(known, _)| known != revision) {
                seen = Some((revision, Instant::now()));
            }
            continue;
        }
        let lease = Lease { holder: Some(holder.clone()) };
        if let Ok(stored) = views::write(nats, &bucket, &key, &lease, revision).await {
            return Some(Held { nats: nats.clone(), key, holder, revision: stored.sequence });
        }
    }
}

impl Held {
    /// Renews the lease for ever; ends when it is lost.
    pub(crate) async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.write(Some(self.holder.clone())).await {
                Ok(()) => renewed = Instant::now(),
                Err(PublishError::Conflict) => return,
                // NATS is away: nobody else can take it either, until the expiry.
                Err(error) if renewed.elapsed() < EXPIRY => {
                    tracing::debug!("cannot renew {}: {error}", self.key);
                }
                Err(_) => return,
            }
        }
    }

    /// Gives the lease back, so that who stands by need not wait for its expiry.
    pub(crate) async fn give_back(mut self) {
        if let Err(error) = self.write(None).await {
            tracing::debug!("cannot give back {}: {error}", self.key);
        }
    }

    async fn write(&mut self, holder: Option<String>) -> Result<(), PublishError> {
        let bucket = self.nats.namespace.meta_bucket();
        let stored = views::write(&self.nats, &bucket, &self.key, &Lease { holder }, self.revision).await?;
        self.revision = stored.sequence;
        Ok(())
    }
}
