//! A proxy between authentik and the ingresses: it forwards webhooks and remembers the answers.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use poem::endpoint::make;
use poem::http::{HeaderMap, StatusCode};
use runtime::CancellationToken;

/// Headers that are forwarded.
const HEADERS: [&str; 4] = ["content-type", "webhook-id", "webhook-timestamp", "webhook-signature"];

/// How webhooks are distributed to the ingresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Round robin.
    InTurn,
    /// Round robin; if an ingress does not answer, the next one, as a load balancer does.
    Failover,
    /// To all ingresses at once. A webhook is accepted when all accept it.
    ToAll,
}

/// The proxy. Clones share its state.
#[derive(Clone)]
pub struct Webhooks {
    /// URL that authentik posts to.
    pub url: String,
    client: reqwest::Client,
    spread: Spread,
    targets: Vec<String>,
    turn: Arc<AtomicUsize>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    accepted: BTreeSet<String>,
    refusals: BTreeSet<String>,
    statuses: BTreeSet<u16>,
    last_accepted: Option<Webhook>,
}

/// A webhook as authentik sent it.
#[derive(Clone, Debug)]
pub struct Webhook {
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Webhook {
    /// `webhook-id`: the delivery id.
    pub fn id(&self) -> String {
        self.headers["webhook-id"].to_str().expect("an id is text").to_owned()
    }
}

impl Webhooks {
    /// Starts a proxy to the ingresses at these base URLs.
    pub async fn forward_to(targets: Vec<String>, spread: Spread) -> Self {
        let bound = runtime::http::bind("127.0.0.1:0").await.expect("listening for webhooks");
        let url = format!("http://{}/authentik/webhook", bound.address());
        let (turn, seen) = (Arc::default(), Arc::default());
        let webhooks = Self { url, client: reqwest::Client::new(), spread, targets, turn, seen };
        let shared = webhooks.clone();
        let app = make(move |mut request| {
            let webhooks = shared.clone();
            async move {
                let headers = request.headers().clone();
                let body = request.take_body().into_vec().await?;
                Ok::<_, poem::Error>(webhooks.forward(Webhook { headers, body }).await)
            }
        });
        tokio::spawn(bound.serve(app, CancellationToken::new()));
        webhooks
    }

    /// Delivery ids of the webhooks that were answered 2xx.
    pub fn accepted(&self) -> BTreeSet<String> {
        self.seen().accepted.clone()
    }

    /// Bodies of the answers to refused webhooks.
    pub fn refusals(&self) -> BTreeSet<String> {
        self.seen().refusals.clone()
    }

    /// Status codes of the answers to refused webhooks.
    pub fn refusal_statuses(&self) -> BTreeSet<u16> {
        self.seen().statuses.clone()
    }

    /// The last webhook that was answered 2xx.
    pub fn last_accepted(&self) -> Option<Webhook> {
        self.seen().last_accepted.clone()
    }

    /// Posts a webhook to an ingress. Returns status and body; `None` if there is no answer.
    pub async fn post(&self, target: &str, webhook: &Webhook) -> Option<(StatusCode, String)> {
        let request = self.client.post(format!("{target}/authentik/webhook")).body(webhook.body.clone());
        let present = HEADERS.iter().filter_map(|name| Some((*name, webhook.headers.get(*name)?)));
        let request = present.fold(request, |request, (name, value)| request.header(name, value));
        let answer = request.send().await.ok()?;
        Some((answer.status(), answer.text().await.unwrap_or_default()))
    }

    async fn forward(&self, webhook: Webhook) -> StatusCode {
        let targets = match self.spread {
            Spread::ToAll => self.targets.as_slice(),
            Spread::InTurn | Spread::Failover => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.targets.len();
                &self.targets[turn..=turn]
            }
        };
        let posts = targets.iter().map(|target| self.post(target, &webhook));
        let mut answers = futures_util::future::join_all(posts).await;
        if self.spread == Spread::Failover && answers == [None] {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.targets.len();
            answers = vec![self.post(&self.targets[turn], &webhook).await];
        }
        let mut seen = self.seen();
        let refused =
            answers.iter().find(|answer| !answer.as_ref().is_some_and(|(status, _)| status.is_success()));
        if let Some(answer) = refused {
            let (status, body) = answer.clone().unwrap_or((StatusCode::BAD_GATEWAY, String::new()));
            seen.refusals.insert(body);
            seen.statuses.insert(status.as_u16());
            return status;
        }
        seen.accepted.insert(webhook.id());
        seen.last_accepted = Some(webhook);
        StatusCode::NO_CONTENT
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
