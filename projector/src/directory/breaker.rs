//! A circuit breaker around a directory: it sends no requests while authentik does not answer.

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

/// The readiness condition that shows the state of authentik.
const CONDITION: &str = "authentik";

/// How long a probe may take. It reads one user and one group.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// A directory behind a circuit breaker. Clones share the circuit.
#[derive(Clone)]
pub(crate) struct Breaker<D> {
    directory: D,
    circuit: Arc<Mutex<Circuit>>,
    phase: watch::Sender<Phase>,
    health: Health,
}

/// Shows whether the circuit is open.
#[derive(Clone)]
pub(crate) struct Signal(watch::Receiver<Phase>);

impl Signal {
    pub(crate) fn is_open(&self) -> bool {
        *self.0.borrow() == Phase::Open
    }

    /// Waits until the circuit is open and no requests are sent.
    pub(crate) async fn opened(&mut self) {
        self.wait_for(|phase| phase == Phase::Open).await;
    }

    /// Waits until the circuit is closed and requests are sent.
    pub(crate) async fn closed(&mut self) {
        self.wait_for(|phase| phase != Phase::Open).await;
    }

    async fn wait_for(&mut self, is_awaited: fn(Phase) -> bool) {
        if self.0.wait_for(|phase| is_awaited(*phase)).await.is_err() {
            // The breaker was dropped: the phase cannot change any more.
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

    /// Checks authentik until shutdown: periodically while it answers, soon after a failure, and with one probe at a
    /// time while the circuit is open.
    pub(crate) async fn watch(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut phase = self.phase.subscribe();
        let mut is_due = true;
        loop {
            if is_due && shutdown.run_until_cancelled(self.check_or_probe()).await.is_none() {
                return Ok(());
            }
            let wait = self.update(|circuit| circuit.wait_before_check(random_fraction()));
            is_due = tokio::select! {
                () = tokio::time::sleep(wait) => true,
                // The new phase has another wait. `self` holds the sender, so this never fails.
                _ = phase.changed() => false,
                () = shutdown.cancelled() => return Ok(()),
            };
        }
    }

    async fn check_or_probe(&self) {
        let check = async {
            let checked = tokio::time::timeout(PROBE_TIMEOUT, self.directory.check()).await;
            checked.unwrap_or_else(|_| Err(DirectoryError::Unavailable("no answer in time".to_owned())))
        };
        if self.update(Circuit::begin_probe) {
            let result = check.await;
            self.update(|circuit| circuit.end_probe(result));
        } else {
            // The circuit keeps the result.
            drop(self.send(check).await);
        }
    }

    async fn send<T>(
        &self,
        request: impl Future<Output = Result<T, DirectoryError>>,
    ) -> Result<T, DirectoryError> {
        let era = self.update(|circuit| circuit.admit())?;
        let answer = request.await;
        self.record_answer(era, &answer);
        answer
    }

    fn record_answer<T>(&self, era: Era, answer: &Result<T, DirectoryError>) {
        self.update(|circuit| match answer {
            Ok(_) => circuit.record_success(era),
            Err(error) => circuit.record_failure(era, error, clock::now()),
        });
    }

    /// Updates the circuit, then publishes its phase to readiness, subscribers, logs and metrics.
    fn update<T>(&self, update: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut circuit = self.circuit.lock().unwrap_or_else(PoisonError::into_inner);
        let result = update(&mut circuit);
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
        log_transition(before, phase, refusal.as_ref());
        result
    }
}

/// Logs each opening and closing once, and counts openings.
fn log_transition(before: Phase, after: Phase, refusal: Option<&DirectoryError>) {
    match (before, after, refusal) {
        (Phase::Closed | Phase::Doubtful, Phase::Open, Some(refusal)) => {
            tracing::warn!("hints wait in the inbox until authentik answers: {refusal}");
            metrics::gauge!("projector_authentik_circuit_open").set(1.0);
            metrics::counter!("projector_authentik_circuit_openings_total").increment(1);
        }
        (Phase::Open, Phase::Closed | Phase::Doubtful, _) => {
            tracing::info!("authentik answers again; taking hints from the inbox");
            metrics::gauge!("projector_authentik_circuit_open").set(0.0);
        }
        _ => {}
    }
}

/// A random number from 0 to 1.
fn random_fraction() -> f64 {
    let [.., last] = *clock::new_id().as_bytes();
    f64::from(last) / f64::from(u8::MAX)
}

impl<D: Directory> Directory for Breaker<D> {
    async fn check(&self) -> Result<(), DirectoryError> {
        self.send(self.directory.check()).await
    }

    async fn user(&self, pk: UserPk) -> Result<Option<User>, DirectoryError> {
        self.send(self.directory.user(pk)).await
    }

    async fn user_with_uuid(&self, uuid: Uuid) -> Result<Option<User>, DirectoryError> {
        self.send(self.directory.user_with_uuid(uuid)).await
    }

    async fn user_named(&self, username: &str) -> Result<Option<User>, DirectoryError> {
        self.send(self.directory.user_named(username)).await
    }

    async fn users(&self, page: u64, changed_since: Option<Timestamp>) -> Result<Page<User>, DirectoryError> {
        self.send(self.directory.users(page, changed_since)).await
    }

    async fn groups(&self, page: u64) -> Result<Page<GroupAndMembers>, DirectoryError> {
        self.send(self.directory.groups(page)).await
    }

    async fn events(&self, page: u64) -> Result<Page<LoggedEvent>, DirectoryError> {
        let era = self.update(|circuit| circuit.admit())?;
        let answer = self.directory.events(page).await;
        // A token can lack the right to read events and still read users and groups.
        if !matches!(answer, Err(DirectoryError::Forbidden(_))) {
            self.record_answer(era, &answer);
        }
        answer
    }

    async fn group(&self, id: GroupId) -> Result<Option<GroupAndMembers>, DirectoryError> {
        self.send(self.directory.group(id)).await
    }
}
