//! Verifies the views that readers use against a fold of the events.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use domain::view::{Checkpoint, Projection, Views};
use serde::Serialize;
use store::views::{self, Contents};

use super::Projections;
use super::generation::{QUIET, apply};
use crate::fingerprint::{self, Fingerprint};

/// How many times to read a bucket that changes during each read before giving up.
const MAX_READS: u32 = 30;

/// Most differing keys in a result.
const MAX_REPORTED: usize = 10;

/// How a stored view differs from the fold of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// The bucket lacks a view that the events result in.
    Missing,
    /// The bucket has a view that no event resulted in.
    Unexpected,
    /// The bucket has a view with other contents.
    Other,
}

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Name of the projection.
    pub projection: &'static str,
    /// The generation that readers use.
    pub generation: u64,
    /// Sequence of the last event in that generation.
    pub sequence: u64,
    /// Number of views in the bucket.
    pub n_views: usize,
    /// Fingerprint of the bucket.
    pub served: String,
    /// Fingerprint of the fold of the events.
    pub expected: String,
    /// Number of differing keys.
    pub n_differences: usize,
    /// The first 10 differing keys.
    pub differences: BTreeMap<String, Difference>,
}

impl Verified {
    /// Whether the bucket equals the fold of the events, byte for byte.
    pub fn holds(&self) -> bool {
        self.n_differences == 0
    }
}

/// The contents of a bucket that did not change while it was read.
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
            let (generation, checkpoint) = self.current_generation::<P>().await?;
            let bucket = self.nats.namespace.projection_bucket(P::NAME, generation);
            if checkpoint.sequence < expected.sequence() {
                expected = Views::default();
            }
            // The fold takes longest: doing it first leaves the bucket little time to change.
            self.fold_up_to(&mut expected, checkpoint.sequence, &mut progress).await?;
            let Contents { values, .. } = views::load_bytes(&self.nats, &bucket).await?;
            if self.current_generation::<P>().await? == (generation, checkpoint.clone()) {
                return compare(&Served { generation, checkpoint, values }, &expected);
            }
        }
        bail!("{} changed during each of {MAX_READS} reads: retry when fewer events are recorded", P::NAME)
    }

    /// The generation that readers use, with its checkpoint.
    async fn current_generation<P: Projection>(&self) -> anyhow::Result<(u64, Checkpoint)> {
        let pointer = self.pointer(P::NAME).await?;
        let pointer = pointer.with_context(|| format!("{} has no generation: start a projector", P::NAME))?;
        let generation = pointer.value.generation;
        let checkpoint = self.checkpoint(P::NAME, generation).await?;
        let checkpoint = checkpoint.with_context(|| {
            format!("generation {generation} of {} has no checkpoint yet: retry later", P::NAME)
        })?;
        ensure!(
            self.can_resume::<P>(&checkpoint.value),
            "generation {generation} of {0} has another version or comes from another stream: rebuild {0}",
            P::NAME
        );
        Ok((generation, checkpoint.value))
    }

    /// Folds the events up to and including a sequence, whose event may have been erased.
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
                    apply(views, &message);
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
        differences: differing.into_iter().take(MAX_REPORTED).collect(),
    })
}
