//! Stands between authentik and the ingresses: hands webhooks on, and notes what each was answered.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use poem::endpoint::make;
use poem::http::{HeaderMap, StatusCode};
use runtime::CancellationToken;

/// What a webhook carries besides its body.
const HEADERS: [&str; 4] = ["content-type", "webhook-id", "webhook-timestamp", "webhook-signature"];

/// Which ingress gets a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// One each, in turn.
    InTurn,
    /// One each, in turn; where nobody listens, the next one, as a load balancer does.
    Failover,
    /// All of them at once; it is accepted when all accept it.
    ToAll,
}

/// The way of authentik's webhooks. Clones share it.
#[derive(Clone)]
pub struct Webhooks {
    /// Where authentik posts to.
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
    /// To the ingresses at these addresses.
    pub async fn through(targets: Vec<String>, spread: Spread) -> Self {
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
                Ok::<_, poem::Error>(webhooks.hand_on(Webhook { headers, body }).await)
            }
        });
        tokio::spawn(bound.serve(app, CancellationToken::new()));
        webhooks
    }

    /// Delivery ids of the webhooks that were answered 2xx.
    pub fn accepted(&self) -> BTreeSet<String> {
        self.seen().accepted.clone()
    }

    /// What ingresses said to webhooks that they refused, as each said it.
    pub fn refusals(&self) -> BTreeSet<String> {
        self.seen().refusals.clone()
    }

    /// What authentik was answered where a webhook was not accepted.
    pub fn refused_with(&self) -> BTreeSet<u16> {
        self.seen().statuses.clone()
    }

    /// The last webhook that was answered 2xx.
    pub fn last_accepted(&self) -> Option<Webhook> {
        self.seen().last_accepted.clone()
    }

    /// Posts a webhook to an ingress. Returns status and body; nothing where nobody answers.
    pub async fn post(&self, target: &str, webhook: &Webhook) -> Option<(StatusCode, String)> {
        let request = self.client.post(format!("{target}/authentik/webhook")).body(webhook.body.clone());
        let present = HEADERS.iter().filter_map(|name| Some((*name, webhook.headers.get(*name)?)));
        let request = present.fold(request, |request, (name, value)| request.header(name, value));
        let answer = request.send().await.ok()?;
        Some((answer.status(), answer.text().await.unwrap_or_default()))
    }

    async fn hand_on(&self, webhook: Webhook) -> StatusCode {
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
            let (status, said) = answer.clone().unwrap_or((StatusCode::BAD_GATEWAY, String::new()));
            seen.refusals.insert(said);
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
