//! Pages of events, read from any replica.

use anyhow::{Context, bail};
use async_nats::jetstream::stream::RawMessageErrorKind;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;

use super::{EventLog, ReadFrom, StoredMessage};
use crate::publish::retry_delay;

/// Most bytes of a page with more than one event.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// How many times to ask replicas that lag behind the leader before giving up.
const MAX_LAGGING: u32 = 8;

impl EventLog {
    /// Up to `limit` messages on the subjects of `filter`, oldest first. Empty only if the leader has none either.
    ///
    /// A page with fewer than `limit` messages is not necessarily the last: a lagging replica may lack newer ones.
    pub async fn page(
        &self,
        filter: &str,
        from: ReadFrom,
        limit: usize,
    ) -> anyhow::Result<Vec<StoredMessage>> {
        for n_empty in 0..MAX_LAGGING {
            let page = self.page_of_a_replica(filter, from, limit).await?;
            if !page.is_empty() {
                return Ok(page);
            }
            match from {
                ReadFrom::Sequence(sequence) => {
                    return Ok(Vec::from_iter(self.first(filter, sequence).await?));
                }
                ReadFrom::Time(time)
                    if self.newest_on(filter).await?.is_none_or(|newest| newest.stored < time) =>
                {
                    return Ok(vec![]);
                }
                // The leader cannot be queried by time. The replica catches up soon.
                ReadFrom::Time(_) => tokio::time::sleep(retry_delay(n_empty)).await,
            }
        }
        bail!("the answering replica lags behind the leader; try again")
    }

    /// The first message at this sequence or later, according to the leader.
    async fn first(&self, filter: &str, sequence: u64) -> anyhow::Result<Option<StoredMessage>> {
        match self.stream.get_first_raw_message_by_subject(filter, sequence.max(1)).await {
            Ok(message) => Ok(Some(message.into())),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading the next event on {filter}")),
        }
    }

    async fn page_of_a_replica(
        &self,
        filter: &str,
        from: ReadFrom,
        limit: usize,
    ) -> anyhow::Result<Vec<StoredMessage>> {
        let mut request = json!({"next_by_subj": filter, "batch": limit, "max_bytes": MAX_BYTES});
        match from {
            ReadFrom::Sequence(sequence) => request["seq"] = json!(sequence.max(1)),
            ReadFrom::Time(time) => request["start_time"] = json!(time),
        }
        let client = &self.nats.client;
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.context("subscribing for a page")?;
        let subject = format!("$JS.API.DIRECT.GET.{}", self.nats.namespace.events_stream());
        let payload = Bytes::from(request.to_string());
        client.publish_with_reply(subject, inbox, payload).await.context("requesting a page of events")?;
        let mut messages = vec![];
        loop {
            let next = tokio::time::timeout(runtime::nats::ACK_TIMEOUT, answers.next()).await;
            let next = next.context("a request for a page of events timed out")?;
            let answer = next.context("the connection was closed")?;
            match answer.status.map(|status| status.as_u16()) {
                // 204 marks the end of the batch, 404 means that there are no messages:
                // https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md
                Some(204 | 404) => return Ok(messages),
                Some(status) => bail!("a request for a page of events was answered with status {status}"),
                None => messages.push(from_direct_get(&answer)?),
            }
        }
    }
}

fn from_direct_get(message: &async_nats::Message) -> anyhow::Result<StoredMessage> {
    let headers = message.headers.as_ref().context("the answer has no headers")?;
    let header = |name: &str| {
        headers.get(name).map(async_nats::HeaderValue::as_str).with_context(|| format!("{name} is missing"))
    };
    Ok(StoredMessage {
        sequence: header("Nats-Sequence")?.parse().context("Nats-Sequence")?,
        stored: header("Nats-Time-Stamp")?.parse().context("Nats-Time-Stamp")?,
        subject: header("Nats-Subject")?.to_owned(),
        payload: message.payload.clone(),
    })
}
