//! The flows for logging in and signing up.

use poem::Response;

use super::{pages, session};
use crate::call::{self, Call};
use crate::json::object;
use crate::store::Store;
use crate::store::event;
use crate::store::session::Session;
use crate::store::user::UserType;
use crate::store::user_changes::UserPatch;
use crate::world::World;

/// `/if/flow/default-authentication-flow/`: asks for username and password on one page.
pub fn authentication(world: &World, call: &Call) -> Response {
    let next = next(call);
    if call.method != poem::http::Method::POST {
        return pages::login("", None);
    }
    let form = call.form();
    let username = call::first(&form, "username").unwrap_or_default();
    let password = call::first(&form, "password").unwrap_or_default();
    match log_in(world, call, username, password) {
        Some(session) => session::set_cookie(call::redirect(&next), &session),
        None => pages::login(username, Some("Invalid password or unknown user.")),
    }
}

fn log_in(world: &World, call: &Call, username: &str, password: &str) -> Option<Session> {
    let user = world.read(|store| store.user_named(username).cloned());
    let user = user.filter(|user| user.is_active && user.password.as_deref() == Some(password));
    // authentik's flow executor receives the password by POST, and logs the user in at the GET that follows.
    let method = if user.is_some() { "GET" } else { "POST" };
    let origin = call.flow_origin(pages::AUTHENTICATION, method, object([]));
    world.write(Some(origin), |tx| {
        if user.is_none() {
            tx.refuse_login(username);
        }
        user.map(|user| tx.log_in(user, true))
    })
}

/// `/if/flow/authentik-events-enrollment/`: creates an external user and logs them in.
pub fn enrollment(world: &World, call: &Call) -> Response {
    let next = next(call);
    if call.method != poem::http::Method::POST {
        return pages::sign_up(&next, &[], None);
    }
    let form = call.form();
    let field = |name| call::first(&form, name).unwrap_or_default();
    let (username, password) = (field("username").trim(), field("password"));
    let email = field("email").trim();
    let patch = UserPatch {
        username: Some(username.to_owned()),
        name: Some(field("name").trim().to_owned()),
        email: Some(email.to_owned()),
        kind: Some(UserType::External),
        path: Some("users/self-registered".to_owned()),
        ..UserPatch::default()
    };
    if username.is_empty() || password.is_empty() {
        return pages::sign_up(&next, &form, Some("Please fill in every field."));
    }
    if let Err(message) = check_sign_up(world, email, password) {
        return pages::sign_up(&next, &form, Some(message));
    }
    let origin = call.flow_origin(pages::ENROLLMENT, "GET", event::anonymous());
    let session = world.write(Some(origin), |tx| {
        let is_free = tx.store().user_named(username).is_none();
        is_free.then(|| tx.enroll(patch, password.to_owned()))
    });
    match session {
        Some(session) => session::set_cookie(call::redirect(&next), &session),
        None => pages::sign_up(&next, &form, Some("This username is taken.")),
    }
}

/// The policies of the sign-up's prompt stage.
fn check_sign_up<'a>(world: &'a World, email: &str, password: &str) -> Result<(), &'a str> {
    if password.chars().count() < world.configuration.min_password_length {
        return Err(&world.configuration.password_message);
    }
    let is_taken = |store: &Store| store.users.values().any(|user| user.email.eq_ignore_ascii_case(email));
    if world.read(is_taken) { Err("This e-mail address is in use.") } else { Ok(()) }
}

/// The path to redirect to after the flow. Only paths of this server are allowed.
fn next(call: &Call) -> String {
    let next = call.parameter("next").unwrap_or("/");
    let is_local = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']);
    if is_local { next.to_owned() } else { "/".to_owned() }
}
