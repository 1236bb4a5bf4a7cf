//! What an operator may set for a provider.

use stillstore::generate::{ApiKey, BaseUrl, ModelName};
use stillstore::http::AiError;

#[test]
fn base_urls_are_http_or_https_and_nothing_more() {
    for (text, images) in [
        ("https://api.openai.com/v1", "https://api.openai.com/v1/images/generations"),
        (" https://api.openai.com/v1// ", "https://api.openai.com/v1/images/generations"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/images/generations"),
        ("HTTPS://Host/x", "HTTPS://Host/x/images/generations"),
    ] {
        assert_eq!(BaseUrl::parse(text).expect(text).join("/images/generations"), images);
    }
    for text in [
        "",
        "api.openai.com/v1",
        "ftp://a/b",
        "https://",
        "https:///v1",
        "https://:443/v1",
        "https://user:pass@host/v1",
        "https://host/v1?key=1",
        "https://host/v1#x",
        "https://host/a b",
        "https://host\\@other/v1",
        "https://host\\v1",
        "https://h\u{f6}st/v1",
        "javascript:alert(1)",
    ] {
        assert!(BaseUrl::parse(text).is_err(), "{text}");
    }
}

#[test]
fn an_api_may_refer_to_https_anywhere_and_to_itself() {
    let https = BaseUrl::parse("https://api.example.com/v1").expect("url");
    let local = BaseUrl::parse("http://LocalHost:8080/v1").expect("url");
    assert!(https.may_refer_to("https://cdn.example.net/a.png?x=1#y"));
    assert!(https.may_refer_to("HTTPS://cdn.example.net/a.png"));
    assert!(local.may_refer_to("https://cdn.example.net/a.png"));
    assert!(local.may_refer_to("http://localhost:8080/images/a.png"));
    assert!(local.may_refer_to("http://localhost:8080?x"));
    for url in [
        "http://localhost/a.png",
        "http://localhost:8081/a.png",
        "http://localhost:8080@evil.example/a.png",
        "http://localhost:8080.evil.example/a.png",
        "http://evil.example\\@localhost:8080/a.png",
        "http://local\thost:8080/a.png",
        "https://user@cdn.example.net/a.png",
        "file://localhost:8080/a.png",
        "data:image/png;base64,",
        "",
    ] {
        assert!(!local.may_refer_to(url), "{url}");
    }
    assert!(!https.may_refer_to("http://api.example.com/v1/a.png"));
}

#[test]
fn keys_fit_in_a_header_and_are_never_shown() {
    let key = ApiKey::parse(" sk-abc \n").expect("key");
    assert_eq!((key.authorization(), format!("{key:?}")), ("Bearer sk-abc".to_owned(), "ApiKey(..)".to_owned()));
    for text in ["", "  ", "a b", "a\r\nx-evil: 1", "cl\u{e9}"] {
        assert!(ApiKey::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn model_names_are_short_and_printable() {
    assert_eq!(ModelName::parse("@cf/black-forest-labs/flux-1-schnell").expect("model").base_name(), "flux-1-schnell");
    assert_eq!(ModelName::parse(" dall-e-3 ").expect("model").base_name(), "dall-e-3");
    for text in ["", "a b", "\u{e9}", &"x".repeat(201)] {
        assert!(ModelName::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn only_the_code_of_a_models_error_is_kept() {
    for (message, code) in [
        ("3030: Input prompt contains NSFW content.", Some(3030)),
        ("AiError: 5007: No such model @cf/x or task", Some(5007)),
        ("InferenceUpstreamError: AiError: 3040: busy", Some(3040)),
        ("HTTP 500", None),
        ("", None),
        ("something: else: went: 3030: wrong", None),
    ] {
        assert_eq!(AiError::from_message(message), AiError::Failed { code }, "{message}");
    }
}
