//! The feed that the design rejects: a broadcast channel, and poem's `SSE`, which encodes for each subscriber.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use domain::event::Recorded;
use futures_util::stream;
use poem::endpoint::make_sync;
use poem::web::sse::{Event, SSE};
use poem::{IntoResponse, get};
use runtime::config::{NatsConfig, TelemetryConfig};
use runtime::health::Health;
use runtime::nats::Nats;
use runtime::{CancellationToken, http};
use store::log::EventLog;
use store::publish::retry_delay;
use tokio::sync::broadcast::{Receiver, Sender};

/// Who lags behind more than this misses events, and is cut off here.
const CAPACITY: usize = 16_384;

/// As often as the API does.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Settings of the naive feed.
#[derive(Clone, Debug, Parser)]
pub struct Config {
    #[command(flatten)]
    nats: NatsConfig,
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// Where to listen: `host:port`.
    #[arg(long)]
    listen: String,
}

/// Serves until shutdown, at the path that the API has.
pub async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
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
            // On a busy machine NATS may not answer in time.
            tokio::time::sleep(retry_delay(0)).await;
            continue;
        };
        let recorded = message.decode().context("an event that cannot be read")?;
        let sequence = recorded.sequence;
        // Nobody may have subscribed.
        let _ = events.send(Arc::new(recorded));
        #[expect(clippy::cast_precision_loss, reason = "no stream comes near 2^52 events")]
        metrics::gauge!(crate::server::SEEN).set(sequence as f64);
    }
}

/// What one subscriber is sent; ends where they lag too far behind.
fn encoded(events: Receiver<Arc<Recorded>>) -> impl futures_util::Stream<Item = Event> + Send + 'static {
    stream::unfold(events, async |mut events| {
        let recorded = events.recv().await.ok()?;
        let json = String::from_utf8(recorded.event.to_json().ok()?).ok()?;
        let id = format!("epoch-{}", recorded.sequence);
        Some((Event::message(json).id(id).event_type(recorded.event.body.event_type().as_str()), events))
    })
}
