//! Which URLs are fetched, and what becomes of a fetch.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use async_trait::async_trait;
use stillstore::bytes::{Body, BodyError};
use stillstore::fetch::{AllowedHosts, FetchError, FetchLimits, Fetched, Fetcher, OwnHost, Refusal, Rules};
use stillstore::http::{HttpAnswer, HttpClient, HttpError, HttpRequest};

use crate::generate_fakes::JumpingClock;
use crate::runtime::block_on;

const PAGE: &str = include_str!("../../docs/fetching.md");
const LIMITS: FetchLimits = FetchLimits { timeout_ms: 1_000, max_bytes: 100 };

fn rules(allowed: &str, origin: &str) -> Rules {
    Rules { allowed: AllowedHosts::parse(allowed).expect("a list"), own: OwnHost::of_origin(origin) }
}

/// The name that docs/fetching.md gives a rule.
fn name_of(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::TooLong => "length",
        Refusal::NotAUrl => "spelling",
        Refusal::Scheme => "scheme",
        Refusal::UserInfo => "user",
        Refusal::Port => "port",
        Refusal::SpecialAddress => "addresses",
        Refusal::LocalName => "names",
        Refusal::OwnHost => "own host",
        Refusal::NotAllowed => "allow-list",
        Refusal::Loopback => "this machine",
    }
}

#[test]
fn the_examples_of_the_page_are_judged_as_it_says() {
    let rules = rules("", "https://images.mysite.com");
    let rows: Vec<_> =
        PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | ")).collect();
    assert!(rows.len() > 30);
    for (url, fetched) in rows {
        let judged = rules.admit(url).map_or_else(|refusal| format!("no: {}", name_of(refusal)), |_| "yes".to_owned());
        assert_eq!(judged, fetched, "{url}");
    }
}

#[test]
fn a_list_of_hosts_is_exhaustive_and_names_ports() {
    let rules =
        rules("cdn.example.org, Media.Example.org:8443,plain.example.org:80, 9.9.9.9", "https://images.mysite.com");
    for (url, refusal) in [
        ("https://cdn.example.org/a", None),
        ("https://CDN.example.org.:443/a", None),
        ("https://media.example.org:8443/a", None),
        ("http://media.example.org:8443/a", None),
        ("http://plain.example.org/a", None),
        ("https://9.9.9.9/", None),
        ("https://0x09090909/", None),
        ("https://media.example.org/a", Some(Refusal::NotAllowed)),
        ("https://plain.example.org/a", Some(Refusal::NotAllowed)),
        ("https://a.cdn.example.org/a", Some(Refusal::NotAllowed)),
        ("https://cdn.example.org.evil.com/a", Some(Refusal::NotAllowed)),
        ("https://example.org/a", Some(Refusal::NotAllowed)),
        ("https://1.1.1.1/", Some(Refusal::NotAllowed)),
        ("http://cdn.example.org/a", Some(Refusal::Scheme)),
        ("https://cdn.example.org:8443/a", Some(Refusal::Port)),
        ("http://media.example.org/a", Some(Refusal::Scheme)),
    ] {
        assert_eq!(rules.admit(url).err(), refusal, "{url}");
    }
    for list in [
        "https://a.example.org",
        "a.example.org/",
        "a.example.org:",
        "a.example.org:99999",
        "*.example.org",
        "a b",
        "[::1",
    ] {
        assert!(AllowedHosts::parse(list).is_err(), "{list}");
    }
}

#[test]
fn a_list_cannot_open_private_networks() {
    let rules = rules("10.0.0.1:80, 169.254.169.254, printer.local, images.mysite.com", "https://images.mysite.com");
    for (url, refusal) in [
        ("http://10.0.0.1/", Refusal::SpecialAddress),
        ("https://169.254.169.254/", Refusal::SpecialAddress),
        ("https://printer.local/", Refusal::LocalName),
        ("https://images.mysite.com/", Refusal::OwnHost),
        ("https://images.mysite.com./", Refusal::OwnHost),
    ] {
        assert_eq!(rules.admit(url).err(), Some(refusal), "{url}");
    }
}

#[test]
fn this_machine_is_fetched_from_by_a_worker_on_it_where_the_list_names_it() {
    let list = "127.0.0.1:9000, localhost:9000, [::1]:9000, 127.0.0.1:8787";
    for (allowed, origin, url, refusal) in [
        (list, "http://localhost:8787", "http://127.0.0.1:9000/a", None),
        (list, "http://127.0.0.1:8787", "http://localhost:9000/a", None),
        (list, "http://[::1]:8787", "http://[::1]:9000/a", None),
        (list, "http://localhost:8787", "http://2130706433:9000/a", None),
        (list, "http://localhost:8787", "http://127.0.0.2:9000/a", Some(Refusal::Loopback)),
        (list, "http://localhost:8787", "http://127.0.0.1:9001/a", Some(Refusal::Loopback)),
        (list, "http://localhost:8787", "http://127.0.0.1:8787/a", Some(Refusal::OwnHost)),
        (list, "http://localhost:8787", "http://[::ffff:127.0.0.1]:9000/a", Some(Refusal::SpecialAddress)),
        (list, "https://images.mysite.com", "http://127.0.0.1:9000/a", Some(Refusal::Loopback)),
        ("", "http://localhost:8787", "http://127.0.0.1:9000/a", Some(Refusal::Loopback)),
        ("127.0.0.1", "http://localhost:8787", "https://127.0.0.1/a", Some(Refusal::Loopback)),
    ] {
        assert_eq!(rules(allowed, origin).admit(url).err(), refusal, "{origin} {url}");
    }
}

#[test]
fn a_url_has_a_length() {
    let rules = rules("", "https://images.mysite.com");
    let url = |bytes: usize| format!("https://a.example.org/{}", "a".repeat(bytes - 22));
    assert!(rules.admit(&url(4096)).is_ok());
    assert_eq!(rules.admit(&url(4097)).err(), Some(Refusal::TooLong));
}

/// Status, headers and body of an answer.
type Scripted = (u16, Vec<(&'static str, &'static str)>, Result<&'static str, HttpError>);

/// Answers with what a test lines up, and remembers the URLs.
#[derive(Default)]
struct Outside {
    answers: RefCell<VecDeque<Scripted>>,
    requests: RefCell<Vec<(String, u64)>>,
    clock: RefCell<Option<Rc<JumpingClock>>>,
}

struct Client(Rc<Outside>);

#[async_trait(?Send)]
impl HttpClient for Client {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        assert_eq!(request.max_redirects, 0);
        self.0.requests.borrow_mut().push((request.url, request.limits.timeout_ms));
        if let Some(clock) = &*self.0.clock.borrow() {
            clock.advance(400);
        }
        let (status, headers, body) = self.0.answers.borrow_mut().pop_front().expect("another answer");
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(HttpAnswer { status, headers, body: Body::from(body?.as_bytes().to_vec()), requests: 1 })
    }
}

fn fetch(outside: &Rc<Outside>, url: &str) -> Result<Fetched, FetchError> {
    let clock = JumpingClock::new();
    outside.clock.replace(Some(Rc::clone(&clock)));
    let client = Rc::new(Client(Rc::clone(outside)));
    let fetcher = Fetcher { client, runtime: clock, rules: rules("", "https://images.mysite.com") };
    block_on(fetcher.fetch(url, LIMITS))
}

fn answering(answers: &[(u16, &'static str)]) -> Rc<Outside> {
    let outside = Outside::default();
    for (status, location) in answers {
        outside.answers.borrow_mut().push_back((*status, vec![("Location", location)], Ok("bytes")));
    }
    Rc::new(outside)
}

#[test]
fn redirects_are_followed_where_they_may_lead() {
    let outside = answering(&[(302, "/b?c"), (307, "//cdn.example.org/d/e.png"), (200, "")]);
    let fetched = fetch(&outside, "https://a.example.org/x/y?z").expect("an answer");
    assert_eq!(fetched.url.last_segment(), "e.png");
    let requests = outside.requests.borrow();
    let urls: Vec<_> = requests.iter().map(|(url, _)| url.as_str()).collect();
    assert_eq!(urls, ["https://a.example.org/x/y?z", "https://a.example.org/b?c", "https://cdn.example.org/d/e.png"]);
    let times: Vec<_> = requests.iter().map(|(_, timeout_ms)| *timeout_ms).collect();
    assert_eq!(times, [1_000, 600, 200], "one time for all of them");

    for location in [
        "http://a.example.org/",
        "https://10.0.0.1/",
        "https://images.mysite.com/",
        "file:///etc/passwd",
        "//localhost/",
    ] {
        let outside = answering(&[(301, location)]);
        assert!(
            matches!(fetch(&outside, "https://a.example.org/"), Err(FetchError::Refused { is_redirect: true, .. })),
            "{location}"
        );
        assert_eq!(outside.requests.borrow().len(), 1, "{location}");
    }
}

#[test]
fn three_redirects_are_enough_and_time_runs_out() {
    let outside = answering(&[(301, "/1"), (301, "/2"), (301, "/3"), (200, "")]);
    // A step of the clock takes 400 of 1,000 ms.
    assert_eq!(fetch(&outside, "https://a.example.org/").err(), Some(FetchError::Timeout));
    assert_eq!(outside.requests.borrow().len(), 3);

    let outside = answering(&[(301, "/1"), (301, "/2"), (301, "/3"), (301, "/4")]);
    let client = Rc::new(Client(Rc::clone(&outside)));
    let fetcher = Fetcher { client, runtime: JumpingClock::new(), rules: rules("", "https://images.mysite.com") };
    assert_eq!(block_on(fetcher.fetch("https://a.example.org/", LIMITS)).err(), Some(FetchError::Redirects));
    assert_eq!(outside.requests.borrow().len(), 4);
}

#[test]
fn what_the_host_answers_is_told_apart() {
    for (status, error) in [
        (404, FetchError::Gone { status: 404 }),
        (410, FetchError::Gone { status: 410 }),
        (401, FetchError::Forbidden { status: 401 }),
        (403, FetchError::Forbidden { status: 403 }),
        (206, FetchError::Status { status: 206, retry_after_ms: None }),
        (429, FetchError::Status { status: 429, retry_after_ms: None }),
        (500, FetchError::Status { status: 500, retry_after_ms: None }),
    ] {
        assert_eq!(fetch(&answering(&[(status, "")]), "https://a.example.org/").err(), Some(error));
    }
    let no_location = Outside::default();
    no_location.answers.borrow_mut().push_back((302, Vec::new(), Ok("")));
    assert_eq!(fetch(&Rc::new(no_location), "https://a.example.org/").err(), Some(FetchError::Redirects));
    for (error, expected) in [
        (HttpError::Timeout, FetchError::Timeout),
        (HttpError::Connect, FetchError::Connect),
        (HttpError::Interrupted, FetchError::Interrupted),
        (HttpError::ResponseTooLarge { limit_bytes: 100 }, FetchError::TooLarge { limit_bytes: 100 }),
    ] {
        let outside = Outside::default();
        outside.answers.borrow_mut().push_back((200, Vec::new(), Err(error)));
        assert_eq!(fetch(&Rc::new(outside), "https://a.example.org/").err(), Some(expected));
    }
    let broken = BodyError::TooShort { expected_bytes: 2, actual_bytes: 1 };
    assert_eq!(FetchError::from(broken), FetchError::Interrupted);
}

#[test]
fn the_length_is_believed_unless_it_counts_encoded_bytes() {
    for (headers, promised) in [
        (vec![("Content-Length", "9")], Some(9)),
        (vec![("Content-Length", "9"), ("Content-Encoding", "br")], Some(5)),
        (vec![("Content-Length", "9"), ("Content-Encoding", "gzip")], Some(5)),
    ] {
        let outside = Outside::default();
        outside.answers.borrow_mut().push_back((200, headers.clone(), Ok("bytes")));
        let fetched = fetch(&Rc::new(outside), "https://a.example.org/").expect("an answer");
        assert_eq!(fetched.body.promised_bytes(), promised, "{headers:?}");
    }
}
