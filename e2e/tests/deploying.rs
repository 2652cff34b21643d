//! Every command, variable and file that `docs/deployment.md` names exists and works.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const DEPLOYMENT: &str = include_str!("../../docs/deployment.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The page's fenced blocks in this language.
fn fenced(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = DEPLOYMENT.split(&fence).skip(1);
    blocks.map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

/// The services of both Compose files.
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

/// The commands of `docker compose` with their options, and whether the option takes a value.
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

/// Checks a command that runs inside a container.
fn check_inside(service: &str, words: &[&str], line: &str) {
    match (service, words) {
        ("projector", ["projector", arguments @ ..]) => check_projector(arguments, line),
        ("authentik-worker", ["ak", "apply_blueprint", blueprint]) => {
            // docker-compose.yml mounts our blueprints as `custom`.
            let file = blueprint.strip_prefix("custom/").unwrap_or_else(|| panic!("{line}"));
            assert!(root().join("authentik/blueprints").join(file).is_file(), "{line}");
        }
        _ => panic!("{line}: this test cannot check the command"),
    }
}

/// Checks a projector command by its `--help`: clap parses the other arguments first.
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
    // Only the last command of a pipe is ours; another test runs what comes before it.
    let command = line.rsplit(" | ").next().unwrap();
    let words: Vec<_> = command.split_whitespace().collect();
    match words.as_slice() {
        ["docker", "compose", rest @ ..] => check_compose(rest.to_vec(), line),
        [script] if script.starts_with("scripts/") => {
            let file =
                std::fs::metadata(root().join(script)).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(file.permissions().mode() & 0o111, 0o111, "{line} is not executable");
        }
        [password, .., "natsio/nats-box"] => {
            assert!(password.starts_with("NATS_PASSWORD=$(sed"), "{line}");
            check_nats_box(line);
        }
        _ => panic!("{line}: this test cannot check the command"),
    }
}

/// Checks that the `nats` command line runs in the network of NATS, as one of its users.
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
fn every_command_of_the_page_works() {
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
fn the_doctor_receives_the_administrators_token_on_its_standard_input() {
    let lines = fenced("sh").join("\n");
    let line = lines.lines().find(|line| line.contains("doctor")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".env");
    assert!(Command::new(root().join("scripts/init-env")).arg(&file).output().unwrap().status.success());
    let producer = line.split(" | ").next().unwrap();
    let output = Command::new("sh").args(["-c", producer]).current_dir(directory.path()).output().unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    let env = std::fs::read_to_string(file).unwrap();
    assert!(env.contains(&format!("AUTHENTIK_BOOTSTRAP_TOKEN={token}")) && token.len() > 40, "{token}");
}

#[test]
fn every_variable_and_file_that_the_page_names_exists() {
    let example = std::fs::read_to_string(root().join(".env.example")).unwrap();
    let compose = std::fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let quoted = DEPLOYMENT.split('`').skip(1).step_by(2);
    for name in quoted {
        let is_variable = name.len() > 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if is_variable {
            assert!(example.contains(&format!("{name}=")) || compose.contains(&format!("{name}:")), "{name}");
        }
    }
    for block in fenced("yaml") {
        let document: serde_yaml::Value = serde_yaml::from_str(&block).unwrap();
        let services = services();
        for (name, service) in document["services"].as_mapping().unwrap() {
            assert!(services.contains(name.as_str().unwrap()), "{name:?}");
            for variable in service["environment"].as_mapping().into_iter().flat_map(|map| map.keys()) {
                let row = format!("| `{}`", variable.as_str().unwrap());
                assert!(CONFIGURATION.contains(&row), "{variable:?}");
            }
        }
    }
}
