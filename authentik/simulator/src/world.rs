//! What all handlers share: the state with its journal, the settings and the faults.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::configuration::Configuration;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::seed;
use crate::store::delivery::Delivery;
use crate::store::event::Origin;
use crate::store::{Store, Tx};

/// One simulated authentik.
pub struct World {
    /// The settings.
    pub config: Config,
    /// What the blueprints configure.
    pub configuration: Configuration,
    /// Wakes the sender after a change that may allow it to send.
    pub sender_wakeup: Notify,
    /// How many times the REST API was asked for one user by key.
    pub n_single_user_reads: AtomicU64,
    state: Mutex<JournaledStore>,
    faults: Mutex<Faults>,
}

struct JournaledStore {
    store: Store,
    journal: Option<Journal>,
}

impl World {
    /// Restores the state from the state directory. An empty state starts with the seed.
    pub fn open(config: Config) -> anyhow::Result<Self> {
        let mut store = Store::default();
        let journal = config.state_dir.as_deref().map(|path| Journal::open(path, &mut store)).transpose()?;
        let is_new = store.users.is_empty();
        let world = Self {
            config,
            configuration: Configuration::read()?,
            sender_wakeup: Notify::new(),
            n_single_user_reads: AtomicU64::default(),
            state: Mutex::new(JournaledStore { store, journal }),
            faults: Mutex::default(),
        };
        if is_new {
            let rows = if world.config.fresh { seed::newly_installed() } else { seed::rows() };
            world.write(None, |tx| rows.into_iter().for_each(|row| tx.put(row)));
        }
        Ok(world)
    }

    /// Reads the state. Calls must not be nested, because all of them take one lock.
    pub fn read<R>(&self, read: impl FnOnce(&Store) -> R) -> R {
        read(&self.lock().store)
    }

    /// Changes the state. The change makes events only if it has an `origin`. Calls must not be nested.
    pub fn write<R>(&self, origin: Option<Origin>, change: impl FnOnce(&mut Tx) -> R) -> R {
        let delay = f64::from(self.config.delivery_delay_ms) / 1_000.0;
        let max_delivery_delay = self.config.webhook_url.as_ref().map(|_| delay);
        let mut state = self.lock();
        let JournaledStore { store, journal } = &mut *state;
        let mut tx = Tx::new(store, origin, max_delivery_delay);
        tx.rows = journal.is_some().then(Vec::new);
        let result = change(&mut tx);
        let (rows, has_deliveries) = (tx.rows, tx.has_deliveries);
        if let (Some(journal), Some(rows)) = (journal, rows)
            && let Err(error) = journal.append(&rows)
        {
            tracing::error!("a change will be lost at the next restart: {error:#}");
        }
        drop(state);
        if has_deliveries {
            self.sender_wakeup.notify_one();
        }
        result
    }

    /// Takes one due delivery. If none is due, the error is the time when the next one becomes due.
    pub fn take_due(&self, now: Timestamp) -> Result<Delivery, Option<Timestamp>> {
        let deliveries = &mut self.lock().store.deliveries;
        deliveries.take_due(now).ok_or_else(|| deliveries.next_due())
    }

    /// The current faults.
    pub fn faults(&self) -> Faults {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces all faults.
    pub fn set_faults(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
        self.sender_wakeup.notify_one();
    }

    /// Ignores poisoning: rows are applied one at a time, so the state is consistent even after a panic.
    fn lock(&self) -> MutexGuard<'_, JournaledStore> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
