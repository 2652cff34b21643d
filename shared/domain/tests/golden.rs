//! Samples of every event type in every released version, and the published JSON Schemas.
//!
//! After an intended change, `BLESS=1 cargo test -p domain --test golden` rewrites the schemas.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use domain::event::{Event, EventType};

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

fn samples() -> Vec<(String, String)> {
    let files = fs::read_dir(golden("v1")).unwrap().map(|file| file.unwrap().path());
    files.map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn every_sample_parses_and_serializes_to_the_same_bytes() {
    for (name, line) in samples() {
        let line = line.trim_end();
        let event = Event::from_json(line.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(String::from_utf8(event.to_json().unwrap()).unwrap(), line, "{name}");
    }
}

#[test]
fn every_type_has_a_sample() {
    let sampled: BTreeSet<EventType> = samples()
        .iter()
        .map(|(_, line)| Event::from_json(line.trim_end().as_bytes()).unwrap().body.event_type())
        .collect();
    let missing: Vec<_> = EventType::ALL.iter().filter(|event_type| !sampled.contains(event_type)).collect();
    assert!(missing.is_empty(), "add a sample to tests/golden/v1 for {missing:?}");
}

#[test]
fn every_type_has_its_published_schema() {
    for event_type in EventType::ALL {
        let path = golden(&format!("schemas/{event_type}.v1.json"));
        let schema = serde_json::to_string_pretty(&event_type.schema()).unwrap() + "\n";
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &schema).unwrap();
        }
        let published = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            schema, published,
            "the schema of {event_type} changed; if that is intended, rewrite it with BLESS=1"
        );
    }
}

#[test]
fn an_event_with_a_newer_schema_version_is_refused_with_an_error_that_names_it() {
    let (_, line) = samples().into_iter().find(|(name, _)| name.ends_with("/user-updated.json")).unwrap();
    let newer = line.replace("user-updated/v1", "user-updated/v2");
    let error = Event::from_json(newer.trim_end().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("v2"), "{error}");
}
