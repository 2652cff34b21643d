//! Hashes in authentik's format.

use std::fmt::Write as _;

use aws_lc_rs::digest;

/// The SHA-256 hash of a text, as hexadecimal digits.
pub fn sha256_hex(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
