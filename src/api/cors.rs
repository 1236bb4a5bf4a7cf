//! Cross-origin access, from the one policy that the bucket gets as well (`cors-policy.json`, in R2's own format).

use std::borrow::Cow;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer};

use super::request::Request;
use super::response::Response;
use super::router::Route;

const POLICY_JSON: &str = include_str!("../../cors-policy.json");

// A file that does not parse allows nothing; a test keeps that from shipping.
static BUILT_IN: LazyLock<CorsPolicy> = LazyLock::new(|| serde_json::from_str(POLICY_JSON).unwrap_or_default());

/// The policy: rules in order, the first that names the origin counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct CorsPolicy {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    allowed: Allowed,
    /// As the header lists them.
    #[serde(default, deserialize_with = "listed")]
    expose_headers: String,
    #[serde(default)]
    max_age_seconds: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    origins: Vec<String>,
    methods: Vec<String>,
    #[serde(default)]
    headers: Vec<String>,
}

impl CorsPolicy {
    /// The policy built into this Worker.
    #[must_use]
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    fn rule_for(&self, origin: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.allowed.origins.iter().any(|allowed| allowed == "*" || allowed == origin))
    }

    /// Whether answers differ by origin, so that caches must know.
    fn varies(&self) -> bool {
        !self.rules.iter().any(|rule| rule.allowed.origins == ["*"])
    }

    /// Adds the headers that let a browser's script at the request's origin read the answer. A policy that is open to every
    /// origin adds them always: a cache may keep the answer to a request without an origin for one with it.
    pub fn apply(&'static self, request_origin: Option<&str>, response: &mut Response) {
        let origin = if self.varies() {
            response.set_header("Vary", "Origin");
            request_origin
        } else {
            Some("*")
        };
        if let Some((origin, rule)) = origin.and_then(|origin| Some((origin, self.rule_for(origin)?))) {
            response.set_header("Access-Control-Allow-Origin", self.allowed_origin(origin));
            response.set_header("Access-Control-Expose-Headers", rule.expose_headers.as_str());
        }
    }

    /// Answers a preflight (or a plain OPTIONS) for a path that exists.
    #[must_use]
    pub fn preflight(&self, request: &Request) -> Option<Response> {
        let methods = Route::allowed_methods(&request.path)?;
        let mut response = Response::empty(204);
        response.set_header("Allow", methods);
        if let Some((origin, rule)) = request.header("origin").and_then(|origin| Some((origin, self.rule_for(origin)?)))
        {
            response.set_header("Access-Control-Allow-Origin", self.allowed_origin(origin));
            response.set_header("Access-Control-Allow-Methods", rule.allowed.methods.join(", "));
            response.set_header("Access-Control-Allow-Headers", rule.allowed.headers.join(", "));
            response.set_header("Access-Control-Max-Age", rule.max_age_seconds.to_string());
        }
        response.set_header("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
        Some(response)
    }

    fn allowed_origin(&self, origin: &str) -> Cow<'static, str> {
        if self.varies() { origin.to_owned().into() } else { "*".into() }
    }
}

fn listed<'json, D: Deserializer<'json>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Vec::<String>::deserialize(deserializer)?.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(origins: &str) -> &'static CorsPolicy {
        let policy = serde_json::from_str(&format!(
            r#"{{"rules":[{{"allowed":{{"origins":{origins},"methods":["GET"]}},"exposeHeaders":["ETag"]}}]}}"#
        ));
        Box::leak(Box::new(policy.unwrap()))
    }

    fn allowed(policy: &'static CorsPolicy, origin: Option<&str>) -> (Option<String>, Option<String>) {
        let mut response = Response::empty(200);
        policy.apply(origin, &mut response);
        let header = |name| response.header(name).map(str::to_owned);
        (header("Access-Control-Allow-Origin"), header("Vary"))
    }

    #[test]
    fn the_shipped_policy_parses_and_exposes_the_etag() {
        let policy: CorsPolicy = serde_json::from_str(POLICY_JSON).unwrap();
        assert_eq!(&policy, CorsPolicy::built_in());
        let rule = policy.rule_for("https://app.example").unwrap();
        assert!(rule.expose_headers.starts_with("ETag, Accept-Ranges, "));
        assert!(rule.allowed.headers.iter().any(|header| header == "authorization"));
    }

    #[test]
    fn an_open_policy_answers_any_origin_alike() {
        assert_eq!(allowed(policy(r#"["*"]"#), Some("https://a.example")), (Some("*".to_owned()), None));
        assert_eq!(allowed(policy(r#"["*"]"#), None), (Some("*".to_owned()), None));
    }

    #[test]
    fn a_closed_policy_names_the_origin_and_varies() {
        let policy = policy(r#"["https://a.example"]"#);
        let vary = Some("Origin".to_owned());
        assert_eq!(allowed(policy, Some("https://a.example")), (Some("https://a.example".to_owned()), vary.clone()));
        assert_eq!(allowed(policy, Some("https://b.example")), (None, vary.clone()));
        assert_eq!(allowed(policy, None), (None, vary));
    }

    #[test]
    fn a_preflight_names_methods_headers_and_age() {
        let headers = vec![("origin".to_owned(), "https://a.example".to_owned())];
        let request = Request::new("OPTIONS", "http://x/api/images", headers, None);
        let response = CorsPolicy::built_in().preflight(&request).unwrap();
        assert_eq!(response.status, 204);
        assert!(response.header("Access-Control-Allow-Methods").unwrap().contains("DELETE"));
        assert!(response.header("Access-Control-Allow-Headers").unwrap().contains("idempotency-key"));
        assert_eq!(response.header("Access-Control-Max-Age"), Some("3600"));
        assert!(
            CorsPolicy::built_in().preflight(&Request::new("OPTIONS", "http://x/nope", Vec::new(), None)).is_none()
        );
    }
}
