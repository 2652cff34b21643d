//! The state, its journal and its settings, as the handlers share them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::blueprint::Mistake;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::journal::Journal;
use crate::seed;
use crate::store::delivery::Delivery;
use crate::store::event::Origin;
use crate::store::{Row, Store, Tx};

/// One simulated authentik.
pub struct World {
    /// The settings.
    pub config: Config,
    /// Tells the sender that there is something new to send.
    pub wake: Notify,
    kept: Mutex<Kept>,
    faults: Mutex<Faults>,
    reads: Mutex<BTreeMap<&'static str, u64>>,
}

struct Kept {
    store: Store,
    journal: Option<Journal>,
}

impl World {
    /// Takes up the state of the directory, or starts with the seed.
    pub fn open(config: Config) -> anyhow::Result<Self> {
        let mut store = Store::default();
        let journal = config.state_dir.as_deref().map(|path| Journal::open(path, &mut store)).transpose()?;
        let is_new = store.users.is_empty();
        let world = Self {
            config,
            wake: Notify::new(),
            kept: Mutex::new(Kept { store, journal }),
            faults: Mutex::new(Faults::default()),
            reads: Mutex::default(),
        };
        if is_new {
            world.reset();
        }
        Ok(world)
    }

    /// Reads the state. Must not be nested: there is one lock.
    pub fn read<R>(&self, read: impl FnOnce(&Store) -> R) -> R {
        read(&self.lock().store)
    }

    /// Changes the state; with `origin`, as a request that makes events, else silently.
    pub fn write<R>(&self, origin: Option<Origin>, change: impl FnOnce(&mut Tx) -> R) -> R {
        let delay = f64::from(self.config.delivery_delay_ms) / 1_000.0;
        let delivery_delay = self.config.webhook_url.as_ref().map(|_| delay);
        let mut kept = self.lock();
        let Kept { store, journal } = &mut *kept;
        let mut tx = Tx::new(store, origin, delivery_delay);
        tx.rows = journal.is_some().then(Vec::new);
        let answer = change(&mut tx);
        let (rows, has_deliveries) = (tx.rows, tx.has_deliveries);
        if let (Some(journal), Some(rows)) = (journal, rows)
            && let Err(error) = journal.append(&rows)
        {
            tracing::error!("a change will not survive a restart: {error:#}");
        }
        drop(kept);
        if has_deliveries {
            self.wake.notify_one();
        }
        answer
    }

    /// Takes one due delivery, else says when the next one becomes due.
    pub fn take_due(&self, now: Timestamp) -> Result<Delivery, Option<Timestamp>> {
        let deliveries = &mut self.lock().store.deliveries;
        deliveries.take_due(now).ok_or_else(|| deliveries.next_due())
    }

    /// Back to the seed; only the signing keys stay.
    pub fn reset(&self) {
        self.write(None, |tx| {
            tx.put(Row::Reset);
            let rows = if self.config.fresh { seed::just_installed() } else { seed::rows() };
            for row in rows {
                tx.put(row);
            }
        });
        self.set_faults(Faults::default());
    }

    /// Notes that the REST API was asked for something of this kind.
    pub fn count_read(&self, kind: &'static str) {
        *self.reads.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// How often the REST API was asked, by kind.
    pub fn reads(&self) -> BTreeMap<&'static str, u64> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is made to fail.
    pub fn faults(&self) -> Faults {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes things fail, or work again.
    pub fn set_faults(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
        self.wake.notify_one();
    }

    /// A panic in a handler is that request's problem: rows are applied one by one, so the state is whole.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is made to fail, for tests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The REST API answers everything with this status.
    pub rest_status: Option<u16>,
    /// The REST API answers this many milliseconds later.
    pub rest_delay_ms: u64,
    /// The reader's token has rights on these users alone; the others are unknown to it.
    pub visible_users: Option<BTreeSet<i64>>,
    /// The share of webhooks that are lost.
    pub drop_webhooks: f64,
    /// The share of delivered webhooks that are sent again.
    pub duplicate_webhooks: f64,
    /// Webhooks wait.
    pub hold_webhooks: bool,
    /// Everything under `/application/o/` answers with this status.
    pub oidc_status: Option<u16>,
    /// The JWKS answers 503.
    pub jwks_down: bool,
    /// The provider has no signing key: tokens are HS256, and the JWKS is `{}`.
    pub no_signing_key: bool,
    /// What the reader's token may not view: `user`, `group`, `event`.
    pub not_viewable: BTreeSet<String>,
    /// How many seconds the clock is ahead by which answers are dated.
    pub clock_ahead: i32,
    /// What is wrong with transport, rule, mappings and matchers.
    pub mistakes: BTreeSet<Mistake>,
    /// Where the transport leads instead.
    pub transport_url: Option<String>,
}
