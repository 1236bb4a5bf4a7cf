//! Public keys from where they are published: fetched, kept, fetched again.

use std::cell::RefCell;
use std::rc::Rc;

use super::keys::{KeySet, PublicKey};
use super::rejection::Rejection;
use super::signatures::SignatureCheck;
use super::token::Token;
use crate::http::{AnswerLimits, HttpClient, HttpRequest, Method};
use crate::runtime::{Runtime, Timestamp};

/// The longest wait for the keys, in milliseconds, and the largest set: Microsoft's, with certificates, has 20 KB.
const LIMITS: AnswerLimits = AnswerLimits { timeout_ms: 5_000, max_response_bytes: 256 * 1024 };
/// Age from which keys are fetched again, in milliseconds: a key that is withdrawn counts for ten minutes more.
const FRESH_MS: u64 = 10 * 60 * 1000;
/// Age up to which keys count while they cannot be fetched again, in milliseconds.
const USABLE_MS: u64 = 60 * 60 * 1000;
/// Pause between two fetches, in milliseconds, so that tokens with invented key ids do not become requests.
const PAUSE_MS: u64 = 60_000;
/// The same while there are no keys at all.
const PAUSE_WITHOUT_KEYS_MS: u64 = 5_000;
/// How often to look whether another request's fetch has ended, in milliseconds.
const LOOK_MS: u64 = 20;
const MAX_LOOKS: u64 = LIMITS.timeout_ms / LOOK_MS;

/// The keys at a URL, as one isolate knows them.
pub struct PublishedKeys {
    url: String,
    http: Rc<dyn HttpClient>,
    signatures: Rc<dyn SignatureCheck>,
    runtime: Rc<dyn Runtime>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// When the last fetch began.
    tried_at: Option<Timestamp>,
    /// Whether a request is at it. Others wait for it by looking: what one request waits for cannot wake another.
    is_fetching: bool,
}

struct Held {
    keys: KeySet,
    since: Timestamp,
}

/// What to do about a key.
enum Step {
    Use(Vec<PublicKey>),
    Fetch,
    Wait,
    Unavailable,
}

impl PublishedKeys {
    /// The keys at `url`; nothing is fetched yet.
    #[must_use]
    pub fn new(
        url: String,
        http: Rc<dyn HttpClient>,
        signatures: Rc<dyn SignatureCheck>,
        runtime: Rc<dyn Runtime>,
    ) -> Self {
        Self { url, http, signatures, runtime, state: RefCell::default() }
    }

    /// Whether one of the keys signed the token.
    ///
    /// # Errors
    /// [`Rejection::KeysUnavailable`].
    pub(super) async fn signed(&self, token: &Token<'_>) -> Result<bool, Rejection> {
        for key in self.named(token.key_id.as_deref()).await? {
            if token.algorithm == key.algorithm().as_str()
                && self.signatures.is_signed(&key, token.signed.as_bytes(), &token.signature).await
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The keys with this id; none when it is unknown.
    async fn named(&self, key_id: Option<&str>) -> Result<Vec<PublicKey>, Rejection> {
        for _ in 0..MAX_LOOKS {
            let step = self.state.borrow().step(key_id, self.runtime.now());
            match step {
                Step::Use(keys) => return Ok(keys),
                Step::Fetch => self.fetch().await,
                Step::Wait => self.runtime.sleep(LOOK_MS).await,
                Step::Unavailable => return Err(Rejection::KeysUnavailable),
            }
        }
        Err(Rejection::KeysUnavailable)
    }

    async fn fetch(&self) {
        let fetching = Fetching::begin(&self.state, self.runtime.now());
        let request = HttpRequest {
            method: Method::Get,
            url: self.url.clone(),
            headers: vec![("accept", "application/json".to_owned())],
            body: Vec::new(),
            limits: LIMITS,
            max_redirects: 0,
        };
        let keys = match self.http.send(request).await {
            Ok(answer) if answer.status == 200 => {
                let body = answer.body.collect(LIMITS.max_response_bytes).await;
                body.ok().and_then(|body| KeySet::parse(&body.to_vec()))
            }
            Ok(_) | Err(_) => None,
        };
        drop(fetching);
        if let Some(keys) = keys {
            self.state.borrow_mut().held = Some(Held { keys, since: self.runtime.now() });
        }
    }
}

impl State {
    fn step(&self, key_id: Option<&str>, now: Timestamp) -> Step {
        let age_ms = self.held.as_ref().map(|held| now.millis_since(held.since));
        let named = self.held.as_ref().map(|held| held.keys.named(key_id)).unwrap_or_default();
        let pause_ms = if self.held.is_some() { PAUSE_MS } else { PAUSE_WITHOUT_KEYS_MS };
        let tried_ms = self.tried_at.map(|tried_at| now.millis_since(tried_at));
        // A request that vanished never says that its fetch has ended.
        let is_fetching = self.is_fetching && tried_ms.is_some_and(|tried_ms| tried_ms < LIMITS.timeout_ms);
        let is_usable = age_ms.is_some_and(|age_ms| age_ms < USABLE_MS);
        if named.is_empty() || age_ms.is_none_or(|age_ms| age_ms >= FRESH_MS) {
            if is_fetching && (named.is_empty() || !is_usable) {
                return Step::Wait;
            }
            if !is_fetching && tried_ms.is_none_or(|tried_ms| tried_ms >= pause_ms) {
                return Step::Fetch;
            }
        }
        if is_usable { Step::Use(named) } else { Step::Unavailable }
    }
}

/// Marks that a fetch is under way, until it is dropped: with its request, if need be.
struct Fetching<'state>(&'state RefCell<State>);

impl<'state> Fetching<'state> {
    fn begin(state: &'state RefCell<State>, now: Timestamp) -> Self {
        let mut begun = state.borrow_mut();
        begun.is_fetching = true;
        begun.tried_at = Some(now);
        Self(state)
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().is_fetching = false;
    }
}
