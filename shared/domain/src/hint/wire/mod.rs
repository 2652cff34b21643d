//! Parsing of the bodies of deliveries.

mod delivery_id;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

pub use self::delivery_id::delivery_id_in;
use super::{Cause, Fact, Hint, HintTarget, IgnoreReason, Parsed};
use crate::event::Channel;
use crate::event::payload::{Actor, ObjectRef, Trigger};
use crate::key::{DeliveryId, Entity, GroupId, UserPk};
use crate::timestamp::Timestamp;

/// A body that does not match the schema it declares. Retrying cannot help.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// The body is not JSON, or its fields do not match its schema.
    #[error("the body does not match its schema")]
    Json(#[from] serde_json::Error),
    /// The primary key has the wrong type for a user or group.
    #[error("{0} is not a valid {1} key")]
    Key(Value, &'static str),
    /// An internal hint that does not name exactly one user or group.
    #[error("the hint must name exactly one user or group")]
    NoTarget,
}

/// Body that the blueprint's property mapping in authentik sends (`authentik.event.v1`).
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

/// Minimal body (`{"event_type": …, "pk": …}`): no event id, no facts, users only.
#[derive(Deserialize)]
struct MinimalBody {
    event_type: String,
    pk: UserPk,
}

/// Body of an [`InternalHint`](super::InternalHint) (`hint.v1`).
#[derive(Deserialize)]
struct InternalBody {
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

/// Parses the body of a delivery.
///
/// Unknown schemas and actions are [`Parsed::Ignored`], because newer releases of authentik add some. A body
/// that violates the schema it declares is an error.
pub fn read(delivery: DeliveryId, channel: Channel, body: &[u8]) -> Result<Parsed, Undecodable> {
    let json: Value = serde_json::from_slice(body)?;
    match json.get("schema").and_then(Value::as_str) {
        Some("authentik.event.v1") => read_rich(delivery, channel, serde_json::from_value(json)?),
        Some("hint.v1") => read_internal(delivery, channel, serde_json::from_value(json)?),
        Some("erased.v1") => Ok(Parsed::Ignored(IgnoreReason::Erased)),
        None if json.get("event_type").is_some() => {
            Ok(read_minimal(delivery, channel, serde_json::from_value(json)?))
        }
        Some(_) | None => Ok(Parsed::Ignored(IgnoreReason::UnknownBody)),
    }
}

fn read_rich(delivery: DeliveryId, channel: Channel, body: RichBody) -> Result<Parsed, Undecodable> {
    let Some(event) = body.event else { return Ok(Parsed::Ignored(IgnoreReason::UnknownBody)) };
    let cause = Cause {
        delivery,
        channel,
        occurred: event.created,
        correlation: event
            .context
            .pointer("/http_request/request_id")
            .and_then(Value::as_str)
            .map(str::to_owned),
        trigger: Trigger {
            action: event.action.clone(),
            actor: event.actor.as_ref().and_then(identified_actor),
        },
    };
    match event.action.as_str() {
        "model_created" | "model_updated" | "model_deleted" => read_model(&event, cause),
        "user_write" => Ok(hint_about_actor(cause, None)),
        _ => Ok(match fact_of(&event) {
            Some(fact) => hint_about_actor(cause, Some(fact)),
            None => Parsed::Ignored(IgnoreReason::UnknownAction),
        }),
    }
}

fn identified_actor(actor: &RichActor) -> Option<Actor> {
    actor.pk.filter(|_| !actor.is_anonymous).map(|pk| Actor { pk })
}

fn hint_about_actor(cause: Cause, fact: Option<Fact>) -> Parsed {
    match cause.trigger.actor {
        Some(Actor { pk }) => hint_about(Entity::User(pk), None, fact, cause),
        None => Parsed::Ignored(IgnoreReason::NoUser),
    }
}

fn hint_about(entity: Entity, created: Option<String>, fact: Option<Fact>, cause: Cause) -> Parsed {
    Parsed::Hint(Box::new(Hint { target: HintTarget::Entity(entity), created, fact, cause }))
}

fn read_model(event: &RichEvent, cause: Cause) -> Result<Parsed, Undecodable> {
    let Some(model) = event.model.as_ref().filter(|model| model.app.as_deref() == Some("authentik_core"))
    else {
        return Ok(Parsed::Ignored(IgnoreReason::OtherModel));
    };
    match model.model_name.as_deref() {
        Some("user") => {
            let pk = model.pk.as_i64().ok_or_else(|| Undecodable::Key(model.pk.clone(), "user"))?;
            let created = (event.action == "model_created").then(|| model.name.clone().unwrap_or_default());
            Ok(hint_about(Entity::User(pk), created, None, cause))
        }
        Some("group") => {
            let id = model.pk.as_str().and_then(|pk| pk.parse().ok());
            let id = id.ok_or_else(|| Undecodable::Key(model.pk.clone(), "group"))?;
            Ok(hint_about(Entity::Group(id), None, None, cause))
        }
        _ => Ok(Parsed::Ignored(IgnoreReason::OtherModel)),
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

fn read_minimal(delivery: DeliveryId, channel: Channel, body: MinimalBody) -> Parsed {
    if !matches!(body.event_type.as_str(), "model_created" | "model_updated" | "model_deleted") {
        return Parsed::Ignored(IgnoreReason::UnknownAction);
    }
    let trigger = Trigger { action: body.event_type, actor: None };
    let cause = Cause { delivery, channel, occurred: None, correlation: None, trigger };
    hint_about(Entity::User(body.pk), None, None, cause)
}

fn read_internal(delivery: DeliveryId, channel: Channel, body: InternalBody) -> Result<Parsed, Undecodable> {
    let target = match (body.user, body.group, body.user_uuid, body.username) {
        (Some(pk), None, None, None) => HintTarget::Entity(Entity::User(pk)),
        (None, Some(id), None, None) => HintTarget::Entity(Entity::Group(id)),
        (None, None, Some(uuid), None) => HintTarget::UserWithUuid(uuid),
        (None, None, None, Some(username)) => HintTarget::UserNamed(username),
        _ => return Err(Undecodable::NoTarget),
    };
    let trigger = Trigger { action: body.reason, actor: body.asked_by.map(|pk| Actor { pk }) };
    let cause = Cause { delivery, channel, occurred: body.occurred, correlation: body.correlation, trigger };
    Ok(Parsed::Hint(Box::new(Hint { target, created: None, fact: None, cause })))
}

#[cfg(test)]
mod tests;
