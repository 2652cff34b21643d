//! Who makes a request.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use domain::key::{Entity, UserPk};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use runtime::clock;

use crate::answer::{Answer, Refusal};
use crate::feed::Filter;
use crate::live::Live;
use crate::people::{Own, Rights};
use crate::server::Gate;
use crate::token::Claims;

/// Name of the security scheme in the OpenAPI document.
const SCHEME: &str = "access_token";

/// Somebody with a good token, and what they may.
#[derive(Clone)]
pub struct Caller {
    /// What is known now.
    pub live: Arc<Live>,
    /// What the token says.
    pub claims: Arc<Claims>,
    /// What its owner may.
    pub rights: Rights,
}

impl Caller {
    async fn of(request: &Request) -> Answer<Self> {
        let gate: &Arc<Gate> =
            request.data().ok_or_else(|| Refusal::unavailable("the service is not set up"))?;
        let peer = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
        let claims = gate.tokens.verify(request.headers(), peer, clock::now().unix_seconds()).await?;
        let live = gate.live.get().ok_or_else(|| Refusal::unavailable("the projections are being loaded"))?;
        let rights = rights(live, &claims)?;
        Ok(Self { live: Arc::clone(live), claims, rights })
    }

    /// The caller, where they are recorded already.
    pub fn own(&self) -> Option<Own> {
        self.rights.own
    }

    /// Refuses whoever may not read everything.
    pub fn require_admin(&self) -> Answer<()> {
        let is_admin = self.rights.is_admin;
        if is_admin { Ok(()) } else { Err(Refusal::forbidden("only admins may do this")) }
    }

    /// Refuses whoever may not read about this user.
    pub fn require_own_or_admin(&self, pk: UserPk) -> Answer<()> {
        let may = self.rights.is_admin || self.own().is_some_and(|own| own.pk == pk);
        if may { Ok(()) } else { Err(Refusal::forbidden("only admins may read about other users")) }
    }

    /// Refuses whoever changes too much in too short a time. To be asked after whether they may at all.
    pub fn take_turn(&self) -> Answer<()> {
        let mut limits = self.live.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.take(&self.claims.sub, Instant::now()).map_err(Refusal::too_many)
    }

    /// Who asks, for what is kept about it; nothing where they are not recorded.
    pub fn asked_by(&self) -> Option<UserPk> {
        self.own().map(|own| own.pk)
    }

    /// Narrows a filter to what the caller may see; and from where on, as the sequence before it.
    ///
    /// Nothing where there is nothing to see yet: a caller whom nobody has recorded.
    pub fn narrow(&self, filter: Filter) -> Answer<Option<(Filter, u64)>> {
        narrow(&self.rights, filter)
    }
}

/// See [`Caller::narrow`].
pub fn narrow(rights: &Rights, filter: Filter) -> Answer<Option<(Filter, u64)>> {
    if rights.is_admin {
        return Ok(Some((filter, 0)));
    }
    let own = rights.own.map(|own| Entity::User(own.pk));
    if filter.entity.is_some() && filter.entity != own {
        return Err(Refusal::forbidden("only admins may read about other users"));
    }
    let since = rights.own.map_or(0, |own| own.since.saturating_sub(1));
    Ok(own.map(|own| (Filter { entity: Some(own), ..filter }, since)))
}

/// What the owner of a token may now; nobody may anything while revocations cannot be seen.
fn rights(live: &Live, claims: &Claims) -> Answer<Rights> {
    if live.is_stale() {
        return Err(Refusal::unavailable("the log of events cannot be read: what is known here is too old"));
    }
    live.people.rights(&live.users.get(), claims).map_err(|revoked| Refusal::invalid_token(revoked.0))
}

impl<'a> ApiExtractor<'a> for Caller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = MetaSecurityScheme {
            ty: "http",
            description: Some("An access token of authentik for this client."),
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
        Ok(Self::of(request).await?)
    }
}
