//! Buckets: the pointer of a projection, its views and checkpoint, and single values.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use domain::view::{CHECKPOINT_KEY, Checkpoint, Projection};
use runtime::nats::Nats;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::messages::Reader;
use crate::publish::{self, Expected, NewMessage, PublishError, Stored, not_json};

/// How many times to chase a bucket's moving end before giving up.
const MAX_CHASES: u32 = 1_000;

/// The generation of a projection that readers use. Stored in the meta bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// Number of the generation.
    pub generation: u64,
    /// Version of the projection that folded the generation.
    pub version: u32,
}

/// A value in a bucket and its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// The value.
    pub value: T,
    /// Sequence in the bucket's stream. A conditional write expects it.
    pub revision: u64,
}

/// Key of a projection's pointer in the meta bucket.
pub fn pointer_key(projection: &str) -> String {
    format!("projection.{projection}")
}

/// Reads and decodes a value from the leader. `None` if the key has no value.
///
/// If the value cannot be decoded, the error says how to replace it.
pub async fn read<T: DeserializeOwned>(
    nats: &Nats,
    bucket: &str,
    key: &str,
) -> anyhow::Result<Option<Entry<T>>> {
    let Some(Entry { value, revision }) = read_bytes(nats, bucket, key).await? else { return Ok(None) };
    let value = serde_json::from_slice(&value).with_context(|| {
        let remedy = match key {
            CHECKPOINT_KEY => "rebuild the projection".to_owned(),
            key => format!("run `nats kv del {bucket} {key}`, then it is created again"),
        };
        format!("{key} in bucket {bucket} is not what this version writes: {remedy}")
    })?;
    Ok(Some(Entry { value, revision }))
}

/// Reads a value from the leader without decoding it. `None` if the key has no value.
pub async fn read_bytes(nats: &Nats, bucket: &str, key: &str) -> anyhow::Result<Option<Entry<Bytes>>> {
    let newest = newest(nats, bucket, key).await?.filter(|message| !is_deletion(&message.headers));
    Ok(newest.map(|message| Entry { value: message.payload, revision: message.sequence }))
}

/// The newest message on a key, according to the leader: a value, or the marker of its deletion.
///
/// A replica may not have a value that was written a moment ago.
pub(crate) async fn newest(nats: &Nats, bucket: &str, key: &str) -> anyhow::Result<Option<StreamMessage>> {
    let stream = nats.jetstream.get_stream_no_info(format!("KV_{bucket}")).await;
    let stream = stream.with_context(|| format!("opening bucket {bucket}"))?;
    match stream.get_last_raw_message_by_subject(&format!("$KV.{bucket}.{key}")).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {key} in bucket {bucket}")),
    }
}

fn is_deletion(headers: &HeaderMap) -> bool {
    headers.get("KV-Operation").is_some()
}

/// Writes a value on the condition that its revision is `expected`, where 0 means that the key has no value.
pub async fn write<T: Serialize>(
    nats: &Nats,
    bucket: &str,
    key: &str,
    value: &T,
    expected: u64,
) -> Result<Stored, PublishError> {
    let written = publish::publish(nats, put(bucket, key, value, Some(expected))?).await;
    if expected > 0 || written != Err(PublishError::Conflict) {
        return written;
    }
    // A deleted key has no value, but its deletion marker has a revision.
    match newest(nats, bucket, key).await {
        Ok(Some(message)) if is_deletion(&message.headers) => {
            publish::publish(nats, put(bucket, key, value, Some(message.sequence))?).await
        }
        _ => written,
    }
}

/// Writes views and checkpoint as one commit, on the condition that the checkpoint's revision is `expected`.
///
/// `None` deletes a view. At most 999 views are allowed. A writer that lost its lease to another one gets
/// [`PublishError::Conflict`], because the other one has written the checkpoint.
pub async fn write_views<V: Serialize>(
    nats: &Nats,
    bucket: &str,
    views: &[(String, Option<&V>)],
    checkpoint: &Checkpoint,
    expected: u64,
) -> Result<Stored, PublishError> {
    let mut messages = view_messages(bucket, views)?;
    messages.push(put(bucket, CHECKPOINT_KEY, checkpoint, Some(expected))?);
    let batch = runtime::clock::new_id().simple().to_string();
    publish::publish_batch(nats, &batch, messages).await
}

/// Writes views as one commit without a checkpoint, for an event that changes more views than fit into one commit.
///
/// At most 1000 views are allowed.
pub async fn write_views_alone<V: Serialize>(
    nats: &Nats,
    bucket: &str,
    views: &[(String, Option<&V>)],
) -> Result<Stored, PublishError> {
    let batch = runtime::clock::new_id().simple().to_string();
    publish::publish_batch(nats, &batch, view_messages(bucket, views)?).await
}

fn view_messages<V: Serialize>(
    bucket: &str,
    views: &[(String, Option<&V>)],
) -> Result<Vec<NewMessage>, PublishError> {
    let message = |(key, view): &(String, Option<&V>)| match view {
        Some(view) => put(bucket, key, view, None),
        None => Ok(deletion(bucket, key)),
    };
    views.iter().map(message).collect()
}

fn put<T: Serialize>(
    bucket: &str,
    key: &str,
    value: &T,
    expected: Option<u64>,
) -> Result<NewMessage, PublishError> {
    let payload = serde_json::to_vec(value).map_err(|error| not_json(key, &error))?;
    let expected = expected.map(|last_sequence| Expected { last_sequence, filter: None });
    Ok(NewMessage {
        subject: format!("$KV.{bucket}.{key}"),
        headers: HeaderMap::new(),
        payload: payload.into(),
        expected,
    })
}

fn deletion(bucket: &str, key: &str) -> NewMessage {
    let mut headers = HeaderMap::new();
    headers.insert("KV-Operation", "DEL");
    NewMessage { subject: format!("$KV.{bucket}.{key}"), headers, payload: Bytes::new(), expected: None }
}

/// The decoded contents of a projection's bucket.
#[derive(Debug)]
pub struct Loaded<P: Projection> {
    /// The views by key.
    pub views: BTreeMap<String, P::View>,
    /// The last event folded into the views. `None` if the bucket was never written.
    pub checkpoint: Option<Entry<Checkpoint>>,
}

/// The contents of a projection's bucket, byte for byte.
#[derive(Debug)]
pub struct Contents {
    /// The values by key, without the checkpoint.
    pub values: BTreeMap<String, Bytes>,
    /// The last event folded into the values. `None` if the bucket was never written.
    pub checkpoint: Option<Entry<Checkpoint>>,
}

/// Reads and decodes a whole bucket.
///
/// A view that is written during the read can be newer than the checkpoint, never older. This is harmless, because
/// folding skips events that are already in a view.
pub async fn load<P: Projection>(nats: &Nats, bucket: &str) -> anyhow::Result<Loaded<P>> {
    let Contents { values, checkpoint } = load_bytes(nats, bucket).await?;
    let read = |(key, value): (String, Bytes)| {
        let view = serde_json::from_slice(&value).with_context(|| {
            format!("view {key} in {bucket} is from another version: rebuild {}", P::NAME)
        })?;
        Ok((key, view))
    };
    let views = values.into_iter().map(read).collect::<anyhow::Result<_>>()?;
    Ok(Loaded { views, checkpoint })
}

/// Reads a whole bucket without decoding the values. As in [`load`], values can be newer than the checkpoint.
pub async fn load_bytes(nats: &Nats, bucket: &str) -> anyhow::Result<Contents> {
    // Before the values, and from the leader, so that no value is older than the checkpoint.
    let checkpoint = read(nats, bucket, CHECKPOINT_KEY).await?;
    let values = current(nats, bucket).await.with_context(|| format!("loading bucket {bucket}"))?;
    Ok(Contents { values, checkpoint })
}

/// A consistent snapshot of the values of a bucket.
///
/// A value that is replaced before it was read moves to the end of the stream, so a snapshot is complete only at the
/// end. That end must be the leader's: the node that runs the consumer can lag behind.
async fn current(nats: &Nats, bucket: &str) -> anyhow::Result<BTreeMap<String, Bytes>> {
    let mut values = BTreeMap::new();
    let Some(mut end) = newest(nats, bucket, ">").await?.map(|message| message.sequence) else {
        return Ok(values);
    };
    let prefix = format!("$KV.{bucket}.");
    let config = OrderedConfig { filter_subject: format!("{prefix}>"), ..OrderedConfig::default() };
    let mut messages = Reader::open(nats, &format!("KV_{bucket}"), config).await?;
    let mut sequence = 0;
    for _ in 0..MAX_CHASES {
        while sequence < end {
            let (next, _) = messages.next().await?;
            sequence = next.sequence;
            let message = next.message;
            let key = message.subject.strip_prefix(prefix.as_str()).context("a message of another bucket")?;
            if message.headers.as_ref().is_some_and(is_deletion) {
                values.remove(key);
            } else if key != CHECKPOINT_KEY {
                values.insert(key.to_owned(), message.payload.clone());
            }
        }
        end = newest(nats, bucket, ">").await?.map_or(0, |message| message.sequence);
        if end == sequence {
            return Ok(values);
        }
    }
    bail!("the bucket is written faster than it can be read: try again when fewer events are recorded")
}
