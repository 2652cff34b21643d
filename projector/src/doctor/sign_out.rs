//! Checks that a sign-out ends the session in authentik. Only an administrator may read the provider.

use form_urlencoded::byte_serialize;

use super::finding::Verdict;
use super::http::AuthentikApi;
use super::verdicts::sign_out::{self, FlowStage, Provider};
use super::{Examination, Settings};

const CHECK: &str = "sign-out";

pub(super) async fn examine(examination: &mut Examination<'_>, admin: &AuthentikApi, settings: &Settings) {
    let verdict = look(admin, &settings.client_id).await.unwrap_or_else(|problem| {
        Verdict::skipped(format!("the provider cannot be read ({problem}); {}", sign_out::BY_HAND))
    });
    examination.record(CHECK, verdict);
}

pub(super) fn skip(examination: &mut Examination<'_>, reason: &str) {
    examination.skip(&[CHECK], &format!("{reason}; {}", sign_out::BY_HAND));
}

async fn look(admin: &AuthentikApi, client_id: &str) -> Result<Verdict, String> {
    let encoded: String = byte_serialize(client_id.as_bytes()).collect();
    let providers: Vec<Provider> = admin.list(&format!("/providers/oauth2/?client_id={encoded}")).await?;
    let Some(provider) = providers.into_iter().find(|provider| provider.client_id == client_id) else {
        return Ok(Verdict::skipped("authentik has no provider with the client id"));
    };
    let Some(flow) = &provider.invalidation_flow else {
        return Ok(Verdict::skipped(format!(
            "the provider has no invalidation flow, so the brand's decides; {}",
            sign_out::BY_HAND
        )));
    };
    let stages: Vec<FlowStage> = admin.list(&format!("/flows/bindings/?target={flow}")).await?;
    Ok(sign_out::verdict(&provider, &stages))
}
