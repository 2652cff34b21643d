//! Hashes as authentik writes them.

use std::fmt::Write as _;

use aws_lc_rs::digest;

/// SHA-256 of a text, in hexadecimal digits.
pub fn sha256_hex(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
