//! Whose word the Worker takes for who a user is.

use super::loopback::is_loopback;
use super::reader::Reader;
use super::secret::{GivenSecret, Secret};
use crate::catalog::UserLimits;
use crate::generate::InvalidParameter;

/// How users show who they are.
#[derive(Debug, Clone)]
pub struct UserSettings {
    /// `None`: there are no users, only the operator.
    pub tokens: Option<TokenSettings>,
    /// `USER_MAX_BYTES`, `USER_MAX_IMAGES_PER_DAY` and `USER_MAX_GENERATIONS_PER_DAY`.
    pub limits: UserLimits,
}

/// What a user's token must be.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    pub keys: TokenKeys,
    /// `JWT_AUDIENCE`: what `aud` must be or contain.
    pub audience: Option<String>,
    /// `JWT_ISSUER`: what `iss` must be.
    pub issuer: Option<String>,
}

/// Whose signature counts, and how it is made.
#[derive(Debug, Clone)]
pub enum TokenKeys {
    /// `JWT_SECRET` and `JWT_SECRET_PREVIOUS`: HS256.
    Secrets(Vec<Secret>),
    /// `JWT_JWKS_URL`: RS256 or ES256, as each of the keys there is made for.
    Published { url: String },
}

impl UserSettings {
    pub(super) fn read<Lookup: Fn(&str) -> Option<String>>(reader: &mut Reader<Lookup>) -> Self {
        let tokens = TokenSettings::read(reader);
        let limits = UserLimits {
            bytes: reader.parsed("USER_MAX_BYTES", limit),
            images_a_day: reader.parsed("USER_MAX_IMAGES_PER_DAY", limit),
            generations_a_day: reader.parsed("USER_MAX_GENERATIONS_PER_DAY", limit),
        };
        Self { tokens, limits }
    }
}

impl TokenSettings {
    fn read<Lookup: Fn(&str) -> Option<String>>(reader: &mut Reader<Lookup>) -> Option<Self> {
        let secret = reader.secret("JWT_SECRET");
        let previous = reader.secret("JWT_SECRET_PREVIOUS");
        let is_url_set = reader.text("JWT_JWKS_URL").is_some();
        let url = reader.parsed("JWT_JWKS_URL", keys_url);
        let audience = reader.text("JWT_AUDIENCE");
        let issuer = reader.text("JWT_ISSUER");
        if previous != GivenSecret::Unset && secret == GivenSecret::Unset {
            reader.problem("JWT_SECRET", "must be set when JWT_SECRET_PREVIOUS is");
        }
        let keys = match (secret, url) {
            // Two kinds of keys at once would leave it to the token which one counts.
            (GivenSecret::Usable(_) | GivenSecret::TooShort, _) if is_url_set => {
                reader.problem("JWT_SECRET", "must not be set when JWT_JWKS_URL is");
                None
            }
            (GivenSecret::Usable(secret), _) => {
                Some(TokenKeys::Secrets([Some(&secret), previous.usable()].into_iter().flatten().cloned().collect()))
            }
            (GivenSecret::Unset, Some(url)) => Some(TokenKeys::Published { url }),
            (GivenSecret::TooShort, _) | (GivenSecret::Unset, None) => None,
        };
        for (variable, value) in [("JWT_AUDIENCE", &audience), ("JWT_ISSUER", &issuer)] {
            if value.is_some() && keys.is_none() {
                reader.problem(variable, "is set, but neither JWT_SECRET nor JWT_JWKS_URL can be used");
            }
        }
        keys.map(|keys| Self { keys, audience, issuer })
    }
}

/// A number that JS has exactly, and not zero: whoever wants no users sets no keys.
fn limit(text: &str) -> Result<u64, InvalidParameter> {
    const MAX: u64 = 1 << 53;
    let number = text.parse().ok().filter(|number| (1..=MAX).contains(number));
    number.ok_or_else(|| InvalidParameter(format!("must be a whole number from 1 to {MAX}")))
}

/// An `https` URL, or an `http` one of this machine, without user and fragment.
pub(super) fn keys_url(text: &str) -> Result<String, InvalidParameter> {
    let refusal = || InvalidParameter("must be an https:// URL without user and fragment".to_owned());
    let (scheme, rest) = text.split_once("://").ok_or_else(refusal)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\#".contains(&byte));
    let is_safe = scheme == "https" || (scheme == "http" && is_loopback(host));
    if is_plain && is_safe && !host.is_empty() && !authority.contains('@') {
        Ok(text.to_owned())
    } else {
        Err(refusal())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const SECRET: (&str, &str) = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");
    const URL: (&str, &str) = ("JWT_JWKS_URL", "https://id.example/keys?p=x");

    fn parse(pairs: &[(&str, &str)]) -> (UserSettings, Vec<&'static str>) {
        let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let (config, problems) = Config::parse(lookup);
        (config.users, problems.into_iter().map(|problem| problem.variable).collect())
    }

    #[test]
    fn keys_are_secrets_or_published_and_never_both() {
        assert!(matches!(parse(&[]), (UserSettings { tokens: None, .. }, problems) if problems.is_empty()));
        let (users, problems) = parse(&[SECRET, ("JWT_SECRET_PREVIOUS", "fedcba9876543210fedcba9876543210")]);
        assert!(matches!(users.tokens.unwrap().keys, TokenKeys::Secrets(secrets) if secrets.len() == 2));
        assert!(problems.is_empty());
        let (users, problems) = parse(&[URL, ("JWT_AUDIENCE", "us")]);
        assert!(matches!(users.tokens.unwrap().keys, TokenKeys::Published { url } if url == URL.1));
        assert!(problems.is_empty());
        for (pairs, expected) in [
            (vec![SECRET, URL], vec!["JWT_SECRET"]),
            (vec![("JWT_SECRET_PREVIOUS", SECRET.1)], vec!["JWT_SECRET"]),
            (vec![("JWT_SECRET", &SECRET.1[1..])], vec!["JWT_SECRET"]),
            (vec![("JWT_AUDIENCE", "us"), ("JWT_ISSUER", "them")], vec!["JWT_AUDIENCE", "JWT_ISSUER"]),
        ] {
            let (users, problems) = parse(&pairs);
            assert_eq!(problems, expected, "{pairs:?}");
            assert!(users.tokens.is_none(), "{pairs:?}");
        }
    }

    #[test]
    fn limits_are_off_unless_they_are_whole_numbers() {
        let limits = ["USER_MAX_BYTES", "USER_MAX_IMAGES_PER_DAY", "USER_MAX_GENERATIONS_PER_DAY"];
        assert!(!parse(&[]).0.limits.is_any());
        let (users, problems) = parse(&limits.map(|variable| (variable, "7")));
        let UserLimits { bytes, images_a_day, generations_a_day } = users.limits;
        assert_eq!([bytes, images_a_day, generations_a_day], [Some(7); 3]);
        assert!(problems.is_empty());
        for value in ["0", "-1", "1.5", "many", "9007199254740993"] {
            let (users, problems) = parse(&limits.map(|variable| (variable, value)));
            assert_eq!((users.limits.is_any(), problems.as_slice()), (false, &limits[..]), "{value}");
        }
    }

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for (url, is_good) in [
            ("https://id.example/.well-known/jwks.json", true),
            ("https://id.example:8443", true),
            ("http://localhost:9000/keys", true),
            ("http://127.0.0.1/keys", true),
            ("http://[::1]:9000/keys", true),
            ("http://id.example/keys", false),
            ("http://localhost.example/keys", false),
            ("https://user@id.example/keys", false),
            ("https://id.example/keys#a", false),
            ("https://", false),
            ("https://:1/", false),
            ("ftp://id.example", false),
            ("id.example", false),
            ("https://id.example/a b", false),
        ] {
            let (users, problems) = parse(&[("JWT_JWKS_URL", url)]);
            assert_eq!((users.tokens.is_some(), problems.is_empty()), (is_good, is_good), "{url}");
        }
    }
}
