//! `GET` and `HEAD /images/{id}`.

use std::rc::Rc;

use stillstore::sql::{Database, Fault, FaultyDatabase};
use stillstore::store::StoreCall;

use super::world::{Answer, PNG, TOKEN, World};
use crate::sqlite::Sqlite;

const SVG: &[u8] = br#"<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"><script>alert(1)</script></svg>"#;

fn stored(world: &World, bytes: &[u8]) -> String {
    format!("/images/{}", world.upload("filename=a.png", bytes).json()["id"].as_str().unwrap())
}

fn headers_of(answer: &Answer) -> Vec<(String, Option<String>)> {
    [
        "accept-ranges",
        "cache-control",
        "cache-tag",
        "content-disposition",
        "content-length",
        "content-range",
        "content-security-policy",
        "content-type",
        "cross-origin-resource-policy",
        "etag",
        "last-modified",
        "access-control-allow-origin",
        "access-control-expose-headers",
        "x-content-type-options",
    ]
    .into_iter()
    .map(|name| (name.to_owned(), answer.header(name).map(str::to_owned)))
    .collect()
}

#[test]
fn bytes_and_headers_are_the_same_whichever_store_holds_the_image() {
    let big: Vec<u8> = [PNG, &(0..3_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()].concat();
    let (r2, d1) = (World::new(true), World::new(false));
    let (path_in_r2, path_in_database) = (stored(&r2, &big), stored(&d1, &big));
    assert_eq!(path_in_r2, path_in_database, "the same ids, so that all headers can be compared");
    let etag = r2.send("HEAD", &path_in_r2, &[], None).header("etag").unwrap().to_owned();
    for headers in [
        vec![],
        vec![("range", "bytes=0-0")],
        vec![("range", "bytes=1048570-1048590")],
        vec![("range", "bytes=-7")],
        vec![("range", "bytes=4000000-")],
        vec![("range", "bytes=0-1,5-6")],
        vec![("range", "bytes=99999999-")],
        vec![("range", "lines=1-2")],
        vec![("if-none-match", etag.as_str())],
        vec![("if-match", "\"other\"")],
        vec![("if-range", etag.as_str()), ("range", "bytes=5-9")],
        vec![("if-range", "\"other\""), ("range", "bytes=5-9")],
    ] {
        for method in ["GET", "HEAD"] {
            let (one, other) =
                (r2.send(method, &path_in_r2, &headers, None), d1.send(method, &path_in_database, &headers, None));
            assert_eq!(one.status, other.status, "{method} {headers:?}");
            assert_eq!(headers_of(&one), headers_of(&other), "{method} {headers:?}");
            if one.status < 400 {
                assert!(one.body == other.body, "{method} {headers:?}");
            }
        }
    }
    let partial = d1.send("GET", &path_in_database, &[("range", "bytes=1048570-1048590")], None);
    assert_eq!(partial.status, 206);
    assert!(partial.body == big[1_048_570..=1_048_590]);
    assert_eq!(partial.header("content-range"), Some(format!("bytes 1048570-1048590/{}", big.len()).as_str()));
    let beyond = r2.send("GET", &path_in_r2, &[("range", "bytes=99999999-")], None);
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some(format!("bytes */{}", big.len()).as_str())));
    assert_eq!(beyond.code(), "range-not-satisfiable");
    assert_eq!(r2.send("GET", &path_in_r2, &[("if-match", "\"other\"")], None).code(), "precondition-failed");
}

#[test]
fn a_public_image_is_immutable_and_cannot_run_script() {
    let world = World::new(true);
    let answer = world.send("GET", &stored(&world, SVG), &[], None);
    assert_eq!(answer.header("content-type"), Some("image/svg+xml"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("sandbox") && policy.contains("default-src 'none'") && !policy.contains("allow-scripts"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("ETag"));
    let id = answer.header("cache-tag").unwrap().to_owned();
    assert!(stored(&world, SVG) != format!("/images/{id}"));
}

#[test]
fn serving_costs_one_query_and_one_read_or_embedded_one_query() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let path = stored(&world, PNG);
        let (queries, reads) = (world.database.plan.calls().len(), world.bucket.plan.calls().len());
        world.send("GET", &path, &[], None);
        let reads = world.bucket.plan.calls().len() - reads;
        let queries = world.database.plan.calls().len() - queries;
        assert_eq!((queries, reads), if r2_enabled { (1, 1) } else { (1, 0) });
        let (queries, reads) = (world.database.plan.calls().len(), world.bucket.plan.calls().len());
        world.send("HEAD", &path, &[], None);
        world.send("GET", &path, &[("if-none-match", "*")], None);
        assert_eq!((world.database.plan.calls().len() - queries, world.bucket.plan.calls().len() - reads), (2, 0));
    }
}

#[test]
fn embedded_bytes_come_with_the_row_only_where_they_are_public_in_one_chunk_and_wanted() {
    let world = World::new(false);
    let queries_of = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let before = world.database.plan.calls().len();
        let answer = world.send("GET", path, headers, None);
        assert_eq!(answer.body, body);
        world.database.plan.calls().len() - before
    };
    let one_chunk = [PNG, &vec![7; 1024 * 1024 - PNG.len()]].concat();
    let two_chunks = [one_chunk.as_slice(), b"!"].concat();
    assert_eq!(queries_of(&stored(&world, &one_chunk), &[], &one_chunk), 1);
    assert_eq!(queries_of(&stored(&world, &two_chunks), &[], &two_chunks), 3);
    let path = stored(&world, PNG);
    assert_eq!(queries_of(&path, &[("range", "bytes=1-2")], &PNG[1..3]), 2);
    assert_eq!(queries_of(&path, &[("if-none-match", "\"other\"")], PNG), 2);

    world.rows("UPDATE stillstore_images SET visibility = 'private'");
    assert_eq!(world.send("GET", &path, &[], None).status, 403);
    world.rows("UPDATE stillstore_images SET visibility = 'public'");
    world.rows("UPDATE stillstore_chunks SET data = 'AAAA'");
    assert_eq!(world.send("GET", &path, &[], None).status, 503, "other bytes than the row's are not served");
}

#[test]
fn a_store_that_is_down_is_a_503_and_lost_bytes_are_told_apart() {
    let world = World::new(true);
    let path = stored(&world, PNG);
    world.bucket.plan.fail_nth(StoreCall::Get, 1, Fault::FailBefore);
    let answer = world.send("GET", &path, &[], None);
    assert_eq!((answer.status, answer.code().as_str()), (503, "storage-unavailable"));
    assert_eq!(world.send("GET", &path, &[], None).body, PNG);

    let key = world.bucket.inner.contents().into_keys().next().unwrap();
    world.lose_object(&key);
    let answer = world.send("GET", &path, &[], None);
    assert_eq!((answer.status, answer.code().as_str()), (500, "bytes-missing"));
    assert!(world.log().iter().any(|line| line["event"] == "request" && line["outcome"] == "bytes-missing"));
}

#[test]
fn a_reader_that_raced_a_deletion_is_told_so() {
    let world = World::new(true);
    let path = stored(&world, PNG);
    let key = world.bucket.inner.contents().into_keys().next().unwrap();
    world.lose_object(&key);
    world.rows("UPDATE stillstore_images SET version = version + 1, storage = 'r2'");
    assert_eq!(world.send("GET", &path, &[], None).code(), "bytes-missing");
    world.rows("UPDATE stillstore_images SET version = version + 1, status = 'deleting'");
    assert_eq!(world.send("GET", &path, &[], None).code(), "image-deleted");
}

#[test]
fn unknown_ids_are_not_found() {
    let world = World::new(true);
    for path in ["/images/0f8fad5b-d9cb-469f-a165-70867728950e", "/images/x", "/images/..%2f..%2fetc"] {
        let answer = world.send("GET", path, &[], None);
        assert_eq!((answer.status, answer.code().as_str()), (404, "image-not-found"), "{path}");
    }
}

#[test]
fn a_query_of_other_names_reaches_no_store() {
    let world = World::new(true);
    let path = stored(&world, PNG);
    let calls = || (world.database.plan.calls().len(), world.bucket.plan.calls().len());
    let before = calls();
    for query in ["n=1", "expires=1&n=2", "Expires=1", "=1", "x", "%6e=1", "%FF=1"] {
        for method in ["GET", "HEAD"] {
            let answer = world.send(method, &format!("{path}?{query}"), &[], None);
            assert_eq!(answer.status, 400, "{query}");
        }
    }
    assert_eq!(world.send("GET", &format!("{path}?n=1"), &[], None).json()["field"], "n");
    assert_eq!(calls(), before);
}

#[test]
fn a_public_image_has_one_url() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let path = stored(&world, PNG);
        let reads = || world.bucket.plan.calls().iter().filter(|call| call.kind == StoreCall::Get).count();
        for query in ["expires=1&signature=00", "signature=x", "expires"] {
            let answer = world.send("GET", &format!("{path}?{query}"), &[], None);
            assert_eq!((answer.status, answer.header("location")), (302, Some(path.as_str())), "{query}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert!(answer.body.is_empty() && answer.header("cache-tag").is_none());
        }
        assert_eq!(reads(), 0);
        assert_eq!(world.send("GET", &format!("{path}?&"), &[], None).status, 302);
    }
}

#[test]
fn what_caches_keep_for_everyone_has_no_request_id() {
    let world = World::new(true);
    let path = stored(&world, PNG);
    let etag = world.send("GET", &path, &[], None).header("etag").unwrap().to_owned();
    for headers in [vec![], vec![("range", "bytes=0-0")], vec![("if-none-match", etag.as_str())]] {
        let answer = world.send("GET", &path, &[headers, vec![("x-request-id", "seen")]].concat(), None);
        assert!(answer.header("cache-control").unwrap().starts_with("public"));
        assert_eq!(answer.header("x-request-id"), None, "{answer:?}");
    }
    let record = world.upload("visibility=private", PNG).json();
    let signed = record["url"].as_str().unwrap().replace("https://images.example", "");
    assert_eq!(world.send("GET", &signed, &[("x-request-id", "seen")], None).header("x-request-id"), Some("seen"));
}

#[test]
fn a_made_up_id_costs_one_query_however_many_databases_there_are() {
    let further = Rc::new(FaultyDatabase::new(Rc::new(Sqlite::migrated()) as Rc<dyn Database>));
    let databases = vec![("APP_DB".to_owned(), Rc::clone(&further) as Rc<dyn Database>)];
    let world = World::with_databases(&[("API_TOKEN", TOKEN)], databases);
    for method in ["GET", "HEAD"] {
        let before = world.database.plan.calls().len();
        let answer = world.send(method, "/images/0f8fad5b-d9cb-469f-a165-70867728950e", &[], None);
        assert_eq!(answer.status, 404);
        assert_eq!(world.database.plan.calls().len() - before, 1);
    }
    assert!(further.plan.calls().is_empty());
    // An id of the kind that images of tables have is looked for there too.
    assert_eq!(world.send("GET", "/images/0f8fad5b-d9cb-869f-a165-70867728950e", &[], None).status, 404);
    assert_eq!(further.plan.calls().len(), 1);
}

#[test]
fn made_up_ids_ask_further_databases_a_bounded_number_of_times() {
    let further = Rc::new(FaultyDatabase::new(Rc::new(Sqlite::migrated()) as Rc<dyn Database>));
    let databases = vec![("APP_DB".to_owned(), Rc::clone(&further) as Rc<dyn Database>)];
    let world = World::with_databases(&[("API_TOKEN", TOKEN)], databases);
    let ask = |number: usize| world.send("GET", &format!("/images/0f8fad5b-d9cb-869f-a165-{number:012}"), &[], None);
    let before = world.database.plan.calls().len();
    let answers: Vec<_> = (0..100).map(ask).collect();
    let with = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((with(404), with(503), further.plan.calls().len()), (30, 70, 30));
    assert_eq!((answers[99].code().as_str(), answers[99].header("retry-after")), ("busy", Some("5")));
    // One query each, and for those that were looked for elsewhere another look afterwards.
    assert_eq!(world.database.plan.calls().len() - before, 130);
    world.runtime.advance(10_000);
    assert_eq!((ask(100).status, further.plan.calls().len()), (404, 31));
}
