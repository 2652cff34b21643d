//! HTTP around the routes: what every answer gets, the documentation, and the front end.

mod cors;
mod envelope;
mod frontend;
mod openapi;

use std::sync::Arc;

use poem::{Endpoint, EndpointExt, Response};
use runtime::health::Health;
use runtime::http;

use crate::config::Config;
use crate::server::Gate;

/// Everything that is served.
pub fn app(config: &Config, gate: &Arc<Gate>, health: &Health) -> impl Endpoint<Output = Response> + use<> {
    let app = http::operations(health)
        .at("/config.json", frontend::settings(config))
        .nest("/api", openapi::api().data(Arc::clone(gate)));
    let app = match &config.static_dir {
        Some(directory) => app.nest("/", frontend::files(directory, &config.issuer_origin())),
        None => app,
    };
    let origins: Arc<[String]> = config.cors_origins().into();
    app.around(move |app, request| {
        let origins = Arc::clone(&origins);
        async move { Ok(envelope::answer(&*app, request, &origins).await) }
    })
}
