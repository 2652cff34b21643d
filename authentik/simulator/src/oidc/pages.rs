//! The HTML pages. All text from requests and users goes through [`escape`].

use poem::Response;
use poem::http::StatusCode;

use crate::call;

/// The slug of the login flow.
pub const AUTHENTICATION: &str = "default-authentication-flow";
/// The slug of the logout flow.
pub const INVALIDATION: &str = "default-invalidation-flow";
/// The slug of the sign-up flow.
pub const ENROLLMENT: &str = "authentik-events-enrollment";

const STYLE: &str = "body{font-family:system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;\
                     background:#f3f4f6;color:#111}main{background:#fff;padding:2rem;border-radius:.5rem;\
                     width:20rem;box-shadow:0 1px 6px #0003}label{display:block;margin:.75rem 0}\
                     input{width:100%;box-sizing:border-box;padding:.5rem;font:inherit}\
                     button{width:100%;padding:.6rem;font:inherit;background:#fd4b2d;color:#fff;border:0;\
                     border-radius:.25rem;margin-top:.5rem}[role=alert]{color:#b91c1c}";

/// The path of a flow that redirects to `next` at its end.
pub fn flow_path(flow: &str, next: &str) -> String {
    format!("/if/flow/{flow}/?{}", call::encode(&[("next", next)]))
}

/// Escapes text for HTML, including quoted attributes.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, character| {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
        escaped
    })
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let title = escape(title);
    call::html(
        status,
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"UTF-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title} - authentik simulator</title><style>{STYLE}</style></head>\
             <body><main><h1>{title}</h1>{body}</main></body></html>\n"
        ),
    )
}

/// The login form. After a failed login it repeats the username and shows an error.
pub fn login(username: &str, error: Option<&str>) -> Response {
    let username = escape(username);
    let body = format!(
        "{}<form method=\"post\"><label>Username<input name=\"username\" value=\"{username}\" \
         autocomplete=\"username\" required autofocus></label>\
         <label>Password<input name=\"password\" type=\"password\" autocomplete=\"current-password\" \
         required></label><button type=\"submit\">Log in</button></form>",
        alert(error)
    );
    page(StatusCode::OK, "Log in", &body)
}

/// The sign-up form. After a failed sign-up it repeats the fields and shows an error.
pub fn sign_up(next: &str, form: &[(String, String)], error: Option<&str>) -> Response {
    let field = |name: &str, label: &str, kind: &str, autocomplete: &str| {
        let value = if kind == "password" { "" } else { call::first(form, name).unwrap_or_default() };
        format!(
            "<label>{label}<input name=\"{name}\" type=\"{kind}\" value=\"{}\" \
             autocomplete=\"{autocomplete}\" required></label>",
            escape(value)
        )
    };
    let log_in = escape(&flow_path(AUTHENTICATION, next));
    let body = format!(
        "{}<form method=\"post\">{}{}{}{}<button type=\"submit\">Sign up</button></form>\
         <p>Have an account? <a href=\"{log_in}\">Log in.</a></p>",
        alert(error),
        field("username", "Username", "text", "username"),
        field("name", "Name", "text", "name"),
        field("email", "Email", "email", "email"),
        field("password", "Password", "password", "new-password"),
    );
    page(StatusCode::OK, "Sign up", &body)
}

fn alert(error: Option<&str>) -> String {
    error.map(|error| format!("<p role=\"alert\">{}</p>", escape(error))).unwrap_or_default()
}

/// The start page, with the name of the logged-in user.
pub fn home(name: Option<&str>) -> Response {
    let link = |flow: &str| escape(&flow_path(flow, "/"));
    let body = match name {
        Some(name) => format!(
            "<p>You are logged in as {}.</p><p><a href=\"{}\">Log out</a></p>",
            escape(name),
            link(INVALIDATION)
        ),
        None => format!("<p><a href=\"{}\">Log in</a></p>", link(AUTHENTICATION)),
    };
    page(StatusCode::OK, "authentik simulator", &body)
}

/// The last page of an invalidation flow that did not log out.
pub fn application_left(application: &str) -> Response {
    let log_out = escape(&flow_path(INVALIDATION, "/"));
    let body = format!(
        "<p>You have left {}. You are still logged in to authentik.</p><p><a href=\"{log_out}\">Log out of authentik</a></p>",
        escape(application)
    );
    page(StatusCode::OK, "Logged out", &body)
}

/// An invalid authorization request whose redirect URI cannot be trusted.
pub fn bad_request(title: &str, message: &str) -> Response {
    page(StatusCode::BAD_REQUEST, title, &format!("<p>{}</p>", escape(message)))
}

/// The page of an unknown path.
pub fn not_found() -> Response {
    page(StatusCode::NOT_FOUND, "Not Found", "<p>This page does not exist.</p>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn typed_text_is_escaped() {
        let mut response = login("\"><script>alert(1)</script>", None);
        let html = response.take_body().into_string().await.unwrap();
        assert!(!html.contains("<script>"), "{html}");
    }
}
