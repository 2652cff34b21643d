//! Hints to the projectors: read this user from authentik now.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::event::Channel;
use domain::hint::InternalHint;
use domain::key::DeliveryId;
use runtime::clock;
use runtime::nats::Nats;
use store::inbox::put_hint;
use store::publish::PublishError;

/// Minimum time between two hints about the same unrecorded user.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(30);

/// Limits hints about callers who are not recorded yet.
#[derive(Default)]
pub struct Lookups {
    /// When a hint about each caller was last stored, by `sub`.
    requested: Mutex<HashMap<String, Instant>>,
}

impl Lookups {
    /// Stores the hint, unless one about the same `sub` was stored recently by any request.
    pub async fn request(&self, nats: &Nats, sub: &str, hint: &InternalHint) -> Result<(), PublishError> {
        if !self.is_first(sub) {
            return Ok(());
        }
        let stored = store_hint(nats, hint).await;
        if stored.is_err() {
            self.requested.lock().unwrap_or_else(PoisonError::into_inner).remove(sub);
        }
        stored.map(drop)
    }

    fn is_first(&self, sub: &str) -> bool {
        let mut requested = self.requested.lock().unwrap_or_else(PoisonError::into_inner);
        requested.retain(|_, when| when.elapsed() < LOOKUP_INTERVAL);
        if requested.contains_key(sub) {
            return false;
        }
        requested.insert(sub.to_owned(), Instant::now());
        true
    }
}

/// Stores a hint in the inbox, and returns its delivery id.
pub async fn store_hint(nats: &Nats, hint: &InternalHint) -> Result<DeliveryId, PublishError> {
    let delivery = DeliveryId::from(clock::new_id());
    put_hint(nats, &delivery, Channel::Api, hint).await?;
    Ok(delivery)
}
