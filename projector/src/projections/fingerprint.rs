//! Hashes the contents of a projection: equal fingerprints mean equal contents, byte for byte.

use std::fmt::Write;

use anyhow::Context;
use aws_lc_rs::digest;
use domain::view::{Projection, Views};

/// SHA-256 over keys and values in key order, each preceded by its length as a big-endian `u64`.
pub(crate) struct Fingerprint(digest::Context);

impl Fingerprint {
    pub(crate) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(crate) fn add(&mut self, key: &str, value: &[u8]) {
        for part in [key.as_bytes(), value] {
            self.0.update(&(part.len() as u64).to_be_bytes());
            self.0.update(part);
        }
    }

    pub(crate) fn finish(self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0.finish().as_ref() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// The fingerprint of the views in their stored form, JSON.
pub(super) fn of_views<P: Projection>(views: &Views<P>) -> anyhow::Result<String> {
    let mut fingerprint = Fingerprint::new();
    for (key, view) in views.iter() {
        fingerprint.add(key, &serde_json::to_vec(view).with_context(|| format!("serializing view {key}"))?);
    }
    Ok(fingerprint.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[(&str, &str)]) -> String {
        let mut fingerprint = Fingerprint::new();
        for (key, value) in entries {
            fingerprint.add(key, value.as_bytes());
        }
        fingerprint.finish()
    }

    #[test]
    fn moving_a_byte_from_value_to_key_changes_the_fingerprint() {
        assert_ne!(of(&[("a", "bc")]), of(&[("ab", "c")]));
        assert_ne!(of(&[("a", "b"), ("c", "d")]), of(&[("a", "b")]));
        assert_eq!(of(&[("a", "bc")]), of(&[("a", "bc")]));
    }

    #[test]
    fn an_empty_projection_has_the_sha_256_of_no_bytes() {
        assert_eq!(of(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
