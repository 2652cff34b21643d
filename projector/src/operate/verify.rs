//! `projector verify`: replay equals live, byte for byte.

use anyhow::Context;
use aws_lc_rs::digest::{Context as Digest, SHA256};
use clap::ValueEnum;
use domain::view::activity::Activity;
use domain::view::groups::Groups;
use domain::view::users::Users;
use domain::view::{Projection, Views};
use runtime::nats::Nats;
use serde::Serialize;
use store::log::{EventLog, From};
use store::views::{self, Pointer, pointer_key};

use super::Output;

/// How many events are read at once.
const PAGE: usize = 1000;

/// How many keys that differ are named.
const NAMED: usize = 10;

/// How often a projection that moves while it is read is read again.
const TRIES: u32 = 20;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Name {
    Users,
    Groups,
    Activity,
}

/// What came of it.
#[derive(Serialize)]
struct Comparison {
    projection: &'static str,
    /// Up to which event both are folded.
    sequence: u64,
    n_views: usize,
    /// SHA-256 over keys and values in the order of the keys.
    stored: String,
    folded: String,
    /// Some of the keys whose views differ.
    differing: Vec<String>,
}

pub(super) async fn verify(nats: &Nats, name: Name, output: &Output) -> anyhow::Result<()> {
    let comparison = match name {
        Name::Users => compare::<Users>(nats).await,
        Name::Groups => compare::<Groups>(nats).await,
        Name::Activity => compare::<Activity>(nats).await,
    }?;
    output.show(&comparison, || text(&comparison))?;
    anyhow::ensure!(
        comparison.stored == comparison.folded,
        "the stored views of {} are not what the events say",
        comparison.projection
    );
    Ok(())
}

async fn compare<P: Projection>(nats: &Nats) -> anyhow::Result<Comparison> {
    let stored = at_rest::<P>(nats).await?;
    let folded = fold::<P>(nats, stored.sequence()).await?;
    let keys = stored.iter().chain(folded.iter()).map(|(key, _)| key.clone());
    let mut differing: Vec<String> = keys.filter(|key| stored.get(key) != folded.get(key)).collect();
    differing.sort();
    differing.dedup();
    differing.truncate(NAMED);
    Ok(Comparison {
        projection: P::NAME,
        sequence: stored.sequence(),
        n_views: stored.iter().count(),
        stored: fingerprint(&stored)?,
        folded: fingerprint(&folded)?,
        differing,
    })
}

/// The stored views at one checkpoint: read again where the checkpoint moved meanwhile.
async fn at_rest<P: Projection>(nats: &Nats) -> anyhow::Result<Views<P>> {
    let pointer = views::read::<Pointer>(nats, &nats.namespace.meta_bucket(), &pointer_key(P::NAME)).await?;
    let pointer =
        pointer.with_context(|| format!("{} was never folded: is a projector running?", P::NAME))?;
    let bucket = nats.namespace.projection_bucket(P::NAME, pointer.value.generation);
    for _ in 0..TRIES {
        let loaded = views::load::<P>(nats, &bucket).await?;
        let after = views::read(nats, &bucket, domain::view::CHECKPOINT_KEY).await?;
        if loaded.checkpoint == after {
            let sequence = loaded.checkpoint.map_or(0, |entry| entry.value.sequence);
            return Ok(Views::loaded(loaded.views, sequence));
        }
    }
    anyhow::bail!("{} moves too fast to be compared: try again when less happens", P::NAME)
}

async fn fold<P: Projection>(nats: &Nats, until: u64) -> anyhow::Result<Views<P>> {
    let log = EventLog::open(nats).await?;
    let everything = log.namespace().events_filter(None, None);
    let mut views = Views::default();
    while views.sequence() < until {
        let page = log.page(&everything, From::Sequence(views.sequence() + 1), PAGE).await?;
        if page.is_empty() {
            break;
        }
        for message in page.iter().filter(|message| message.sequence <= until) {
            if let Ok(event) = message.decode() {
                views.apply(&event);
            }
        }
        views.advance(page.last().map_or(until, |message| message.sequence.min(until)));
    }
    Ok(views)
}

fn fingerprint<P: Projection>(views: &Views<P>) -> anyhow::Result<String> {
    let mut digest = Digest::new(&SHA256);
    for (key, view) in views.iter() {
        digest.update(key.as_bytes());
        digest.update(b"=");
        digest.update(&serde_json::to_vec(view)?);
        digest.update(b"\n");
    }
    Ok(digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat())
}

fn text(comparison: &Comparison) -> String {
    let Comparison { projection, sequence, n_views, stored, folded, differing } = comparison;
    let verdict = if differing.is_empty() {
        "equal".to_owned()
    } else {
        format!("different: {}", differing.join(", "))
    };
    format!("{projection}: {n_views} views at event {sequence}\nstored {stored}\nfolded {folded}\n{verdict}")
}
