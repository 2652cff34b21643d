//! Measures the streams for metrics and alerts. Every projector measures the state of the whole system.

use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::stream::DirectGetErrorKind;
use domain::status::Status;
use domain::timestamp::Timestamp;
use runtime::{CancellationToken, clock};
use store::log::ReadFrom;
use tokio::time::MissedTickBehavior;

use crate::operate::status;
use crate::projections::Projections;

/// Shorter than the usual scrape interval of Prometheus.
const INTERVAL: Duration = Duration::from_secs(5);

struct Measurement {
    status: Status,
    /// When the oldest unprocessed delivery was stored.
    oldest_delivery: Option<Timestamp>,
    /// When the oldest event that is not folded was stored, by projection.
    oldest_unfolded: Vec<(String, Option<Timestamp>)>,
}

/// Measures until shutdown. While NATS is unavailable the gauges keep their values, and
/// `projector_measured_timestamp_seconds` shows how old they are.
pub(crate) async fn measure_until(
    projections: Projections,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        match shutdown.run_until_cancelled(Box::pin(measure(&projections))).await {
            Some(Ok(measurement)) => set_gauges(&measurement, clock::now()),
            Some(Err(error)) => tracing::debug!("cannot measure the streams, retrying: {error:#}"),
            None => break,
        }
    }
    Ok(())
}

async fn measure(projections: &Projections) -> anyhow::Result<Measurement> {
    let status = status::status(projections).await?;
    let everything = projections.log.namespace().events_filter(None, None);
    let mut oldest_unfolded = vec![];
    for projection in &status.projections {
        let next = ReadFrom::Sequence(projection.checkpoint + 1);
        let next = projections.log.page(&everything, next, 1).await?;
        oldest_unfolded.push((projection.name.clone(), next.first().map(|event| event.stored)));
    }
    Ok(Measurement { status, oldest_delivery: oldest_delivery(projections).await?, oldest_unfolded })
}

async fn oldest_delivery(projections: &Projections) -> anyhow::Result<Option<Timestamp>> {
    let nats = &projections.nats;
    let processed = match status::inbox_consumer(nats).await? {
        Some(consumer) if consumer.num_pending == 0 && consumer.num_ack_pending == 0 => return Ok(None),
        Some(consumer) => consumer.ack_floor.stream_sequence,
        None => 0,
    };
    let name = nats.namespace.inbox_stream();
    let inbox = nats.jetstream.get_stream_no_info(&name).await.context("opening the inbox")?;
    let filter = format!("{}.inbox.>", nats.namespace);
    match inbox.direct_get_next_for_subject(filter, Some(processed + 1)).await {
        Ok(message) => Ok(Some(message.time.into())),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("reading the oldest delivery"),
    }
}

fn set_gauges(measurement: &Measurement, now: Timestamp) {
    let Measurement { status, oldest_delivery, oldest_unfolded } = measurement;
    metrics::gauge!("projector_inbox_pending").set(number(status.inbox.pending));
    metrics::gauge!("projector_inbox_in_hand").set(number(status.inbox.in_hand));
    metrics::gauge!("projector_inbox_oldest_seconds").set(number(age(*oldest_delivery, now)));
    metrics::gauge!("projector_dead_letters").set(number(status.dead_letters));
    for stream in &status.streams {
        metrics::gauge!("projector_stream_bytes", "stream" => stream.name.clone()).set(number(stream.bytes));
    }
    for projection in &status.projections {
        metrics::gauge!("projector_projection_lag", "projection" => projection.name.clone())
            .set(number(projection.lag));
    }
    for (projection, oldest) in oldest_unfolded {
        metrics::gauge!("projector_projection_stale_seconds", "projection" => projection.clone())
            .set(number(age(*oldest, now)));
    }
    if let Some(sweep) = &status.last_sweep {
        metrics::gauge!("projector_last_sweep_timestamp_seconds").set(seconds(sweep.completed));
    }
    metrics::gauge!("projector_measured_timestamp_seconds").set(seconds(now));
}

/// Seconds since a time; 0 without a time, and for a time in the future because of clock skew.
fn age(since: Option<Timestamp>, now: Timestamp) -> u64 {
    let age = since.map_or(0, |since| now.unix_seconds() - since.unix_seconds());
    u64::try_from(age).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats; seconds since 1970 fit")]
fn seconds(time: Timestamp) -> f64 {
    time.unix_seconds() as f64
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats; nothing here comes near 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_never_negative_and_is_0_without_a_time() {
        let [early, late]: [Timestamp; 2] =
            ["2026-11-22T08:00:00Z", "2026-11-22T08:01:30Z"].map(|time| time.parse().unwrap());
        assert_eq!([age(Some(early), late), age(Some(late), early), age(None, late)], [90, 0, 0]);
    }
}
