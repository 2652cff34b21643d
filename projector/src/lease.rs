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

/// How a look at a lease ended.
enum Look {
    /// It is ours, at this revision.
    Taken(u64),
    /// Somebody holds it; whether they live is not known yet.
    Held,
    /// Somebody holds it, and renewed it since the last look.
    Renewed(String),
}

/// Who wants a lease, and what they saw of it.
struct Applicant<'a> {
    nats: &'a Nats,
    name: &'a str,
    holder: String,
    seen: Option<(u64, Instant)>,
}

/// Waits until the lease is ours; nothing where the shutdown comes first.
pub(crate) async fn acquire(nats: &Nats, name: &str, shutdown: &CancellationToken) -> Option<Held> {
    let mut applicant = Applicant::new(nats, name);
    let mut looks = looks();
    loop {
        shutdown.run_until_cancelled(looks.tick()).await?;
        match applicant.look().await {
            Ok(Look::Taken(revision)) => return Some(applicant.holding(revision)),
            Ok(Look::Held | Look::Renewed(_)) => {}
            Err(error) => tracing::debug!("cannot read the lease of {name} now: {error:#}"),
        }
    }
}

/// Takes the lease, or says who holds it. Waits no longer than it takes to tell a holder from one that died.
pub(crate) async fn try_acquire(nats: &Nats, name: &str) -> anyhow::Result<Result<Held, String>> {
    let mut applicant = Applicant::new(nats, name);
    let mut looks = looks();
    loop {
        looks.tick().await;
        match applicant.look().await? {
            Look::Taken(revision) => return Ok(Ok(applicant.holding(revision))),
            Look::Renewed(holder) => return Ok(Err(holder)),
            Look::Held => tracing::info!("looking whether who holds the lease {name} is alive"),
        }
    }
}

fn looks() -> tokio::time::Interval {
    let mut looks = tokio::time::interval(RENEWAL);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    looks
}

impl<'a> Applicant<'a> {
    fn new(nats: &'a Nats, name: &'a str) -> Self {
        // In a container this is its id.
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

    async fn look(&mut self) -> anyhow::Result<Look> {
        let key = self.key();
        let bucket = self.nats.namespace.meta_bucket();
        let entry = views::read_bytes(self.nats, &bucket, &key).await?;
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        if let Some(holder) = entry.and_then(|entry| holder_of(&entry.value)) {
            match self.seen {
                Some((known, since)) if known == revision && since.elapsed() >= EXPIRY => {}
                Some((known, _)) if known == revision => return Ok(Look::Held),
                before => {
                    self.seen = Some((revision, Instant::now()));
                    return Ok(if before.is_some() { Look::Renewed(holder) } else { Look::Held });
                }
            }
        }
        let lease = Lease { holder: Some(self.holder.clone()) };
        match views::write(self.nats, &bucket, &key, &lease, revision).await {
            Ok(stored) => Ok(Look::Taken(stored.sequence)),
            // Whoever was faster shows at the next look.
            Err(_) => Ok(Look::Held),
        }
    }
}

/// Who holds it. What cannot be read is held by somebody of whom nothing is known: it expires like any other.
fn holder_of(value: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Lease>(value) {
        Ok(lease) => lease.holder,
        Err(_) => Some("somebody who writes leases otherwise".to_owned()),
    }
}

impl Held {
    /// Renews the lease for ever; ends when it is lost.
    pub(crate) async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.renew().await {
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
        if let Err(error) = self.release().await {
            tracing::debug!("cannot give back {}: {error:#}", self.key);
        }
    }

    async fn release(&mut self) -> anyhow::Result<()> {
        while self.find().await? {
            match self.write(None).await {
                // A renewal that was cut off was stored all the same, after we read.
                Err(PublishError::Conflict) => {}
                written => return Ok(written?),
            }
        }
        Ok(())
    }

    /// Writes it again; a conflict where it is ours no longer.
    pub(crate) async fn renew(&mut self) -> Result<(), PublishError> {
        loop {
            match self.write(Some(self.holder.clone())).await {
                // An earlier renewal was stored, though its acknowledgement never came.
                Err(PublishError::Conflict) if self.is_found().await? => {}
                written => return written,
            }
        }
    }

    async fn is_found(&mut self) -> Result<bool, PublishError> {
        self.find().await.map_err(|error| PublishError::Unacknowledged(format!("{error:#}")))
    }

    /// Reads its revision; false where it is ours no longer.
    async fn find(&mut self) -> anyhow::Result<bool> {
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
    async fn a_renewal_whose_acknowledgement_got_lost_does_not_lose_the_lease() {
        let server = NatsServer::start().await;
        let nats = server.provisioned().await;
        let meta = nats.namespace.meta_bucket();
        let mut held = acquire(&nats, "test", &CancellationToken::new()).await.unwrap();
        let key = held.key.clone();
        let ours = Lease { holder: Some(held.holder.clone()) };
        let unknown = views::write(&nats, &meta, &key, &ours, held.revision).await.unwrap().sequence;
        let renewed = eventually("it is renewed", || async {
            let entry = views::read::<Lease>(&nats, &meta, &key).await.unwrap().unwrap();
            (entry.revision > unknown).then_some(entry.value)
        });
        tokio::select! {
            () = held.keep() => panic!("it was lost"),
            lease = renewed => assert_eq!(lease, ours),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lease_that_somebody_else_took_is_lost() {
        let server = NatsServer::start().await;
        let nats = server.provisioned().await;
        let mut held = acquire(&nats, "test", &CancellationToken::new()).await.unwrap();
        let other = Lease { holder: Some("other".to_owned()) };
        let meta = nats.namespace.meta_bucket();
        views::write(&nats, &meta, &held.key, &other, held.revision).await.unwrap();
        tokio::time::timeout(DEADLINE, held.keep()).await.expect("it is lost");
    }
}
