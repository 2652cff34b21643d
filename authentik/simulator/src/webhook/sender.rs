//! Sends due webhooks like authentik's worker: at least once, in random order, with a limit of attempts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use poem::http::StatusCode;
use standardwebhooks::Webhook;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::body;
use crate::clock;
use crate::config::Config;
use crate::store::Row;
use crate::store::delivery::{Delivery, MAX_ATTEMPTS, Status};
use crate::world::World;

/// The default of `AUTHENTIK_HTTP_TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The backoff after the first attempt; it doubles each time (authentik/root/settings.py, dramatiq 1.17.1).
const BACKOFF_SECONDS: f64 = 15.0;
/// The longest wait without a check for due deliveries.
const IDLE: Duration = Duration::from_hours(1);
/// The number of simultaneous requests. authentik's default worker sends two, which is slow for large tests.
const WORKERS: usize = 8;

/// Sends webhooks to one target.
pub struct Sender {
    url: String,
    client: reqwest::Client,
    webhook: Option<Webhook>,
}

impl Sender {
    /// A sender to the configured URL; `None` without a URL. Fails if the secret is invalid.
    pub fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(url) = config.webhook_url.clone() else { return Ok(None) };
        let webhook = config.webhook_secret.as_ref().map(|secret| Webhook::new(secret.expose()));
        let client = reqwest::Client::builder()
            .user_agent("authentik@2026.2.2")
            .timeout(TIMEOUT)
            .http1_only()
            .build()
            .context("building the HTTP client for webhooks")?;
        Ok(Some(Self { url, client, webhook: webhook.transpose().context("SIMULATOR_WEBHOOK_SECRET")? }))
    }

    /// Sends due deliveries until `shutdown`, which aborts open attempts. Their deliveries stay pending.
    pub async fn run(self, world: Arc<World>, shutdown: CancellationToken) {
        let sender = Arc::new(self);
        let workers = Arc::new(Semaphore::new(WORKERS));
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
        let faults = world.faults();
        let body = world.read(|store| store.event(delivery.id).map(body::bytes));
        let Some(body) = body.filter(|_| !clock::chance(faults.drop_webhooks)) else {
            record_outcome(world, Delivery { status: Status::Dropped, ..delivery });
            return;
        };
        let sent = self.send(delivery.id, body.clone()).await;
        if sent.is_ok() && clock::chance(faults.duplicate_webhooks) {
            // The first request was delivered, so the outcome of the duplicate does not matter.
            let _ = self.send(delivery.id, body).await;
        }
        let outcome = match sent {
            Ok(()) => Delivery { status: Status::Delivered, ..delivery },
            Err(error) => {
                tracing::warn!(event.id = %delivery.id, "a webhook was not delivered: {error:#}");
                after_failure(delivery, world.config.retry_scale)
            }
        };
        record_outcome(world, outcome);
    }

    /// Makes one attempt. Any status below 400 is a success, even a redirect without a `Location`.
    async fn send(&self, id: Uuid, body: Vec<u8>) -> anyhow::Result<()> {
        let status = self.post(id, body).await?.status();
        anyhow::ensure!(status.as_u16() < StatusCode::BAD_REQUEST.as_u16(), "the target answered {status}");
        Ok(())
    }

    /// Makes one attempt, and returns the response with any status.
    pub async fn post(&self, id: Uuid, body: Vec<u8>) -> anyhow::Result<reqwest::Response> {
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
            let signature = webhook.sign(&id.to_string(), timestamp, &body).context("signing the webhook")?;
            request = request.header("webhook-signature", signature);
        }
        request.body(body).send().await.context("posting the webhook")
    }
}

/// Waits for a due delivery.
async fn next_due(world: &World) -> Delivery {
    loop {
        // Registered before the check, so that no change after the check is missed.
        let woken = world.sender_wakeup.notified();
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

/// The delivery after a failed attempt: due again after the backoff, or rejected.
fn after_failure(delivery: Delivery, scale: f64) -> Delivery {
    let attempts = delivery.attempts + 1;
    let exponent = i32::try_from(delivery.attempts).unwrap_or(0);
    let jitter = 0.5 + clock::fraction() / 2.0;
    let due = clock::now().plus_seconds(BACKOFF_SECONDS * 2_f64.powi(exponent) * jitter * scale);
    let status = if attempts >= MAX_ATTEMPTS { Status::Rejected } else { Status::Pending };
    Delivery { attempts, status, due, ..delivery }
}

/// Stores the outcome of an attempt, unless the delivery was dropped in the meantime.
fn record_outcome(world: &World, outcome: Delivery) {
    world.write(None, |tx| {
        if tx.store().deliveries.get(outcome.id).is_some() {
            tx.put(Row::Delivery(outcome));
        }
    });
}
