//! The setup of webhooks and of the provider, which only an administrator may read, and the test of a transport.

use poem::Response;
use poem::http::StatusCode;

use super::response::{self, Refusal, RestResult};
use super::{auth, filters, paging};
use crate::blueprint;
use crate::call::{self, Call};
use crate::clock;
use crate::faults::Mistake;
use crate::json::{Json, object};
use crate::provider;
use crate::store::Row;
use crate::store::event::{self, Event};
use crate::webhook::body;
use crate::webhook::sender::Sender;
use crate::world::World;

/// Lists the objects of one kind. The parameters `name`, `target` and `client_id` filter them.
pub fn list(world: &World, call: &Call, segments: &[&str]) -> RestResult {
    let (model, objects) = match segments {
        ["events", "transports"] => ("authentik_events.notificationtransport", blueprint::transports(world)),
        ["events", "rules"] => ("authentik_events.notificationrule", blueprint::rules(world)),
        ["propertymappings", "notification"] => {
            ("authentik_events.notificationwebhookmapping", blueprint::mappings(world))
        }
        ["policies", "bindings"] => ("authentik_policies.policybinding", blueprint::bindings(world)),
        ["policies", "event_matcher"] => {
            ("authentik_policies_event_matcher.eventmatcherpolicy", blueprint::matchers())
        }
        ["policies", "expression"] => ("authentik_policies_expression.expressionpolicy", vec![]),
        ["providers", "oauth2"] => ("authentik_providers_oauth2.oauth2provider", provider::providers(world)),
        ["flows", "bindings"] => ("authentik_flows.flowstagebinding", provider::flow_stages()),
        _ => return Err(Refusal::MethodNotAllowed),
    };
    auth::may_write(world, call)?;
    let matches = |object: &&Json| {
        ["name", "target", "client_id"].into_iter().all(|filter| {
            filters::text(call, filter)
                .is_none_or(|wanted| object.get(filter).and_then(Json::as_str) == Some(wanted))
        })
    };
    let matching: Vec<&Json> = objects.iter().filter(matches).collect();
    let page = paging::page(call, model, matching.len(), matching.iter(), |object| *object)?;
    Ok(call::json(StatusCode::OK, &page))
}

/// `POST /events/transports/{pk}/test/`: the server process sends a test and responds with its outcome.
pub async fn test_transport(world: &World, call: &Call, pk: &str) -> RestResult {
    let event = create_test_event(world, call, pk)?;
    let mistakes = world.faults().mistakes;
    // The headers mapping reads the secret from the environment. Without it the mapping raises an exception.
    if mistakes.contains(&Mistake::NoSecret) {
        return Ok(response::unhandled_exception());
    }
    let mut config = world.config.clone();
    config.webhook_url = Some(blueprint::webhook_url(world));
    if mistakes.contains(&Mistake::OtherSecret) {
        config.webhook_secret = Some("whsec_b3RoZXItd2ViaG9vay1zZWNyZXQtMDEyMzQ1Njc4OWE=".into());
    }
    let Ok(Some(sender)) = Sender::new(&config) else {
        return Ok(call::empty(StatusCode::INTERNAL_SERVER_ERROR));
    };
    Ok(match sender.post(event.pk, body::bytes(&event)).await {
        Ok(target) if target.status().as_u16() < StatusCode::BAD_REQUEST.as_u16() => {
            let status = target.status();
            let text = target.text().await.unwrap_or_default();
            let messages = Json::Array(vec![status.as_str().into(), text.into()]);
            call::json(StatusCode::OK, &object([("messages", messages)]))
        }
        // The texts of Python's `requests`. They do not contain the body of the target's response.
        Ok(target) => {
            let status = target.status();
            let side = if status.is_server_error() { "Server" } else { "Client" };
            let reason = status.canonical_reason().unwrap_or_default();
            let url = blueprint::webhook_url(world);
            failed(&format!("{} {side} Error: {reason} for url: {url}", status.as_u16()))
        }
        Err(error) => failed(&format!(
            "HTTPConnectionPool: Max retries exceeded with url: /authentik/webhook (Caused by \
             NewConnectionError('Failed to establish a new connection: {error:#}'))"
        )),
    })
}

/// Stores the event of a test, without a delivery, because the server process sends it at once.
fn create_test_event(world: &World, call: &Call, pk: &str) -> Result<Event, Refusal> {
    let actor = auth::may_write(world, call)?.actor;
    if blueprint::transports(world).is_empty() || pk.parse() != Ok(blueprint::TRANSPORT) {
        return Err(Refusal::Unknown("NotificationTransport"));
    }
    let member = |name: &str| actor.get(name).cloned().unwrap_or_default();
    // This event does not pass through PostgreSQL, so its keys have the order of authentik's Python code.
    let user = object([("username", member("username")), ("pk", member("pk")), ("email", member("email"))]);
    let brand = object([
        ("app", "authentik_brands".into()),
        ("model_name", "brand".into()),
        ("pk", "222af197c72849cabc3b7fe3f7bbaf8b".into()),
        ("name", "Brand fallback".into()),
    ]);
    Ok(world.write(None, |tx| {
        let created = tx.now();
        let event = Event {
            pk: clock::new_uuid(),
            user: object([]),
            action: "custom_notification_test".to_owned(),
            app: "authentik.events.api.notification_transports".to_owned(),
            context: object([("user", user), ("context", object([("foo", "bar".into())]))]),
            client_ip: None,
            created,
            expires: created.plus_seconds(event::LIFETIME_SECONDS),
            brand,
        };
        tx.put(Row::Event(event.clone()));
        event
    }))
}

fn failed(reason: &str) -> Response {
    call::json(StatusCode::INTERNAL_SERVER_ERROR, &reason)
}
