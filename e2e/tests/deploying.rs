//! What the README says of deploying can be done: each of its commands is looked at, or run.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const README: &str = include_str!("../../README.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn section() -> &'static str {
    README.split("\n## Deploy\n").nth(1).unwrap().split("\n## ").next().unwrap()
}

/// The lines of the fenced blocks of a language.
fn fenced(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = section().split(&fence).skip(1);
    blocks.map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

/// The Compose files, one laid over the other.
fn services() -> BTreeSet<String> {
    let mut services = BTreeSet::new();
    for file in ["docker-compose.yml", "compose.cluster.yml"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let document: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        let names =
            document["services"].as_mapping().unwrap().keys().map(|name| name.as_str().unwrap().to_owned());
        services.extend(names);
    }
    services
}

/// Options of `docker compose` and of its commands, with whether a value follows.
const COMPOSE: [(&str, &[(&str, bool)]); 5] = [
    ("up", &[("-d", false), ("--wait", false), ("--build", false), ("--scale", true)]),
    ("ps", &[]),
    ("logs", &[("--follow", false)]),
    ("exec", &[("-T", false)]),
    ("down", &[("--volumes", false)]),
];

fn check_compose(mut words: Vec<&str>, line: &str) {
    let services = services();
    while words[0] == "-f" {
        assert!(root().join(words[1]).is_file(), "{line}");
        words.drain(..2);
    }
    let (_, options) = COMPOSE.iter().find(|(name, _)| *name == words[0]).unwrap_or_else(|| panic!("{line}"));
    let mut rest = &words[1..];
    while let Some(option) = rest.first().filter(|word| word.starts_with('-')) {
        let (_, has_value) =
            options.iter().find(|(name, _)| name == option).unwrap_or_else(|| panic!("{line}"));
        if *option == "--scale" {
            let (service, number) = rest[1].split_once('=').unwrap();
            assert!(services.contains(service) && number.parse::<u32>().is_ok(), "{line}");
        }
        rest = &rest[1 + usize::from(*has_value)..];
    }
    if words[0] == "exec" {
        assert!(services.contains(rest[0]), "{line}");
        return check_inside(rest[0], &rest[1..], line);
    }
    for service in rest {
        assert!(services.contains(*service), "{line}");
    }
}

/// A command in a container.
fn check_inside(service: &str, words: &[&str], line: &str) {
    match (service, words) {
        ("projector", ["projector", arguments @ ..]) => check_projector(arguments, line),
        ("authentik-worker", ["ak", "apply_blueprint", blueprint]) => {
            // Mounted as `custom` among authentik's own.
            let file = blueprint.strip_prefix("custom/").unwrap_or_else(|| panic!("{line}"));
            assert!(root().join("authentik/blueprints").join(file).is_file(), "{line}");
        }
        _ => panic!("{line}: nobody knows whether this works"),
    }
}

/// clap reads all arguments before it shows its help.
fn check_projector(arguments: &[&str], line: &str) {
    let output =
        Command::new(e2e::process::binary("projector")).args(arguments).arg("--help").env_clear().output();
    let output = output.unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in arguments.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(flag), "{line}: no {flag}");
    }
}

fn check(line: &str) {
    // What is piped into a command is made by standard tools of what scripts/init-env makes.
    let command = line.rsplit(" | ").next().unwrap();
    let words: Vec<_> = command.split_whitespace().collect();
    match words.as_slice() {
        ["docker", "compose", rest @ ..] => check_compose(rest.to_vec(), line),
        [script] if script.starts_with("scripts/") => {
            let file =
                std::fs::metadata(root().join(script)).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(file.permissions().mode() & 0o111, 0o111, "{line} cannot be run");
        }
        [password, .., "natsio/nats-box"] => {
            assert!(password.starts_with("NATS_PASSWORD=$(sed"), "{line}");
            check_nats_box(line);
        }
        _ => panic!("{line}: nobody knows whether this works"),
    }
}

/// The `nats` command line where NATS is, as a user that it knows.
fn check_nats_box(line: &str) {
    let text = std::fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let document: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    let nats = &document["services"]["nats"];
    let network = nats["networks"][0].as_str().unwrap();
    assert!(line.contains(&format!("--network {}_{network} ", document["name"].as_str().unwrap())), "{line}");
    assert!(line.contains("-e NATS_URL=nats://nats:4222 -e NATS_USER=admin -e NATS_PASSWORD "), "{line}");
    assert!(nats["environment"]["NATS_ADMIN_PASSWORD"].is_string());
    assert!(testkit::nats::shipped("users.conf").contains("user: admin, password: $NATS_ADMIN_PASSWORD"));
}

#[test]
fn every_command_of_the_readme_can_be_given() {
    let whole = |block: &String| block.replace("\\\n ", "");
    let lines: Vec<_> = fenced("sh")
        .iter()
        .flat_map(|block| whole(block).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert!(lines.len() > 5, "{lines:?}");
    for line in &lines {
        check(line.split(" #").next().unwrap().trim());
    }
    assert!(
        lines[0].starts_with("scripts/init-env") && lines[1].starts_with("docker compose up -d"),
        "{lines:?}"
    );
}

#[test]
fn what_is_piped_into_the_doctor_is_the_administrators_token() {
    let lines = fenced("sh").join("\n");
    let line = lines.lines().find(|line| line.contains("doctor")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".env");
    assert!(Command::new(root().join("scripts/init-env")).arg(&file).output().unwrap().status.success());
    let made_by = line.split(" | ").next().unwrap();
    let output = Command::new("sh").args(["-c", made_by]).current_dir(directory.path()).output().unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    let env = std::fs::read_to_string(file).unwrap();
    assert!(env.contains(&format!("AUTHENTIK_BOOTSTRAP_TOKEN={token}")) && token.len() > 40, "{token}");
}

#[test]
fn every_variable_and_file_that_the_section_names_is_there() {
    let example = std::fs::read_to_string(root().join(".env.example")).unwrap();
    let compose = std::fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let quoted = section().split('`').skip(1).step_by(2);
    for name in quoted {
        let is_variable = name.len() > 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if is_variable {
            assert!(example.contains(&format!("{name}=")) || compose.contains(&format!("{name}:")), "{name}");
        }
    }
    let links = section().split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap());
    for link in links.filter(|link| !link.is_empty() && !link.starts_with("http")) {
        assert!(root().join(link).exists(), "{link}");
    }
    for block in fenced("yaml") {
        let document: serde_yaml::Value = serde_yaml::from_str(&block).unwrap();
        let services = services();
        for (name, service) in document["services"].as_mapping().unwrap() {
            assert!(services.contains(name.as_str().unwrap()), "{name:?}");
            for variable in service["environment"].as_mapping().into_iter().flat_map(|map| map.keys()) {
                assert!(README.contains(&format!("| `{}`", variable.as_str().unwrap())), "{variable:?}");
            }
        }
    }
}
