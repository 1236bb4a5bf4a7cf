//! Bodies and queries of requests, sent to a whole deployment in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;
use stillstore::api::Request;
use stillstore::generate::{Background, OutputFormat, Prompt, Quality, Size, Style};
use stillstore::image::Sha256Digest;

use crate::api::world::{Answer, PNG, TOKEN, World};

/// So many successful requests are answered by one deployment before the next is made: enough to be fast, few enough to keep its
/// tables small.
const SUCCESSES_A_WORLD: usize = 100;

thread_local! {
    static WORLD: RefCell<Option<(World, usize)>> = const { RefCell::new(None) };
}

/// Checks `property` on a deployment that holds a picture in its database. It says whether the request succeeded.
fn with_world(property: impl FnOnce(&World) -> bool) {
    WORLD.with_borrow_mut(|kept| {
        let fresh = || {
            let world = World::new(false);
            world.upload("personaId=p1", PNG);
            (world, 0)
        };
        let (world, successes) = kept.get_or_insert_with(fresh);
        *successes += usize::from(property(world));
        if *successes >= SUCCESSES_A_WORLD {
            *kept = None;
        }
    });
}

fn post(world: &World, path: &str, body: &[u8]) -> Answer {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    world.send("POST", path, &headers, Some(body.to_vec().into()))
}

fn images(world: &World) -> u64 {
    world.rows("SELECT count(*) AS images FROM stillstore_images")[0]["images"].as_u64().expect("a number")
}

/// Refused requests get a 4xx with a problem document that names the field when one is wrong.
fn check_refusal(answer: &Answer) {
    assert!((400..500).contains(&answer.status), "{answer:?}");
    let code = answer.code();
    let problem = answer.json();
    let is_named = problem["field"].as_str().is_some_and(|field| !field.is_empty());
    let in_words = problem["detail"].as_str().is_some_and(|detail| is_named || !detail.starts_with(' '));
    assert!(in_words && (code != "invalid-field" || problem["field"].is_string()), "{problem}");
}

/// Every picture can be read, whole.
fn check_pictures(world: &World) {
    for row in world.rows("SELECT id, sha256 FROM stillstore_images") {
        let answer = world.call("GET", &format!("/images/{}", row["id"].as_str().expect("an id")), None);
        assert_eq!((answer.status, row["sha256"].as_str()), (200, Some(&*Sha256Digest::of(&answer.body).to_string())));
    }
}

/// A generate request is refused and stores nothing, or its answer repeats what its body says and keeps to the rules.
pub fn generate_body(body: &[u8]) {
    with_world(|world| {
        let before = images(world);
        let answer = post(world, "/api/generate-image", body);
        if answer.status != 200 {
            check_refusal(&answer);
            assert_eq!(images(world), before, "a refused request stores nothing");
            return false;
        }
        let sent: Value = serde_json::from_slice(body).expect("what is accepted is JSON");
        let text = |field: &str| sent[field].as_str();
        let made = answer.json();
        let count = sent["n"].as_u64().unwrap_or(1);
        assert!((1..=4).contains(&count), "{count} images");
        assert_eq!(Some(count), made["images"].as_array().map(|images| images.len() as u64));
        assert_eq!(images(world), before + count);
        let prompt = made["generation"]["prompt"].as_str().expect("a prompt");
        assert_eq!(text("prompt").map(str::trim), Some(prompt));
        assert!((1..=Prompt::MAX_CHARACTERS).contains(&prompt.chars().count()));
        assert_eq!(made["generation"]["size"].as_str(), Some(text("size").unwrap_or(&Size::default().text())));
        assert!(text("size").is_none_or(|size| Size::parse(size).is_ok()));
        assert!(text("quality").is_none_or(|quality| Quality::parse(quality).is_ok()));
        assert!(text("style").is_none_or(|style| Style::parse(style).is_ok()));
        assert!(text("background").is_none_or(|background| Background::parse(background).is_ok()));
        assert!(text("outputFormat").is_none_or(|format| OutputFormat::parse(format).is_ok()));
        assert!(sent["outputCompression"].is_null() || sent["outputCompression"].as_u64().is_some_and(|it| it <= 100));
        for field in ["personaId", "sessionId", "participantId", "tableId"] {
            assert_eq!(made["image"][field].as_str(), text(field), "{field} of {made}");
        }
        true
    });
}

/// A migration request is refused, or the run that it began has parameters within their bounds. No picture is lost.
pub fn migrate_body(body: &[u8]) {
    with_world(|world| {
        let before = images(world);
        let runs = || {
            let rows = world.rows("SELECT id, parameters FROM stillstore_runs");
            let row = |row: &Value| Some((row["id"].as_str()?.to_owned(), row["parameters"].as_str()?.to_owned()));
            rows.iter().filter_map(row).collect::<BTreeMap<_, _>>()
        };
        let runs_before = runs();
        let answer = post(world, "/api/migrate-images", body);
        assert_eq!(images(world), before);
        if !matches!(answer.status, 200 | 202) {
            check_refusal(&answer);
            assert_eq!(runs(), runs_before, "a refused request begins no run");
            return false;
        }
        for (id, parameters) in runs().iter().filter(|(id, _)| !runs_before.contains_key(*id)) {
            let parameters: Value = serde_json::from_str(parameters).expect("parameters");
            let number = |field: &str| parameters[field].as_u64();
            assert!(number("batchSize").is_some_and(|size| (1..=100).contains(&size)), "{id}");
            assert!(number("concurrency").is_some_and(|puts| (1..=16).contains(&puts)), "{id}");
            assert!(number("sampleSize").is_none_or(|size| (1..=1000).contains(&size)), "{id}");
            let ids = parameters["itemIds"].as_array().cloned().unwrap_or_default();
            let of_length = |id: &Value| id.as_str().is_some_and(|id| (1..=1_024).contains(&id.len()));
            assert!(ids.len() <= 1000 && ids.iter().all(of_length), "{id}");
        }
        check_pictures(world);
        true
    });
}

/// The query of an upload is refused and stores nothing, or its answer repeats what the query says, the last of what it says twice;
/// that of a listing is refused or answered, and changes nothing.
///
/// The input is the query, behind a `?` for a listing.
pub fn image_query(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (is_listing, query) = text.strip_prefix('?').map_or((false, &*text), |query| (true, query));
    with_world(|world| {
        let before = images(world);
        let answer = if is_listing {
            world.call("GET", &format!("/api/images?{query}"), None)
        } else {
            world.upload(query, PNG)
        };
        if is_listing {
            assert_eq!(images(world), before);
        }
        match answer.status {
            200 if is_listing => {
                let listed = answer.json()["images"].as_array().map_or(0, Vec::len);
                assert!(listed <= 100, "{listed} images in a page");
                false
            }
            201 => {
                assert_eq!(images(world), before + 1);
                check_upload(query, &answer.json());
                true
            }
            _ => {
                check_refusal(&answer);
                assert_eq!(images(world), before, "a refused request stores nothing");
                false
            }
        }
    });
}

fn check_upload(query: &str, stored: &Value) {
    let request = Request::new("POST", &format!("http://a/?{query}"), Vec::new(), None);
    let pairs: BTreeMap<_, _> = request.query_pairs().expect("what is accepted is UTF-8").into_iter().collect();
    for (name, value) in &pairs {
        match name.strip_prefix("meta.") {
            Some(label) => assert_eq!(stored["metadata"][label].as_str(), Some(value.as_str()), "{label}"),
            None if name == "sha256" => assert_eq!(stored["sha256"], value.to_ascii_lowercase()),
            None => assert_eq!(stored[name].as_str(), Some(value.as_str()), "{name} of {stored}"),
        }
    }
    let labels = pairs.keys().filter(|name| name.starts_with("meta.")).count();
    assert_eq!(stored["metadata"].as_object().map_or(0, serde_json::Map::len), labels);
}
