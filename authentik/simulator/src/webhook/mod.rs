//! Webhooks: how their body is built, and how they are signed and sent.

pub mod body;
pub mod python_json;
pub mod sender;
