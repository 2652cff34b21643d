//! Readiness of a process, condition by condition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The conditions of readiness. The process is ready while all of them hold. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Health {
    conditions: Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>,
}

impl Health {
    /// A process that is starting: each of the named conditions fails until it is reported [`Health::ok`].
    pub fn waiting_for(conditions: &[&'static str]) -> Self {
        let health = Self::default();
        for condition in conditions {
            health.failed(condition, "starting");
        }
        health
    }

    /// Reports that the condition holds.
    pub fn ok(&self, condition: &'static str) {
        self.set(condition, Ok(()));
    }

    /// Reports that the condition does not hold. The reason should tell an operator what to do.
    pub fn failed(&self, condition: &'static str, reason: impl Into<String>) {
        self.set(condition, Err(reason.into()));
    }

    fn set(&self, condition: &'static str, state: Result<(), String>) {
        metrics::gauge!("ready", "condition" => condition).set(if state.is_ok() { 1.0 } else { 0.0 });
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner).insert(condition, state);
    }

    /// Reason of each condition that does not hold. Empty if the process is ready.
    pub fn failures(&self) -> BTreeMap<&'static str, String> {
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.iter().filter_map(|(name, state)| Some((*name, state.clone().err()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_condition_holds() {
        let health = Health::waiting_for(&["nats", "streams"]);
        health.ok("nats");
        assert_eq!(health.failures().keys().copied().collect::<Vec<_>>(), ["streams"]);
        health.ok("streams");
        assert!(health.failures().is_empty());
    }
}
