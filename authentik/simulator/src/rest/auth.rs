//! Authenticates and authorizes requests to the REST API.

use super::response::Refusal;
use crate::call::Call;
use crate::config::Secret;
use crate::seed;
use crate::store::event::Origin;
use crate::store::user::User;
use crate::world::World;

/// The owner of the request's token.
pub fn token_owner(world: &World, call: &Call) -> Result<User, Refusal> {
    let token = call.bearer().ok_or(Refusal::NoCredentials)?;
    let is = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| secret.expose() == token);
    let username = if is(&world.config.admin_token) {
        seed::ADMIN
    } else if is(&world.config.api_token) {
        seed::READER
    } else {
        return Err(Refusal::InvalidToken);
    };
    // A token is deleted with its user, and is invalid while the user is inactive.
    let user = world.read(|store| store.user_named(username).cloned());
    user.filter(|user| user.is_active).ok_or(Refusal::InvalidToken)
}

/// Refuses a token that may not view this model. Returns the token's owner.
pub fn may_view(world: &World, call: &Call, model: &str) -> Result<User, Refusal> {
    let owner = token_owner(world, call)?;
    let is_denied = owner.username == seed::READER && world.faults().not_viewable.contains(model);
    if is_denied { Err(Refusal::NoPermission) } else { Ok(owner) }
}

/// Refuses a token that may not view users. Returns a filter for the users that the token may see, because a
/// role can have permissions on single users.
pub fn may_view_users(world: &World, call: &Call) -> Result<impl Fn(&User) -> bool + use<>, Refusal> {
    let is_reader = may_view(world, call, "user")?.username == seed::READER;
    let visible = world.faults().visible_users.filter(|_| is_reader);
    Ok(move |user: &User| visible.as_ref().is_none_or(|visible| visible.contains(&user.pk)))
}

/// Refuses a token that may not write. Returns the request as the origin of events.
pub fn may_write(world: &World, call: &Call) -> Result<Origin, Refusal> {
    let owner = token_owner(world, call)?;
    if owner.username == seed::ADMIN { Ok(call.origin(owner.as_actor())) } else { Err(Refusal::NoPermission) }
}
