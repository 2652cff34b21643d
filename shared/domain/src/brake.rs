//! The brake: how many users may be recorded as deleted within a window, over all projectors together.
//!
//! A wrong URL, an empty database and a token with fewer rights all look like a mass deletion. Before a projector
//! appends a deletion it reserves a place in this state, which all projectors share and change by conditional
//! writes. Without a free place the user is held until the window has moved on or an operator confirms.
//!
//! All times are those of the NATS server, so the clock of a projector decides nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::key::UserPk;
use crate::timestamp::Timestamp;

/// The window in which deletions are counted.
pub const WINDOW: Duration = Duration::from_mins(10);

/// How long an operator's confirmation is valid.
pub const CONFIRMATION: Duration = Duration::from_hours(1);

/// This many deletions per window are always allowed.
pub const ALWAYS_ALLOWED: u64 = 10;

/// How many held users are named; more are counted. Keeps the state far below NATS's limit for a message.
pub const MAX_NAMED: usize = 10_000;

/// How many places there are per window, whatever an operator confirms: the state must fit into one message.
pub const MAX_PLACES: usize = 100_000;

/// How close together reservations share one entry of the state.
const GROUPED: Duration = Duration::from_mins(1);

/// How many users may be recorded as deleted per window in an installation of `n_users`.
pub fn limit(n_users: u64) -> u64 {
    ALWAYS_ALLOWED.max(n_users / 100)
}

/// The shared state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brake {
    /// Deletions that are recorded or about to be recorded, oldest first.
    #[serde(default)]
    places: Vec<Places>,
    /// The newest confirmation, also after it was used up.
    #[serde(default)]
    confirmed: Option<Confirmed>,
    /// The users whose deletion is held back.
    #[serde(default)]
    held: Option<Held>,
}

/// Reservations made at about the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Places {
    /// When the first of them was made.
    began: Timestamp,
    /// When the last of them was made.
    at: Timestamp,
    /// Users whose deletion counts against the limit.
    users: BTreeSet<UserPk>,
    /// Users whose deletion an operator confirmed.
    #[serde(default)]
    confirmed: BTreeSet<UserPk>,
}

impl Places {
    fn contains(&self, pk: UserPk) -> bool {
        self.users.contains(&pk) || self.confirmed.contains(&pk)
    }

    fn n_users(&self) -> usize {
        self.users.len() + self.confirmed.len()
    }
}

/// An operator's confirmation that users are really gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Confirmed {
    /// How many more deletions it allows.
    pub left: u64,
    /// When it was given.
    pub at: Timestamp,
    /// Primary key of the user who gave it; absent when it was given on the command line.
    pub by: Option<UserPk>,
}

/// Users whose deletion is held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// Since when the brake is on.
    pub since: Timestamp,
    /// Primary keys of the held users; at most [`MAX_NAMED`].
    pub users: BTreeSet<UserPk>,
    /// How many more are held.
    pub n_unnamed: u64,
}

impl Held {
    /// How many users are held.
    pub fn n_users(&self) -> u64 {
        self.users.len() as u64 + self.n_unnamed
    }
}

/// The brake as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrakeStatus {
    /// True while deletions are held back.
    pub on: bool,
    /// Why deletions are held back, and what to do; absent while the brake is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The users whose deletion is held back; absent while the brake is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// How many deletions are allowed per window without a confirmation.
    pub limit: u64,
    /// Length of the window in seconds.
    pub window_seconds: u64,
    /// How many more users may be recorded as deleted now.
    pub room: u64,
    /// The confirmation that is valid now; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Confirmed>,
}

/// There are fewer free places than asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// How many places are free.
    pub room: u64,
}

impl Brake {
    /// The held users; `None` while the brake is off.
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// Why deletions are held back, and what to do; `None` while the brake is off.
    pub fn reason(&self) -> Option<String> {
        let held = self.held.as_ref()?;
        let n_users = held.n_users();
        Some(format!(
            "the brake is on: {n_users} users are missing in authentik and are not recorded as deleted, since {}; if \
             they were deleted, confirm it with `projector catch-up --allow-deletions {n_users}`",
            held.since
        ))
    }

    /// The state for operators, where `limit` deletions are allowed per window.
    pub fn status(&self, limit: u64, now: Timestamp) -> BrakeStatus {
        BrakeStatus {
            on: self.held.is_some(),
            reason: self.reason(),
            held: self.held.clone(),
            limit,
            window_seconds: WINDOW.as_secs(),
            room: self.room(limit, now),
            confirmed: self.confirmed(now).cloned(),
        }
    }

    /// When an operator confirmed deletions last.
    pub fn last_confirmation(&self) -> Option<Timestamp> {
        self.confirmed.as_ref().map(|confirmed| confirmed.at)
    }

    /// The operator's confirmation that still counts at `now`.
    pub fn confirmed(&self, now: Timestamp) -> Option<&Confirmed> {
        self.confirmed
            .as_ref()
            .filter(|confirmed| confirmed.left > 0 && !is_over(confirmed.at, CONFIRMATION, now))
    }

    /// How many places are free, where `limit` are allowed per window.
    pub fn room(&self, limit: u64, now: Timestamp) -> u64 {
        let current = || self.places.iter().filter(|places| !is_over(places.at, WINDOW, now));
        let n_counted: usize = current().map(|places| places.users.len()).sum();
        let n_places: usize = current().map(Places::n_users).sum();
        let confirmed = self.confirmed(now).map_or(0, |confirmed| confirmed.left);
        let room = limit.saturating_sub(n_counted as u64).max(confirmed);
        room.min(MAX_PLACES.saturating_sub(n_places) as u64)
    }

    /// Whether this user has a place.
    pub fn has_place(&self, pk: UserPk, now: Timestamp) -> bool {
        self.places.iter().any(|places| places.contains(pk) && !is_over(places.at, WINDOW, now))
    }

    /// Reserves a place for each of these users, or for none; then all of them are held.
    ///
    /// Returns the users who had no place before. A user who has a place keeps it, so a projector that died before it
    /// appended costs nothing.
    pub fn reserve(
        &mut self,
        users: &BTreeSet<UserPk>,
        limit: u64,
        now: Timestamp,
    ) -> Result<BTreeSet<UserPk>, Full> {
        self.places.retain(|places| !is_over(places.at, WINDOW, now));
        let new: BTreeSet<UserPk> = users.iter().copied().filter(|pk| !self.has_place(*pk, now)).collect();
        let (n_new, room) = (new.len() as u64, self.room(limit, now));
        if n_new > room {
            self.hold(users, now);
            return Err(Full { room });
        }
        self.release(users);
        if n_new == 0 {
            return Ok(new);
        }
        let confirmed = self
            .confirmed
            .as_mut()
            .filter(|confirmed| confirmed.left >= n_new && !is_over(confirmed.at, CONFIRMATION, now));
        let is_confirmed = confirmed.is_some();
        if let Some(confirmed) = confirmed {
            confirmed.left -= n_new;
        }
        let places = self.newest_places(now);
        let reserved = if is_confirmed { &mut places.confirmed } else { &mut places.users };
        reserved.extend(&new);
        Ok(new)
    }

    fn newest_places(&mut self, now: Timestamp) -> &mut Places {
        if self.places.last().is_none_or(|last| is_over(last.began, GROUPED, now)) {
            let (users, confirmed) = (BTreeSet::new(), BTreeSet::new());
            self.places.push(Places { began: now, at: now, users, confirmed });
        }
        let last = self.places.len() - 1;
        self.places[last].at = now;
        &mut self.places[last]
    }

    /// Frees the places of users who were not recorded as deleted after all.
    pub fn give_back(&mut self, users: &BTreeSet<UserPk>) {
        for places in &mut self.places {
            let n_confirmed = places.confirmed.len();
            places.users.retain(|pk| !users.contains(pk));
            places.confirmed.retain(|pk| !users.contains(pk));
            if let Some(confirmed) = &mut self.confirmed {
                confirmed.left += (n_confirmed - places.confirmed.len()) as u64;
            }
        }
        self.places.retain(|places| places.n_users() > 0);
    }

    /// Holds these users, except those with a place: their deletion is recorded or about to be.
    pub fn hold(&mut self, users: &BTreeSet<UserPk>, now: Timestamp) {
        let users: Vec<UserPk> = users.iter().copied().filter(|pk| !self.has_place(*pk, now)).collect();
        let held = self.held.get_or_insert_with(|| Held { since: now, users: BTreeSet::new(), n_unnamed: 0 });
        for pk in users {
            if held.users.len() < MAX_NAMED {
                held.users.insert(pk);
            } else if !held.users.contains(&pk) {
                held.n_unnamed += 1;
            }
        }
        self.end_if_nobody_is_held();
    }

    /// Ends holding these users: they exist, or are recorded as deleted.
    pub fn release(&mut self, users: &BTreeSet<UserPk>) {
        if let Some(held) = &mut self.held {
            held.users.retain(|pk| !users.contains(pk));
        }
        self.end_if_nobody_is_held();
    }

    /// Ends holding everybody else: a full comparison found only these users missing.
    pub fn hold_only(&mut self, missing: &BTreeSet<UserPk>) {
        if let Some(held) = &mut self.held {
            held.users.retain(|pk| missing.contains(pk));
            // Those of them who are still missing are counted again by [`Brake::hold`].
            held.n_unnamed = 0;
        }
        self.end_if_nobody_is_held();
    }

    fn end_if_nobody_is_held(&mut self) {
        self.held.take_if(|held| held.n_users() == 0);
    }

    /// Allows `n_deletions` more, from now on. Replaces an earlier confirmation.
    pub fn confirm(&mut self, n_deletions: u64, by: Option<UserPk>, now: Timestamp) {
        self.confirmed = Some(Confirmed { left: n_deletions, at: now, by });
    }
}

fn is_over(since: Timestamp, duration: Duration, now: Timestamp) -> bool {
    now.to_offset_date_time() - since.to_offset_date_time() > duration
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        time::OffsetDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap().into()
    }

    fn users(range: std::ops::Range<UserPk>) -> BTreeSet<UserPk> {
        range.collect()
    }

    /// A brake on which each of these users asked for a place at second 0, and how many got one.
    fn after_asking(range: std::ops::Range<UserPk>) -> (Brake, usize) {
        let mut brake = Brake::default();
        let n_reserved = range.filter(|pk| brake.reserve(&users(*pk..pk + 1), 10, at(0)).is_ok()).count();
        (brake, n_reserved)
    }

    #[test]
    fn one_percent_of_the_users_and_at_least_ten_are_allowed() {
        assert_eq!([limit(0), limit(1_000), limit(1_100), limit(100_000)], [10, 10, 11, 1_000]);
    }

    #[test]
    fn no_more_than_the_limit_get_a_place_and_the_others_are_held() {
        let (brake, n_reserved) = after_asking(0..150);
        assert_eq!((n_reserved, brake.room(10, at(0))), (10, 0));
        assert_eq!(brake.held().unwrap().users, users(10..150));
    }

    #[test]
    fn many_get_a_place_together_or_none_of_them() {
        let mut brake = Brake::default();
        assert_eq!(brake.reserve(&users(0..11), 10, at(0)), Err(Full { room: 10 }));
        assert_eq!(brake.reserve(&users(0..10), 10, at(0)), Ok(users(0..10)));
        assert_eq!(brake.held().unwrap().users, users(10..11));
    }

    #[test]
    fn a_user_with_a_place_needs_no_second_one() {
        let (mut brake, _) = after_asking(0..10);
        assert_eq!(brake.reserve(&users(3..4), 10, at(1)), Ok(BTreeSet::new()));
        assert!(brake.has_place(3, at(1)) && !brake.has_place(10, at(1)));
    }

    #[test]
    fn places_are_free_again_after_the_window() {
        let (mut brake, _) = after_asking(0..10);
        assert_eq!(brake.reserve(&users(20..21), 10, at(600)), Err(Full { room: 0 }));
        assert_eq!(brake.reserve(&users(20..21), 10, at(601)), Ok(users(20..21)));
    }

    #[test]
    fn an_unused_place_goes_back() {
        let (mut brake, _) = after_asking(0..10);
        brake.give_back(&users(3..5));
        assert_eq!(brake.room(10, at(1)), 2);
    }

    #[test]
    fn a_confirmation_allows_its_number_once_and_not_for_ever() {
        let (mut brake, _) = after_asking(0..150);
        brake.confirm(100, Some(1), at(1));
        assert_eq!(brake.reserve(&users(10..100), 10, at(2)), Ok(users(10..100)));
        assert_eq!(brake.confirmed(at(2)).unwrap().left, 10);
        assert_eq!(brake.reserve(&users(100..111), 10, at(2)), Err(Full { room: 10 }));
        brake.give_back(&users(10..20));
        assert_eq!(brake.room(10, at(2)), 20);
        assert_eq!(brake.room(10, at(3_602)), 10, "the confirmation is over, and so is the window");
        assert_eq!(brake.confirmed(at(3_602)), None);
    }

    #[test]
    fn a_comparison_holds_no_user_whose_deletion_has_a_place() {
        let (mut brake, _) = after_asking(0..10);
        brake.hold(&users(0..12), at(1));
        assert_eq!(brake.held().unwrap().users, users(10..12));
    }

    #[test]
    fn the_brake_is_off_once_nobody_is_held() {
        let (mut brake, _) = after_asking(0..13);
        brake.release(&users(10..12));
        assert_eq!(brake.held().unwrap().n_users(), 1);
        brake.hold_only(&users(0..10));
        assert_eq!(brake.held(), None);
    }

    #[test]
    fn the_largest_state_fits_into_one_message() {
        let mut brake = Brake::default();
        brake.confirm(1 << 40, None, at(0));
        let many: BTreeSet<UserPk> = (1_000_000..).take(MAX_PLACES).collect();
        assert!(brake.reserve(&many, 10, at(0)).is_ok());
        assert_eq!(brake.room(10, at(0)), 0);
        brake.hold(&users(2_000_000..2_100_000), at(0));
        let held = brake.held().unwrap();
        assert_eq!((held.users.len(), held.n_users()), (MAX_NAMED, 100_000));
        assert!(serde_json::to_vec(&brake).unwrap().len() < 1_000_000);
    }
}
