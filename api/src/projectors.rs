//! Asks the projectors, which do what changes something.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use domain::command::{Command, Failure, FailureKind, GetHealth, GetStatus, ProjectorHealth, Reply, Request};
use domain::key::UserPk;
use domain::status::Status;
use futures_util::StreamExt;
use runtime::nats::Nats;

use crate::answer::{Answer, Refusal};

/// How long one of them may take. A rebuild first makes sure that whoever began one before is dead.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long all of them may take to say how they are.
const ROLL_CALL: Duration = Duration::from_millis(300);

/// How many are listened to.
const MAX_PROJECTORS: usize = 256;

/// How long one of them may take to count.
const STATUS_PATIENCE: Duration = Duration::from_secs(3);

/// Has a command carried out by one of them.
pub async fn ask<C: Command>(nats: &Nats, asked_by: Option<UserPk>, command: C) -> Answer<C::Answer> {
    request(nats, asked_by, command, PATIENCE).await.map_err(|failure| match failure.kind {
        FailureKind::NotFound => Refusal::not_found(failure.detail),
        FailureKind::Conflict => Refusal::conflict(failure.detail),
        FailureKind::BadRequest => Refusal::bad_request(failure.detail),
        FailureKind::Unavailable => Refusal::unavailable(failure.detail),
    })
}

/// What one of them sees of the system; nothing where none answers.
pub async fn status(nats: &Nats) -> Option<Status> {
    request(nats, None, GetStatus {}, STATUS_PATIENCE).await.ok()
}

/// How each of them is; without those that do not answer at once.
pub async fn roll_call(nats: &Nats) -> Vec<ProjectorHealth> {
    let mut present = vec![];
    // Nobody can answer: so many is what there is.
    let _ = tokio::time::timeout(ROLL_CALL, gather(nats, &mut present)).await;
    present.sort_by(|one, other| one.id.cmp(&other.id));
    present
}

async fn gather(nats: &Nats, present: &mut Vec<ProjectorHealth>) -> anyhow::Result<()> {
    anyhow::ensure!(nats.is_connected(), "not connected to NATS");
    let inbox = nats.client.new_inbox();
    let mut answers = nats.client.subscribe(inbox.clone()).await?;
    let question = body(None, GetHealth {})?;
    let subject = nats.namespace.command_subject(GetHealth::NAME);
    nats.client.publish_with_reply(subject, inbox, question).await?;
    while let Some(answer) = answers.next().await {
        // The server itself says that nobody listens.
        if answer.status.is_some() {
            break;
        }
        if let Ok(Reply::Ok(health)) = serde_json::from_slice(&answer.payload) {
            present.push(health);
        }
        if present.len() >= MAX_PROJECTORS {
            break;
        }
    }
    Ok(())
}

fn body<C: Command>(asked_by: Option<UserPk>, command: C) -> serde_json::Result<Bytes> {
    serde_json::to_vec(&Request { asked_by, command }).map(Bytes::from)
}

async fn request<C: Command>(
    nats: &Nats,
    asked_by: Option<UserPk>,
    command: C,
    patience: Duration,
) -> Result<C::Answer, Failure> {
    let unavailable = |detail: &str| Failure::new(FailureKind::Unavailable, detail);
    if !nats.is_connected() {
        return Err(unavailable("not connected to NATS"));
    }
    let body = body(asked_by, command).map_err(|_| unavailable("the request cannot be written"))?;
    let request = async_nats::Request::new().payload(body).timeout(Some(patience));
    let answer = nats.client.send_request(nats.namespace.command_subject(C::NAME), request).await;
    let answer = answer.map_err(|error| {
        let detail = match error.kind() {
            RequestErrorKind::NoResponders => "no projector is running: start one",
            RequestErrorKind::TimedOut => {
                "no projector answered in time: see under operations whether one is at it"
            }
            RequestErrorKind::InvalidSubject
            | RequestErrorKind::MaxPayloadExceeded
            | RequestErrorKind::Other => "no projector can be asked now",
        };
        tracing::warn!("cannot have {} carried out: {detail}: {error}", C::NAME);
        unavailable(detail)
    })?;
    let reply: serde_json::Result<Reply<C::Answer>> = serde_json::from_slice(&answer.payload);
    reply
        .map_err(|error| {
            tracing::error!("the answer to {} is not understood: {error}", C::NAME);
            unavailable("the projector's answer is not understood: is it of another version?")
        })?
        .into()
}
