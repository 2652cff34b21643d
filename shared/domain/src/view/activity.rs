//! `activity`: number of events of each type per day.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Projection;
use crate::event::{EventType, Recorded};

/// The projection `activity`, keyed by the day (`YYYY-MM-DD` in UTC) on which the stream stored the event.
#[derive(Clone, Copy, Debug)]
pub struct Activity;

/// Activity of one day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActivityView {
    /// Number of events of each type.
    pub counts: BTreeMap<EventType, u64>,
    /// Sequence of the last counted event.
    pub sequence: u64,
}

impl Projection for Activity {
    type View = ActivityView;
    const NAME: &'static str = "activity";
    const VERSION: u32 = 1;

    fn keys(event: &Recorded) -> Vec<String> {
        vec![event.stored.day()]
    }

    fn fold(_: &str, view: Option<&ActivityView>, event: &Recorded) -> Option<ActivityView> {
        let mut view = view.cloned().unwrap_or_default();
        *view.counts.entry(event.event.body.event_type()).or_default() += 1;
        view.sequence = event.sequence;
        Some(view)
    }

    fn sequence(view: &ActivityView) -> u64 {
        view.sequence
    }
}
