//! The pages of logging in and signing up.

use poem::Response;

use super::{pages, session};
use crate::call::{self, Call};
use crate::json::object;
use crate::store::event;
use crate::store::session::Session;
use crate::store::user::UserType;
use crate::store::user_changes::NewUser;
use crate::world::World;

/// The slug of the login flow.
pub const AUTHENTICATION: &str = "default-authentication-flow";
/// The slug of the logout flow.
pub const INVALIDATION: &str = "default-invalidation-flow";
/// The slug of the sign-up flow.
pub const ENROLLMENT: &str = "authentik-events-enrollment";

/// The path of a flow that goes on to `next`.
pub fn link(flow: &str, next: &str) -> String {
    format!("/if/flow/{flow}/?{}", call::encode(&[("next", next)]))
}

/// `/if/flow/default-authentication-flow/`: name and password on one page.
pub fn authentication(world: &World, call: &Call) -> Response {
    let next = next(call);
    if call.method != poem::http::Method::POST {
        return pages::login(&next, "", None);
    }
    let form = call.form();
    let username = call::first(&form, "username").unwrap_or_default();
    let password = call::first(&form, "password").unwrap_or_default();
    match log_in(world, call, username, password) {
        Some(session) => session::start(call::redirect(&next), &session),
        None => pages::login(&next, username, Some("Invalid password or unknown user.")),
    }
}

fn log_in(world: &World, call: &Call, username: &str, password: &str) -> Option<Session> {
    let user = world.read(|store| store.user_named(username).cloned());
    let user = user.filter(|user| user.is_active && user.password.as_deref() == Some(password));
    // The executor asks for the password by POST and moves on by GET, which is where the login happens.
    let method = if user.is_some() { "GET" } else { "POST" };
    let origin = call.flow_origin(AUTHENTICATION, method, object([]));
    world.write(Some(origin), |tx| {
        if user.is_none() {
            tx.refuse_login(username);
        }
        user.map(|user| tx.log_in(user, true))
    })
}

/// `/if/flow/authentik-events-enrollment/`: makes an external user, who is logged in at once.
pub fn enrollment(world: &World, call: &Call) -> Response {
    let next = next(call);
    if call.method != poem::http::Method::POST {
        return pages::sign_up(&next, &[], None);
    }
    let form = call.form();
    let field = |name| call::first(&form, name).unwrap_or_default().trim().to_owned();
    let new = NewUser {
        username: field("username"),
        name: field("name"),
        email: field("email"),
        password: call::first(&form, "password").map(str::to_owned),
        kind: UserType::External,
        path: "users/self-registered".to_owned(),
        ..NewUser::default()
    };
    if new.username.is_empty() || new.password.as_deref().unwrap_or_default().is_empty() {
        return pages::sign_up(&next, &form, Some("Please fill in every field."));
    }
    let origin = call.flow_origin(ENROLLMENT, "GET", event::anonymous());
    let session = world.write(Some(origin), |tx| {
        let is_free = tx.store().user_named(&new.username).is_none();
        is_free.then(|| tx.enroll(new))
    });
    match session {
        Some(session) => session::start(call::redirect(&next), &session),
        None => pages::sign_up(&next, &form, Some("This username is taken.")),
    }
}

/// Where to go afterwards: only to paths of this server.
fn next(call: &Call) -> String {
    let next = call.parameter("next").unwrap_or("/");
    let is_local = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']);
    if is_local { next.to_owned() } else { "/".to_owned() }
}
