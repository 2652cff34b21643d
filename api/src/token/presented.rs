//! The headers in which a request presents its token.

use poem::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::error::TokenError;

/// A longer token is refused without being read.
const MAX_BYTES: usize = 16 * 1024;

/// The header in which a reverse proxy passes on the token from an outpost of authentik.
const PASSED_ON: HeaderName = HeaderName::from_static("x-authentik-jwt");

/// The bearer token in the `Authorization` header. Other schemes count as no token.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, TokenError> {
    let Some(value) = single(headers, &header::AUTHORIZATION, "more than one Authorization header")? else {
        return Ok(None);
    };
    match text(value)?.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => limited(token.trim()).map(Some),
        _ => Ok(None),
    }
}

/// The token in the `X-authentik-jwt` header. Proxies overwrite the header of a client with an empty one.
pub fn passed_on(headers: &HeaderMap) -> Result<Option<&str>, TokenError> {
    let Some(value) = single(headers, &PASSED_ON, "more than one X-authentik-jwt header")? else {
        return Ok(None);
    };
    let token = limited(text(value)?.trim())?;
    Ok(Some(token).filter(|token| !token.is_empty()))
}

fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    repeated: &'static str,
) -> Result<Option<&'a HeaderValue>, TokenError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() { Err(TokenError::Invalid(repeated)) } else { Ok(value) }
}

fn text(value: &HeaderValue) -> Result<&str, TokenError> {
    value.to_str().map_err(|_| TokenError::Invalid("not a token"))
}

fn limited(token: &str) -> Result<&str, TokenError> {
    if token.len() > MAX_BYTES { Err(TokenError::Invalid("larger than 16 KiB")) } else { Ok(token) }
}
