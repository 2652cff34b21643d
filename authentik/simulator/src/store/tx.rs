//! A transaction: one change of the state with the events that it causes.

use uuid::Uuid;

use super::delivery::{Delivery, Status};
use super::event::{self, Event, Origin};
use super::state::{Row, Store};
use crate::clock::{self, Timestamp};
use crate::json::{Json, object};

/// A transaction on the store.
pub struct Tx<'a> {
    store: &'a mut Store,
    /// The applied rows, if there is a journal for them.
    pub(crate) rows: Option<Vec<Row>>,
    /// Whether a delivery changed.
    pub(crate) has_deliveries: bool,
    /// The request behind the change. A change without a request makes no events, as in authentik's worker.
    origin: Option<Origin>,
    /// The longest delay before the first attempt of a webhook, in seconds. `None` if no webhooks are sent.
    max_delivery_delay: Option<f64>,
}

impl<'a> Tx<'a> {
    pub fn new(store: &'a mut Store, origin: Option<Origin>, max_delivery_delay: Option<f64>) -> Self {
        Self { store, rows: None, has_deliveries: false, origin, max_delivery_delay }
    }

    /// The state, with all rows applied so far.
    pub fn store(&self) -> &Store {
        self.store
    }

    /// Direct access to the state. Changes made this way are lost at a restart.
    pub fn store_mut(&mut self) -> &mut Store {
        self.store
    }

    /// Applies a row.
    pub fn put(&mut self, row: Row) {
        self.has_deliveries |= matches!(row, Row::Delivery(_));
        if let Some(rows) = &mut self.rows {
            rows.push(row.clone());
        }
        self.store.apply(row);
    }

    /// The current time, but later than every event so far, so that `created` orders the events.
    pub fn now(&self) -> Timestamp {
        let now = clock::now();
        self.store.last_created.map_or(now, |last| now.max(last.next()))
    }

    /// The key that the next user will get.
    pub fn next_pk(&self) -> i64 {
        self.store.last_pk + 1
    }

    /// Records an event about a model, with the request's actor.
    pub fn model_event(&mut self, action: &str, model: Json) {
        self.event(action, event::MODEL_APP, object([("model", model)]));
    }

    /// Records an event with the request's actor.
    pub fn event(&mut self, action: &str, app: &str, context: Json) {
        if let Some(origin) = self.origin.clone() {
            self.event_from(&origin, action, app, context);
        }
    }

    /// Records an event with another actor.
    pub fn event_of(&mut self, actor: Json, action: &str, app: &str, context: Json) {
        if let Some(origin) = self.origin.as_ref().map(|origin| origin.with_actor(actor)) {
            self.event_from(&origin, action, app, context);
        }
    }

    fn event_from(&mut self, origin: &Origin, action: &str, app: &str, context: Json) {
        let mut members = match context {
            Json::Object(members) => members,
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => vec![],
        };
        if !members.iter().any(|(key, _)| key == "http_request") {
            members.push(("http_request".to_owned(), origin.http_request()));
        }
        let created = self.now();
        self.put_event(Event {
            pk: clock::new_uuid(),
            user: origin.actor.clone().jsonb(),
            action: action.to_owned(),
            app: app.to_owned(),
            context: Json::Object(members).jsonb(),
            client_ip: origin.client_ip.clone(),
            created,
            expires: created.plus_seconds(event::LIFETIME_SECONDS),
            brand: event::default_brand(),
        });
    }

    /// Stores an event, and its delivery if the rule sends it.
    fn put_event(&mut self, event: Event) {
        let (id, created, is_sent) = (event.pk, event.created, event.is_sent());
        self.put(Row::Event(event));
        if let Some(delay) = self.max_delivery_delay.filter(|_| is_sent) {
            let due = created.plus_seconds(delay * clock::fraction());
            self.put(Row::Delivery(Delivery { id, attempts: 0, status: Status::Pending, due }));
        }
    }

    /// Deletes the events whose actor is the user, and drops their pending deliveries, like authentik with
    /// `gdpr_compliance` on (the default).
    pub fn delete_events_of(&mut self, user: i64) {
        let ids: Vec<Uuid> = self
            .store
            .events
            .values()
            .filter(|event| event.actor_pk() == Some(user))
            .map(|event| event.pk)
            .collect();
        for id in ids {
            self.put(Row::EventGone(id));
            if let Some(delivery) = self.store.deliveries.get(id) {
                self.put(Row::Delivery(Delivery { status: Status::Dropped, ..delivery }));
            }
        }
    }
}
