//! Number of events per day.

use domain::timestamp::Timestamp;
use domain::view::activity::{Activity, ActivityView};
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use runtime::clock;
use schemars::JsonSchema;
use serde::Serialize;
use time::Duration;

use super::tags::Tag;
use crate::answer::{ADMIN, BAD_REQUEST, Json, RouteResult, bad_parameter};
use crate::caller::Caller;

/// Default number of days in a report.
const DEFAULT_DAYS: u32 = 30;

/// Maximum number of days in a report.
const MAX_DAYS: u32 = 3_660;

/// How many events of each type were recorded on each day.
#[derive(Serialize, JsonSchema)]
pub struct ActivityReport {
    /// Days with at least one event, in ascending order.
    days: Vec<Day>,
    /// The position in the log up to which events are certainly counted.
    as_of: String,
}

/// One day.
#[derive(Serialize, JsonSchema)]
struct Day {
    /// `YYYY-MM-DD` in UTC, by the clock of the stream.
    day: String,
    #[serde(flatten)]
    activity: ActivityView,
}

#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Counts the events of each type on each of the last days.
    #[oai(path = "/activity", method = "get", tag = "Tag::Operations")]
    async fn activity(
        &self,
        caller: Caller,
        /// Number of days, including today: 1 to 3660, 30 by default.
        days: Query<Option<u32>>,
    ) -> RouteResult<Json<ActivityReport>, { ADMIN | BAD_REQUEST }> {
        caller.require_admin()?;
        let n_days = days.0.unwrap_or(DEFAULT_DAYS);
        if !(1..=MAX_DAYS).contains(&n_days) {
            return Err(bad_parameter("days", format!("expected 1 to {MAX_DAYS}")).into());
        }
        let first = clock::now().to_offset_date_time() - Duration::days(i64::from(n_days) - 1);
        let first = Timestamp::from(first).day();
        let activity = caller.live.replica::<Activity>();
        let as_of = caller.live.cursor(activity.sequence());
        let days = activity.read(|views| {
            let recent = views.iter().filter(|(day, _)| **day >= first);
            recent.map(|(day, view)| Day { day: day.clone(), activity: view.clone() }).collect()
        });
        Ok(Json(ActivityReport { days, as_of }))
    }
}
