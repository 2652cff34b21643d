//! The faults that tests switch on with `POST /_control/faults`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// All faults. The default has none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The status of every response of the REST API.
    pub rest_status: Option<u16>,
    /// The delay before every response of the REST API, in milliseconds.
    pub rest_delay_ms: u64,
    /// The only users that the reader's token may see.
    pub visible_users: Option<BTreeSet<i64>>,
    /// The share of webhooks that are lost, from 0.0 to 1.0.
    pub drop_webhooks: f64,
    /// The share of delivered webhooks that are sent twice, from 0.0 to 1.0.
    pub duplicate_webhooks: f64,
    /// No webhook is sent while this is true.
    pub hold_webhooks: bool,
    /// The status of every response under `/application/o/`.
    pub oidc_status: Option<u16>,
    /// The provider has no signing key: discovery names HS256, and the JWKS is `{}`.
    pub no_signing_key: bool,
    /// The models that the reader's token may not view: `user`, `group` or `event`.
    pub not_viewable: BTreeSet<String>,
    /// How far the clock of the `Date` header is ahead, in seconds.
    pub clock_ahead: i32,
    /// The mistakes in the transport, the rule, the mappings, the matchers and the provider.
    pub mistakes: BTreeSet<Mistake>,
    /// The URL that the transport has instead of the configured one.
    pub transport_url: Option<String>,
}

/// One mistake in how an administrator set up the webhooks or the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mistake {
    /// The transport does not exist.
    NoTransport,
    /// The transport sends one request to each member of the group.
    NotSendOnce,
    /// The transport has no mapping for the body.
    NoBodyMapping,
    /// The body mapping has another expression.
    OtherBodyMapping,
    /// The transport has no mapping for the headers.
    NoHeadersMapping,
    /// The headers mapping has another expression.
    OtherHeadersMapping,
    /// The notification rule does not exist.
    NoRule,
    /// The rule does not use the transport.
    RuleWithoutTransport,
    /// The rule has no destination group, like authentik's own default rules.
    RuleWithoutGroup,
    /// The matcher of logins is not bound to the rule.
    LoginNotBound,
    /// The matcher of logouts is bound, but disabled.
    LogoutSwitchedOff,
    /// The server process, which sends the transport's test, signs with another secret.
    OtherSecret,
    /// The server process, which sends the transport's test, has no secret.
    NoSecret,
    /// The provider has the invalidation flow that authentik gives to a new provider.
    SignOutEndsNothing,
    /// The provider has no URI to return to after a sign-out, because authentik before 2026.5 has no such URIs.
    NoLogoutUris,
}
