//! The types and rules of authentik-events, without input or output: no clock, no network, no runtime.
//! Times and ids are arguments.
//!
//! * [`hint::Hint`]: a user or group may have changed. [`hint::read`] parses one from a webhook's body.
//! * [`snapshot::User`] and [`snapshot::Group`]: the state that authentik reports and that every event
//!   carries.
//! * [`decide`]: the events that bring the recorded state in line with authentik's state.
//! * [`brake::Brake`]: how many users may be recorded as deleted, over all projectors together.
//! * [`rule::Rule`]: the steps around that decision (read the log, ask authentik, append, repeat on a
//!   conflict).
//! * [`event::Event`]: one recorded event, as CloudEvents JSON.
//! * [`view::Projection`]: folds events into the views that the API serves.
//! * [`key`]: names of streams, buckets and subjects in NATS.
//! * [`command`], [`operation`], [`status`]: what the API and the projectors tell each other.
//!
//! ```
//! use domain::decide::{RecordedState, decide_user};
//! use domain::event::{Channel, EventType};
//! use domain::hint::{self, Parsed};
//! use domain::key::DeliveryId;
//! use domain::snapshot::User;
//!
//! let delivery: DeliveryId = "f9fc2ade-fae3-4865-a48c-7fb4d921559e".parse().unwrap();
//! let body = br#"{"event_type": "model_updated", "pk": 42}"#;
//! let Ok(Parsed::Hint(hint)) = hint::read(delivery, Channel::Webhook, body) else { panic!() };
//!
//! let recorded = User { is_active: true, ..User::partial(42, "Ada".to_owned()) };
//! let source = User { is_active: false, ..recorded.clone() };
//! let events = decide_user(42, &RecordedState::Present(recorded), Some(&source), &hint, None);
//! assert_eq!(events[0].event_type(), EventType::UserDeactivated);
//! ```
#![warn(missing_docs)]

pub mod brake;
pub mod command;
pub mod decide;
pub mod event;
pub mod hint;
pub mod history;
pub mod key;
pub mod operation;
pub mod rule;
pub mod snapshot;
pub mod status;
pub mod timestamp;
pub mod view;
