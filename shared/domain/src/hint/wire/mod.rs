//! The bodies that come into the inbox, as they are written.

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{About, Cause, Fact, Hint, Reading, Reason};
use crate::event::Channel;
use crate::event::payload::{Actor, ObjectRef, Trigger};
use crate::key::{DeliveryId, Entity, GroupId, UserPk};
use crate::timestamp::Timestamp;

/// A body that names its schema and does not keep to it: no retry can help.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// Not JSON, or of another shape than its schema says.
    #[error("the body is not of its schema")]
    Json(#[from] serde_json::Error),
    /// The key of a user or group is of the wrong kind.
    #[error("the key {0} names no {1}")]
    Key(Value, &'static str),
    /// A hint of our own about nobody.
    #[error("the hint names no user and no group")]
    Nobody,
}

/// The body of our mapping in authentik (`authentik.event.v1`).
#[derive(Deserialize)]
struct RichBody {
    event: Option<RichEvent>,
}

#[derive(Deserialize)]
struct RichEvent {
    action: String,
    #[serde(default)]
    created: Option<Timestamp>,
    #[serde(default)]
    client_ip: Option<String>,
    #[serde(default)]
    actor: Option<RichActor>,
    #[serde(default)]
    model: Option<RichModel>,
    #[serde(default)]
    context: Value,
}

#[derive(Deserialize)]
struct RichActor {
    pk: Option<UserPk>,
    #[serde(default)]
    is_anonymous: bool,
    #[serde(default)]
    on_behalf_of: Option<RichTarget>,
}

#[derive(Deserialize)]
struct RichTarget {
    pk: Option<UserPk>,
}

#[derive(Deserialize)]
struct RichModel {
    #[serde(default)]
    app: Option<String>,
    #[serde(default)]
    model_name: Option<String>,
    #[serde(default)]
    pk: Value,
    #[serde(default)]
    name: Option<String>,
}

/// The body of the original sample: no event id, no facts, users only.
#[derive(Deserialize)]
struct MinimalBody {
    event_type: String,
    pk: UserPk,
}

/// What we put into the inbox ourselves (`hint.v1`).
#[derive(Deserialize)]
struct OwnBody {
    #[serde(default)]
    user: Option<UserPk>,
    #[serde(default)]
    user_uuid: Option<Uuid>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    group: Option<GroupId>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    asked_by: Option<UserPk>,
    #[serde(default)]
    occurred: Option<Timestamp>,
    #[serde(default)]
    correlation: Option<String>,
}

/// The id of authentik's event in a body of our mapping, if it carries one.
pub fn delivery_id_in(body: &Value) -> Option<Uuid> {
    body.get("event")?.get("id")?.as_str()?.parse().ok()
}

/// Reads a delivery.
///
/// Unknown bodies and unknown actions are no error: newer releases of authentik bring them. A body that
/// names its schema and breaks it is one.
pub fn read(delivery: DeliveryId, channel: Channel, body: &[u8]) -> Result<Reading, Undecodable> {
    let json: Value = serde_json::from_slice(body)?;
    match json.get("schema").and_then(Value::as_str) {
        Some("authentik.event.v1") => read_rich(delivery, channel, serde_json::from_value(json)?),
        Some("hint.v1") => read_own(delivery, channel, serde_json::from_value(json)?),
        Some("erased.v1") => Ok(Reading::Nothing(Reason::Erased)),
        None if json.get("event_type").is_some() => {
            Ok(read_minimal(delivery, channel, serde_json::from_value(json)?))
        }
        Some(_) | None => Ok(Reading::Nothing(Reason::UnknownBody)),
    }
}

fn read_rich(delivery: DeliveryId, channel: Channel, body: RichBody) -> Result<Reading, Undecodable> {
    let Some(event) = body.event else { return Ok(Reading::Nothing(Reason::UnknownBody)) };
    let cause = Cause {
        delivery,
        channel,
        occurred: event.created,
        correlation: event
            .context
            .pointer("/http_request/request_id")
            .and_then(Value::as_str)
            .map(str::to_owned),
        trigger: Trigger { action: event.action.clone(), actor: event.actor.as_ref().and_then(known_actor) },
    };
    match event.action.as_str() {
        "model_created" | "model_updated" | "model_deleted" => read_model(&event, cause),
        "user_write" => Ok(look_at_actor(cause, None)),
        _ => Ok(match fact_of(&event) {
            Some(fact) => look_at_actor(cause, Some(fact)),
            None => Reading::Nothing(Reason::UnknownAction),
        }),
    }
}

fn known_actor(actor: &RichActor) -> Option<Actor> {
    actor.pk.filter(|_| !actor.is_anonymous).map(|pk| Actor { pk })
}

fn look_at_actor(cause: Cause, fact: Option<Fact>) -> Reading {
    match cause.trigger.actor {
        Some(Actor { pk }) => look(Entity::User(pk), None, fact, cause),
        None => Reading::Nothing(Reason::NoUser),
    }
}

fn look(entity: Entity, created: Option<String>, fact: Option<Fact>, cause: Cause) -> Reading {
    Reading::Look(Box::new(Hint { about: About::Entity(entity), created, fact, cause }))
}

fn read_model(event: &RichEvent, cause: Cause) -> Result<Reading, Undecodable> {
    let Some(model) = event.model.as_ref().filter(|model| model.app.as_deref() == Some("authentik_core"))
    else {
        return Ok(Reading::Nothing(Reason::OtherModel));
    };
    match model.model_name.as_deref() {
        Some("user") => {
            let pk = model.pk.as_i64().ok_or_else(|| Undecodable::Key(model.pk.clone(), "user"))?;
            let created = (event.action == "model_created").then(|| model.name.clone().unwrap_or_default());
            Ok(look(Entity::User(pk), created, None, cause))
        }
        Some("group") => {
            let id = model.pk.as_str().and_then(|pk| pk.parse().ok());
            let id = id.ok_or_else(|| Undecodable::Key(model.pk.clone(), "group"))?;
            Ok(look(Entity::Group(id), None, None, cause))
        }
        _ => Ok(Reading::Nothing(Reason::OtherModel)),
    }
}

fn fact_of(event: &RichEvent) -> Option<Fact> {
    let client_ip = event.client_ip.clone();
    let text = |key: &str| event.context.get(key).and_then(Value::as_str);
    let target = || {
        let target = event.actor.as_ref()?.on_behalf_of.as_ref()?;
        target.pk.map(|pk| Actor { pk })
    };
    Some(match event.action.as_str() {
        "login" => Fact::LoggedIn { client_ip, auth_method: text("auth_method").map(str::to_owned) },
        "login_failed" => Fact::LoginFailed { client_ip },
        "logout" => Fact::LoggedOut { client_ip },
        "password_set" => Fact::PasswordChanged,
        "authorize_application" => {
            let mut scopes: Vec<_> =
                text("scopes").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
            scopes.sort();
            let application = object_ref(&event.context, "authorized_application");
            Fact::AuthorizedApplication { client_ip, application, scopes }
        }
        "source_linked" => Fact::LinkedSource { client_ip, source: object_ref(&event.context, "source") },
        "suspicious_request" => Fact::SuspiciousRequest { client_ip },
        "impersonation_started" => Fact::ImpersonationStarted { target: target() },
        "impersonation_ended" => Fact::ImpersonationEnded { target: target() },
        _ => return None,
    })
}

fn object_ref(context: &Value, key: &str) -> Option<ObjectRef> {
    let object = context.get(key)?;
    let pk = match object.get("pk")? {
        Value::String(pk) => pk.clone(),
        other => other.to_string(),
    };
    Some(ObjectRef { pk, name: object.get("name").and_then(Value::as_str).unwrap_or_default().to_owned() })
}

fn read_minimal(delivery: DeliveryId, channel: Channel, body: MinimalBody) -> Reading {
    if !matches!(body.event_type.as_str(), "model_created" | "model_updated" | "model_deleted") {
        return Reading::Nothing(Reason::UnknownAction);
    }
    let trigger = Trigger { action: body.event_type, actor: None };
    let cause = Cause { delivery, channel, occurred: None, correlation: None, trigger };
    look(Entity::User(body.pk), None, None, cause)
}

fn read_own(delivery: DeliveryId, channel: Channel, body: OwnBody) -> Result<Reading, Undecodable> {
    let about = match (body.user, body.group, body.user_uuid, body.username) {
        (Some(pk), None, None, None) => About::Entity(Entity::User(pk)),
        (None, Some(id), None, None) => About::Entity(Entity::Group(id)),
        (None, None, Some(uuid), None) => About::UserWithUuid(uuid),
        (None, None, None, Some(username)) => About::UserNamed(username),
        _ => return Err(Undecodable::Nobody),
    };
    let trigger = Trigger { action: body.reason, actor: body.asked_by.map(|pk| Actor { pk }) };
    let cause = Cause { delivery, channel, occurred: body.occurred, correlation: body.correlation, trigger };
    Ok(Reading::Look(Box::new(Hint { about, created: None, fact: None, cause })))
}

#[cfg(test)]
mod tests;
