//! The body that the mapping `authentik/mappings/body.py` builds from an event, with keys in its order.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::python_json;
use crate::json::Json;
use crate::store::event::Event;

/// The body of a webhook.
#[derive(Serialize, Deserialize)]
pub struct Body {
    schema: String,
    event: BodyEvent,
    severity: String,
}

#[derive(Serialize, Deserialize)]
struct BodyEvent {
    id: Uuid,
    action: String,
    app: String,
    created: String,
    client_ip: Option<String>,
    actor: Actor,
    model: Option<AffectedModel>,
    context: Json,
    brand: Json,
}

#[derive(Serialize, Deserialize)]
struct Actor {
    pk: Json,
    username: Json,
    email: Json,
    is_anonymous: bool,
    on_behalf_of: Json,
    authenticated_as: Json,
}

#[derive(Serialize, Deserialize)]
struct AffectedModel {
    app: Json,
    model_name: Json,
    pk: Json,
    name: Json,
}

impl Body {
    /// The bytes to sign and to send.
    pub fn into_bytes(self) -> Vec<u8> {
        python_json::dumps(&self).into_bytes()
    }
}

impl From<&Event> for Body {
    fn from(event: &Event) -> Self {
        let member = |object: &Json, key: &str| object.get(key).cloned().unwrap_or_default();
        let model = event.context.get("model").filter(|model| !model.is_falsy()).map(|model| AffectedModel {
            app: member(model, "app"),
            model_name: member(model, "model_name"),
            pk: member(model, "pk"),
            name: member(model, "name"),
        });
        Self {
            schema: "authentik.event.v1".to_owned(),
            event: BodyEvent {
                id: event.pk,
                action: event.action.clone(),
                app: event.app.clone(),
                created: event.created.python_isoformat(),
                client_ip: event.client_ip.clone(),
                actor: Actor {
                    pk: member(&event.user, "pk"),
                    username: member(&event.user, "username"),
                    email: member(&event.user, "email"),
                    is_anonymous: !member(&event.user, "is_anonymous").is_falsy(),
                    on_behalf_of: member(&event.user, "on_behalf_of"),
                    authenticated_as: member(&event.user, "authenticated_as"),
                },
                model,
                context: sanitize(event.context.clone()),
                brand: event.brand.clone(),
            },
            severity: "notice".to_owned(),
        }
    }
}

/// authentik's `sanitize_item`, which drops falsy items from lists (authentik/events/utils.py).
fn sanitize(value: Json) -> Json {
    match value {
        Json::Array(items) => {
            Json::Array(items.into_iter().filter(|item| !item.is_falsy()).map(sanitize).collect())
        }
        Json::Object(members) => {
            Json::Object(members.into_iter().map(|(key, value)| (key, sanitize(value))).collect())
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use standardwebhooks::Webhook;

    use super::*;

    /// Files that do not hold exactly one request with the mapping's body.
    const OTHER_SHAPES: [&str; 4] = [
        "SECRET.json",
        "no_mapping_default_body.json",
        "redelivery_after_worker_sigkill.json",
        "retries_on_500.json",
    ];

    fn recordings() -> Vec<(String, Json)> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../shared/testkit/fixtures/authentik/webhooks");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap());
        files
            .map(|file| {
                let name = file.file_name().into_string().unwrap();
                (name, serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap())
            })
            .collect()
    }

    fn header<'a>(recording: &'a Json, name: &str) -> &'a str {
        let headers = recording.get("headers").and_then(Json::as_array).unwrap();
        let pair = headers.iter().filter_map(Json::as_array).find(|pair| pair[0].as_str() == Some(name));
        pair.unwrap()[1].as_str().unwrap()
    }

    #[test]
    fn every_recorded_body_is_reproduced_byte_for_byte() {
        let mut n_bodies = 0;
        for (name, recording) in recordings() {
            if OTHER_SHAPES.contains(&name.as_str()) {
                continue;
            }
            let text = recording.get("body").and_then(Json::as_str).unwrap();
            let body: Body = serde_json::from_str(text).unwrap();
            assert_eq!(String::from_utf8(body.into_bytes()).unwrap(), text, "{name}");
            n_bodies += 1;
        }
        assert!(n_bodies > 25, "only {n_bodies} recordings were found");
    }

    #[test]
    fn every_recorded_signature_is_reproduced() {
        let recordings = recordings();
        let secret = recordings.iter().find(|(name, _)| name == "SECRET.json").unwrap();
        let secret = secret.1.get("webhook_secret").and_then(Json::as_str).unwrap();
        let webhook = Webhook::new(secret).unwrap();
        for (name, recording) in &recordings {
            if OTHER_SHAPES.contains(&name.as_str()) {
                continue;
            }
            let timestamp = header(recording, "webhook-timestamp").parse().unwrap();
            let body = recording.get("body").and_then(Json::as_str).unwrap();
            let signature =
                webhook.sign(header(recording, "webhook-id"), timestamp, body.as_bytes()).unwrap();
            assert_eq!(signature, header(recording, "webhook-signature"), "{name}");
        }
    }

    #[test]
    fn a_body_built_from_a_stored_event_equals_the_recorded_one() {
        let recordings = recordings();
        let (_, recording) =
            recordings.iter().find(|(name, _)| name == "user_created_enrollment.json").unwrap();
        let text = recording.get("body").and_then(Json::as_str).unwrap();
        let event: Json = serde_json::from_str(text).unwrap();
        let event = event.get("event").unwrap();
        let part = |name: &str| event.get(name).unwrap().clone();
        let actor = part("actor");
        let user = ["pk", "email", "username", "authenticated_as"]
            .map(|name| (name.to_owned(), actor.get(name).unwrap().clone()));
        let event = Event {
            pk: part("id").as_str().unwrap().parse().unwrap(),
            user: Json::Object(user.to_vec()).jsonb(),
            action: part("action").as_str().unwrap().to_owned(),
            app: part("app").as_str().unwrap().to_owned(),
            context: part("context").jsonb(),
            client_ip: part("client_ip").as_str().map(str::to_owned),
            created: part("created").as_str().unwrap().parse().unwrap(),
            expires: part("created").as_str().unwrap().parse().unwrap(),
            brand: crate::store::event::default_brand(),
        };
        assert_eq!(String::from_utf8(Body::from(&event).into_bytes()).unwrap(), text);
    }
}
