//! Sends commands to the projectors over NATS.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use domain::command::{Command, Failure, FailureKind, GetHealth, GetStatus, ProjectorHealth, Reply, Request};
use domain::key::UserPk;
use domain::status::Status;
use futures_util::StreamExt;
use runtime::nats::Nats;

/// Timeout of a command. A rebuild first waits for the lease of a projector that may have died.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long answers to a health request are collected.
const HEALTH_TIMEOUT: Duration = Duration::from_millis(300);

/// Maximum number of collected answers to a health request.
const MAX_PROJECTORS: usize = 256;

/// Timeout of a status request.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);

/// Has one projector execute a command.
pub async fn execute<C: Command>(
    nats: &Nats,
    asked_by: Option<UserPk>,
    command: C,
) -> Result<C::Answer, Failure> {
    request(nats, asked_by, command, COMMAND_TIMEOUT).await
}

/// The status of the system as one projector reports it. `None` if none answers.
pub async fn status(nats: &Nats) -> Option<Status> {
    request(nats, None, GetStatus {}, STATUS_TIMEOUT).await.ok()
}

/// The health of every projector that answers within 300 ms, sorted by id.
pub async fn health(nats: &Nats) -> Vec<ProjectorHealth> {
    let mut answers = vec![];
    // A timeout is the normal end, and on an error the answers so far are returned.
    let _ = tokio::time::timeout(HEALTH_TIMEOUT, collect_health(nats, &mut answers)).await;
    answers.sort_by(|one, other| one.id.cmp(&other.id));
    answers
}

async fn collect_health(nats: &Nats, collected: &mut Vec<ProjectorHealth>) -> anyhow::Result<()> {
    anyhow::ensure!(nats.is_connected(), "not connected to NATS");
    let inbox = nats.client.new_inbox();
    let mut answers = nats.client.subscribe(inbox.clone()).await?;
    let question = encode(None, GetHealth {})?;
    let subject = nats.namespace.command_subject(GetHealth::NAME);
    nats.client.publish_with_reply(subject, inbox, question).await?;
    while let Some(answer) = answers.next().await {
        // The server answers with a status (503) if no projector is subscribed.
        if answer.status.is_some() {
            break;
        }
        if let Ok(Reply::Ok(health)) = serde_json::from_slice(&answer.payload) {
            collected.push(health);
        }
        if collected.len() >= MAX_PROJECTORS {
            break;
        }
    }
    Ok(())
}

fn encode<C: Command>(asked_by: Option<UserPk>, command: C) -> serde_json::Result<Bytes> {
    serde_json::to_vec(&Request { asked_by, command }).map(Bytes::from)
}

async fn request<C: Command>(
    nats: &Nats,
    asked_by: Option<UserPk>,
    command: C,
    timeout: Duration,
) -> Result<C::Answer, Failure> {
    let unavailable = |detail: &str| Failure::new(FailureKind::Unavailable, detail);
    if !nats.is_connected() {
        return Err(unavailable("the API is not connected to NATS; retry later"));
    }
    let body = encode(asked_by, command).map_err(|_| unavailable("the command cannot be encoded as JSON"))?;
    let request = async_nats::Request::new().payload(body).timeout(Some(timeout));
    let answer = nats.client.send_request(nats.namespace.command_subject(C::NAME), request).await;
    let answer = answer.map_err(|error| {
        let detail = match error.kind() {
            RequestErrorKind::NoResponders => "no projector is running; start one",
            RequestErrorKind::TimedOut => {
                "no projector answered in time; check the list of operations before retrying"
            }
            RequestErrorKind::InvalidSubject
            | RequestErrorKind::MaxPayloadExceeded
            | RequestErrorKind::Other => "the command cannot be sent to a projector; retry later",
        };
        tracing::warn!("command {} failed: {detail}: {error}", C::NAME);
        unavailable(detail)
    })?;
    let reply: serde_json::Result<Reply<C::Answer>> = serde_json::from_slice(&answer.payload);
    reply
        .map_err(|error| {
            tracing::error!("cannot decode the answer to command {}: {error}", C::NAME);
            unavailable("the projector's answer cannot be decoded; run the same version of projector and API")
        })?
        .into()
}
