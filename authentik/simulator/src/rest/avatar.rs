//! The picture that authentik draws of a user's initials.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A data URI of about 600 bytes; always the same for the same name.
pub fn data_uri(name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, name.as_bytes());
    let (red, green, blue) = (hash.as_ref()[0], hash.as_ref()[1], hash.as_ref()[2]);
    let brightness = (u32::from(red) * 299 + u32::from(green) * 587 + u32::from(blue) * 114) / 1_000;
    let text_color = if brightness > 150 { "#000" } else { "#fff" };
    let initials = escaped_initials(name);
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"64px\" height=\"64px\" viewBox=\"0 0 64 64\" \
         version=\"1.1\"><rect fill=\"#{red:02x}{green:02x}{blue:02x}\" cx=\"32\" cy=\"32\" width=\"64\" \
         height=\"64\" r=\"32\"/><text x=\"50%\" y=\"50%\" style=\"color: {text_color}; line-height: 1; \
         font-family: 'RedHatText','Overpass',overpass,helvetica,arial,sans-serif; \" \
         fill=\"{text_color}\" alignment-baseline=\"middle\" dominant-baseline=\"middle\" \
         text-anchor=\"middle\" font-size=\"28\" font-weight=\"400\" dy=\".1em\">{initials}</text></svg>"
    );
    format!("data:image/svg+xml;base64,{}", STANDARD.encode(svg))
}

fn escaped_initials(name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    let initials: String = match words.as_slice() {
        [] => String::new(),
        [word] => word.chars().take(2).collect(),
        [first, .., last] => first.chars().take(1).chain(last.chars().take(1)).collect(),
    };
    crate::oidc::pages::escape(&initials.to_uppercase())
}
