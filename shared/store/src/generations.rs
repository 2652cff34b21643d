//! The generations of a projection. Each has a bucket; readers use the generation that the pointer names.

use std::collections::BTreeSet;

use anyhow::Context;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::DeleteStreamErrorKind;
use futures_util::TryStreamExt;
use runtime::nats::Nats;

/// Numbers of the generations whose buckets exist.
pub async fn list(nats: &Nats, projection: &str) -> anyhow::Result<BTreeSet<u64>> {
    let prefix = format!("KV_{}_{projection}_", nats.namespace);
    let mut names = nats.jetstream.stream_names();
    let mut generations = BTreeSet::new();
    while let Some(name) = names.try_next().await.context("listing the buckets")? {
        generations.extend(name.strip_prefix(&prefix).and_then(|number| number.parse::<u64>().ok()));
    }
    Ok(generations)
}

/// Deletes the bucket of a generation with its contents. Succeeds if the bucket does not exist.
pub async fn delete(nats: &Nats, projection: &str, generation: u64) -> anyhow::Result<()> {
    let bucket = nats.namespace.projection_bucket(projection, generation);
    match nats.jetstream.delete_stream(format!("KV_{bucket}")).await {
        Ok(_) => Ok(()),
        Err(error) if is_missing(&error.kind()) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("deleting bucket {bucket}")),
    }
}

fn is_missing(kind: &DeleteStreamErrorKind) -> bool {
    matches!(kind, DeleteStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
