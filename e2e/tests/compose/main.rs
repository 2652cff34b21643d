//! `docker compose up` without a container engine: reads the files as Compose does, and starts their services
//! as processes with the same commands, environments and health checks.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must fail"
)]

mod env;
mod file;
mod frontend;
mod images;
mod init_env;
mod running;
mod together;

use std::collections::BTreeSet;
use std::process::Command;

use e2e::process::binary;
use file::{CLUSTER, Compose, ONE_NODE, referenced_variables, root};

/// Services that run a binary of this workspace.
const BINARIES: [&str; 3] = ["ingress", "projector", "api"];
/// Services whose image is built from the Dockerfile.
const OURS: [&str; 4] = ["ingress", "projector", "api", "frontend"];

fn one_node() -> Compose {
    Compose::read(ONE_NODE, &env::made_anew())
}

fn cluster() -> Compose {
    Compose::read(CLUSTER, &env::made_anew())
}

#[test]
fn every_variable_of_a_service_is_an_option_of_its_binary() {
    for compose in [one_node(), cluster()] {
        for name in BINARIES {
            let help = |arguments: &[&str]| {
                let output = Command::new(binary(name)).args(arguments).env_clear().output().unwrap();
                String::from_utf8(output.stdout).unwrap()
            };
            let commands = if name == "projector" { help(&["doctor", "--help"]) } else { String::new() };
            let help = help(&["--help"]) + &commands;
            for variable in compose.service(name).environment().keys() {
                let is_known = [']', '='].iter().any(|end| help.contains(&format!("[env: {variable}{end}")));
                assert!(is_known, "{name} does not know {variable}");
            }
        }
    }
}

#[test]
fn authentiks_worker_has_the_variables_that_the_blueprint_reads() {
    let blueprint = include_str!("../../../authentik/blueprints/authentik-events.yaml");
    let named = blueprint.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    let named: BTreeSet<_> = named.filter(|word| word.starts_with("EVENTS_")).map(str::to_owned).collect();
    let compose = one_node();
    let environment = compose.service("authentik-worker").environment();
    let given: BTreeSet<_> = environment.into_keys().filter(|name| name.starts_with("EVENTS_")).collect();
    assert_eq!(given, named);
    let volumes = compose.service("authentik-worker").volumes();
    assert!(volumes.contains(&("./authentik/blueprints", "/blueprints/custom")), "{volumes:?}");
    assert!(compose.service("authentik-server").environment().contains_key("EVENTS_WEBHOOK_SECRET"));
}

#[test]
fn authentik_retries_webhooks_through_a_short_outage() {
    let environment = one_node().service("authentik-worker").environment();
    for (name, value) in [
        ("AUTHENTIK_WORKER__CONSUMER_LISTEN_TIMEOUT", "seconds=3"),
        ("AUTHENTIK_WORKER__TASK_MAX_RETRIES", "50"),
        ("AUTHENTIK_WORKER__THREADS", "4"),
        ("AUTHENTIK_HTTP_TIMEOUT", "10"),
    ] {
        assert_eq!(environment.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[test]
fn authentik_believes_the_headers_of_a_proxy_on_this_machine_and_in_its_networks() {
    for name in ["authentik-server", "authentik-worker"] {
        let environment = one_node().service(name).environment();
        let networks =
            environment["AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS"].split(',').collect::<BTreeSet<_>>();
        // Docker numbers its networks from the last two.
        for network in ["127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] {
            assert!(networks.contains(network), "{name}: {networks:?}");
        }
        assert!(!networks.iter().any(|network| network.ends_with("/0")), "{networks:?}");
    }
}

#[test]
fn the_front_end_links_to_the_sign_up_of_the_blueprint() {
    let blueprint = include_str!("../../../authentik/blueprints/authentik-events-sign-up.yaml");
    let url = one_node().service("api").environment()["API_ENROLLMENT_URL"].clone();
    let slug = url.trim_end_matches('/').rsplit('/').next().unwrap();
    assert!(blueprint.contains(&format!("identifiers: {{slug: {slug}}}")), "{url}");
}

#[test]
fn only_the_front_end_and_authentik_are_reachable_from_outside() {
    for compose in [one_node(), cluster()] {
        for service in compose.services() {
            let is_published = ["frontend", "authentik-server"].contains(&service.name);
            assert_eq!(service.get("ports").is_some(), is_published, "{}", service.name);
            for port in service.list("ports") {
                assert!(port.starts_with("127.0.0.1:"), "{port} is published on all interfaces");
            }
            let outward: Vec<_> = service
                .list("networks")
                .into_iter()
                .filter(|network| !compose.is_internal(network))
                .collect();
            // authentik's worker sends e-mails.
            let may_go_out = is_published || service.name == "authentik-worker";
            assert_eq!(!outward.is_empty(), may_go_out, "{}", service.name);
            assert!(!service.list("networks").is_empty(), "{} is in Compose's default network", service.name);
        }
    }
}

#[test]
fn services_can_be_scaled() {
    let compose = cluster();
    for service in compose.services() {
        assert!(service.get("container_name").is_none(), "{}", service.name);
        assert!(service.get("hostname").is_none(), "{}", service.name);
    }
    for name in BINARIES {
        assert!(compose.service(name).volumes().is_empty(), "{name}");
    }
}

#[test]
fn a_service_shares_a_network_with_every_service_that_its_environment_names() {
    for compose in [one_node(), cluster()] {
        for service in compose.services() {
            for (variable, value) in service.environment() {
                let others = compose.services().into_iter().filter(|other| names(&value, other.name));
                for other in others {
                    let shared = service
                        .list("networks")
                        .into_iter()
                        .any(|network| other.list("networks").contains(&network));
                    assert!(shared, "{} cannot reach {}, which {variable} names", service.name, other.name);
                }
            }
        }
    }
}

/// Whether a value contains this service as `host:port`.
fn names(value: &str, service: &str) -> bool {
    let words: Vec<_> = value.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
    words.windows(2).any(|pair| pair[0] == service && pair[1].parse::<u16>().is_ok())
}

#[test]
fn every_service_is_restarted_and_has_a_health_check() {
    for compose in [one_node(), cluster()] {
        for service in compose.services() {
            let restart = service.get("restart").and_then(serde_yaml::Value::as_str);
            assert_eq!(restart, Some("unless-stopped"), "{}", service.name);
            assert!(["CMD", "CMD-SHELL"].contains(&service.healthcheck()[0]), "{}", service.name);
            for other in service.waits_for() {
                assert!(!compose.service(other).healthcheck().is_empty(), "{other}");
            }
            for (source, _) in service.volumes() {
                let exists = root().join(source).is_dir() || compose.has_volume(source);
                assert!(exists, "{}: {source}", service.name);
            }
        }
        for name in BINARIES {
            assert!(compose.service(name).waits_for().contains(&"nats"), "{name}");
        }
    }
    for name in BINARIES {
        let compose = cluster();
        let nodes: BTreeSet<_> = compose.service(name).waits_for().into_iter().collect();
        assert_eq!(nodes, ["nats", "nats-2", "nats-3"].into(), "{name}");
    }
}

#[test]
fn containers_have_no_privileges_that_they_do_not_need() {
    let compose = cluster();
    for name in OURS.into_iter().chain(["nats", "nats-2", "nats-3"]) {
        let service = compose.service(name);
        assert_eq!(service.get("read_only"), Some(&true.into()), "{name}");
        assert_eq!(service.list("cap_drop"), ["ALL"], "{name}");
        assert_eq!(service.list("security_opt"), ["no-new-privileges:true"], "{name}");
    }
    for service in compose.services() {
        for forbidden in ["privileged", "cap_add", "network_mode", "pid", "user"] {
            assert!(service.get(forbidden).is_none(), "{} has {forbidden}", service.name);
        }
        assert!(
            !service.volumes().iter().any(|(source, _)| source.contains("docker.sock")),
            "{}",
            service.name
        );
    }
}

#[test]
fn no_secret_has_a_default_and_a_missing_secret_names_the_script_to_run() {
    let example = env::variables(&root().join(".env.example"));
    for (name, otherwise) in referenced_variables(CLUSTER) {
        let value = example.get(&name).unwrap_or_else(|| panic!("{name} is not in .env.example"));
        // Without an .env file, the missing secrets report the error, so these may have defaults.
        let has_default = [
            "PUBLISH_ON",
            "FRONTEND_PORT",
            "AUTHENTIK_PORT",
            "AUTHENTIK_TRUSTED_PROXY_CIDRS",
            "EVENTS_WEBHOOK_SECRET_BEFORE",
            "INGRESSES",
            "PROJECTORS",
        ];
        if has_default.contains(&name.as_str()) {
            assert_eq!(otherwise, format!(":-{value}"), "{name}");
        } else {
            assert_eq!(otherwise, ":?run scripts/init-env", "{name}");
        }
    }
    let referenced: BTreeSet<_> = referenced_variables(CLUSTER).into_iter().map(|(name, _)| name).collect();
    let set: BTreeSet<_> = example.into_keys().collect();
    assert_eq!(set, referenced, ".env.example must set exactly the variables in the Compose files");
}
