//! Browser sessions, identified by a cookie.

use poem::Response;
use poem::http::{HeaderValue, header};

use crate::call::Call;
use crate::store::session::Session;
use crate::store::user::User;
use crate::world::World;

const COOKIE: &str = "authentik_session";

/// The session of the request's cookie, if its user exists and is active.
pub fn of(world: &World, call: &Call) -> Option<(Session, User)> {
    let id = call.cookie(COOKIE)?;
    world.read(|store| {
        let session = store.sessions.get(id)?;
        let user = store.users.get(&session.user).filter(|user| user.is_active)?;
        Some((session.clone(), user.clone()))
    })
}

/// Sets the session's cookie.
pub fn set_cookie(response: Response, session: &Session) -> Response {
    set(response, &format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", session.id))
}

pub fn delete_cookie(response: Response) -> Response {
    set(response, &format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"))
}

fn set(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}
