//! Who asks, and what they may ask for.

use super::auth::{Gate, Signed, shown_token};
use super::{Code, Problem, Request};
use crate::catalog::OwnerFilter;
use crate::image::{ImageId, UserId};
use crate::jwt::{Rejection, Tokens};
use crate::runtime::Timestamp;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Runs the deployment: holds the API token, or asks at a loopback host that `npm start` opened.
    Operator,
    /// A user, confined to their own images: holds a token that names them.
    User(UserId),
    /// Holds a signed URL.
    Holder(Grant),
    /// Nobody in particular.
    Anyone,
}

/// What a signed URL opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub image: ImageId,
    /// Whether the signature is for the variant that the query asks for.
    pub names_variant: bool,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// Anyone, who sees what is public; a signed URL opens the image that the path names.
    Holder,
    /// Users, and the operator.
    User,
    /// The operator.
    Operator,
}

impl Access {
    /// Whether callers must show who they are.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::User | Self::Operator)
    }
}

impl Principal {
    /// The user to whose images the principal is confined; `None` when it is not confined to anybody's.
    #[must_use]
    pub const fn owner(&self) -> Option<&UserId> {
        match self {
            Self::User(user) => Some(user),
            Self::Operator | Self::Holder(_) | Self::Anyone => None,
        }
    }

    const fn may_use(&self, access: Access) -> bool {
        match access {
            Access::Anyone | Access::Holder => true,
            Access::User => matches!(self, Self::Operator | Self::User(_)),
            Access::Operator => matches!(self, Self::Operator),
        }
    }
}

/// What is wrong with a token where none can hold.
const NO_TOKENS: &str = "no token is configured here that this one could be; send none, or set API_TOKEN";

/// The principal of a request, and why it is nobody more.
#[derive(Debug)]
pub struct Caller {
    pub principal: Principal,
    refusal: Option<Problem>,
}

impl Caller {
    /// A caller who has shown who they are.
    #[must_use]
    pub const fn known(principal: Principal) -> Self {
        Self { principal, refusal: None }
    }

    /// Finds out who asks. `tokens` says whom users' tokens name, where there are users; `signed` is the image that a signed URL would open
    /// here.
    ///
    /// A token that is sent must hold, also where `npm start` opened the host to callers without one.
    pub async fn identify(
        request: &Request,
        gate: &Gate<'_>,
        tokens: Option<&Tokens>,
        signed: Option<ImageId>,
        now: Timestamp,
    ) -> Self {
        if gate.holds_token(request) {
            return Self::known(Principal::Operator);
        }
        // Signatures count on an opened loopback host too, so that they can be tried there.
        let signature = signed.map(|image| {
            let signed = gate.require_signature(request, image, now);
            signed.map(|Signed { names_variant }| Principal::Holder(Grant { image, names_variant }))
        });
        let shown = match (signature, shown_token(request), tokens) {
            (Some(Ok(holder)), _, _) => Ok(holder),
            (_, Some(token), Some(tokens)) => tokens.user(token, now).await.map(Principal::User).map_err(Problem::from),
            (Some(Err(_)), Some(_), None) => Err(Problem::plain(Code::Unauthorized)),
            (Some(Err(refusal)), None, _) => Err(refusal),
            (None, Some(_), None) => gate.require_opened(request).and(Err(Problem::new(Code::Unauthorized, NO_TOKENS))),
            (None, None, tokens) => match gate.require_opened(request) {
                Ok(()) => Ok(Principal::Operator),
                Err(Problem { code: Code::TokenNotConfigured, .. }) if tokens.is_some() => {
                    Err(Problem::plain(Code::Unauthorized))
                }
                Err(refusal) => Err(refusal),
            },
        };
        match shown {
            Ok(principal) => Self::known(principal),
            Err(refusal) => Self { principal: Principal::Anyone, refusal: Some(refusal) },
        }
    }

    /// Whose images the caller sees, changes and deletes.
    #[must_use]
    pub fn owner_filter(&self) -> OwnerFilter {
        self.principal.owner().map_or(OwnerFilter::Any, |user| OwnerFilter::Only(user.clone()))
    }

    /// Lets those pass who may use a route.
    ///
    /// # Errors
    /// 401 for a missing or wrong token, 403 for a user on a route of the operator's and for another site's page at an opened loopback
    /// host, 503 when no token is configured.
    pub fn require(&self, access: Access) -> Result<(), Problem> {
        match self.principal {
            _ if self.principal.may_use(access) => Ok(()),
            Principal::User(_) => Err(Problem::plain(Code::Forbidden)),
            Principal::Operator | Principal::Holder(_) | Principal::Anyone => Err(self.refusal()),
        }
    }

    /// Lets those pass who may read the private image `id`. A user found it, hence may.
    ///
    /// # Errors
    /// 403 for a missing, wrong or expired signature.
    pub fn require_reader_of(&self, id: ImageId) -> Result<(), Problem> {
        match &self.principal {
            Principal::Operator | Principal::User(_) => Ok(()),
            Principal::Holder(grant) if grant.image == id => Ok(()),
            Principal::Holder(_) => Err(Problem::plain(Code::SignatureInvalid)),
            Principal::Anyone => Err(self.refusal()),
        }
    }

    fn refusal(&self) -> Problem {
        self.refusal.clone().unwrap_or_else(|| Problem::plain(Code::Unauthorized))
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Invalid(reason) => Self::new(Code::Unauthorized, reason),
            Rejection::KeysUnavailable => Self::plain(Code::TokenKeysUnavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::config::{AccessSettings, Config};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const NEW: &str = "0123456789abcdef0123456789abcdef";
    const OLD: &str = "fedcba9876543210fedcba9876543210";

    fn access(pairs: &[(&str, &str)]) -> AccessSettings {
        let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::parse(lookup).0.access
    }

    fn identify(request: &Request, access: &AccessSettings, signed: Option<ImageId>, now: Timestamp) -> Caller {
        Caller::identify(request, &Gate::new(access, request.host()), None, signed, now).now_or_never().unwrap()
    }

    fn request(host: &str, authorization: Option<&str>, query: &str) -> Request {
        let headers = authorization.map(|value| ("authorization".to_owned(), value.to_owned())).into_iter().collect();
        Request::new("GET", &format!("http://{host}/x?{query}"), headers, None)
    }

    fn id(byte: u8) -> ImageId {
        ImageId::from_random_bytes([byte; 16])
    }

    fn code(outcome: Result<(), Problem>) -> Option<Code> {
        outcome.err().map(|problem| problem.code)
    }

    #[test]
    fn the_token_and_its_predecessor_make_the_operator_and_nothing_else_does() {
        let access = access(&[("API_TOKEN", NEW), ("API_TOKEN_PREVIOUS", OLD), ("ALLOW_UNAUTHENTICATED", "true")]);
        for (authorization, principal) in [
            (Some(format!("Bearer {NEW}")), Principal::Operator),
            (Some(format!("bearer {OLD}")), Principal::Operator),
            (Some(format!("Bearer {}", &NEW[..31])), Principal::Anyone),
            (Some(format!("Bearer {NEW}r")), Principal::Anyone),
            (Some(format!("Basic {NEW}")), Principal::Anyone),
            (Some(NEW.to_owned()), Principal::Anyone),
            (None, Principal::Anyone),
        ] {
            let caller = identify(&request("localhost", authorization.as_deref(), ""), &access, None, NOW);
            assert_eq!(caller.principal, principal, "{authorization:?}");
            let refusal = (principal == Principal::Anyone).then_some(Code::Unauthorized);
            assert_eq!(code(caller.require(Access::Operator)), refusal, "{authorization:?}");
            assert_eq!(code(caller.require(Access::User)), refusal, "{authorization:?}");
            assert_eq!(code(caller.require(Access::Anyone)), None, "{authorization:?}");
        }
    }

    #[test]
    fn a_short_token_is_refused_and_opens_nothing_on_loopback() {
        let access = access(&[("API_TOKEN", "short"), ("ALLOW_UNAUTHENTICATED", "true")]);
        for authorization in [None, Some("Bearer short"), Some("Bearer ")] {
            let caller = identify(&request("localhost", authorization, ""), &access, None, NOW);
            assert_eq!(code(caller.require(Access::Operator)), Some(Code::ConfigurationInvalid), "{authorization:?}");
        }
    }

    #[test]
    fn without_a_token_routes_are_closed_but_on_an_opened_loopback_host() {
        for (opened, host, passes) in [
            ("true", "localhost", true),
            ("true", "127.0.0.1:8787", true),
            ("true", "[::1]:8787", true),
            ("true", "images.example.com", false),
            ("true", "localhost.example.com", false),
            ("true", "127.evil.example", false),
            ("false", "localhost", false),
        ] {
            let access = access(&[("ALLOW_UNAUTHENTICATED", opened)]);
            let caller = identify(&request(host, Some("Bearer "), ""), &access, None, NOW);
            let refusal = (!passes).then_some(Code::TokenNotConfigured);
            assert_eq!(code(caller.require(Access::Operator)), refusal, "{opened} {host}");
        }
    }

    #[test]
    fn pages_of_other_sites_do_not_pass_where_no_token_is_wanted() {
        let open = access(&[("ALLOW_UNAUTHENTICATED", "true")]);
        for (origin, passes) in [
            ("http://localhost:3000", true),
            ("https://127.0.0.1", true),
            ("http://[::1]:8787", true),
            ("null", false),
            ("", false),
            ("localhost", false),
            ("https://evil.example", false),
            ("https://localhost.evil.example", false),
            ("https://127.evil.example:8787", false),
            ("https://localhost@evil.example", false),
            ("file://", false),
        ] {
            let mut request = request("localhost", None, "");
            request.headers.push(("origin".to_owned(), origin.to_owned()));
            let caller = identify(&request, &open, None, NOW);
            assert_eq!(code(caller.require(Access::User)), (!passes).then_some(Code::OriginNotLocal), "{origin}");
            request.headers.push(("authorization".to_owned(), format!("Bearer {NEW}")));
            let closed = access(&[("API_TOKEN", NEW), ("ALLOW_UNAUTHENTICATED", "true")]);
            assert_eq!(code(identify(&request, &closed, None, NOW).require(Access::User)), None, "{origin}");
        }
    }

    #[test]
    fn a_private_image_wants_a_signature_on_an_opened_loopback_host_too() {
        let access = access(&[("ALLOW_UNAUTHENTICATED", "true")]);
        let caller = identify(&request("localhost", None, ""), &access, Some(id(1)), NOW);
        assert_eq!(caller.principal, Principal::Anyone);
        assert_eq!(code(caller.require_reader_of(id(1))), Some(Code::SignatureInvalid));
    }

    #[test]
    fn a_signed_url_opens_its_image_and_no_closed_route() {
        let access = access(&[("API_TOKEN", NEW)]);
        let (query, expires_at) = Gate::new(&access, "a.example").sign(id(1), NOW, 60).unwrap();
        let request = request("a.example", None, &query);
        let caller = identify(&request, &access, Some(id(1)), NOW);
        assert_eq!(caller.principal, Principal::Holder(Grant { image: id(1), names_variant: false }));
        assert_eq!(code(caller.require_reader_of(id(1))), None);
        assert_eq!(code(caller.require_reader_of(id(2))), Some(Code::SignatureInvalid));
        assert_eq!(code(caller.require(Access::Holder)), None);
        assert_eq!(code(caller.require(Access::User)), Some(Code::Unauthorized));
        let late = identify(&request, &access, Some(id(1)), expires_at);
        assert_eq!(code(late.require_reader_of(id(1))), Some(Code::SignatureExpired));
        assert_eq!(identify(&request, &access, None, NOW).principal, Principal::Anyone);
    }

    #[test]
    fn only_a_user_is_confined_to_an_owner() {
        let user = UserId::try_from("auth0|made-up".to_owned()).unwrap();
        let caller = Caller::known(Principal::User(user.clone()));
        assert_eq!(caller.principal.owner(), Some(&user));
        assert_eq!(code(caller.require(Access::User)), None);
        assert_eq!(code(caller.require(Access::Operator)), Some(Code::Forbidden));
        assert_eq!(code(caller.require_reader_of(id(1))), None, "the query finds only what they may read");
        for principal in
            [Principal::Operator, Principal::Holder(Grant { image: id(1), names_variant: false }), Principal::Anyone]
        {
            assert_eq!(principal.owner(), None, "{principal:?}");
        }
    }
}
