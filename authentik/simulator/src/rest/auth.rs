//! Who asks the REST API.

use super::answer::Refusal;
use crate::call::Call;
use crate::config::Secret;
use crate::seed;
use crate::store::event::Origin;
use crate::store::user::User;
use crate::world::World;

/// The user whom the request's token stands for.
pub fn caller(world: &World, call: &Call) -> Result<User, Refusal> {
    let token = call.bearer().ok_or(Refusal::NoCredentials)?;
    let is = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| secret.expose() == token);
    let username = if is(&world.config.admin_token) {
        seed::ADMIN
    } else if is(&world.config.api_token) {
        seed::READER
    } else {
        return Err(Refusal::BadToken);
    };
    // Tokens are gone with their user and sleep while the user is inactive.
    let user = world.read(|store| store.user_named(username).cloned());
    user.filter(|user| user.is_active).ok_or(Refusal::BadToken)
}

/// Refuses who may not read; both tokens may.
pub fn reader(world: &World, call: &Call) -> Result<(), Refusal> {
    caller(world, call).map(drop)
}

/// [`reader`] of one kind: a role can have rights on some kinds alone.
pub fn viewer(world: &World, call: &Call, kind: &str) -> Result<(), Refusal> {
    let is_reader = caller(world, call)?.username == seed::READER;
    let is_denied = is_reader && world.faults().not_viewable.contains(kind);
    if is_denied { Err(Refusal::NoPermission) } else { Ok(()) }
}

/// [`viewer`] of users. Says which ones: a role can have rights on single users.
pub fn reader_of_users(world: &World, call: &Call) -> Result<impl Fn(&User) -> bool + use<>, Refusal> {
    viewer(world, call, "user")?;
    let is_reader = caller(world, call)?.username == seed::READER;
    let visible = world.faults().visible_users.filter(|_| is_reader);
    Ok(move |user: &User| visible.as_ref().is_none_or(|visible| visible.contains(&user.pk)))
}

/// Refuses who may not write, and names the request as the origin of what follows.
pub fn writer(world: &World, call: &Call) -> Result<Origin, Refusal> {
    let user = caller(world, call)?;
    if user.username == seed::ADMIN { Ok(call.origin(user.as_actor())) } else { Err(Refusal::NoPermission) }
}
