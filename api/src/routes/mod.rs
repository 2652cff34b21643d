//! The routes. Each group has its own file.
#![expect(clippy::unused_async, reason = "poem-openapi only accepts async methods")]

mod activity;
mod brake;
mod dead_letters;
mod events;
mod groups;
mod me;
mod operations;
mod parameters;
mod projections;
mod schemas;
mod status;
mod stream;
mod tags;
mod users;

use poem_openapi::OpenApi;

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
        brake::Routes,
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
    generator.subschema_for::<domain::brake::BrakeStatus>();
    generator.subschema_for::<schemas::JsonSchemaDocument>();
}
