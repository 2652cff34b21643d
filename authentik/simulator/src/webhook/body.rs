//! The body that the mapping `authentik/mappings/body.py` builds from an event, with keys in its order.

use super::python_json;
use crate::json::{Json, object};
use crate::store::event::Event;

/// The bytes to sign and to send.
pub fn bytes(event: &Event) -> Vec<u8> {
    let member = |object: &Json, key: &str| object.get(key).cloned().unwrap_or_default();
    let actor = |key: &str| member(&event.user, key);
    let actor = object([
        ("pk", actor("pk")),
        ("username", actor("username")),
        ("email", actor("email")),
        ("is_anonymous", (!actor("is_anonymous").is_falsy()).into()),
        ("on_behalf_of", actor("on_behalf_of")),
        ("authenticated_as", actor("authenticated_as")),
    ]);
    let model = event.context.get("model").filter(|model| !model.is_falsy()).map_or(Json::Null, |model| {
        object(["app", "model_name", "pk", "name"].map(|key| (key, member(model, key))))
    });
    let event = object([
        ("id", event.pk.to_string().into()),
        ("action", event.action.as_str().into()),
        ("app", event.app.as_str().into()),
        ("created", event.created.python_isoformat().into()),
        ("client_ip", event.client_ip.as_deref().map_or(Json::Null, Json::from)),
        ("actor", actor),
        ("model", model),
        ("context", sanitize(event.context.clone())),
        ("brand", event.brand.clone()),
    ]);
    let body =
        object([("schema", "authentik.event.v1".into()), ("event", event), ("severity", "notice".into())]);
    python_json::dumps(&body).into_bytes()
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

    /// The stored event behind a recorded body.
    fn event_of(body: &Json) -> Event {
        let event = body.get("event").unwrap();
        let member = |name: &str| event.get(name).unwrap().clone();
        let text = |name: &str| member(name).as_str().map(str::to_owned);
        let is_test = text("action").unwrap() == "custom_notification_test";
        Event {
            pk: text("id").unwrap().parse().unwrap(),
            user: member("actor").jsonb(),
            action: text("action").unwrap(),
            app: text("app").unwrap(),
            // The event of a transport test does not pass through PostgreSQL.
            context: if is_test { member("context") } else { member("context").jsonb() },
            client_ip: text("client_ip"),
            created: text("created").unwrap().parse().unwrap(),
            expires: text("created").unwrap().parse().unwrap(),
            brand: member("brand"),
        }
    }

    #[test]
    fn every_recorded_body_is_reproduced_byte_for_byte() {
        let mut n_bodies = 0;
        for (name, recording) in recordings() {
            if OTHER_SHAPES.contains(&name.as_str()) {
                continue;
            }
            let text = recording.get("body").and_then(Json::as_str).unwrap();
            let event = event_of(&serde_json::from_str(text).unwrap());
            assert_eq!(String::from_utf8(bytes(&event)).unwrap(), text, "{name}");
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
}
