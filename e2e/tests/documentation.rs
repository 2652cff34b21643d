//! The documentation names the variables and commands of the binaries, and its links work.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser;

const CONFIGURATION: &str = include_str!("../../docs/configuration.md");

/// The Markdown files of these directories, with their paths relative to the repository.
fn pages(directories: &[&str]) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = directories.iter().flat_map(|directory| std::fs::read_dir(root.join(directory)).unwrap());
    let files = files.map(|file| file.unwrap().path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// The environment variables that a program, or one of its commands, reads.
fn variables_of(command: &str) -> BTreeSet<String> {
    let mut words = command.split(' ');
    let binary = e2e::process::binary(words.next().unwrap());
    let output = std::process::Command::new(binary).args(words).arg("--help").env_clear().output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let variables = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    variables.map(str::to_owned).collect()
}

#[test]
fn the_configuration_page_names_exactly_the_variables_of_the_binaries() {
    let commands = ["ingress", "projector", "projector doctor", "api"];
    let read: BTreeSet<String> = commands.into_iter().flat_map(variables_of).collect();
    let rows = CONFIGURATION.lines().filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<String> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect();
    assert_eq!(documented, read);
}

/// Every code span that is a projector command, with an id in place of `<id>`.
fn commands(text: &str) -> Vec<String> {
    let text = text.replace('\n', " ").replace("   ", " ");
    let spans = text.split('`').skip(1).step_by(2).map(str::trim);
    let commands = spans.filter(|span| span.starts_with("projector ")).map(|span| span.replace("<id>", "x"));
    commands.collect()
}

#[test]
fn every_projector_command_in_the_documentation_exists() {
    let pages = pages(&["", "docs"]);
    let named: BTreeSet<String> = pages.iter().flat_map(|(_, text)| commands(text)).collect();
    assert!(named.len() > 10, "{named:?}");
    for command in named {
        let parsed = projector::Cli::try_parse_from(command.split_whitespace());
        assert!(parsed.is_ok(), "{command}: {:?}", parsed.err());
    }
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    let anchor =
        |heading: &str| heading.trim_start_matches('#').trim().chars().filter(kept).collect::<String>();
    headings.map(|heading| anchor(heading).to_lowercase().replace(' ', "-")).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let directories = ["", "docs", "nats", "api", "bench", "deploy/reverse-proxy", ".github"];
    let pages = pages(&directories);
    assert!(pages.len() > 15, "{}", pages.len());
    for (path, text) in &pages {
        let links = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            if !heading.is_empty() {
                let anchors = anchors(&std::fs::read_to_string(&target).unwrap());
                assert!(anchors.contains(heading), "{}: {link}", path.display());
            }
        }
    }
}
