//! URLs that open private images.

use futures::FutureExt;
use percent_encoding::percent_decode_str;
use stillstore::api::{Caller, Gate, KnownTokens, Request};
use stillstore::config::Config;
use stillstore::image::ImageId;
use stillstore::runtime::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LIFETIME_SECONDS: u64 = 60;
const TOKEN: &str = "tokens of fewer characters are refused";

/// A private image opens to exactly the query that was signed for it, as long as it is valid, and to the token.
///
/// The first line is the `Authorization` header, the second the query, in which `{expires}` and `{signature}` stand for those that
/// were signed and `{other}` for the signature of another image.
pub fn signed_url(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (authorization, template) = text.split_once('\n').unwrap_or(("", &text));
    let (config, _) = Config::parse(|name| (name == "API_TOKEN").then(|| TOKEN.to_owned()));
    let gate = Gate::new(&config.access, "images.example");
    let [id, other] = [1, 2].map(|byte| ImageId::from_random_bytes([byte; 16]));
    let (expires, signature) = parts(&gate.sign(id, NOW, LIFETIME_SECONDS).expect("a token").0);
    let (_, of_other) = parts(&gate.sign(other, NOW, LIFETIME_SECONDS).expect("a token").0);
    let query =
        template.replace("{expires}", &expires).replace("{signature}", &signature).replace("{other}", &of_other);
    let headers = vec![("authorization".to_owned(), authorization.to_owned())];
    let request = Request::new("GET", &format!("https://images.example/x?{query}"), headers, None);
    let opens = |id, now| {
        let caller = Caller::identify(&request, &gate, KnownTokens::default(), Some(id), now)
            .now_or_never()
            .expect("no keys to wait for");
        caller.require_reader_of(id).is_ok()
    };

    let (scheme, token) = authorization.split_once(' ').unwrap_or_default();
    let holds_token = scheme.eq_ignore_ascii_case("bearer") && token.trim() == TOKEN;
    let is_signed = first(&query, "expires").as_ref() == Some(&expires)
        && first(&query, "signature").as_ref() == Some(&signature)
        && query.split('#').next().is_some_and(is_utf8);
    assert_eq!(opens(id, NOW), holds_token || is_signed, "{query}");
    assert_eq!(opens(id, NOW.plus_millis(60_000)), holds_token, "{query} outlives its time");
    assert_eq!(opens(id, NOW.plus_millis(59_999)), holds_token || is_signed, "{query} ends too early");
    if is_signed {
        assert_eq!(opens(other, NOW), holds_token, "{query} opens another image");
    }
}

/// The values in `expires=..&signature=..`.
fn parts(query: &str) -> (String, String) {
    (first(query, "expires").expect("signed"), first(query, "signature").expect("signed"))
}

/// The first value of a name in a query, before its fragment.
fn first(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('#').next()?.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decoded(key) == name)
        .map(|(_, value)| decoded(value))
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn is_utf8(query: &str) -> bool {
    query.split('&').all(|pair| percent_decode_str(pair).decode_utf8().is_ok())
}
