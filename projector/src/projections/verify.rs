//! Compares what readers are served with what the events give.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use domain::view::{Checkpoint, Projection, Views};
use serde::Serialize;
use store::views::{self, Contents};

use super::Projections;
use super::generation::{QUIET, take};
use crate::fingerprint::{self, Fingerprint};

/// How often a bucket that was written while it was read is read again.
const MAX_READS: u32 = 30;

/// How many keys that differ are named.
const MAX_NAMED: usize = 10;

/// How a key differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// The events give a view that readers are not served.
    Missing,
    /// Readers are served a view that the events do not give.
    Unexpected,
    /// Another view.
    Other,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Name of the projection.
    pub projection: &'static str,
    /// The generation that readers use.
    pub generation: u64,
    /// Sequence of the last event in it.
    pub sequence: u64,
    /// How many views readers are served.
    pub n_views: usize,
    /// Fingerprint of what readers are served.
    pub served: String,
    /// Fingerprint of what the events give.
    pub expected: String,
    /// How many keys differ.
    pub n_differences: usize,
    /// The first of them.
    pub differences: BTreeMap<String, Difference>,
}

impl Verified {
    /// Whether readers are served what the events give, byte for byte.
    pub fn holds(&self) -> bool {
        self.n_differences == 0
    }
}

/// A bucket that was not written while it was read.
struct Served {
    generation: u64,
    checkpoint: Checkpoint,
    values: BTreeMap<String, Bytes>,
}

impl Projections {
    pub(super) async fn verify_one<P: Projection>(
        &self,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> anyhow::Result<Verified> {
        let mut expected = Views::<P>::default();
        for _ in 0..MAX_READS {
            let (generation, checkpoint) = self.served_now::<P>().await?;
            let bucket = self.nats.namespace.projection_bucket(P::NAME, generation);
            if checkpoint.sequence < expected.sequence() {
                expected = Views::default();
            }
            // The long part comes first, so that the bucket has little time to move.
            self.fold_up_to(&mut expected, checkpoint.sequence, &mut progress).await?;
            let Contents { values, .. } = views::load_bytes(&self.nats, &bucket).await?;
            if self.served_now::<P>().await? == (generation, checkpoint.clone()) {
                return compare(&Served { generation, checkpoint, values }, &expected);
            }
        }
        bail!("{} was written each time it was read: try again when less is recorded", P::NAME)
    }

    async fn served_now<P: Projection>(&self) -> anyhow::Result<(u64, Checkpoint)> {
        let pointer = self.pointer(P::NAME).await?;
        let pointer = pointer.with_context(|| format!("{} was never folded: start a projector", P::NAME))?;
        let generation = pointer.value.generation;
        let checkpoint = self.checkpoint(P::NAME, generation).await?;
        let checkpoint = checkpoint.with_context(|| format!("generation {generation} was never written"))?;
        ensure!(
            self.can_go_on::<P>(&checkpoint.value),
            "generation {generation} is of another version or of another stream: rebuild {}",
            P::NAME
        );
        Ok((generation, checkpoint.value))
    }

    /// Folds the events that are kept up to a sequence, which can itself be erased.
    async fn fold_up_to<P: Projection>(
        &self,
        views: &mut Views<P>,
        sequence: u64,
        progress: &mut impl FnMut(u64, u64),
    ) -> anyhow::Result<()> {
        let mut events = self.log.follow(views.sequence() + 1);
        let mut head = self.log.head().await?;
        while views.sequence() < sequence.min(head) {
            match tokio::time::timeout(QUIET, events.next()).await {
                Ok(message) => {
                    let message = message?;
                    if message.sequence > sequence {
                        break;
                    }
                    take(views, &message);
                    progress(views.sequence(), sequence);
                }
                Err(_) => head = self.log.head().await?,
            }
        }
        views.advance(sequence);
        Ok(())
    }
}

fn compare<P: Projection>(served: &Served, expected: &Views<P>) -> anyhow::Result<Verified> {
    let mut differing = BTreeMap::new();
    let mut fingerprint = Fingerprint::new();
    for (key, value) in &served.values {
        fingerprint.add(key, value);
        if expected.get(key).is_none() {
            differing.insert(key.clone(), Difference::Unexpected);
        }
    }
    for (key, view) in expected.iter() {
        match served.values.get(key) {
            Some(value) if **value == *serde_json::to_vec(view)? => {}
            Some(_) => drop(differing.insert(key.clone(), Difference::Other)),
            None => drop(differing.insert(key.clone(), Difference::Missing)),
        }
    }
    Ok(Verified {
        projection: P::NAME,
        generation: served.generation,
        sequence: served.checkpoint.sequence,
        n_views: served.values.len(),
        served: fingerprint.finish(),
        expected: fingerprint::of_views(expected)?,
        n_differences: differing.len(),
        differences: differing.into_iter().take(MAX_NAMED).collect(),
    })
}
