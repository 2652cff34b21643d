//! Sends due webhooks, as authentik's worker does: at least once, in no order, and not for ever.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use poem::http::StatusCode;
use standardwebhooks::Webhook;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::body::Body;
use crate::clock;
use crate::config::Config;
use crate::store::Row;
use crate::store::delivery::{Delivery, MAX_ATTEMPTS, Status};
use crate::store::event::Event;
use crate::world::World;

/// `AUTHENTIK_HTTP_TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The first backoff; it doubles with each attempt.
const BACKOFF_SECONDS: f64 = 15.0;
/// The longest sleep without a look at what is due.
const IDLE: Duration = Duration::from_hours(1);

/// Sends webhooks to one target.
pub struct Sender {
    url: String,
    client: reqwest::Client,
    webhook: Option<Webhook>,
}

/// What a target answered.
pub struct Sent {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub text: String,
}

impl Sender {
    /// The sender to the configured target, if there is one.
    pub fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(url) = config.webhook_url.clone() else { return Ok(None) };
        let webhook = config.webhook_secret.as_ref().map(|secret| Webhook::new(secret.expose()));
        let client = reqwest::Client::builder()
            .user_agent("authentik@2026.2.2")
            .timeout(TIMEOUT)
            .http1_only()
            .build()
            .context("making the HTTP client of webhooks")?;
        Ok(Some(Self { url, client, webhook: webhook.transpose().context("SIMULATOR_WEBHOOK_SECRET")? }))
    }

    /// Sends what is due until `shutdown`. Open attempts are cut off: they stay pending.
    pub async fn run(self, world: Arc<World>, shutdown: CancellationToken) {
        let sender = Arc::new(self);
        let workers = Arc::new(Semaphore::new(world.config.workers.max(1)));
        let attempts = TaskTracker::new();
        let sending = async {
            while let Ok(worker) = Arc::clone(&workers).acquire_owned().await {
                let delivery = next_due(&world).await;
                let (sender, world, shutdown) = (Arc::clone(&sender), Arc::clone(&world), shutdown.clone());
                attempts.spawn(async move {
                    shutdown.run_until_cancelled(sender.deliver(&world, delivery)).await;
                    drop(worker);
                });
            }
        };
        shutdown.run_until_cancelled(sending).await;
        attempts.close();
        attempts.wait().await;
    }

    async fn deliver(&self, world: &World, delivery: Delivery) {
        let Some(body) = world.read(|store| store.event(delivery.id).map(Body::from)) else {
            settle(world, delivery.id, |delivery| Delivery { status: Status::Dropped, ..delivery });
            return;
        };
        let faults = world.faults();
        if clock::chance(faults.drop_webhooks) {
            settle(world, delivery.id, |delivery| Delivery { status: Status::Dropped, ..delivery });
            return;
        }
        let body = body.into_bytes();
        let outcome = self.send(delivery.id, body.clone()).await;
        if outcome.is_ok() && clock::chance(faults.duplicate_webhooks) {
            // The target has it already; whatever becomes of the second one changes nothing.
            let _ = self.send(delivery.id, body).await;
        }
        let scale = world.config.retry_scale;
        match outcome {
            Ok(()) => {
                settle(world, delivery.id, |delivery| Delivery { status: Status::Delivered, ..delivery });
            }
            Err(error) => {
                tracing::warn!(event.id = %delivery.id, "a webhook was not delivered: {error:#}");
                settle(world, delivery.id, |delivery| failed(delivery, scale));
            }
        }
    }

    /// One attempt, at once, whatever the answer.
    pub async fn send_now(&self, event: &Event) -> anyhow::Result<Sent> {
        let answer = self.post(event.pk, Body::from(event).into_bytes()).await?;
        Ok(Sent { status: answer.status(), text: answer.text().await.unwrap_or_default() })
    }

    /// One attempt. Any status below 400 is a success, also a redirect that leads nowhere.
    async fn send(&self, id: Uuid, body: Vec<u8>) -> anyhow::Result<()> {
        let answer = self.post(id, body).await?;
        anyhow::ensure!(
            answer.status().as_u16() < StatusCode::BAD_REQUEST.as_u16(),
            "the target answered {}",
            answer.status()
        );
        Ok(())
    }

    async fn post(&self, id: Uuid, body: Vec<u8>) -> anyhow::Result<reqwest::Response> {
        let timestamp = clock::now().unix();
        let mut request = self
            .client
            .post(&self.url)
            .header("Accept-Encoding", "gzip, deflate, zstd")
            .header("Accept", "*/*")
            .header("Connection", "keep-alive")
            .header("webhook-id", id.to_string())
            .header("webhook-timestamp", timestamp.to_string())
            .header("Content-Type", "application/json");
        if let Some(webhook) = &self.webhook {
            let signature = webhook.sign(&id.to_string(), timestamp, &body).context("signing")?;
            request = request.header("webhook-signature", signature);
        }
        request.body(body).send().await.context("posting")
    }
}

/// Waits for a delivery that is due.
async fn next_due(world: &World) -> Delivery {
    loop {
        // Before the look, so that what comes after it wakes us.
        let woken = world.wake.notified();
        let now = clock::now();
        let wait = if world.faults().hold_webhooks {
            IDLE
        } else {
            match world.take_due(now) {
                Ok(delivery) => return delivery,
                Err(next) => next.map_or(IDLE, |next| now.until(next)),
            }
        };
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(wait.max(Duration::from_millis(1))) => {}
        }
    }
}

/// The state after a failed attempt: tried again later, or given up.
fn failed(delivery: Delivery, scale: f64) -> Delivery {
    let attempts = delivery.attempts + 1;
    let exponent = i32::try_from(delivery.attempts).unwrap_or(0);
    let jitter = 0.5 + clock::fraction() / 2.0;
    let due = clock::now().plus_seconds(BACKOFF_SECONDS * 2_f64.powi(exponent) * jitter * scale);
    let status = if attempts >= MAX_ATTEMPTS { Status::Rejected } else { Status::Pending };
    Delivery { attempts, status, due, ..delivery }
}

/// Records what became of an attempt, unless the delivery is gone by now.
fn settle(world: &World, id: Uuid, outcome: impl FnOnce(Delivery) -> Delivery) {
    world.write(None, |tx| {
        if let Some(delivery) = tx.store().deliveries.get(id) {
            tx.put(Row::Delivery(outcome(delivery)));
        }
    });
}

/// Tries rejected deliveries once more, each without further retries; says how many.
pub fn retry_rejected(world: &World) -> usize {
    world.write(None, |tx| {
        let is_rejected = |delivery: &&Delivery| delivery.status == Status::Rejected;
        let rejected: Vec<Delivery> = tx.store().deliveries.open().filter(is_rejected).copied().collect();
        for delivery in &rejected {
            let due = clock::now();
            let attempts = MAX_ATTEMPTS - 1;
            tx.put(Row::Delivery(Delivery { status: Status::Pending, attempts, due, ..*delivery }));
        }
        rejected.len()
    })
}
