//! What holds for every request, however it is made up.

use std::ops::Range;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseResult, TestRunner};
use serde_json::{Value, json};
use stillstore::api::{Code, Method, PathIds, ROUTES, Route, Target};
use stillstore::image::ImageId;
use stillstore::migrate::RunId;

use crate::api::world::{Answer, PNG, TOKEN, World};

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"];
const PATH_WORDS: [&str; 11] = [
    "api",
    "images",
    "generate-image",
    "migrate-images",
    "signed-url",
    "health",
    "metrics",
    "openapi.json",
    "docs",
    "",
    "API",
];
const FIELDS: [&str; 9] =
    ["prompt", "personaId", "sessionId", "participantId", "tableId", "size", "quality", "style", "visibility"];
const PARAMETERS: [&str; 16] = [
    "filename",
    "context",
    "personaId",
    "sessionId",
    "participantId",
    "tableId",
    "visibility",
    "sha256",
    "meta.a",
    "meta.",
    "status",
    "storage",
    "limit",
    "cursor",
    "Limit",
    "",
];
/// Values that are right for some field.
const RIGHT_VALUES: [&str; 10] =
    ["a lighthouse", "p1", "256x256", "auto", "hd", "vivid", "public", "private", "stored", "r2"];
/// Two chunks of the embedded store.
const IMAGE_BYTES: usize = 1024 * 1024 + 5000;

fn ids() -> impl Strategy<Value = ImageId> {
    any::<[u8; 16]>().prop_map(ImageId::from_random_bytes)
}

/// Paths of every kind: words that routes are made of, ids, anything.
fn paths() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        4 => select(PATH_WORDS.as_slice()).prop_map(str::to_owned),
        2 => ids().prop_map(|id| id.to_string()),
        1 => ids().prop_map(|id| id.to_string().to_uppercase()),
        1 => any::<String>(),
    ];
    let built = vec(segment, 0..6).prop_map(|segments| [&[String::new()], segments.as_slice()].concat().join("/"));
    prop_oneof![4 => built, 1 => any::<String>()]
}

/// The one path of a target.
fn path_of(target: &Target) -> String {
    let ids = target.id().unwrap_or_default();
    // Names of images have slashes of their own.
    let is_name = target.route.ids() == PathIds::ImageName;
    let (id, number) = ids.split_once('/').filter(|_| !is_name).unwrap_or((&ids, ""));
    target.route.path.replace("{id}", id).replace("{number}", number)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn every_method_and_path_is_a_route_or_a_404_or_a_405(
        method in prop_oneof![4 => select(METHODS.as_slice()).prop_map(str::to_owned), 1 => any::<String>()],
        path in paths(),
    ) {
        match Target::parse(Method::from(method.as_str()), &path) {
            Ok(target) => prop_assert_eq!(path_of(&target), path, "a route has one path"),
            Err(problem) if problem.code == Code::MethodNotAllowed => {
                let allowed = Route::allowed_methods(&path).expect("a path that exists");
                prop_assert!(!allowed.split(", ").any(|name| name == method && name != "OPTIONS"), "{}", allowed);
                prop_assert!(problem.headers.iter().any(|(name, value)| *name == "Allow" && *value == allowed));
            }
            Err(problem) => {
                prop_assert_eq!(problem.code.status(), 404);
                prop_assert_eq!(Route::allowed_methods(&path), None);
            }
        }
    }

    #[test]
    fn routes_find_their_ids_again(
        id in ids(), run: [u8; 16], session in "[A-Za-z0-9][A-Za-z0-9._-]{0,127}", number in 0_u32..=9_999,
    ) {
        let run = RunId::from_random_bytes(run).to_string();
        for route in ROUTES {
            let (path, ids) = match route.ids() {
                PathIds::Nothing => continue,
                PathIds::ImageId | PathIds::ImageName | PathIds::ShootId | PathIds::JobId | PathIds::BatchId => (route.path.replace("{id}", &id.to_string()), id.to_string()),
                PathIds::RunId => (route.path.replace("{id}", &run), run.clone()),
                PathIds::SessionId => (route.path.replace("{id}", &session), session.clone()),
                PathIds::PartId => {
                    let number = number % 1_000 + 1;
                    let path = route.path.replace("{id}", &id.to_string()).replace("{number}", &number.to_string());
                    (path, format!("{id}/{number}"))
                }
                PathIds::FrameId => {
                    let path = route.path.replace("{id}", &session).replace("{number}", &number.to_string());
                    (path, format!("{session}/{number}"))
                }
            };
            let methods = Method::KNOWN.into_iter().filter(|method| route.answers(*method));
            for method in methods {
                let target = Target::parse(method, &path).ok();
                prop_assert_eq!(target.map(|target| (target.route.name, target.id())), Some((route.name, Some(ids.clone()))));
            }
        }
    }
}

/// Runs `check` with as many values of `strategy` in one world, which takes longer to set up than a request.
fn for_all<T: std::fmt::Debug>(cases: u32, strategy: impl Strategy<Value = T>, check: impl Fn(T) -> TestCaseResult) {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    if let Err(failure) = TestRunner::new(config).run(&strategy, check) {
        panic!("{failure}");
    }
}

/// Rows and objects of any kind, but for reservations that were given up and wait for the sweep.
fn stored_things(world: &World) -> (usize, usize) {
    let rows = world.rows(
        "SELECT id FROM stillstore_images WHERE status <> 'deleting' UNION ALL SELECT write_id FROM stillstore_blobs \
         UNION ALL SELECT key_digest FROM stillstore_idempotency",
    );
    (rows.len(), world.bucket.inner.contents().len())
}

/// Refusals are 4xx with a problem document and leave nothing; successes store one image.
fn check_addition(world: &World, before: (usize, usize), answer: &Answer, success: u16) -> TestCaseResult {
    if answer.status == success {
        prop_assert_ne!(stored_things(world), before);
    } else {
        prop_assert!((400..500).contains(&answer.status), "{:?}", answer);
        prop_assert!(!answer.code().is_empty());
        prop_assert_eq!(stored_things(world), before, "a refused request stores nothing");
    }
    Ok(())
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => select(RIGHT_VALUES.as_slice()).prop_map(|text| json!(text)),
        2 => any::<String>().prop_map(|text| json!(text)),
        1 => any::<f64>().prop_map(|number| json!(number)),
        1 => any::<u64>().prop_map(|number| json!(number)),
        1 => any::<bool>().prop_map(|flag| json!(flag)),
        1 => Just(Value::Null),
        1 => (3990_usize..4010).prop_map(|length| json!("\u{e9}".repeat(length))),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![vec(inner.clone(), 0..3).prop_map(Value::from), inner.prop_map(|value| json!({ "prompt": value }))]
    })
}

#[test]
fn any_bytes_as_a_generate_request_are_refused_or_make_an_image() {
    let fields = btree_map(select(FIELDS.as_slice()), values(), 0..6).boxed();
    let complete = fields.clone().prop_map(|mut fields| {
        fields.entry("prompt").or_insert_with(|| json!("a lighthouse"));
        fields.entry("personaId").or_insert_with(|| json!("p1"));
        fields
    });
    let complete = complete.boxed();
    let as_bytes = |fields: std::collections::BTreeMap<&str, Value>| json!(fields).to_string().into_bytes();
    let damaged =
        (complete.clone().prop_map(as_bytes), any::<Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        });
    let bodies = prop_oneof![
        vec(any::<u8>(), 0..200),
        values().prop_map(|value| value.to_string().into_bytes()),
        fields.prop_map(as_bytes),
        complete.prop_map(as_bytes),
        damaged,
    ];
    let keys = option::weighted(0.3, any::<String>());

    let world = World::new(true);
    let authorization = format!("Bearer {TOKEN}");
    for_all(600, (bodies, keys), |(body, key)| {
        let mut headers = vec![("authorization", authorization.as_str()), ("content-type", "application/json")];
        headers.extend(key.as_deref().map(|key| ("idempotency-key", key)));
        let before = stored_things(&world);
        let answer = world.send("POST", "/api/generate-image", &headers, Some(body.into()));
        check_addition(&world, before, &answer, 200)
    });
    world.assert_invariants();
}

fn queries() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        2 => select(RIGHT_VALUES.as_slice()).prop_map(str::to_owned),
        2 => any::<String>(),
        1 => (0..300_i64).prop_map(|number| number.to_string()),
        1 => "[0-9a-f]{64}",
        1 => (0..40_u8, 0..300_usize).prop_map(|(byte, length)| char::from(byte).to_string().repeat(length)),
    ];
    let encoded =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let pair =
        (select(PARAMETERS.as_slice()), value).prop_map(move |(name, value)| format!("{name}={}", encoded(&value)));
    prop_oneof![1 => any::<String>(), 1 => "[a-z0-9%=&+.]{0,40}", 4 => vec(pair, 0..4).prop_map(|pairs| pairs.join("&"))]
}

#[test]
fn any_query_of_an_upload_is_refused_or_stores_the_image() {
    let world = World::new(true);
    for_all(500, queries(), |query| {
        let before = stored_things(&world);
        let answer = world.upload(&query, PNG);
        check_addition(&world, before, &answer, 201)
    });
    world.assert_invariants();
}

#[test]
fn any_bytes_that_are_no_image_store_nothing() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        for_all(200, vec(any::<u8>(), 0..300), |bytes| {
            prop_assert_eq!(world.upload("", &bytes).code(), "not-an-image");
            prop_assert_eq!(stored_things(&world), (0, 0));
            Ok(())
        });
    }
}

#[test]
fn any_query_of_a_listing_is_answered_and_changes_nothing() {
    let world = World::new(true);
    for _ in 0..3 {
        world.upload("personaId=p1&sessionId=p1", PNG);
    }
    let before = stored_things(&world);
    for_all(500, queries(), |query| {
        let answer = world.call("GET", &format!("/api/images?{query}"), None);
        prop_assert!(answer.status == 200 || answer.code() == "invalid-field", "{:?}", answer);
        prop_assert_eq!(stored_things(&world), before);
        Ok(())
    });
}

/// Header values: well-formed ones that may or may not fit, and anything.
fn conditions(etag: &str, last_modified: &str) -> impl Strategy<Value = Vec<(&'static str, String)>> + use<> {
    let names = select(
        [
            "range",
            "range",
            "range",
            "if-match",
            "if-none-match",
            "if-modified-since",
            "if-unmodified-since",
            "if-range",
        ]
        .as_slice(),
    );
    let position = prop_oneof![
        (0..2 * IMAGE_BYTES as u64).prop_map(|at| at.to_string()),
        select(vec![0, 1, IMAGE_BYTES - 1, IMAGE_BYTES, 1024 * 1024 - 1, 1024 * 1024]).prop_map(|at| at.to_string()),
        any::<u128>().prop_map(|at| at.to_string()),
        Just(String::new()),
    ];
    let range = (position.clone(), position).prop_map(|(first, last)| format!("bytes={first}-{last}"));
    let tags = vec![etag.to_owned(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned(), "\"x\"".to_owned()];
    let dates = vec![last_modified.to_owned(), "Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), "2030".to_owned()];
    let value =
        prop_oneof![4 => range, 2 => select(tags), 2 => select(dates), 1 => "[ -~]{0,30}", 1 => any::<String>()];
    vec((names, value), 0..4)
}

/// The bytes that a `Content-Range` names.
fn range_of(content_range: &str) -> Option<Range<usize>> {
    let (range, size) = content_range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let range = first.parse().ok()?..last.parse::<usize>().ok()? + 1;
    (size.parse() == Ok(IMAGE_BYTES)).then_some(range)
}

#[test]
fn any_conditions_on_a_read_give_true_bytes_or_none() {
    let mut bytes: Vec<u8> = (0..=250_u8).cycle().take(IMAGE_BYTES).collect();
    bytes[..PNG.len()].copy_from_slice(PNG);
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let path = format!("/images/{}", world.upload("", &bytes).json()["id"].as_str().unwrap());
        let head = world.send("HEAD", &path, &[], None);
        let (etag, last_modified) = (head.header("etag").unwrap(), head.header("last-modified").unwrap());
        for_all(400, conditions(etag, last_modified), |conditions| {
            let headers: Vec<_> = conditions.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = world.send("GET", &path, &headers, None);
            match answer.status {
                200 => prop_assert!(answer.body == bytes, "the whole image"),
                206 => {
                    let range = answer.header("content-range").and_then(range_of).expect("a range");
                    prop_assert!(bytes.get(range) == Some(answer.body.as_slice()), "the bytes that it says");
                }
                304 => prop_assert!(answer.body.is_empty()),
                412 | 416 => prop_assert!(!answer.code().is_empty()),
                _ => prop_assert!(false, "{:?}", answer),
            }
            if answer.status < 300 {
                let length = answer.header("content-length").and_then(|length| length.parse().ok());
                prop_assert_eq!(length, Some(answer.body.len()));
            }
            Ok(())
        });
    }
}

#[test]
fn a_signed_url_with_one_other_character_opens_nothing() {
    let world = World::new(true);
    let uploaded = world.upload("visibility=private", PNG).json();
    let url = uploaded["url"].as_str().unwrap();
    let path = url.strip_prefix("https://images.example").unwrap();
    let (path, query) = path.split_once('?').unwrap();
    let open = |query: &str| world.send("GET", &format!("{path}?{query}"), &[], None);
    assert_eq!(open(query).status, 200, "unchanged");

    let characters: Vec<char> = query.chars().collect();
    let check = |at: usize, character: char| {
        let mut changed = characters.clone();
        changed[at] = character;
        let changed: String = changed.into_iter().collect();
        let answer = open(&changed);
        prop_assert!(changed == query || [400, 403].contains(&answer.status), "{} opens: {:?}", changed, answer);
        Ok(())
    };
    for (at, original) in characters.iter().enumerate() {
        let other_case = [original.to_ascii_uppercase(), original.to_ascii_lowercase()];
        for character in "09afAF&=%+- #?".chars().chain(other_case) {
            check(at, character).unwrap();
        }
    }
    for_all(1000, (0..characters.len(), any::<char>()), |(at, character)| check(at, character));
}
