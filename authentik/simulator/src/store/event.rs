//! Events: the entries of authentik's audit log.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::json::{Json, object};

/// The `app` of events about models.
pub const MODEL_APP: &str = "authentik.events.middleware";
/// The `app` of events about logins, passwords and profile changes.
pub const SIGNAL_APP: &str = "authentik.events.signals";
/// authentik keeps events for a year.
pub const LIFETIME_SECONDS: f64 = 365.0 * 86_400.0;

/// authentik's `Event`. It serialises as REST shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// The key, which is also the `webhook-id` of the delivery.
    pub pk: Uuid,
    /// The actor: `pk`, `email`, `username` and optional members such as `on_behalf_of`.
    pub user: Json,
    /// The action, such as `model_updated`.
    pub action: String,
    /// The Python module that wrote the event.
    pub app: String,
    /// Details that depend on the action, with keys in the order of `jsonb`.
    pub context: Json,
    /// The IP address of the client.
    pub client_ip: Option<String>,
    /// When the event happened. It strictly increases in the simulator.
    pub created: Timestamp,
    /// When authentik deletes the event.
    pub expires: Timestamp,
    /// The brand of the request.
    pub brand: Json,
}

impl Event {
    /// The app and the model name of `context.model`.
    pub fn model(&self) -> Option<(&str, &str)> {
        let model = self.context.get("model")?;
        Some((model.get("app")?.as_str()?, model.get("model_name")?.as_str()?))
    }

    /// The key of the actor.
    pub fn actor_pk(&self) -> Option<i64> {
        self.user.get("pk").and_then(Json::as_i64)
    }

    /// Whether the notification rule sends this event.
    pub fn is_sent(&self) -> bool {
        const ACTIONS: &[&str] = &[
            "login",
            "login_failed",
            "logout",
            "user_write",
            "password_set",
            "authorize_application",
            "source_linked",
            "suspicious_request",
            "invitation_used",
            "impersonation_started",
            "impersonation_ended",
            "custom_notification_test",
        ];
        let about_people = matches!(self.model(), Some(("authentik_core", "user" | "group")));
        (self.action.starts_with("model_") && about_people) || ACTIONS.contains(&self.action.as_str())
    }
}

/// The HTTP request behind a change. authentik makes events only inside a request.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The actor, as events store it.
    pub actor: Json,
    /// The IP address of the client.
    pub client_ip: Option<String>,
    /// The path that the event names.
    pub path: String,
    /// The method that the event names.
    pub method: String,
    /// The query, as an object.
    pub args: Json,
    /// The client's `User-Agent`.
    pub user_agent: String,
    /// The `x-authentik-id` of the response.
    pub request_id: String,
}

impl Origin {
    /// The same request with another actor.
    #[must_use]
    pub fn with_actor(&self, actor: Json) -> Self {
        Self { actor, ..self.clone() }
    }

    /// The request as events store it.
    pub fn http_request(&self) -> Json {
        object([
            ("args", self.args.clone()),
            ("path", self.path.as_str().into()),
            ("method", self.method.as_str().into()),
            ("request_id", self.request_id.as_str().into()),
            ("user_agent", self.user_agent.as_str().into()),
        ])
    }
}

/// The actor of a request without a session.
pub fn anonymous() -> Json {
    object([
        ("pk", 1.into()),
        ("email", "".into()),
        ("username", "AnonymousUser".into()),
        ("is_anonymous", true.into()),
    ])
}

/// The brand of every request.
pub fn default_brand() -> Json {
    object([
        ("pk", "8406f1c2a4924a5abea2fdd3458d2539".into()),
        ("app", "authentik_brands".into()),
        ("name", "Default brand".into()),
        ("model_name", "brand".into()),
    ])
}
