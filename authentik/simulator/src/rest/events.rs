//! Reads events.

use poem::http::StatusCode;
use uuid::Uuid;

use super::response::{Refusal, RestResult};
use super::{auth, filters, paging};
use crate::call::{self, Call};
use crate::json::Json;
use crate::store::event::Event;
use crate::world::World;

/// `GET /events/events/`, newest first by default. authentik has no filter by time.
pub fn list(world: &World, call: &Call) -> RestResult {
    auth::may_view(world, call, "event")?;
    world.read(|store| {
        let filter = Filter::of(call);
        let mut events: Vec<&Event> = store.events.values().filter(|event| filter.matches(event)).collect();
        // The store is sorted by `created`.
        if call.parameter("ordering") != Some("created") {
            events.reverse();
        }
        let (count, events) = (events.len(), events.into_iter());
        let page = paging::page(call, "authentik_events.event", count, events, |event| event)?;
        Ok(call::json(StatusCode::OK, &page))
    })
}

/// `GET /events/events/{pk}/`.
pub fn one(world: &World, call: &Call, pk: &str) -> RestResult {
    auth::may_view(world, call, "event")?;
    let pk: Uuid = pk.parse().map_err(|_| Refusal::NotFound)?;
    world.read(|store| {
        let event = store.event(pk).ok_or(Refusal::Unknown("Event"))?;
        Ok(call::json(StatusCode::OK, event))
    })
}

struct Filter<'a> {
    action: Option<&'a str>,
    actions: Vec<&'a str>,
    username: Option<&'a str>,
    client_ip: Option<&'a str>,
    brand_name: Option<&'a str>,
    model: [(&'static str, Option<&'a str>); 2],
    model_pk: Option<String>,
}

impl<'a> Filter<'a> {
    fn of(call: &'a Call) -> Self {
        Self {
            action: filters::text(call, "action"),
            actions: call.parameters("actions").collect(),
            username: filters::text(call, "username"),
            client_ip: filters::text(call, "client_ip"),
            brand_name: filters::text(call, "brand_name"),
            model: [
                ("app", filters::text(call, "context_model_app")),
                ("model_name", filters::text(call, "context_model_name")),
            ],
            // Events contain keys of groups without dashes, so authentik removes them from the filter.
            model_pk: filters::text(call, "context_model_pk").map(|pk| pk.replace('-', "")),
        }
    }

    fn matches(&self, event: &Event) -> bool {
        let is = |wanted: Option<&str>, value: Option<&str>| wanted.is_none() || wanted == value;
        let model = |key: &str| event.context.get("model").and_then(|model| model.get(key));
        // `action` matches any part of the action, as in authentik.
        self.action.is_none_or(|part| event.action.contains(part))
            && (self.actions.is_empty() || self.actions.contains(&event.action.as_str()))
            && is(self.username, event.user.get("username").and_then(Json::as_str))
            && is(self.client_ip, event.client_ip.as_deref())
            && is(self.brand_name, event.brand.get("name").and_then(Json::as_str))
            && self.model.iter().all(|(key, wanted)| is(*wanted, model(key).and_then(Json::as_str)))
            && self.model_pk.as_ref().is_none_or(|wanted| {
                model("pk").is_some_and(|pk| match pk.as_i64() {
                    Some(pk) => pk.to_string() == *wanted,
                    None => pk.as_str() == Some(wanted),
                })
            })
    }
}
