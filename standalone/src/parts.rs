//! The settings of each part, so that the parts reach each other.

use std::net::SocketAddr;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use runtime::clock;

use crate::config::Config;

/// Slug and client id of the application in the simulator.
const SLUG: &str = "authentik-events";

pub(crate) struct Parts {
    pub(crate) simulator: simulator::Config,
    pub(crate) ingress: ingress::Config,
    pub(crate) projector: projector::Config,
    pub(crate) api: api::Config,
    pub(crate) addresses: Addresses,
}

/// URLs of the parts, and the simulator's administrator token.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) front_end: String,
    pub(crate) authentik: String,
    pub(crate) ingress: String,
    pub(crate) projector: String,
    pub(crate) admin_token: String,
}

impl Parts {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let local = |port: u16| format!("http://localhost:{port}");
        let addresses = Addresses {
            front_end: local(config.port),
            authentik: local(config.authentik_port),
            ingress: local(config.ingress_port),
            projector: local(config.projector_port),
            admin_token: config.admin_token.clone(),
        };
        // Webhook secret and API token exist only in this process and are new at each start.
        let secret = format!(
            "whsec_{}",
            STANDARD.encode([clock::new_id().into_bytes(), clock::new_id().into_bytes()].concat())
        );
        let token = clock::new_id().simple().to_string();
        let nats = format!("--nats-url=nats://127.0.0.1:{}", config.nats_port);
        Ok(Self {
            simulator: simulator(config, &addresses, &secret, &token),
            ingress: part(
                "ingress",
                &[
                    nats.clone(),
                    format!("--ingress-listen=127.0.0.1:{}", config.ingress_port),
                    format!("--webhook-secrets={secret}"),
                ],
            )?,
            projector: part(
                "projector",
                &[
                    nats.clone(),
                    format!("--projector-listen=127.0.0.1:{}", config.projector_port),
                    format!("--authentik-url={}", addresses.authentik),
                    format!("--authentik-token={token}"),
                    format!("--public-url={}", addresses.front_end),
                ],
            )?,
            api: part(
                "api",
                &[
                    nats,
                    format!("--api-listen=127.0.0.1:{}", config.port),
                    format!("--authentik-issuer={}/application/o/{SLUG}/", addresses.authentik),
                    format!("--authentik-client-id={SLUG}"),
                    format!("--api-static-dir={}", config.static_dir.display()),
                    format!("--api-enrollment-url={}/if/flow/{SLUG}-enrollment/", addresses.authentik),
                ],
            )?,
            addresses,
        })
    }
}

fn simulator(config: &Config, addresses: &Addresses, secret: &str, token: &str) -> simulator::Config {
    simulator::Config {
        listen: SocketAddr::from(([127, 0, 0, 1], config.authentik_port)),
        public_url: Some(addresses.authentik.clone()),
        webhook_url: Some(format!("{}{}", addresses.ingress, ingress::WEBHOOK_PATH)),
        webhook_secret: Some(secret.into()),
        api_token: Some(token.into()),
        admin_token: Some(config.admin_token.as_str().into()),
        client_id: SLUG.to_owned(),
        app_slug: SLUG.to_owned(),
        redirect_uris: vec![format!("{}/auth/callback", addresses.front_end)],
        state_dir: Some(config.data_dir.join("authentik")),
        access_token_seconds: config.access_token_seconds,
        ..simulator::Config::default()
    }
}

fn part<C: Parser>(name: &str, flags: &[String]) -> anyhow::Result<C> {
    let arguments = std::iter::once(name).chain(flags.iter().map(String::as_str));
    C::try_parse_from(arguments).with_context(|| format!("settings of {name}"))
}
