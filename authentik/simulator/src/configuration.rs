//! What the blueprints configure besides the webhooks: how a sign-out ends, and what a sign-up demands.

use anyhow::Context as _;
use serde_yaml::Value;

use crate::faults::Mistake;
use crate::world::World;

const BLUEPRINT: &str = include_str!("../../blueprints/authentik-events.yaml");
const SIGN_UP_BLUEPRINT: &str = include_str!("../../blueprints/authentik-events-sign-up.yaml");

/// The flow that authentik itself gives to a new provider. It has no stages, so it ends nothing.
pub const PROVIDER_INVALIDATION: &str = "default-provider-invalidation-flow";

/// What the simulator reads from the blueprints.
#[derive(Debug)]
pub struct Configuration {
    /// The slug of the provider's invalidation flow.
    invalidation_flow: String,
    /// Whether the browser may return to the redirect URIs of the sign-in after a sign-out.
    returns_after_logout: bool,
    /// The password policy of the sign-up: the shortest password. The other checks are not simulated.
    pub min_password_length: usize,
    /// The message for a password that the policy refuses.
    pub password_message: String,
}

impl Configuration {
    /// Parses the blueprints of this version.
    pub fn read() -> anyhow::Result<Self> {
        let blueprint: Value = serde_yaml::from_str(BLUEPRINT).context("the blueprint")?;
        let provider = attributes(&blueprint, "authentik_providers_oauth2.oauth2provider")?;
        let uris = provider["redirect_uris"].as_sequence().context("the provider has no redirect_uris")?;
        let sign_up: Value = serde_yaml::from_str(SIGN_UP_BLUEPRINT).context("the blueprint for sign-up")?;
        let policy = attributes(&sign_up, "authentik_policies_password.passwordpolicy")?;
        let length = policy["length_min"].as_u64().context("the password policy has no length_min")?;
        Ok(Self {
            invalidation_flow: text(&provider["invalidation_flow"][1][1])?,
            returns_after_logout: uris.iter().any(|uri| uri["redirect_uri_type"] == "logout"),
            min_password_length: usize::try_from(length)?,
            password_message: text(&policy["error_message"])?,
        })
    }
}

/// The `attrs` of the entry of this model.
fn attributes<'a>(blueprint: &'a Value, model: &str) -> anyhow::Result<&'a Value> {
    let entries = blueprint["entries"].as_sequence().context("a blueprint has no entries")?;
    let entry = entries.iter().find(|entry| entry["model"] == model);
    Ok(&entry.with_context(|| format!("no entry has the model {model}"))?["attrs"])
}

fn text(value: &Value) -> anyhow::Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("{value:?} is not a text"))
}

/// The slug of the provider's invalidation flow.
pub fn invalidation_flow(world: &World) -> &str {
    let is_authentiks_default = world.faults().mistakes.contains(&Mistake::SignOutEndsNothing);
    if is_authentiks_default { PROVIDER_INVALIDATION } else { &world.configuration.invalidation_flow }
}

/// The URIs to which the browser may return after a sign-out.
pub fn logout_uris(world: &World) -> &[String] {
    let is_unknown = world.faults().mistakes.contains(&Mistake::NoLogoutUris);
    if world.configuration.returns_after_logout && !is_unknown { &world.config.redirect_uris } else { &[] }
}
