//! Reading events.

use poem::http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::answer::Refusal;
use super::{Answer, auth, filters, paging};
use crate::call::{self, Call};
use crate::clock::Timestamp;
use crate::json::Json;
use crate::store::event::Event;
use crate::world::World;

/// An event as REST shows it, in its order.
#[derive(Serialize)]
struct Shown<'a> {
    pk: Uuid,
    user: &'a Json,
    action: &'a str,
    app: &'a str,
    context: &'a Json,
    client_ip: Option<&'a str>,
    created: Timestamp,
    expires: Timestamp,
    brand: &'a Json,
}

impl<'a> From<&'a Event> for Shown<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            pk: event.pk,
            user: &event.user,
            action: &event.action,
            app: &event.app,
            context: &event.context,
            client_ip: event.client_ip.as_deref(),
            created: event.created,
            expires: event.expires,
            brand: &event.brand,
        }
    }
}

/// `GET /events/events/`. The newest come first unless asked otherwise; there is no filter by time.
pub fn list(world: &World, call: &Call) -> Answer {
    auth::viewer(world, call, "event")?;
    world.read(|store| {
        let filter = Filter::of(call);
        let mut events: Vec<&Event> = store.events.values().filter(|event| filter.takes(event)).collect();
        // They are kept in the order of `created`.
        if call.parameter("ordering") != Some("created") {
            events.reverse();
        }
        let page =
            paging::page(call, "authentik_events.event", events.len(), events.iter().copied(), Shown::from)?;
        Ok(call::json(StatusCode::OK, &page))
    })
}

/// `GET /events/events/{pk}/`.
pub fn one(world: &World, call: &Call, pk: &str) -> Answer {
    auth::viewer(world, call, "event")?;
    let pk: Uuid = pk.parse().map_err(|_| Refusal::NotFound)?;
    world.read(|store| {
        let event = store.event(pk).ok_or(Refusal::Unknown("Event"))?;
        Ok(call::json(StatusCode::OK, &Shown::from(event)))
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
    search: Option<&'a str>,
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
            // authentik too takes the dashes out, as keys of groups are stored without.
            model_pk: filters::text(call, "context_model_pk").map(|pk| pk.replace('-', "")),
            search: filters::text(call, "search"),
        }
    }

    fn takes(&self, event: &Event) -> bool {
        let is = |wanted: Option<&str>, value: Option<&str>| wanted.is_none() || wanted == value;
        let model = |key: &str| event.context.get("model").and_then(|model| model.get(key));
        let username = event.user.get("username").and_then(Json::as_str);
        self.action.is_none_or(|part| event.action.contains(part))
            && (self.actions.is_empty() || self.actions.contains(&event.action.as_str()))
            && is(self.username, username)
            && is(self.client_ip, event.client_ip.as_deref())
            && is(self.brand_name, event.brand.get("name").and_then(Json::as_str))
            && self.model.iter().all(|(key, wanted)| is(*wanted, model(key).and_then(Json::as_str)))
            && self.model_pk.as_ref().is_none_or(|wanted| {
                model("pk").is_some_and(|pk| match pk.as_i64() {
                    Some(pk) => pk.to_string() == *wanted,
                    None => pk.as_str() == Some(wanted),
                })
            })
            && self.search.is_none_or(|search| {
                filters::is_found(search, &[&event.action, &event.app, username.unwrap_or_default()])
            })
    }
}
