//! Transports, rules, mappings and policies: an administrator's, to read and to test.

use poem::Response;
use poem::http::{Method, StatusCode};

use super::answer::{self, Refusal};
use super::{ACTION, Answer, auth, filters, paging};
use crate::blueprint::{self, Mistake};
use crate::call::{self, Call};
use crate::clock;
use crate::json::{Json, object};
use crate::store::Row;
use crate::store::event::Event;
use crate::webhook::sender::{Sender, Sent};
use crate::world::World;

/// authentik keeps events for a year.
const EVENT_LIFE_SECONDS: f64 = 365.0 * 86_400.0;

/// A list of objects; `name` and `target` pick some of them.
pub fn list(world: &World, call: &Call, model: &str, objects: &[Json]) -> Answer {
    auth::writer(world, call)?;
    let is_picked = |object: &&Json| {
        ["name", "target"].into_iter().all(|filter| {
            filters::text(call, filter)
                .is_none_or(|wanted| object.get(filter).and_then(Json::as_str) == Some(wanted))
        })
    };
    let picked: Vec<&Json> = objects.iter().filter(is_picked).collect();
    let page = paging::page(call, model, picked.len(), picked.iter(), |object| *object)?;
    Ok(call::json(StatusCode::OK, &page))
}

/// Whether this is `POST /events/transports/{uuid}/test/`, which asks somebody else before it answers.
pub fn is_test(call: &Call) -> bool {
    call.method == Method::POST
        && call.path.starts_with("/api/v3/events/transports/")
        && call.path.ends_with("/test/")
}

/// Sends a test from the server process, once, and tells what came of it.
pub async fn test(world: &World, call: &Call) -> Response {
    let answer = match test_event(world, call) {
        Ok(event) => send(world, &event).await,
        Err(refusal) => refusal.answer(&call.method),
    };
    answer::with_allow(answer, ACTION)
}

/// The event of a test is saved, and no rule sends it.
fn test_event(world: &World, call: &Call) -> Result<Event, Refusal> {
    let actor = auth::writer(world, call)?.actor;
    let member = |name: &str| actor.get(name).cloned().unwrap_or_default();
    // This event is built in memory, so its members keep Python's order.
    let user = object([("username", member("username")), ("pk", member("pk")), ("email", member("email"))]);
    let is_there = !blueprint::transports(world).is_empty();
    let is_known = call.path.split('/').any(|segment| segment.parse() == Ok(blueprint::TRANSPORT));
    if !is_there || !is_known {
        return Err(Refusal::Unknown("NotificationTransport"));
    }
    let brand = object([
        ("app", "authentik_brands".into()),
        ("model_name", "brand".into()),
        ("pk", "222af197c72849cabc3b7fe3f7bbaf8b".into()),
        ("name", "Brand fallback".into()),
    ]);
    let created = world.write(None, |tx| tx.now());
    let event = Event {
        pk: clock::new_uuid(),
        user: object([]),
        action: "custom_notification_test".to_owned(),
        app: "authentik.events.api.notification_transports".to_owned(),
        context: object([("user", user), ("context", object([("foo", "bar".into())]))]),
        client_ip: None,
        created,
        expires: created.plus_seconds(EVENT_LIFE_SECONDS),
        brand,
    };
    world.write(None, |tx| tx.put(Row::Event(event.clone())));
    Ok(event)
}

async fn send(world: &World, event: &Event) -> Response {
    // An expression that fails is an unhandled exception.
    if world.faults().mistakes.contains(&Mistake::NoSecret) {
        return answer::fault(StatusCode::METHOD_NOT_ALLOWED.as_u16());
    }
    let mut config = world.config.clone();
    config.webhook_url = Some(blueprint::webhook_url(world));
    if world.faults().mistakes.contains(&Mistake::OtherSecret) {
        config.webhook_secret = Some("whsec_b3RoZXItd2ViaG9vay1zZWNyZXQtMDEyMzQ1Njc4OWE=".into());
    }
    let Ok(Some(sender)) = Sender::new(&config) else {
        return call::empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    match sender.send_now(event).await {
        Ok(Sent { status, text }) if status.as_u16() < StatusCode::BAD_REQUEST.as_u16() => {
            let messages = Json::Array(vec![status.as_str().into(), text.as_str().into()]);
            call::json(StatusCode::OK, &object([("messages", messages)]))
        }
        // In the words of Python's `requests`; the text of the target's answer is not told.
        Ok(Sent { status, .. }) => {
            let whose = if status.is_server_error() { "Server" } else { "Client" };
            let reason = status.canonical_reason().unwrap_or_default();
            let url = blueprint::webhook_url(world);
            refused(&format!("{} {whose} Error: {reason} for url: {url}", status.as_u16()))
        }
        Err(error) => refused(&format!(
            "HTTPConnectionPool: Max retries exceeded with url: /authentik/webhook (Caused by \
             NewConnectionError('Failed to establish a new connection: {error:#}'))"
        )),
    }
}

fn refused(reason: &str) -> Response {
    call::json(StatusCode::INTERNAL_SERVER_ERROR, &reason)
}
