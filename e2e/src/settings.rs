//! What each process of an installation is told by its environment.

use std::path::Path;

use crate::nats::Nats;

/// What webhooks are signed with.
pub const WEBHOOK_SECRET: &str = "whsec_ZTJlLXdlYmhvb2stc2VjcmV0LTAxMjM0NTY3ODlhYmM=";
const SLUG: &str = "authentik-events";
/// What the projector shows to authentik's REST API.
pub const READER_TOKEN: &str = "reader-5d1c2f";
/// What authentik's administrator shows to its REST API.
pub const ADMIN_TOKEN: &str = "admin-8e07b4";

/// Variables of a process.
pub type Environment = Vec<(&'static str, String)>;

/// Where something listens on this machine.
pub fn local(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// authentik: what it keeps is in `directory`.
pub fn simulator(port: u16, webhook_url: String, directory: &Path) -> Environment {
    vec![
        ("SIMULATOR_LISTEN", format!("127.0.0.1:{port}")),
        ("SIMULATOR_WEBHOOK_URL", webhook_url),
        ("SIMULATOR_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
        ("SIMULATOR_API_TOKEN", READER_TOKEN.to_owned()),
        ("SIMULATOR_ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
        ("SIMULATOR_STATE_DIR", directory.join("authentik").display().to_string()),
        ("SIMULATOR_RETRY_SCALE", "0.02".to_owned()),
        // Longer than any test.
        ("SIMULATOR_ACCESS_TOKEN_SECONDS", "36000".to_owned()),
    ]
}

/// An ingress.
pub fn ingress(port: u16, nats: &Nats) -> Environment {
    let own =
        vec![("INGRESS_LISTEN", format!("127.0.0.1:{port}")), ("WEBHOOK_SECRETS", WEBHOOK_SECRET.to_owned())];
    [nats.environment("ingress"), own].concat()
}

/// A projector.
pub fn projector(port: u16, nats: &Nats, authentik_url: &str, sweep_interval: u32) -> Environment {
    let own = vec![
        ("PROJECTOR_LISTEN", format!("127.0.0.1:{port}")),
        ("AUTHENTIK_URL", authentik_url.to_owned()),
        ("AUTHENTIK_TOKEN", READER_TOKEN.to_owned()),
        ("SWEEP_INTERVAL", sweep_interval.to_string()),
        ("NATS_REPLICAS", nats.n_replicas().to_string()),
        ("PROJECTOR_USER_ATTRIBUTES", "badge".to_owned()),
    ];
    [nats.environment("projector"), own].concat()
}

/// The API.
pub fn api(port: u16, nats: &Nats, authentik_url: &str) -> Environment {
    let own = vec![
        ("API_LISTEN", format!("127.0.0.1:{port}")),
        ("AUTHENTIK_ISSUER", format!("{authentik_url}/application/o/{SLUG}/")),
        ("AUTHENTIK_CLIENT_ID", SLUG.to_owned()),
    ];
    [nats.environment("api"), own].concat()
}
