//! A projection's bucket: its pointer, loading it, and writing views together with their checkpoint.

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
use crate::publish::{self, Expected, Outgoing, PublishError, Stored};

/// How often the end of a bucket is run after that moves on. It stands still between any two commits.
const MAX_CHASES: u32 = 1_000;

/// Which generation of a projection readers are to use. Stands in the meta bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// The generation.
    pub generation: u64,
    /// Version of the projection that folds it.
    pub version: u32,
}

/// A value in a bucket and its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// The value.
    pub value: T,
    /// Its sequence in the bucket's stream: what a conditional write expects.
    pub revision: u64,
}

/// Key of a projection's pointer in the meta bucket.
pub fn pointer_key(projection: &str) -> String {
    format!("projection.{projection}")
}

/// Reads a value from the leader. One that is not of this kind is an error that says how to get rid of it.
pub async fn read<T: DeserializeOwned>(
    nats: &Nats,
    bucket: &str,
    key: &str,
) -> anyhow::Result<Option<Entry<T>>> {
    let Some(Entry { value, revision }) = read_bytes(nats, bucket, key).await? else { return Ok(None) };
    let value = serde_json::from_slice(&value).with_context(|| {
        let remedy = match key {
            CHECKPOINT_KEY => "rebuild the projection".to_owned(),
            key => format!("`nats kv del {bucket} {key}`, and it is made anew"),
        };
        format!("{key} in bucket {bucket} is not what this version writes: {remedy}")
    })?;
    Ok(Some(Entry { value, revision }))
}

/// Reads a value from the leader, whatever it is.
pub async fn read_bytes(nats: &Nats, bucket: &str, key: &str) -> anyhow::Result<Option<Entry<Bytes>>> {
    let newest = newest(nats, bucket, key).await?.filter(|message| !is_deletion(&message.headers));
    Ok(newest.map(|message| Entry { value: message.payload, revision: message.sequence }))
}

async fn newest(nats: &Nats, bucket: &str, key: &str) -> anyhow::Result<Option<StreamMessage>> {
    let stream =
        nats.jetstream.get_stream_no_info(format!("KV_{bucket}")).await.context("opening a bucket")?;
    match stream.get_last_raw_message_by_subject(&format!("$KV.{bucket}.{key}")).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {key} in bucket {bucket}")),
    }
}

fn is_deletion(headers: &HeaderMap) -> bool {
    headers.get("KV-Operation").is_some()
}

/// Writes a value where its revision is the expected one; 0 where there must be none.
pub async fn write<T: Serialize>(
    nats: &Nats,
    bucket: &str,
    key: &str,
    value: &T,
    expected: u64,
) -> Result<Stored, PublishError> {
    let written = publish::publish(nats, outgoing(bucket, key, value, Some(expected))?).await;
    if expected > 0 || written != Err(PublishError::Conflict) {
        return written;
    }
    // A key that was deleted has no value, but a revision: that of its deletion.
    match newest(nats, bucket, key).await {
        Ok(Some(message)) if is_deletion(&message.headers) => {
            publish::publish(nats, outgoing(bucket, key, value, Some(message.sequence))?).await
        }
        _ => written,
    }
}

/// Writes views and checkpoint as one commit, where the checkpoint's revision is the expected one.
///
/// A runner that lost its place to another one is refused by that. At most 999 views fit.
pub async fn write_views<V: Serialize>(
    nats: &Nats,
    bucket: &str,
    views: &[(String, Option<&V>)],
    checkpoint: &Checkpoint,
    expected: u64,
) -> Result<Stored, PublishError> {
    let mut messages = view_messages(bucket, views)?;
    messages.push(outgoing(bucket, CHECKPOINT_KEY, checkpoint, Some(expected))?);
    let batch = runtime::clock::new_id().simple().to_string();
    publish::publish_batch(nats, &batch, messages).await
}

/// Writes views as one commit, without a checkpoint: for the part of an event's changes that does not fit.
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
) -> Result<Vec<Outgoing>, PublishError> {
    let message = |(key, view): &(String, Option<&V>)| match view {
        Some(view) => outgoing(bucket, key, view, None),
        None => Ok(deletion(bucket, key)),
    };
    views.iter().map(message).collect()
}

fn outgoing<T: Serialize>(
    bucket: &str,
    key: &str,
    value: &T,
    expected: Option<u64>,
) -> Result<Outgoing, PublishError> {
    let payload = serde_json::to_vec(value).map_err(|error| PublishError::Refused {
        code: 0,
        description: format!("{key} is no JSON: {error}"),
    })?;
    let expected = expected.map(|last_sequence| Expected { last_sequence, filter: None });
    Ok(Outgoing {
        subject: format!("$KV.{bucket}.{key}"),
        headers: HeaderMap::new(),
        payload: payload.into(),
        expected,
    })
}

fn deletion(bucket: &str, key: &str) -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert("KV-Operation", "DEL");
    Outgoing { subject: format!("$KV.{bucket}.{key}"), headers, payload: Bytes::new(), expected: None }
}

/// What a bucket holds.
#[derive(Debug)]
pub struct Loaded<P: Projection> {
    /// The views by key.
    pub views: BTreeMap<String, P::View>,
    /// Up to where they are folded; nothing in a bucket that was never written.
    pub checkpoint: Option<Entry<Checkpoint>>,
}

/// What a bucket holds, byte for byte.
#[derive(Debug)]
pub struct Contents {
    /// The stored values by key, without the checkpoint.
    pub values: BTreeMap<String, Bytes>,
    /// Up to where they are folded; nothing in a bucket that was never written.
    pub checkpoint: Option<Entry<Checkpoint>>,
}

/// Reads a whole bucket.
///
/// What is written meanwhile may be in it or not: a view can be ahead of the checkpoint, never behind it,
/// and folding skips what a view took in already.
pub async fn load<P: Projection>(nats: &Nats, bucket: &str) -> anyhow::Result<Loaded<P>> {
    let Contents { values, checkpoint } = load_bytes(nats, bucket).await?;
    let read = |(key, value): (String, Bytes)| {
        let view = serde_json::from_slice(&value)
            .with_context(|| format!("view {key} in {bucket} is not of this version: rebuild {}", P::NAME))?;
        Ok((key, view))
    };
    let views = values.into_iter().map(read).collect::<anyhow::Result<_>>()?;
    Ok(Loaded { views, checkpoint })
}

/// Reads a whole bucket without looking into the values; see [`load`] for what is written meanwhile.
pub async fn load_bytes(nats: &Nats, bucket: &str) -> anyhow::Result<Contents> {
    // The leader's word.
    let checkpoint = read(nats, bucket, CHECKPOINT_KEY).await?;
    let values = current(nats, bucket).await.with_context(|| format!("loading bucket {bucket}"))?;
    Ok(Contents { values, checkpoint })
}

/// Every value of a bucket, as they were together at one moment.
///
/// A value that is replaced before its turn comes at the end of the stream, so only who has reached the end has all. And the
/// consumer is wherever the server puts it: the end that counts is the leader's, of which that node may not have heard.
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
            let (placed, _) = messages.next().await?;
            sequence = placed.sequence;
            let message = placed.message;
            let key = message.subject.strip_prefix(prefix.as_str()).context("a key of another bucket")?;
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
    bail!("it is written faster than it can be read: try again when less is recorded")
}
