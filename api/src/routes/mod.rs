//! The routes: one group, one file.
#![expect(clippy::unused_async, reason = "poem-openapi takes no other methods")]

mod activity;
mod dead_letters;
mod events;
mod groups;
mod me;
mod operations;
mod projections;
mod schemas;
mod status;
mod stream;
mod users;

use poem_openapi::{OpenApi, Tags};

use crate::answer::{Answer, bad_parameter};

/// How many items a list holds where nobody says.
const DEFAULT_LIMIT: u32 = 50;

/// How many items a list holds at most.
const MAX_LIMIT: u32 = 500;

/// Groups of routes in the documentation.
#[derive(Tags)]
enum Tag {
    /// The caller.
    Me,
    /// Users.
    Users,
    /// Groups.
    Groups,
    /// Events, past and coming.
    Events,
    /// Deliveries that wait for a person.
    DeadLetters,
    /// How the system is, and what is done to it.
    Operations,
}

/// All routes.
pub fn all() -> impl OpenApi + Clone + 'static {
    (
        me::Routes,
        users::Routes,
        groups::Routes,
        events::Routes,
        stream::Routes,
        activity::Routes,
        status::Routes,
        dead_letters::Routes,
        projections::Routes,
        operations::Routes,
        schemas::Routes,
    )
}

/// Adds the schemas of all answers.
pub fn schemas(generator: &mut schemars::SchemaGenerator) {
    generator.subschema_for::<me::Me>();
    generator.subschema_for::<me::Pending>();
    generator.subschema_for::<me::Accepted>();
    generator.subschema_for::<domain::view::users::UserView>();
    generator.subschema_for::<users::UserList>();
    generator.subschema_for::<groups::GroupList>();
    generator.subschema_for::<domain::view::groups::GroupView>();
    generator.subschema_for::<events::EventPage>();
    generator.subschema_for::<activity::ActivityReport>();
    generator.subschema_for::<status::Status>();
    generator.subschema_for::<dead_letters::DeadLetterList>();
    generator.subschema_for::<domain::command::DeadLetterContent>();
    generator.subschema_for::<domain::command::Replayed>();
    generator.subschema_for::<operations::OperationList>();
    generator.subschema_for::<domain::operation::Operation>();
    generator.subschema_for::<schemas::JsonSchemaDocument>();
}

/// Reads the parameter `limit`.
fn limit_parameter(limit: Option<u32>) -> Answer<usize> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit as usize),
        _ => Err(bad_parameter("limit", format!("expected 1 to {MAX_LIMIT}"))),
    }
}

/// Whether `text` contains `needle`, which is in lower case, in whatever case.
fn contains(text: &str, needle: &str) -> bool {
    text.to_lowercase().contains(needle)
}
