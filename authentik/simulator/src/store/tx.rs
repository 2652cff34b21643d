//! One change of the state, with the events it causes.

use uuid::Uuid;

use super::delivery::{Delivery, Status};
use super::event::{self, Event, Origin};
use super::{Row, Store};
use crate::clock::{self, Timestamp};
use crate::json::{Json, object};

/// authentik keeps events for a year.
const EVENT_LIFE_SECONDS: f64 = 365.0 * 86_400.0;

/// A transaction on the store. Everything that is put is also written to the journal, where there is one.
pub struct Tx<'a> {
    store: &'a mut Store,
    /// What was put, where there is a journal for it.
    pub(crate) rows: Option<Vec<Row>>,
    /// Whether there may be something new to send.
    pub(crate) has_deliveries: bool,
    /// The request behind the change. Without one no events are made, as when authentik's worker
    /// changes something.
    origin: Option<Origin>,
    /// At most this many seconds pass before a webhook's first attempt; none where none are sent.
    delivery_delay: Option<f64>,
}

impl<'a> Tx<'a> {
    /// Starts a change.
    pub fn new(store: &'a mut Store, origin: Option<Origin>, delivery_delay: Option<f64>) -> Self {
        Self { store, rows: None, has_deliveries: false, origin, delivery_delay }
    }

    /// The state, with everything put so far.
    pub fn store(&self) -> &Store {
        self.store
    }

    /// For what a restart may forget.
    pub fn store_mut(&mut self) -> &mut Store {
        self.store
    }

    /// Changes the state.
    pub fn put(&mut self, row: Row) {
        self.has_deliveries |= matches!(row, Row::Delivery(_) | Row::Reset);
        if let Some(rows) = &mut self.rows {
            rows.push(row.clone());
        }
        self.store.apply(row);
    }

    /// Now; later than every event so far, so that `created` gives the order.
    pub fn now(&self) -> Timestamp {
        let now = clock::now();
        self.store.last_moment.map_or(now, |last| now.max(last.next()))
    }

    /// The key of the next user.
    pub fn next_pk(&self) -> i64 {
        self.store.last_pk + 1
    }

    /// A model event of the request's actor.
    pub fn model_event(&mut self, action: &str, model: Json) {
        self.event(action, event::MODEL_APP, object([("model", model)]));
    }

    /// An event of the request's actor.
    pub fn event(&mut self, action: &str, app: &str, context: Json) {
        if let Some(origin) = self.origin.clone() {
            self.event_from(&origin, action, app, context);
        }
    }

    /// An event whose actor is somebody else than the request's.
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
        self.emit(Event {
            pk: clock::new_uuid(),
            user: origin.actor.clone().jsonb(),
            action: action.to_owned(),
            app: app.to_owned(),
            context: Json::Object(members).jsonb(),
            client_ip: origin.client_ip.clone(),
            created,
            expires: created.plus_seconds(EVENT_LIFE_SECONDS),
            brand: event::default_brand(),
        });
    }

    /// Records an event, and its delivery when the rule sends it.
    pub fn emit(&mut self, event: Event) {
        let (id, created, is_sent) = (event.pk, event.created, event.is_sent());
        self.put(Row::Event(event));
        if let Some(delay) = self.delivery_delay.filter(|_| is_sent) {
            let due = created.plus_seconds(delay * clock::fraction());
            self.put(Row::Delivery(Delivery { id, attempts: 0, status: Status::Pending, due }));
        }
    }

    /// Forgets what a deleted user did, also what was not yet sent: authentik's `gdpr_compliance`.
    pub fn forget_events_of(&mut self, user: i64) {
        let theirs: Vec<Uuid> = self
            .store
            .events
            .values()
            .filter(|event| event.actor_pk() == Some(user))
            .map(|event| event.pk)
            .collect();
        for id in theirs {
            self.put(Row::EventGone(id));
            if let Some(delivery) = self.store.deliveries.get(id) {
                self.put(Row::Delivery(Delivery { status: Status::Dropped, ..delivery }));
            }
        }
    }
}
