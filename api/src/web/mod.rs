//! The HTTP application around the routes: common headers and logs, documentation, and the front end.

mod cors;
mod envelope;
mod frontend;
mod openapi;

use std::sync::Arc;

use poem::{Endpoint, EndpointExt, Response};
use runtime::health::Health;
use runtime::http;

use crate::caller::RequestContext;
use crate::config::Config;

/// The complete HTTP application.
pub fn app(
    config: &Config,
    context: &Arc<RequestContext>,
    health: &Health,
) -> impl Endpoint<Output = Response> + use<> {
    let app = http::operations(health)
        .at("/config.json", frontend::settings(config))
        .nest("/api", openapi::api().data(Arc::clone(context)));
    let app = match &config.static_dir {
        Some(directory) => app.nest("/", frontend::files(directory, &config.issuer_origin())),
        None => app,
    };
    let origins: Arc<[String]> = config.cors_origins().into();
    app.around(move |app, request| {
        let origins = Arc::clone(&origins);
        async move { Ok(envelope::respond(&*app, request, &origins).await) }
    })
}
