//! Serves operator commands, which the API sends over NATS. One projector handles each command and answers
//! with its result. A long command continues in the background as an operation; its answer is the started
//! operation.

mod background;
mod handlers;
mod operation;

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use domain::command::{Command, Failure, FailureKind, GetHealth, ProjectorHealth, QUEUE_GROUP, Reply};
use futures_util::StreamExt;
use runtime::health::Health;
use runtime::nats::Nats;
use runtime::{CancellationToken, clock};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::projections::Projections;
use crate::record::brake::Brake;

/// Most commands that are handled at the same time; further ones are refused.
const MAX_CONCURRENT: usize = 16;

/// How long a shutdown waits for the subscription to drain, and for the last answers to be sent.
const DRAIN: Duration = Duration::from_secs(1);

/// How long a shutdown waits for running commands. Together with [`DRAIN`] twice it is shorter than
/// [`runtime::program::GRACE`].
const GRACE: Duration = Duration::from_secs(6);

/// Handles operator commands.
#[derive(Clone)]
pub(crate) struct CommandServer {
    projections: Projections,
    brake: Brake,
    /// Running handlers and background operations.
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// Serves operator commands until shutdown, then waits for the running ones to finish or stop.
pub(crate) async fn serve(
    projections: Projections,
    brake: Brake,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let nats = projections.nats.clone();
    let server = CommandServer { projections, brake, tasks: TaskTracker::new(), shutdown: shutdown.clone() };
    let subject = nats.namespace.command_subject("*");
    let mut requests = nats.client.queue_subscribe(subject, QUEUE_GROUP.to_owned()).await?;
    let permits = Arc::new(Semaphore::new(MAX_CONCURRENT));
    while let Some(Some(request)) = shutdown.run_until_cancelled(requests.next()).await {
        server.spawn_handler(request, &permits);
    }
    // Requests that NATS has already sent to this projector still get an answer.
    let drained = tokio::time::timeout(DRAIN, async {
        for request in drain(&mut requests).await {
            server.spawn_handler(request, &permits);
        }
    });
    let _ = drained.await;
    server.tasks.close();
    if tokio::time::timeout(GRACE, server.tasks.wait()).await.is_err() {
        tracing::warn!("{} operator commands did not finish before the shutdown", server.tasks.len());
    }
    // Send the last answers before the process ends.
    let _ = tokio::time::timeout(DRAIN, nats.client.flush()).await;
    Ok(())
}

async fn drain(requests: &mut Subscriber) -> Vec<Message> {
    if requests.drain().await.is_err() {
        return vec![];
    }
    requests.collect().await
}

impl CommandServer {
    fn spawn_handler(&self, request: Message, permits: &Arc<Semaphore>) {
        // `answer_health` answers these, in every projector.
        let name = request.subject.rsplit('.').next().unwrap_or_default().to_owned();
        if name == GetHealth::NAME {
            return;
        }
        let Some(reply) = request.reply else { return };
        let permit = Arc::clone(permits).try_acquire_owned().ok();
        let server = self.clone();
        self.tasks.spawn(async move {
            let answer = if server.shutdown.is_cancelled() {
                encode::<()>(Err(shutting_down()))
            } else if permit.is_none() {
                encode_unavailable("this projector is handling too many commands: retry")
            } else {
                server.answer(&name, &request.payload).await
            };
            send(&server.projections.nats, reply, answer).await;
            drop(permit);
        });
    }
}

/// Answers health requests with the health of this projector. Every projector receives each request.
pub(crate) async fn answer_health(
    nats: Nats,
    health: Health,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    // In a container the host name is its id.
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let id = format!("{}-{}", host.trim(), clock::new_id().simple());
    let subject = nats.namespace.command_subject(GetHealth::NAME);
    let mut requests = nats.client.subscribe(subject).await?;
    while let Some(Some(request)) = shutdown.run_until_cancelled(requests.next()).await {
        let Some(reply) = request.reply else { continue };
        let failures = health.failures();
        let ready = failures.is_empty();
        let failures = failures.into_iter().map(|(condition, reason)| (condition.to_owned(), reason));
        let answer = ProjectorHealth { id: id.clone(), ready, failures: failures.collect() };
        send(&nats, reply, encode(Ok(answer))).await;
    }
    Ok(())
}

fn shutting_down() -> Failure {
    Failure::new(FailureKind::Unavailable, "this projector is shutting down: retry")
}

fn encode_unavailable(detail: &str) -> Vec<u8> {
    encode::<()>(Err(Failure::new(FailureKind::Unavailable, detail)))
}

/// Encodes an answer as JSON.
fn encode<T: Serialize>(answer: Result<T, Failure>) -> Vec<u8> {
    serde_json::to_vec(&Reply::from(answer)).unwrap_or_else(|error| {
        tracing::error!("cannot encode an answer as JSON: {error}");
        br#"{"error":{"kind":"unavailable","detail":"the answer cannot be encoded: see the projector's log"}}"#
            .to_vec()
    })
}

async fn send(nats: &Nats, reply: async_nats::Subject, answer: Vec<u8>) {
    let answer = if answer.len() > nats.client.server_info().max_payload {
        encode_unavailable("the answer exceeds the size limit of NATS: use the command line of the projector")
    } else {
        answer
    };
    // The API's request times out, and the operator can retry it.
    if let Err(error) = nats.client.publish(reply, answer.into()).await {
        tracing::debug!("cannot send an answer: {error}");
    }
}
