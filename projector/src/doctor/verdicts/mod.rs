//! Pure functions that turn observations into verdicts.

pub(super) mod clock;
pub(super) mod delivery;
pub(super) mod matchers;
pub(super) mod nats;
pub(super) mod oidc;
pub(super) mod sign_out;
pub(super) mod token;
pub(super) mod webhook;
