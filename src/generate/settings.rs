//! What an operator sets for a provider, checked once.

use std::fmt;

use super::InvalidParameter;

/// Where an API lives: an `http` or `https` URL without credentials, query and fragment. The key is sent there, so `http` is for
/// servers that are reached over no network that others use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

/// A secret sent as a Bearer token.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// A model's name: 1 to 200 printable ASCII characters without spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName(String);

impl Default for BaseUrl {
    /// OpenAI's own server.
    fn default() -> Self {
        Self("https://api.openai.com/v1".to_owned())
    }
}

impl BaseUrl {
    /// The URL in `text`, without slashes at its end.
    ///
    /// # Errors
    /// [`InvalidParameter`] when it is of another shape.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        let url = text.trim().trim_end_matches('/');
        if origin(url).is_none() || url.contains(['?', '#']) {
            return Err(InvalidParameter(
                "must be an http or https URL without user, query and fragment, such as https://api.openai.com/v1"
                    .to_owned(),
            ));
        }
        Ok(Self(url.to_owned()))
    }

    /// The URL of `path`, which starts with a slash, below this one.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Whether an answer from this API may send us to `url`: over `https` anywhere, else only to where the API itself lives.
    #[must_use]
    pub fn may_refer_to(&self, url: &str) -> bool {
        origin(url).is_some_and(|origin_of_url| {
            origin_of_url.starts_with("https://") || Some(origin_of_url) == origin(&self.0)
        })
    }
}

/// Scheme, host and port of `url` in lower case, if it has the two slashes, no user, and nothing that URL parsers skip or rewrite.
fn origin(url: &str) -> Option<String> {
    if !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.split(['/', '?', '#']).next()?;
    let has_host = !authority.is_empty() && !authority.starts_with(':') && !authority.contains('@');
    (matches!(scheme.as_str(), "http" | "https") && has_host)
        .then(|| format!("{scheme}://{}", authority.to_ascii_lowercase()))
}

impl ApiKey {
    /// The key in `text`.
    ///
    /// # Errors
    /// [`InvalidParameter`] when it could not stand in a header.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        let key = text.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidParameter("must be printable ASCII characters without spaces".to_owned()));
        }
        Ok(Self(key.to_owned()))
    }

    /// The value of an `authorization` header.
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(..)")
    }
}

impl ModelName {
    /// The name in `text`.
    ///
    /// # Errors
    /// [`InvalidParameter`] when it is empty, too long, or has spaces or other than printable ASCII characters.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        let name = text.trim();
        if !(1..=200).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidParameter("must be 1 to 200 printable ASCII characters without spaces".to_owned()));
        }
        Ok(Self(name.to_owned()))
    }

    /// A name in our own code, which keeps the rule.
    pub(super) fn built_in(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its publisher: `gpt-image-1` of `openai/gpt-image-1`.
    #[must_use]
    pub fn base_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}
