//! Hints to the projector: look at this user now.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::event::Channel;
use domain::hint::InternalHint;
use domain::key::DeliveryId;
use runtime::clock;
use runtime::nats::Nats;
use store::inbox::put_hint;

use crate::answer::{Answer, Refusal};

/// A user whom nobody has recorded is asked about again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Which unknown users were asked about of late.
#[derive(Default)]
pub struct Hints {
    asked: Mutex<HashMap<String, Instant>>,
}

impl Hints {
    /// Asks for the owner of a token; once, however many requests want to know.
    pub async fn ask_about(&self, nats: &Nats, sub: &str, hint: &InternalHint) -> Answer<()> {
        if !self.is_first(sub) {
            return Ok(());
        }
        let asked = give(nats, hint).await;
        if asked.is_err() {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(sub);
        }
        asked.map(drop)
    }

    fn is_first(&self, sub: &str) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, when| when.elapsed() < ASK_AGAIN);
        if asked.contains_key(sub) {
            return false;
        }
        asked.insert(sub.to_owned(), Instant::now());
        true
    }
}

/// Puts a hint into the inbox; when this returns it is stored.
pub async fn give(nats: &Nats, hint: &InternalHint) -> Answer<DeliveryId> {
    let delivery = DeliveryId::from(clock::new_id());
    put_hint(nats, &delivery, Channel::Api, hint).await.map_err(|error| {
        tracing::warn!("cannot store a hint: {error}");
        Refusal::unavailable("the request cannot be stored now")
    })?;
    Ok(delivery)
}
