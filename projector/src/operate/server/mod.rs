//! Serves what operators ask through the api: one projector of all takes each command, and its answer says what
//! became of it. What takes long goes on in the background as an operation.

mod answer;
mod long;
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

/// How many commands are worked on at once; more are refused.
const AT_ONCE: usize = 16;

/// How long the server may take to say that nothing more was sent to us.
const DRAIN: Duration = Duration::from_secs(1);

/// How long a shutdown waits for the commands in hand: with [`DRAIN`] twice, shorter than [`runtime::program::GRACE`].
const GRACE: Duration = Duration::from_secs(6);

/// Carries out commands.
#[derive(Clone)]
pub(crate) struct CommandServer {
    projections: Projections,
    /// What goes on in the background.
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

/// Serves commands until shutdown: then first none are taken any more, and what is under way is put away.
pub(crate) async fn serve(projections: Projections, shutdown: CancellationToken) -> anyhow::Result<()> {
    let nats = projections.nats.clone();
    let commands = CommandServer { projections, tracker: TaskTracker::new(), shutdown: shutdown.clone() };
    let subject = nats.namespace.command_subject("*");
    let mut requests = nats.client.queue_subscribe(subject, QUEUE_GROUP.to_owned()).await?;
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(Some(request)) = shutdown.run_until_cancelled(requests.next()).await {
        commands.take(request, &at_once);
    }
    // What the server has sent us by now is answered all the same.
    let drained = tokio::time::timeout(DRAIN, async {
        for request in drain(&mut requests).await {
            commands.take(request, &at_once);
        }
    });
    let _ = drained.await;
    commands.tracker.close();
    if tokio::time::timeout(GRACE, commands.tracker.wait()).await.is_err() {
        tracing::warn!("{} commands were not finished in time", commands.tracker.len());
    }
    // The last answers are on their way before the process ends.
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
    fn take(&self, request: Message, at_once: &Arc<Semaphore>) {
        // It has a subscription of its own, at every projector.
        let name = request.subject.rsplit('.').next().unwrap_or_default().to_owned();
        if name == GetHealth::NAME {
            return;
        }
        let Some(reply) = request.reply else { return };
        let permit = Arc::clone(at_once).try_acquire_owned().ok();
        let commands = self.clone();
        self.tracker.spawn(async move {
            let answer = if commands.shutdown.is_cancelled() {
                wire::<()>(Err(shutting_down()))
            } else if permit.is_none() {
                refused("this projector has too many commands in hand: try again")
            } else {
                commands.answer(&name, &request.payload).await
            };
            send(&commands.projections.nats, reply, answer).await;
            drop(permit);
        });
    }
}

/// Answers each question after the health of the projectors with ours, until shutdown.
pub(crate) async fn answer_health(
    nats: Nats,
    health: Health,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    // In a container the host name is its id.
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let id = format!("{}-{}", host.trim(), clock::new_id().simple());
    let subject = nats.namespace.command_subject(GetHealth::NAME);
    let mut questions = nats.client.subscribe(subject).await?;
    while let Some(Some(question)) = shutdown.run_until_cancelled(questions.next()).await {
        let Some(reply) = question.reply else { continue };
        let failures = health.failures();
        let ready = failures.is_empty();
        let failures = failures.into_iter().map(|(condition, reason)| (condition.to_owned(), reason));
        let answer = ProjectorHealth { id: id.clone(), ready, failures: failures.collect() };
        send(&nats, reply, wire(Ok(answer))).await;
    }
    Ok(())
}

fn shutting_down() -> Failure {
    Failure::new(FailureKind::Unavailable, "this projector is shutting down: try again")
}

fn refused(detail: &str) -> Vec<u8> {
    wire::<()>(Err(Failure::new(FailureKind::Unavailable, detail)))
}

/// An answer as it is sent.
fn wire<T: Serialize>(answer: Result<T, Failure>) -> Vec<u8> {
    serde_json::to_vec(&Reply::from(answer)).unwrap_or_else(|error| {
        tracing::error!("an answer is no JSON: {error}");
        br#"{"error":{"kind":"unavailable","detail":"the answer cannot be written: see the projector's log"}}"#
            .to_vec()
    })
}

async fn send(nats: &Nats, reply: async_nats::Subject, answer: Vec<u8>) {
    let most = nats.client.server_info().max_payload;
    let answer = if answer.len() > most {
        refused("the answer is larger than NATS lets through: use the command line of the projector")
    } else {
        answer
    };
    // Whoever asked hears nothing, and asks again.
    if let Err(error) = nats.client.publish(reply, answer.into()).await {
        tracing::debug!("an answer was lost: {error}");
    }
}
