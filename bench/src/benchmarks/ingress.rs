//! Storing waiting webhooks with one commit, against one publish each.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use async_nats::HeaderMap;
use clap::Parser;
use futures_util::{StreamExt, TryStreamExt, stream};
use ingress::{Config, Ingress, WEBHOOK_PATH};
use poem::endpoint::make;
use poem::http::StatusCode;
use poem::{Error, Request, Route, post};
use reqwest::Client;
use runtime::nats::Nats;
use runtime::{CancellationToken, clock, http};
use serde_json::Value;
use standardwebhooks::Webhook;
use store::publish::{Expected, NewMessage, publish};
use testkit::{eventually, recordings};

use crate::compare::{Comparison, Done, Plan, Unit, Way};
use crate::hosts;

/// Number of concurrent webhooks, and of all webhooks. authentik sends 2 at once by default.
const CASES: [(usize, usize); 3] = [(2, 100), (32, 1_000), (256, 3_000)];
const SMALLEST: [(usize, usize); 3] = [(2, 4), (32, 64), (256, 512)];

pub async fn run(plan: &Plan) -> anyhow::Result<Vec<Comparison>> {
    let (server, nats) = hosts::nats().await;
    let shutdown = CancellationToken::new();
    let _ended = shutdown.clone().drop_guard();
    let as_it_is = as_it_is(&server.url(), &shutdown).await?;
    let naive = naive(&nats, &shutdown).await?;
    let client = Client::new();
    let mut comparisons = vec![];
    for (n_at_once, n_webhooks) in plan.size(CASES, SMALLEST) {
        let comparison = Comparison {
            benchmark: "ingress",
            case: format!("{n_at_once} webhooks at once"),
            unit: Unit::Seconds,
            item: "webhook",
            rounds: vec![],
        };
        let measure = async |way| {
            let url = if way == Way::AsItIs { &as_it_is } else { &naive };
            let before = n_stored(&nats).await?;
            let cost = deliver(&client, url, n_at_once, n_webhooks).await?;
            Ok(Done { n_items: n_stored(&nats).await? - before, cost })
        };
        comparisons.push(comparison.measure(plan, measure).await?);
    }
    Ok(comparisons)
}

async fn n_stored(nats: &Nats) -> anyhow::Result<u64> {
    let inbox =
        nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.context("opening the inbox")?;
    Ok(inbox.cached_info().state.messages)
}

/// Delivers webhooks. Returns the seconds until all are answered.
async fn deliver(client: &Client, url: &str, n_at_once: usize, n_webhooks: usize) -> anyhow::Result<f64> {
    let recorded = recordings::webhook("user_created");
    let recorded_id = recorded.header("webhook-id").context("a recorded webhook has an id")?;
    let (secret, now) = (recordings::webhook_secret(), clock::now().unix_seconds());
    let webhooks: Vec<_> = (0..n_webhooks)
        .map(|_| {
            let id = clock::new_id().to_string();
            let body = recorded.body.replace(recorded_id, &id);
            let signature = recordings::sign(&secret, &id, now, &body);
            let request = client.post(url).header("Content-Type", "application/json");
            let request = request.header("webhook-id", id).header("webhook-timestamp", now);
            request.header("webhook-signature", signature).body(body)
        })
        .collect();
    let start = Instant::now();
    let deliveries = stream::iter(webhooks).map(|webhook| async {
        let answer = webhook.send().await.context("delivering a webhook")?;
        ensure!(answer.status() == 204, "a webhook was answered with {}", answer.status());
        Ok(())
    });
    deliveries.buffer_unordered(n_at_once).try_collect::<()>().await?;
    Ok(start.elapsed().as_secs_f64())
}

async fn as_it_is(nats_url: &str, shutdown: &CancellationToken) -> anyhow::Result<String> {
    let secret = recordings::webhook_secret();
    let flags =
        ["ingress", "--ingress-listen=127.0.0.1:0", "--nats-url", nats_url, "--webhook-secrets", &secret];
    let config = Config::try_parse_from(flags).context("settings of the ingress")?;
    let ingress = Ingress::bind(config, Arc::new(clock::now)).await?;
    let url = format!("http://{}", ingress.address());
    tokio::spawn(ingress.serve(shutdown.clone()));
    eventually("the ingress is ready", || async {
        let answer = reqwest::get(format!("{url}/readyz")).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    Ok(format!("{url}{WEBHOOK_PATH}"))
}

/// Starts a server that verifies, parses and stores webhooks like the ingress, but publishes each one alone.
async fn naive(nats: &Nats, shutdown: &CancellationToken) -> anyhow::Result<String> {
    let secret = Webhook::new(&recordings::webhook_secret()).context("parsing the webhook secret")?;
    let (secret, nats) = (Arc::new(secret), nats.clone());
    let accept = make(move |request| accept(Arc::clone(&secret), nats.clone(), request));
    let bound = http::bind("127.0.0.1:0").await?;
    let url = format!("http://{}{WEBHOOK_PATH}", bound.address());
    tokio::spawn(bound.serve(Route::new().at(WEBHOOK_PATH, post(accept)), shutdown.clone()));
    Ok(url)
}

async fn accept(secret: Arc<Webhook>, nats: Nats, request: Request) -> poem::Result<StatusCode> {
    let refused = |_| Error::from_status(StatusCode::UNAUTHORIZED);
    let unavailable = |_| Error::from_status(StatusCode::SERVICE_UNAVAILABLE);
    let (parts, body) = request.into_parts();
    let payload = body.into_bytes().await?;
    secret.verify(&payload, &parts.headers).map_err(refused)?;
    let json: Value = serde_json::from_slice(&payload).map_err(poem::error::BadRequest)?;
    let id = json["event"]["id"].as_str().and_then(|id| id.parse().ok());
    let id = id.ok_or_else(|| Error::from_status(StatusCode::BAD_REQUEST))?;
    let expected = Some(Expected { last_sequence: 0, filter: None });
    let subject = nats.namespace.inbox_subject(&id);
    let message = NewMessage { subject, headers: HeaderMap::new(), payload, expected };
    publish(&nats, message).await.map_err(unavailable)?;
    Ok(StatusCode::NO_CONTENT)
}
