//! Events of realistic size.

use async_nats::HeaderMap;
use domain::event::payload::{Trigger, UserLoggedIn, UserRegistered};
use domain::event::{Event, EventBody};
use domain::key::UserPk;
use domain::snapshot::User;
use futures_util::{TryStreamExt, stream};
use runtime::clock;
use runtime::nats::Nats;
use store::publish::{NewMessage, publish_batch};

/// Number of events per commit when the log is filled.
const COMMIT: usize = 900;

/// The registration of a user.
pub fn registered(pk: UserPk) -> Event {
    let event = testkit::events::registered(pk, 0);
    let body = UserRegistered { user: user(pk), partial: false, trigger: trigger("model_created") };
    Event { body: EventBody::UserRegistered(body), ..event }
}

/// A sign-in of a user.
pub fn signed_in(pk: UserPk) -> Event {
    let event = testkit::events::registered(pk, 0);
    let body = UserLoggedIn {
        user: user(pk),
        client_ip: Some("203.0.113.7".to_owned()),
        auth_method: Some("password".to_owned()),
        trigger: trigger("login"),
    };
    Event { body: EventBody::UserLoggedIn(body), ..event }
}

fn user(pk: UserPk) -> User {
    let groups: Vec<_> = (0..3).map(|_| clock::new_id()).collect();
    User {
        uuid: clock::new_id(),
        uid: format!("{pk:064x}"),
        username: format!("user-{pk}"),
        email: format!("user-{pk}@lab.invalid"),
        is_active: true,
        kind: "internal".to_owned(),
        path: "users".to_owned(),
        groups: groups.iter().copied().collect(),
        group_names: groups.iter().map(|group| (*group, "a group of people".to_owned())).collect(),
        last_login: Some(clock::now()),
        date_joined: Some(clock::now()),
        ..User::partial(pk, format!("User {pk}"))
    }
}

fn trigger(action: &str) -> Trigger {
    Trigger { action: action.to_owned(), actor: None }
}

/// Fills the log with registrations of `n_users` users, then `n_sign_ins` sign-ins of each.
pub async fn fill(nats: &Nats, n_users: UserPk, n_sign_ins: u32) -> anyhow::Result<()> {
    let sign_ins = (0..n_sign_ins).flat_map(|_| (1..=n_users).map(signed_in));
    let events = (1..=n_users).map(registered).chain(sign_ins);
    let messages = stream::iter(events.map(|event| {
        let subject = nats.namespace.event_subject(event.subject, event.body.event_type());
        anyhow::Ok(NewMessage {
            subject,
            headers: HeaderMap::new(),
            payload: event.to_json()?.into(),
            expected: None,
        })
    }));
    let commits = messages.try_chunks(COMMIT);
    commits
        .map_err(|error| error.1)
        .try_for_each(async |messages| {
            let batch = clock::new_id().simple().to_string();
            publish_batch(nats, &batch, messages).await?;
            Ok(())
        })
        .await
}
