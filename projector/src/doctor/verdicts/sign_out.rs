//! What the provider's configuration makes of a sign-out.

use serde::Deserialize;

use super::super::finding::Verdict;

/// How to check without an administrator's token.
pub(crate) const BY_HAND: &str =
    "to check it by hand, sign out and in again: authentik must ask for the password";

/// An `OAuth2` provider in authentik's REST API.
#[derive(Deserialize)]
pub(crate) struct Provider {
    pub(crate) client_id: String,
    pub(crate) invalidation_flow: Option<String>,
    #[serde(default)]
    redirect_uris: Vec<RedirectUri>,
}

#[derive(Deserialize)]
struct RedirectUri {
    /// Absent before authentik 2026.5.
    redirect_uri_type: Option<String>,
}

/// A stage of a flow.
#[derive(Deserialize)]
pub(crate) struct FlowStage {
    stage_obj: Stage,
}

#[derive(Deserialize)]
struct Stage {
    #[serde(default)]
    component: String,
    #[serde(default)]
    meta_model_name: String,
}

impl FlowStage {
    fn logs_out(&self) -> bool {
        self.stage_obj.component == "ak-stage-user-logout-form"
            || self.stage_obj.meta_model_name == "authentik_stages_user_logout.userlogoutstage"
    }
}

/// Whether the provider's invalidation flow logs out, and the browser then returns to the page.
pub(crate) fn verdict(provider: &Provider, stages: &[FlowStage]) -> Verdict {
    if !stages.iter().any(FlowStage::logs_out) {
        return Verdict::fault(
            "a sign-out ends nothing: the provider's invalidation flow has no logout stage, so the next sign-in asks for \
             no password",
            "apply the blueprint authentik-events.yaml again, or choose default-invalidation-flow as the provider's \
             invalidation flow",
        );
    }
    let types = provider.redirect_uris.iter().filter_map(|uri| uri.redirect_uri_type.as_deref());
    let types: Vec<&str> = types.collect();
    if !types.is_empty() && !types.contains(&"logout") {
        return Verdict::warning(
            "after a sign-out the browser stays at authentik: the provider has no redirect URI for the logout",
            "apply the blueprint authentik-events.yaml again, or add <front end>/auth/callback to the provider's \
             redirect URIs with the type for the logout",
        );
    }
    Verdict::ok("ends the session in authentik")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(redirect_uris: Value, stage: &Value) -> Verdict {
        let mut provider = testkit::recordings::json("oidc/provider_rest_object.json");
        provider["redirect_uris"] = redirect_uris;
        let stages: Vec<FlowStage> = serde_json::from_value(json!([{"stage_obj": stage}])).unwrap();
        verdict(&serde_json::from_value(provider).unwrap(), &stages)
    }

    fn logout() -> Value {
        json!({"component": "ak-stage-user-logout-form"})
    }

    fn uri(kind: &str) -> Value {
        json!({"matching_mode": "strict", "url": "http://localhost:3000/auth/callback", "redirect_uri_type": kind})
    }

    #[test]
    fn a_flow_without_a_logout_stage_is_a_fault() {
        let recorded = testkit::recordings::json("oidc/provider_rest_object.json");
        let provider = serde_json::from_value(recorded).unwrap();
        assert!(verdict(&provider, &[]).problems()[0].what.contains("ends nothing"));
        let other = json!({"component": "ak-stage-redirect-form", "meta_model_name": "authentik_stages_redirect.redirectstage"});
        assert!(check(json!([]), &other).problems()[0].what.contains("ends nothing"));
        let by_model =
            json!({"component": "", "meta_model_name": "authentik_stages_user_logout.userlogoutstage"});
        assert!(check(json!([]), &by_model).is_ok());
    }

    #[test]
    fn a_missing_logout_uri_is_a_warning_where_authentik_knows_such_uris() {
        let before_2026_5 =
            testkit::recordings::json("oidc/provider_rest_object.json")["redirect_uris"].clone();
        assert!(check(before_2026_5, &logout()).is_ok());
        assert!(check(json!([uri("authorization"), uri("logout")]), &logout()).is_ok());
        let problems = check(json!([uri("authorization")]), &logout()).problems();
        assert!(problems[0].what.contains("stays at authentik"), "{problems:?}");
        assert!(check(json!([uri("authorization"), uri("a-newer-type")]), &logout()).problems().len() == 1);
    }
}
