//! Groups of routes in the documentation.

use poem_openapi::Tags;

#[derive(Tags)]
pub enum Tag {
    /// The caller.
    Me,
    /// Users.
    Users,
    /// Groups.
    Groups,
    /// Recorded events and the live feed.
    Events,
    /// Deliveries that were set aside for an operator.
    DeadLetters,
    /// The state of the system, and operator actions.
    Operations,
}
