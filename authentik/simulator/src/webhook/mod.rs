//! Webhooks: their body, their signature and their sending.

pub mod body;
pub mod python_json;
pub mod sender;
