//! Keys of an identity provider: when they are fetched, and what counts while they cannot be.

use std::pin::pin;
use std::rc::Rc;

use serde_json::{Value, json};
use stillstore::config::{TokenKeys, TokenSettings};
use stillstore::http::HttpClient;
use stillstore::jwt::{Rejection, Tokens};
use stillstore::runtime::Runtime;

use crate::jwt_fakes::{KEYS_URL, KeyServer, RingSignatures, Shared, Signer};
use crate::runtime::{TestRuntime, block_on, poll_until_stalled};

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;

struct Isolate {
    server: Rc<KeyServer>,
    runtime: Rc<TestRuntime>,
    tokens: Tokens,
}

impl Isolate {
    fn new(server: Rc<KeyServer>) -> Self {
        let runtime = TestRuntime::impatient();
        let settings =
            TokenSettings { keys: TokenKeys::Published { url: KEYS_URL.to_owned() }, audience: None, issuer: None };
        let http = Rc::new(Shared(Rc::clone(&server))) as Rc<dyn HttpClient>;
        let as_runtime = Rc::clone(&runtime) as Rc<dyn Runtime>;
        let tokens = Tokens::new(&settings, http, Rc::new(RingSignatures), as_runtime);
        Self { server, runtime, tokens }
    }

    fn ask(&self, token: &str) -> Result<(), Rejection> {
        block_on(self.tokens.user(token, self.runtime.now())).map(drop)
    }
}

fn claims() -> Value {
    json!({ "sub": "u", "exp": 9_000_000_000_u64 })
}

fn is_unknown(outcome: Result<(), Rejection>) -> bool {
    matches!(outcome, Err(Rejection::Invalid(_)))
}

#[test]
fn keys_are_fetched_once_and_again_for_an_unknown_id_at_most_once_a_minute() {
    let (old, new) = (Signer::es256(), Signer::es256());
    let (by_old, by_new) = (old.token("old", &claims()), new.token("new", &claims()));
    let isolate = Isolate::new(KeyServer::publishing(&[old.jwk("old")]));
    for _ in 0..3 {
        assert_eq!(isolate.ask(&by_old), Ok(()));
    }
    assert_eq!(isolate.server.requests.get(), 1);
    isolate.server.publish(&[new.jwk("new")]);
    isolate.runtime.advance(MINUTE_MS - 1);
    assert!(is_unknown(isolate.ask(&by_new)));
    assert_eq!(isolate.server.requests.get(), 1);
    isolate.runtime.advance(1);
    assert_eq!(isolate.ask(&by_new), Ok(()));
    assert_eq!(isolate.server.requests.get(), 2);
    assert!(is_unknown(isolate.ask(&by_old)), "a key that is withdrawn counts no more");
    assert_eq!(isolate.server.requests.get(), 2);
}

#[test]
fn keys_grow_old_and_count_for_an_hour_while_the_server_is_down() {
    let signer = Signer::es256();
    let token = signer.token("k", &claims());
    let isolate = Isolate::new(KeyServer::publishing(&[signer.jwk("k")]));
    assert_eq!(isolate.ask(&token), Ok(()));
    isolate.runtime.advance(10 * MINUTE_MS);
    assert_eq!(isolate.ask(&token), Ok(()));
    assert_eq!(isolate.server.requests.get(), 2, "they were fetched again");
    isolate.server.status.set(500);
    for minute in 11..=60 {
        isolate.runtime.advance(MINUTE_MS);
        assert_eq!(isolate.ask(&token), Ok(()), "minute {minute}");
    }
    isolate.runtime.advance(10 * MINUTE_MS);
    assert_eq!(isolate.ask(&token), Err(Rejection::KeysUnavailable));
    isolate.server.status.set(200);
    isolate.runtime.advance(MINUTE_MS);
    assert_eq!(isolate.ask(&token), Ok(()));
}

#[test]
fn without_any_keys_nobody_knows_and_the_server_is_asked_every_five_seconds() {
    let signer = Signer::es256();
    let token = signer.token("k", &claims());
    let large = vec![signer.jwk("k"); 3000];
    for (status, body) in [
        (500, json!({ "keys": [signer.jwk("k")] })),
        (302, json!({ "keys": [signer.jwk("k")] })),
        (200, json!({ "keys": large })),
        (200, json!([signer.jwk("k")])),
        (200, json!("keys")),
    ] {
        let isolate = Isolate::new(KeyServer::publishing(&[]));
        isolate.server.status.set(status);
        isolate.server.body.replace(body.to_string().into_bytes());
        assert_eq!(isolate.ask(&token), Err(Rejection::KeysUnavailable), "{status}");
        isolate.runtime.advance(5 * SECOND_MS - 1);
        assert_eq!(isolate.ask(&token), Err(Rejection::KeysUnavailable));
        assert_eq!(isolate.server.requests.get(), 1);
        isolate.server.publish(&[signer.jwk("k")]);
        isolate.runtime.advance(1);
        assert_eq!(isolate.ask(&token), Ok(()));
        assert_eq!(isolate.server.requests.get(), 2);
    }
}

#[test]
fn what_is_no_token_asks_nobody() {
    let isolate = Isolate::new(KeyServer::publishing(&[]));
    for text in ["", "x", "a.b", "a.b.c.d", "..", "e30.e30.", "\u{e9}.e30.e30"] {
        assert!(is_unknown(isolate.ask(text)), "{text}");
    }
    assert_eq!(isolate.server.requests.get(), 0);
}

#[test]
fn requests_wait_for_the_fetch_of_another_and_one_that_vanishes_holds_nobody_up() {
    let signer = Signer::es256();
    let token = signer.token("k", &claims());
    let isolate = Isolate::new(KeyServer::publishing(&[signer.jwk("k")]));
    isolate.server.hangs.set(true);
    isolate.runtime.end_sleeps_up_to(0);
    let now = isolate.runtime.now();
    let mut first = Box::pin(isolate.tokens.user(&token, now));
    assert!(poll_until_stalled(first.as_mut()).is_none());
    let mut second = pin!(isolate.tokens.user(&token, now));
    assert!(poll_until_stalled(second.as_mut()).is_none());
    assert_eq!(isolate.server.requests.get(), 1, "the second waits for the first");
    // The first is never polled again, nor dropped, as when its client has left.
    isolate.runtime.advance(5 * SECOND_MS);
    isolate.server.hangs.set(false);
    assert_eq!(isolate.ask(&token), Ok(()));
    assert_eq!(isolate.server.requests.get(), 2);
    drop(first);
    assert_eq!(isolate.ask(&token), Ok(()));
}

#[test]
fn a_key_checks_its_own_algorithm_alone() {
    let (rsa, other_rsa, ec) = (Signer::rs256(0), Signer::rs256(1), Signer::es256());
    let isolate = Isolate::new(KeyServer::publishing(&[rsa.jwk("rsa"), ec.jwk("ec")]));
    assert_eq!(isolate.ask(&rsa.token("rsa", &claims())), Ok(()));
    assert_eq!(isolate.ask(&ec.token("ec", &claims())), Ok(()));
    let header = |algorithm: &str, key_id: Value| json!({ "alg": algorithm, "kid": key_id });
    for (signer, header) in [
        (&rsa, header("RS256", json!("ec"))),
        (&ec, header("ES256", json!("rsa"))),
        (&rsa, header("RS512", json!("rsa"))),
        (&rsa, header("PS256", json!("rsa"))),
        (&rsa, header("none", json!("rsa"))),
        (&rsa, header("rs256", json!("rsa"))),
        (&rsa, header("RS256", Value::Null)),
        (&rsa, header("RS256", json!(""))),
        (&rsa, json!({ "alg": "RS256", "kid": "rsa", "crit": ["b64"] })),
        (&rsa, json!({ "kid": "rsa" })),
        (&other_rsa, header("RS256", json!("rsa"))),
    ] {
        assert!(is_unknown(isolate.ask(&signer.token_with(&header, &claims()))), "{header}");
    }
    let alone = Isolate::new(KeyServer::publishing(&[rsa.jwk("rsa")]));
    assert_eq!(alone.ask(&rsa.token_with(&header("RS256", Value::Null), &claims())), Ok(()), "the only key there is");
}
