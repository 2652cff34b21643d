//! The HTML that people see. Everything that comes from outside goes through [`escape`].

use poem::Response;
use poem::http::StatusCode;

use super::flows;
use crate::call;

const STYLE: &str = "body{font-family:system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;\
                     background:#f3f4f6;color:#111}main{background:#fff;padding:2rem;border-radius:.5rem;\
                     width:20rem;box-shadow:0 1px 6px #0003}label{display:block;margin:.75rem 0}\
                     input{width:100%;box-sizing:border-box;padding:.5rem;font:inherit}\
                     button{width:100%;padding:.6rem;font:inherit;background:#fd4b2d;color:#fff;border:0;\
                     border-radius:.25rem;margin-top:.5rem}[role=alert]{color:#b91c1c}";

/// Text for HTML, also within quotes.
pub fn escape(text: &str) -> String {
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

/// The login form, again with what was typed when it was wrong.
pub fn login(next: &str, username: &str, error: Option<&str>) -> Response {
    let username = escape(username);
    let sign_up = escape(&flows::link(flows::ENROLLMENT, next));
    let body = format!(
        "{}<form method=\"post\"><label>Username<input name=\"username\" value=\"{username}\" \
         autocomplete=\"username\" required autofocus></label>\
         <label>Password<input name=\"password\" type=\"password\" autocomplete=\"current-password\" \
         required></label><button type=\"submit\">Log in</button></form>\
         <p>Need an account? <a href=\"{sign_up}\">Sign up.</a></p>",
        alert(error)
    );
    page(StatusCode::OK, "Log in", &body)
}

/// The sign-up form, again with what was typed when it was wrong.
pub fn sign_up(next: &str, form: &[(String, String)], error: Option<&str>) -> Response {
    let field = |name: &str, label: &str, kind: &str, autocomplete: &str| {
        let value = if kind == "password" { "" } else { call::first(form, name).unwrap_or_default() };
        format!(
            "<label>{label}<input name=\"{name}\" type=\"{kind}\" value=\"{}\" \
             autocomplete=\"{autocomplete}\" required></label>",
            escape(value)
        )
    };
    let log_in = escape(&flows::link(flows::AUTHENTICATION, next));
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

/// The start page.
pub fn home(name: Option<&str>) -> Response {
    let link = |flow: &str| escape(&flows::link(flow, "/"));
    let body = match name {
        Some(name) => format!(
            "<p>You are logged in as {}.</p><p><a href=\"{}\">Log out</a></p>",
            escape(name),
            link(flows::INVALIDATION)
        ),
        None => format!("<p><a href=\"{}\">Log in</a></p>", link(flows::AUTHENTICATION)),
    };
    page(StatusCode::OK, "authentik simulator", &body)
}

/// Shown after the end of a session that leads nowhere else.
pub fn logged_out() -> Response {
    page(StatusCode::OK, "Logged out", "<p>You have been logged out.</p>")
}

/// A request that must not be sent back to anybody.
pub fn bad_request(title: &str, message: &str) -> Response {
    page(StatusCode::BAD_REQUEST, title, &format!("<p>{}</p>", escape(message)))
}

/// An unknown page.
pub fn not_found() -> Response {
    page(StatusCode::NOT_FOUND, "Not Found", "<p>There is nothing here.</p>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_typed_cannot_become_markup() {
        let mut answer = login("/\"><script>", "\"><script>alert(1)</script>", None);
        let html = answer.take_body().into_string().await.unwrap();
        assert!(!html.contains("<script>"), "{html}");
    }
}
