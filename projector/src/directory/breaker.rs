//! A directory that is not asked while it would not answer.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::key::{GroupId, UserPk};
use domain::snapshot::User;
use domain::timestamp::Timestamp;
use runtime::health::Health;
use runtime::{CancellationToken, clock};
use tokio::sync::watch;
use uuid::Uuid;

use super::circuit::{Circuit, Era, Phase};
use super::{Directory, DirectoryError, GroupAndMembers, LoggedEvent, Page};

/// The condition of readiness that tells how authentik is.
const CONDITION: &str = "authentik";

/// How long a probe may take: it asks for one user and one group.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// A directory behind a circuit breaker. Clones share the circuit.
#[derive(Clone)]
pub(crate) struct Breaker<D> {
    directory: D,
    circuit: Arc<Mutex<Circuit>>,
    phase: watch::Sender<Phase>,
    health: Health,
}

/// Tells whether questions are asked now.
#[derive(Clone)]
pub(crate) struct Signal(watch::Receiver<Phase>);

impl Signal {
    pub(crate) fn is_open(&self) -> bool {
        *self.0.borrow() == Phase::Open
    }

    /// Waits until no more questions are asked.
    pub(crate) async fn opened(&mut self) {
        self.wait_for(|phase| phase == Phase::Open).await;
    }

    /// Waits until questions are asked.
    pub(crate) async fn closed(&mut self) {
        self.wait_for(|phase| phase != Phase::Open).await;
    }

    async fn wait_for(&mut self, is_awaited: fn(Phase) -> bool) {
        if self.0.wait_for(|phase| is_awaited(*phase)).await.is_err() {
            // The breaker is gone: nothing changes any more.
            std::future::pending::<()>().await;
        }
    }
}

impl<D: Directory> Breaker<D> {
    pub(crate) fn new(directory: D, health: Health) -> Self {
        let circuit = Circuit::new();
        let phase = watch::Sender::new(circuit.phase());
        metrics::gauge!("projector_authentik_circuit_open").set(0.0);
        metrics::counter!("projector_authentik_circuit_openings_total").increment(0);
        Self { directory, circuit: Arc::new(Mutex::new(circuit)), phase, health }
    }

    pub(crate) fn signal(&self) -> Signal {
        Signal(self.phase.subscribe())
    }

    /// Looks at authentik until shutdown: now and then while it answers, soon after a failure, and with probes, one
    /// at a time, while the circuit is open.
    pub(crate) async fn watch(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut phase = self.phase.subscribe();
        let mut is_due = true;
        loop {
            if is_due && shutdown.run_until_cancelled(self.look()).await.is_none() {
                return Ok(());
            }
            let wait = self.change(|circuit| circuit.wait(spread()));
            is_due = tokio::select! {
                () = tokio::time::sleep(wait) => true,
                // What the wait was for has changed. The sender is ours.
                _ = phase.changed() => false,
                () = shutdown.cancelled() => return Ok(()),
            };
        }
    }

    async fn look(&self) {
        let look = async {
            let looked = tokio::time::timeout(PROBE_TIMEOUT, self.directory.check()).await;
            looked.unwrap_or_else(|_| Err(DirectoryError::Away("no answer in time".to_owned())))
        };
        if self.change(Circuit::begin_probe) {
            let probed = look.await;
            self.change(|circuit| circuit.probed(probed));
        } else {
            // What came of it is in the circuit's state.
            drop(self.ask(look).await);
        }
    }

    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, DirectoryError>>,
    ) -> Result<T, DirectoryError> {
        let asked = self.change(|circuit| circuit.admit())?;
        let answer = question.await;
        self.note(asked, &answer);
        answer
    }

    fn note<T>(&self, asked: Era, answer: &Result<T, DirectoryError>) {
        self.change(|circuit| match answer {
            Ok(_) => circuit.answered(asked),
            Err(error) => circuit.failed(asked, error, clock::now()),
        });
    }

    /// Changes the circuit, and tells whom it concerns.
    fn change<T>(&self, change: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut circuit = self.circuit.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut circuit);
        let (before, phase, refusal) = (*self.phase.borrow(), circuit.phase(), circuit.refusal());
        match &refusal {
            Some(refusal) => self.health.failed(CONDITION, refusal.to_string()),
            None if phase == Phase::Closed && before != phase => self.health.ok(CONDITION),
            None => {}
        }
        if before != phase {
            self.phase.send_replace(phase);
        }
        drop(circuit);
        tell(before, phase, refusal.as_ref());
        result
    }
}

/// One line and one count at an opening, one line at a closing.
fn tell(before: Phase, after: Phase, refusal: Option<&DirectoryError>) {
    match (before, after, refusal) {
        (Phase::Closed | Phase::Doubtful, Phase::Open, Some(refusal)) => {
            tracing::warn!("hints wait in the inbox until authentik answers: {refusal}");
            metrics::gauge!("projector_authentik_circuit_open").set(1.0);
            metrics::counter!("projector_authentik_circuit_openings_total").increment(1);
        }
        (Phase::Open, Phase::Closed | Phase::Doubtful, _) => {
            tracing::info!("authentik answers again; going on");
            metrics::gauge!("projector_authentik_circuit_open").set(0.0);
        }
        _ => {}
    }
}

/// A random number from 0 to 1.
fn spread() -> f64 {
    let [.., last] = *clock::new_id().as_bytes();
    f64::from(last) / f64::from(u8::MAX)
}

impl<D: Directory> Directory for Breaker<D> {
    async fn check(&self) -> Result<(), DirectoryError> {
        self.ask(self.directory.check()).await
    }

    async fn user(&self, pk: UserPk) -> Result<Option<User>, DirectoryError> {
        self.ask(self.directory.user(pk)).await
    }

    async fn user_with_uuid(&self, uuid: Uuid) -> Result<Option<User>, DirectoryError> {
        self.ask(self.directory.user_with_uuid(uuid)).await
    }

    async fn user_named(&self, username: &str) -> Result<Option<User>, DirectoryError> {
        self.ask(self.directory.user_named(username)).await
    }

    async fn users(&self, page: u64, changed_since: Option<Timestamp>) -> Result<Page<User>, DirectoryError> {
        self.ask(self.directory.users(page, changed_since)).await
    }

    async fn groups(&self, page: u64) -> Result<Page<GroupAndMembers>, DirectoryError> {
        self.ask(self.directory.groups(page)).await
    }

    async fn events(&self, page: u64) -> Result<Page<LoggedEvent>, DirectoryError> {
        let asked = self.change(|circuit| circuit.admit())?;
        let answer = self.directory.events(page).await;
        // Events need a right of their own: without it, users and groups can be read all the same.
        if !matches!(answer, Err(DirectoryError::Forbidden(_))) {
            self.note(asked, &answer);
        }
        answer
    }

    async fn group(&self, id: GroupId) -> Result<Option<GroupAndMembers>, DirectoryError> {
        self.ask(self.directory.group(id)).await
    }
}
