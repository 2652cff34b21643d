//! What the README says of the configuration is what the binaries take.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;

use clap::Parser;

const README: &str = include_str!("../../README.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// What a program, or one of its commands, takes.
fn variables_of(command: &str) -> BTreeSet<String> {
    let mut words = command.split(' ');
    let binary = e2e::process::binary(words.next().unwrap());
    let output = std::process::Command::new(binary).args(words).arg("--help").env_clear().output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let variables = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    variables.map(str::to_owned).collect()
}

#[test]
fn the_readme_names_every_variable_and_no_other() {
    let commands = ["ingress", "projector", "projector doctor", "api"];
    let taken: BTreeSet<String> = commands.into_iter().flat_map(variables_of).collect();
    let table = README.split("## Configuration").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let named: BTreeSet<String> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect();
    assert_eq!(named, taken);
}

/// What stands between backticks and calls the projector, with an id in the place of each `<id>`.
fn commands(text: &str) -> Vec<String> {
    let text = text.replace('\n', " ").replace("   ", " ");
    let spans = text.split('`').skip(1).step_by(2).map(str::trim);
    let commands = spans.filter(|span| span.starts_with("projector ")).map(|span| span.replace("<id>", "x"));
    commands.collect()
}

#[test]
fn every_command_of_the_projector_in_the_documentation_is_one() {
    let named: BTreeSet<String> = [README, OPERATIONS].into_iter().flat_map(commands).collect();
    assert!(named.len() > 10, "{named:?}");
    for command in named {
        let parsed = projector::Cli::try_parse_from(command.split_whitespace());
        assert!(parsed.is_ok(), "{command}: {:?}", parsed.err());
    }
}
