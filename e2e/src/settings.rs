//! Environment variables of each process of an installation.

use std::path::Path;

use crate::nats::Nats;

/// Secret that webhooks are signed with.
pub const WEBHOOK_SECRET: &str = "whsec_ZTJlLXdlYmhvb2stc2VjcmV0LTAxMjM0NTY3ODlhYmM=";
const SLUG: &str = "authentik-events";
/// The projector's token for authentik's REST API.
pub const READER_TOKEN: &str = "reader-5d1c2f";
/// The administrator's token for authentik's REST API.
pub const ADMIN_TOKEN: &str = "admin-8e07b4";

/// Environment variables of a process.
pub type Environment = Vec<(&'static str, String)>;

/// Base URL of a process that listens on this port.
pub fn local(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Variables of authentik's simulator, which keeps its state in `directory`.
pub fn simulator(port: u16, webhook_url: String, directory: &Path) -> Environment {
    vec![
        ("SIMULATOR_LISTEN", format!("127.0.0.1:{port}")),
        ("SIMULATOR_WEBHOOK_URL", webhook_url),
        ("SIMULATOR_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
        ("SIMULATOR_API_TOKEN", READER_TOKEN.to_owned()),
        ("SIMULATOR_ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
        ("SIMULATOR_STATE_DIR", directory.join("authentik").display().to_string()),
        ("SIMULATOR_RETRY_SCALE", "0.02".to_owned()),
        // Longer than any test takes.
        ("SIMULATOR_ACCESS_TOKEN_SECONDS", "36000".to_owned()),
    ]
}

/// Variables of an ingress.
pub fn ingress(port: u16, nats: &Nats) -> Environment {
    let own =
        vec![("INGRESS_LISTEN", format!("127.0.0.1:{port}")), ("WEBHOOK_SECRETS", WEBHOOK_SECRET.to_owned())];
    [nats.environment("ingress"), own].concat()
}

/// Variables of a projector. `sweep_interval` is in seconds; 0 turns sweeps off.
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

/// Variables of the API.
pub fn api(port: u16, nats: &Nats, authentik_url: &str) -> Environment {
    let own = vec![
        ("API_LISTEN", format!("127.0.0.1:{port}")),
        ("AUTHENTIK_ISSUER", format!("{authentik_url}/application/o/{SLUG}/")),
        ("AUTHENTIK_CLIENT_ID", SLUG.to_owned()),
    ];
    [nats.environment("api"), own].concat()
}
