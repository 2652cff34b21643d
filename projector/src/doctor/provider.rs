//! The OAuth provider whose tokens the API takes.

use super::ask::{anonymous, ask};
use super::finding::Verdict;
use super::judge::oidc;
use super::{Examination, Settings};

const CHECKS: [&str; 3] = ["issuer", "signing-key", "client-id"];

pub(super) async fn examine(examination: &mut Examination<'_>, settings: &Settings) {
    let issuer = settings.issuer.as_deref().filter(|issuer| !issuer.is_empty());
    let (Some(issuer), Ok(client)) = (issuer, anonymous()) else {
        examination.skip(&CHECKS, "AUTHENTIK_ISSUER (--authentik-issuer) is not set");
        return;
    };
    let base = issuer.trim_end_matches('/');
    let discovery = ask(client.get(format!("{base}/.well-known/openid-configuration"))).await;
    examination.note("issuer", oidc::issuer(issuer, &discovery));
    let discovered = |field: &str| discovery.as_ref().ok()?.body[field].as_str().map(str::to_owned);

    // As the API finds it. Where nothing is known of the provider, the same fault would be told twice.
    let jwks_url = settings.jwks_url.clone().filter(|url| !url.is_empty());
    match jwks_url.or_else(|| discovered("jwks_uri").map(|_| format!("{base}/jwks/"))) {
        Some(url) => {
            let jwks = ask(client.get(url)).await;
            examination.note("signing-key", oidc::signing_key(&jwks));
        }
        None => examination.skip(&["signing-key"], "the issuer is not known"),
    }
    let verdict = match discovered("token_endpoint") {
        Some(url) => {
            let form = format!("grant_type=authorization_code&client_id={}", encoded(&settings.client_id));
            let request =
                client.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(form);
            oidc::client(&settings.client_id, &ask(request).await)
        }
        None => Verdict::skipped("the issuer is not known"),
    };
    examination.note("client-id", verdict);
}

fn encoded(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_client_id_cannot_add_parameters() {
        assert_eq!(super::encoded("a-b_c&code=ü"), "a-b_c%26code%3D%C3%BC");
    }
}
