//! JSON Schemas of the events.

use domain::event::EventType;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::{JsonSchema, Schema};
use serde::Serialize;

use super::tags::Tag;
use crate::answer::{Json, NOT_FOUND, Refusal, RouteResult};

/// A JSON Schema.
#[derive(Serialize, JsonSchema)]
pub struct JsonSchemaDocument(#[schemars(with = "serde_json::Value")] Schema);

#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Returns the JSON Schema of the `data` of an event type.
    #[oai(path = "/schemas/:type/v1", method = "get", tag = "Tag::Events")]
    async fn schema(&self, r#type: Path<String>) -> RouteResult<Json<JsonSchemaDocument>, NOT_FOUND> {
        let event_type = r#type.0.parse::<EventType>();
        let event_type = event_type.map_err(|error| Refusal::not_found(error.to_string()))?;
        Ok(Json(JsonSchemaDocument(event_type.schema())))
    }
}
