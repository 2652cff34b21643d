//! A client that lists users, and then streams events after the `as_of` of the list, misses nothing.

use std::collections::BTreeMap;

use domain::event::{EventBody, StateAfter};
use domain::key::UserPk;
use futures_util::future::join_all;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use store::log::EventLog;
use tokio::task::JoinHandle;

use crate::support::events::{deactivated, deleted, in_group, logged_in, reactivated, registered, user};
use crate::support::sse::{Client, Received};
use crate::support::{World, record};

const N_USERS: i64 = 20;
const N_ROUNDS: i64 = 15;
const N_CHANGES: u64 = N_USERS.unsigned_abs() * N_ROUNDS.unsigned_abs();

/// Number of concurrent writers. Each changes different users.
const N_WRITERS: i64 = 4;

/// Present users by primary key: sequence of the last event, and the user.
type RecordedState = BTreeMap<UserPk, (u64, Value)>;

/// Events by sequence: the primary key, and the user after the event; nothing if the event deleted the user.
type History = BTreeMap<u64, (UserPk, Option<Value>)>;

/// The state of a client: the users it knows, and its stream.
struct Follower {
    as_of: u64,
    /// No listed user is newer than this sequence.
    listed_until: u64,
    known: RecordedState,
    stream: Client,
}

/// The change of a user in a round. Each user is also deleted and registered again.
fn change(pk: UserPk, round: i64) -> EventBody {
    let now = user(pk, &format!("user{pk}-{round}"));
    match (round + pk) % 5 {
        _ if round == 0 => registered(now),
        0 => deactivated(now),
        1 => reactivated(in_group(now, 1, "navy")),
        2 => deleted(now),
        3 => registered(now),
        _ => logged_in(now),
    }
}

/// Changes the writer's users as fast as possible.
async fn write(log: EventLog, writer: i64) -> History {
    let mut history = History::new();
    for round in 0..N_ROUNDS {
        for pk in (1..=N_USERS).filter(|pk| pk % N_WRITERS == writer) {
            let body = change(pk, round);
            let now = match body.after() {
                StateAfter::User(user) => Some(json!(user)),
                StateAfter::UserGone(_) => None,
                other => panic!("{other:?} does not change a user"),
            };
            history.insert(record(&log, body).await, (pk, now));
        }
    }
    history
}

/// The correct state after the event with this sequence.
fn state_at(history: &History, sequence: u64) -> RecordedState {
    let mut state = RecordedState::new();
    for (sequence, (pk, now)) in history.range(..=sequence) {
        state.remove(pk);
        state.extend(now.clone().map(|user| (*pk, (*sequence, user))));
    }
    state
}

/// An admin who reuses one connection: opening one per request would take longer than the changes.
struct Admin<'a> {
    world: &'a World,
    token: String,
    client: reqwest::Client,
}

impl Admin<'_> {
    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.world.api.url)).bearer_auth(&self.token)
    }

    async fn page(&self, limit: usize, cursor: &str) -> Value {
        let answer = self.get(&format!("/api/users?limit={limit}{cursor}")).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    /// Lists all pages, and opens a stream at the `as_of` of the first page.
    async fn list_then_stream(&self, limit: usize) -> Follower {
        let mut page = self.page(limit, "").await;
        let as_of = page["as_of"].as_str().unwrap().to_owned();
        let mut known = RecordedState::new();
        loop {
            for view in page["users"].as_array().unwrap() {
                let entry = (view["sequence"].as_u64().unwrap(), view["user"].clone());
                known.insert(view["pk"].as_i64().unwrap(), entry);
            }
            let Some(next) = page["next"].as_str() else { break };
            page = self.page(limit, &format!("&cursor={next}")).await;
        }
        let listed_until = self.world.log.bounds().await.unwrap().last;
        let stream = Client::open(self.get(&format!("/api/events/stream?after={as_of}"))).await;
        let as_of = as_of.rsplit('-').next().unwrap().parse().unwrap();
        Follower { as_of, listed_until, known, stream }
    }
}

impl Follower {
    /// Applies all events, and compares the result with the correct state.
    async fn follow(&mut self, history: &History) {
        let listed = self.as_of;
        for sequence in listed + 1..=N_CHANGES {
            if sequence - 1 == self.listed_until {
                assert_eq!(self.known, state_at(history, self.listed_until), "listed as of {listed}");
            }
            let received = self.stream.next().await.expect("the stream continues");
            assert_eq!(received.sequence(), sequence, "each event arrives once and in order");
            self.apply(sequence, &received);
        }
        assert_eq!(self.known, state_at(history, N_CHANGES), "listed as of {listed}");
    }

    fn apply(&mut self, sequence: u64, received: &Received) {
        let event: Value = serde_json::from_str(&received.data).unwrap();
        let user = &event["data"]["user"];
        let pk = user["pk"].as_i64().unwrap();
        // A later page can be newer than the first one.
        if self.known.get(&pk).is_some_and(|(known, _)| *known >= sequence) {
            return;
        }
        self.known.remove(&pk);
        if received.event != "user-deleted" {
            self.known.insert(pk, (sequence, user.clone()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_and_the_stream_after_it_miss_no_change() {
    let world = World::start().await;
    let admin = Admin { world: &world, token: world.admin(), client: reqwest::Client::new() };
    let writers: Vec<_> =
        (0..N_WRITERS).map(|writer| tokio::spawn(write(world.log.clone(), writer))).collect();
    let mut followers = vec![];
    let mut is_quiet = false;
    while !is_quiet {
        is_quiet = writers.iter().all(JoinHandle::is_finished);
        // Alternately one large page, and small pages with changes between them.
        let limit = if followers.len().is_multiple_of(2) { 500 } else { 3 };
        followers.push(admin.list_then_stream(limit).await);
    }
    let history: History = join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    let n_midway = followers.iter().filter(|follower| (1..N_CHANGES).contains(&follower.as_of)).count();
    assert!(n_midway >= 2, "no user changed while they were listed");
    for follower in &mut followers {
        follower.follow(&history).await;
    }
}
