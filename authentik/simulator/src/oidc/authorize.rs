//! The authorization endpoint, which redirects a browser back to the client with a code.

use poem::Response;
use reqwest::Url;

use super::{issue, pages, session};
use crate::call::{self, Call};
use crate::clock;
use crate::hash;
use crate::json::object;
use crate::store::session::{Code, Grant, Session};
use crate::store::user::User;
use crate::world::World;

/// authentik's default: `access_code_validity: minutes=1`.
const CODE_SECONDS: f64 = 60.0;

/// The `error` and `error_description` of a redirect without a code.
type AuthorizationError = (&'static str, &'static str);

/// `/application/o/authorize/`.
pub fn handle(world: &World, call: &Call) -> Response {
    // The browser is never redirected to an unknown URI, so these errors are pages.
    if call.parameter("client_id") != Some(world.config.client_id.as_str()) {
        return pages::bad_request("Client ID Error", "The client identifier is missing or invalid.");
    }
    let redirect_uri = call.parameter("redirect_uri").unwrap_or_default();
    if !world.config.redirect_uris.iter().any(|known| known == redirect_uri) {
        let message = "The request fails due to a missing, invalid, or mismatching redirection URI.";
        return pages::bad_request("Redirect URI Error", message);
    }
    let challenge = match check(call) {
        Ok(challenge) => challenge,
        Err(error) => return redirect_back(call, redirect_uri, &error_parameters(error)),
    };
    let prompt = call.parameter("prompt").unwrap_or_default();
    match session::of(world, call) {
        Some((session, user)) if prompt != "login" => {
            let code = grant_code(world, call, &session, &user, challenge);
            redirect_back(call, redirect_uri, &[("code", &code)])
        }
        None if prompt == "none" => {
            let error = ("login_required", "The Authorization Server requires End-User authentication");
            redirect_back(call, redirect_uri, &error_parameters(error))
        }
        _ => call::redirect(&pages::flow_path(pages::AUTHENTICATION, &path_after_login(call))),
    }
}

/// The PKCE challenge, and whether it is hashed.
type Challenge = Option<(String, bool)>;

fn check(call: &Call) -> Result<Challenge, AuthorizationError> {
    if call.parameter("response_type") != Some("code") {
        let message = "The authorization server does not support obtaining an authorization code using \
                       this method";
        return Err(("unsupported_response_type", message));
    }
    let Some(challenge) = call.parameter("code_challenge") else { return Ok(None) };
    match call.parameter("code_challenge_method").unwrap_or("plain") {
        "S256" => Ok(Some((challenge.to_owned(), true))),
        "plain" => Ok(Some((challenge.to_owned(), false))),
        _ => Err(("invalid_request", "The request is otherwise malformed")),
    }
}

fn grant_code(world: &World, call: &Call, session: &Session, user: &User, challenge: Challenge) -> String {
    let code = clock::new_uuid().simple().to_string();
    let scope = issue::known_scopes(call.parameter("scope").unwrap_or_default());
    let application = object([
        ("pk", "d8d503fc15ac47ad9825446dbf24e1d6".into()),
        ("app", "authentik_core".into()),
        ("name", world.config.app_slug.as_str().into()),
        ("model_name", "application".into()),
    ]);
    let context = object([
        ("flow", "f2bb88cbed7d4059a36d20816b859686".into()),
        ("scopes", scope.as_str().into()),
        ("authorized_application", application),
    ]);
    let grant = Grant {
        user: user.pk,
        scope,
        auth_time: session.auth_time,
        by_password: session.by_password,
        sid: hash::sha256_hex(&session.id),
    };
    let stored = Code {
        grant,
        redirect_uri: call.parameter("redirect_uri").unwrap_or_default().to_owned(),
        nonce: call.parameter("nonce").map(str::to_owned),
        challenge,
        expires: clock::now().plus_seconds(CODE_SECONDS),
    };
    world.write(Some(call.origin(user.as_actor())), |tx| {
        tx.event("authorize_application", "authentik.providers.oauth2.views.authorize", context);
        let codes = &mut tx.store_mut().codes;
        let now = clock::now();
        codes.retain(|_, code| code.expires > now);
        codes.insert(code.clone(), stored);
    });
    code
}

fn error_parameters((error, description): AuthorizationError) -> [(&'static str, &'static str); 2] {
    [("error", error), ("error_description", description)]
}

fn redirect_back(call: &Call, redirect_uri: &str, pairs: &[(&str, &str)]) -> Response {
    let state = call.parameter("state").map(|state| ("state", state));
    match Url::parse_with_params(redirect_uri, pairs.iter().copied().chain(state)) {
        Ok(url) => call::redirect(url.as_str()),
        Err(_) => pages::bad_request("Redirect URI Error", "The configured redirect URI is not a URL."),
    }
}

/// The path and query of this request without `prompt`, which would ask for another login after the login.
fn path_after_login(call: &Call) -> String {
    let pairs = call.query.iter().filter(|(name, _)| name != "prompt");
    let pairs: Vec<(&str, &str)> = pairs.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    format!("{}?{}", call.path, call::encode(&pairs))
}
