//! The naive feed: a broadcast channel, and poem's `SSE`, which encodes each event for each subscriber.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::event::Recorded;
use futures_util::stream;
use poem::endpoint::make_sync;
use poem::web::sse::{Event, SSE};
use poem::{IntoResponse, get};
use runtime::health::Health;
use runtime::nats::Nats;
use runtime::{CancellationToken, http};
use store::log::EventLog;
use store::publish::retry_delay;
use tokio::sync::broadcast::{Receiver, Sender};

use crate::server::ServerConfig;

/// Capacity of the channel. A subscriber that lags further behind is disconnected.
const CAPACITY: usize = 16_384;

/// The interval of the API's heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Serves the feed until shutdown, at the same path as the API.
pub async fn serve(config: ServerConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    let health = Health::waiting_for(&["nats", "streams", "log"]);
    let nats = Nats::connect(&config.nats, "naive", &health).await?;
    let events = Sender::new(CAPACITY);
    let subscribed = events.clone();
    let app = http::operations(&health).at(
        crate::subscribers::PATH,
        get(make_sync(move |_| {
            SSE::new(encoded(subscribed.subscribe())).keep_alive(HEARTBEAT).into_response()
        })),
    );
    tokio::spawn(http::bind(&config.listen).await?.serve(app, shutdown.clone()));
    nats.wait_for_streams(&[nats.namespace.events_stream()], &health, &shutdown).await?;
    let log = EventLog::open(&nats).await?;
    let mut messages = log.follow(log.head().await? + 1);
    health.ok("log");
    loop {
        let Ok(message) = messages.next().await else {
            // NATS on a busy machine may not answer in time; retry.
            tokio::time::sleep(retry_delay(0)).await;
            continue;
        };
        let recorded = message.decode().context("reading an event")?;
        let sequence = recorded.sequence;
        // Sending fails if there are no subscribers, which is fine.
        let _ = events.send(Arc::new(recorded));
        #[expect(clippy::cast_precision_loss, reason = "no stream comes near 2^52 events")]
        metrics::gauge!(crate::server::SEEN).set(sequence as f64);
    }
}

/// The events of one subscriber, encoded. Ends when the subscriber lags too far behind.
fn encoded(events: Receiver<Arc<Recorded>>) -> impl futures_util::Stream<Item = Event> + Send + 'static {
    stream::unfold(events, async |mut events| {
        let recorded = events.recv().await.ok()?;
        let json = String::from_utf8(recorded.event.to_json().ok()?).ok()?;
        let id = format!("epoch-{}", recorded.sequence);
        Some((Event::message(json).id(id).event_type(recorded.event.body.event_type().as_str()), events))
    })
}
