/// Why a request is not authenticated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request has no token.
    #[error("an access token is required in the Authorization header; sign in to get one")]
    Missing,
    /// The token is not accepted. The reason is safe to show to the client.
    #[error("{0}")]
    Invalid(&'static str),
    /// The token's key is unknown, and authentik cannot be asked for it now.
    #[error("the token's key cannot be fetched from the identity provider; retry later")]
    Unavailable,
}
