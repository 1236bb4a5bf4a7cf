//! Receipts of real runs: what docs/receipts.md shows, and where they say that bytes were and are.

use serde_json::{Value as Json, json};
use stillstore::migrate::line::Verdict;

use crate::image_fixtures;
use crate::migrate_table::{act, base64, clean, insert, lines, world};
use crate::reference_sha256::sha256_hex;

const RECEIPTS: &str = include_str!("../../docs/receipts.md");

/// A table with an image and a row that holds none.
fn table() -> crate::api::world::World {
    let world = world();
    insert(&world.sqlite, "p1", &base64(&image_fixtures::bytes("pixel.png")));
    insert(&world.sqlite, "p2", "not an image");
    world
}

#[test]
fn the_documented_receipt_is_that_of_a_run() {
    let world = table();
    let run = act(&world, &json!({"action": "migrate", "source": "images"}));
    let id = run["runId"].as_str().expect("a run");
    let receipt = world.call("GET", &format!("/api/migrate-images/runs/{id}/receipt"), None).body;
    let receipt = String::from_utf8(receipt).expect("text");

    let documented = RECEIPTS.split("```").find_map(|block| block.strip_prefix("json\n")).expect("an example");
    let header: Json = serde_json::from_str(documented.lines().next().expect("a header")).expect("JSON");
    let of_the_same_run = receipt.replace(id, header["run"].as_str().expect("a run"));
    let content = of_the_same_run.rsplit_once("{\"end\"").expect("an end").0;
    let end = json!({"end": true, "lines": 2, "sha256": sha256_hex(content.as_bytes())});
    assert_eq!(documented, format!("{content}{end}\n"));
}

#[test]
fn every_verdict_is_documented() {
    for verdict in Verdict::ALL {
        assert!(RECEIPTS.contains(&format!("`{}`", verdict.as_str())), "{}", verdict.as_str());
    }
}

#[test]
fn every_run_over_a_table_calls_the_place_of_its_originals_the_same() {
    let world = table();
    let place = |run: &Json, field: &str| lines(&world, run)[0][field].clone();
    let moved = act(&world, &json!({"action": "migrate", "source": "images", "imageIds": ["p1"]}));
    assert_eq!(place(&moved, "from"), "d1:images");
    let restored = act(&world, &json!({"action": "rollback", "source": "images", "imageIds": ["p1"]}));
    assert_eq!(place(&restored, "to"), "d1:images");
    act(&world, &json!({"action": "migrate", "source": "images", "imageIds": ["p1"]}));
    let cleaned = clean(&world, "images");
    assert_eq!(place(&cleaned, "from"), "d1:images");
}
