//! The Dockerfile builds the images that the Compose files start.

use std::collections::{BTreeMap, BTreeSet};

use crate::file::root;
use crate::{OURS, one_node};

/// The lines of each stage, by the stage's name; continued lines are joined.
fn stages() -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(root().join("Dockerfile")).unwrap().replace("\\\n", " ");
    let mut stages = BTreeMap::<String, Vec<String>>::new();
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(from) = line.strip_prefix("FROM ") {
            name = from.rsplit(" AS ").next().unwrap().into();
        }
        stages.entry(name.clone()).or_default().push(line.to_owned());
    }
    stages
}

#[test]
fn each_built_service_has_a_target_whose_program_runs_the_health_check() {
    let (compose, stages) = (one_node(), stages());
    for name in OURS {
        let service = compose.service(name);
        assert_eq!(service.target(), Some(name));
        assert!(stages.contains_key(name), "{name}");
        if name != "frontend" {
            let program = service.healthcheck()[1];
            assert!(stages[name].contains(&format!("ENTRYPOINT [\"{program}\"]")), "{:?}", stages[name]);
            assert!(stages[name].contains(&format!("COPY --from=build /out/{name} {program}")));
            assert!(
                stages[name][0].starts_with("FROM base "),
                "{name} must run without root and without a shell"
            );
            let listen =
                service.environment().into_iter().find(|(key, _)| key.ends_with("_LISTEN")).unwrap().1;
            let port = listen.rsplit_once(':').unwrap().1;
            assert!(stages[name].contains(&format!("EXPOSE {port}")), "{name}");
        }
    }
    assert!(stages["base"][0].contains(":nonroot "));
    assert!(stages["frontend"][0].contains("nginx-unprivileged"));
}

#[test]
fn the_images_are_built_with_the_toolchain_of_the_project() {
    let toolchain = include_str!("../../../rust-toolchain.toml");
    let channel =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    assert!(stages()["build"][0].contains(&format!("rust:{channel}-")), "{channel}");
}

#[test]
fn copied_files_exist_and_are_not_ignored() {
    let ignored = std::fs::read_to_string(root().join(".dockerignore")).unwrap();
    let ignored: BTreeSet<_> = ignored.lines().collect();
    for secret in [".env", ".git", ".data"] {
        assert!(ignored.contains(secret), "{secret} must not be in the build context");
    }
    for needed in ["Cargo.lock", "nats", "authentik", "frontend", "deploy"] {
        assert!(root().join(needed).exists(), "{needed}");
        assert!(!ignored.contains(needed), "{needed}");
    }
    for line in
        stages().values().flatten().filter(|line| line.starts_with("COPY ") && !line.contains("--from="))
    {
        let sources: Vec<_> =
            line.split_whitespace().skip(1).filter(|word| !word.starts_with("--")).collect();
        for source in &sources[..sources.len() - 1] {
            assert!(root().join(source).exists(), "{line}");
        }
    }
}
