//! Authenticates a request, and checks the caller's rights.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use domain::key::UserPk;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use runtime::clock;

use crate::answer::{Answer, Refusal};
use crate::state::live::LiveState;
use crate::state::people::{Forbidden, Rights};
use crate::token::{Claims, Tokens};

/// Name of the security scheme in the OpenAPI document.
const SCHEME: &str = "access_token";

/// What the server provides to every request.
pub struct RequestContext {
    pub tokens: Tokens,
    /// The state; unset until it is loaded.
    pub live: OnceLock<Arc<LiveState>>,
}

/// The owner of an accepted token, and their rights.
#[derive(Clone)]
pub struct Caller {
    pub live: Arc<LiveState>,
    pub claims: Arc<Claims>,
    pub rights: Rights,
}

impl Caller {
    async fn authenticate(request: &Request) -> Answer<Self> {
        let context: &Arc<RequestContext> = request
            .data()
            .ok_or_else(|| Refusal::unavailable("the server has no request context; this is a bug"))?;
        let peer = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
        let claims = context.tokens.verify(request.headers(), peer, clock::now().unix_seconds()).await?;
        let live = context.live.get();
        let live =
            live.ok_or_else(|| Refusal::unavailable("the projections are being loaded; retry later"))?;
        // A stale state could miss a revocation.
        if live.is_stale() {
            return Err(Refusal::unavailable(
                "the event log cannot be read, so the state is stale; retry later",
            ));
        }
        let rights = live.rights(&claims)?;
        Ok(Self { live: Arc::clone(live), claims, rights })
    }

    /// Refuses callers who are not admins.
    pub fn require_admin(&self) -> Answer<()> {
        let is_admin = self.rights.is_admin;
        if is_admin { Ok(()) } else { Err(Refusal::forbidden("only admins may do this")) }
    }

    /// Refuses callers who may not read about this user.
    pub fn require_own_or_admin(&self, pk: UserPk) -> Result<(), Forbidden> {
        let is_allowed = self.rights.is_admin || self.rights.own.is_some_and(|own| own.pk == pk);
        if is_allowed { Ok(()) } else { Err(Forbidden) }
    }

    /// Counts a change, and refuses it if the caller makes too many. Check the caller's rights first.
    pub fn check_rate_limit(&self) -> Answer<()> {
        self.live.check_rate_limit(&self.claims.sub).map_err(Refusal::too_many)
    }

    /// The caller's primary key, which hints and commands record; `None` if the caller is not recorded.
    pub fn pk(&self) -> Option<UserPk> {
        self.rights.own.map(|own| own.pk)
    }
}

impl<'a> ApiExtractor<'a> for Caller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = MetaSecurityScheme {
            ty: "http",
            description: Some("An access token that authentik issued for the front end's client."),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: Some("JWT"),
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(SCHEME, scheme);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self::authenticate(request).await?)
    }
}
