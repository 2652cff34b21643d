//! The `OAuth2` provider and the stages of the invalidation flows, as an administrator reads them over REST.

use uuid::{Uuid, uuid};

use crate::configuration;
use crate::json::{Json, object};
use crate::oidc::pages;
use crate::world::World;

const INVALIDATION: Uuid = uuid!("9a41d2c7-50c3-4e0b-8d7f-6a8f1f4f1d01");
const PROVIDER_INVALIDATION: Uuid = uuid!("e6f6f3e7-ac20-49c6-b0a1-5171cb258fdc");
const LOGOUT_STAGE: Uuid = uuid!("9a41d2c7-50c3-4e0b-8d7f-6a8f1f4f1d02");
const LOGOUT_BINDING: Uuid = uuid!("9a41d2c7-50c3-4e0b-8d7f-6a8f1f4f1d03");

/// `/providers/oauth2/`.
pub fn providers(world: &World) -> Vec<Json> {
    let has_logout_stage = configuration::invalidation_flow(world) == pages::INVALIDATION;
    let flow = if has_logout_stage { INVALIDATION } else { PROVIDER_INVALIDATION };
    let logout_uris = configuration::logout_uris(world);
    let uris = world.config.redirect_uris.iter().map(|url| {
        let (mode, url) = (("matching_mode", "strict".into()), ("url", url.as_str().into()));
        // A version of authentik without logout URIs has no type in its redirect URIs.
        if logout_uris.is_empty() { object([mode, url]) } else { object([mode, url, kind("authorization")]) }
    });
    let uris = uris.chain(logout_uris.iter().map(|url| {
        object([("matching_mode", "strict".into()), ("url", url.as_str().into()), kind("logout")])
    }));
    let provider = object([
        ("pk", 5.into()),
        ("name", world.config.app_slug.as_str().into()),
        ("authentication_flow", Json::Null),
        ("invalidation_flow", flow.to_string().into()),
        ("assigned_application_slug", world.config.app_slug.as_str().into()),
        ("client_type", "public".into()),
        ("client_id", world.config.client_id.as_str().into()),
        ("redirect_uris", Json::Array(uris.collect())),
        ("sub_mode", "user_uuid".into()),
        ("issuer_mode", "per_provider".into()),
    ]);
    vec![provider]
}

fn kind(name: &str) -> (&'static str, Json) {
    ("redirect_uri_type", name.into())
}

/// `/flows/bindings/`: the stages of the invalidation flows. The flow for providers has none.
pub fn flow_stages() -> Vec<Json> {
    let stage = object([
        ("pk", LOGOUT_STAGE.to_string().into()),
        ("name", "default-invalidation-logout".into()),
        ("component", "ak-stage-user-logout-form".into()),
        ("verbose_name", "User Logout Stage".into()),
        ("verbose_name_plural", "User Logout Stages".into()),
        ("meta_model_name", "authentik_stages_user_logout.userlogoutstage".into()),
    ]);
    let binding = object([
        ("pk", LOGOUT_BINDING.to_string().into()),
        ("target", INVALIDATION.to_string().into()),
        ("stage", LOGOUT_STAGE.to_string().into()),
        ("stage_obj", stage),
        ("order", 0.into()),
    ]);
    vec![binding]
}
