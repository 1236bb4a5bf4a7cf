//! Lines of receipts and the ids in them.

use serde_json::json;
use stillstore::image::Sha256Digest;
use stillstore::migrate::item::{ITEM_ID_MAX_INTEGER, InvalidItemId, ItemId};
use stillstore::migrate::line::{LINE_MAX_BYTES, Line, Verdict};
use stillstore::sql::Value;

use crate::store_database::key;

fn text_id(text: &str) -> ItemId {
    ItemId::try_from(text.to_owned()).expect("an id")
}

#[test]
fn a_line_has_its_fields_in_order() {
    let line = Line::new(ItemId::try_from(42).expect("an id"), Verdict::Moved)
        .to_object(&key("images/2026/11/a.png"))
        .from_place("d1:images.image_data")
        .with_bytes(Sha256Digest::of(b"abc"), 3, "image/png");
    assert_eq!(
        line.to_ndjson(),
        concat!(
            r#"{"id":42,"verdict":"moved","#,
            r#""sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":3,"type":"image/png","#,
            r#""from":"d1:images.image_data","to":"r2:images/2026/11/a.png"}"#,
            "\n"
        )
    );
    let failed = Line::failed(text_id("p\n1"), "not-an-image", "the bytes are not a known image format");
    assert_eq!(
        failed.to_ndjson(),
        concat!(
            r#"{"id":"p\n1","verdict":"failed","reason":"not-an-image","#,
            r#""detail":"the bytes are not a known image format"}"#,
            "\n"
        )
    );
    assert_eq!(
        Line::skipped(text_id("a"), "changed", "").to_ndjson(),
        "{\"id\":\"a\",\"verdict\":\"skipped\",\"reason\":\"changed\"}\n"
    );
    for line in [line, failed] {
        assert_eq!(serde_json::from_str::<Line>(&line.to_ndjson()).expect("reads back"), line);
    }
}

#[test]
fn verdicts_are_spelled_one_way_and_four_are_failures() {
    let spelled: Vec<&str> = Verdict::ALL.iter().map(|verdict| verdict.as_str()).collect();
    let expected = "moved would-move restored would-restore cleaned would-clean kept rewritten would-rewrite saved valid missing corrupted left orphaned \
                    skipped failed";
    assert_eq!(spelled.join(" "), expected);
    for verdict in Verdict::ALL {
        assert_eq!(json!(verdict), json!(verdict.as_str()));
    }
    let failures: Vec<_> = Verdict::ALL.into_iter().filter(|verdict| verdict.is_failure()).collect();
    assert_eq!(failures, [Verdict::Missing, Verdict::Corrupted, Verdict::Left, Verdict::Failed]);
}

#[test]
fn the_longest_line_is_within_its_limit() {
    let line = Line::failed(text_id(&"\u{1}".repeat(1_024)), "a-reason-of-thirty-characters-", &"\u{1}".repeat(5_000))
        .with_bytes(Sha256Digest::of(b""), u64::MAX, "image/svg+xml")
        .from_object(&key(&"\\".repeat(1_024)))
        .to_object(&key(&"\"".repeat(1_024)));
    let text = line.to_ndjson();
    assert!((LINE_MAX_BYTES - 1_000..=LINE_MAX_BYTES).contains(&text.len()), "{}", text.len());
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["from"], format!("r2:{}", "\\".repeat(1_024)), "a key is never cut");
    assert_eq!(value["detail"], "\u{1}".repeat(1_024 / 6));
    let cut = Line::failed(text_id("a"), "r", &format!("{}ß", "x".repeat(1_023)));
    assert_eq!(cut.detail(), Some("x".repeat(1_023).as_str()), "whole characters only");
}

#[test]
fn ids_are_numbers_or_texts_within_their_limits() {
    for (id, json, text) in [
        (ItemId::try_from(-7), json!(-7), "-7"),
        (ItemId::try_from(ITEM_ID_MAX_INTEGER), json!(9_007_199_254_740_991_i64), "9007199254740991"),
        (ItemId::try_from("1".to_owned()), json!("1"), "1"),
        (ItemId::try_from(String::new()), json!(""), ""),
        (ItemId::try_from("é".repeat(512)), json!("é".repeat(512)), &"é".repeat(512)),
    ] {
        let id = id.expect("an id");
        assert_eq!((json!(id), &*id.as_text()), (json.clone(), text));
        assert_eq!(serde_json::from_value::<ItemId>(json).expect("reads back"), id);
    }
    assert_ne!(ItemId::try_from(1).expect("an id"), text_id("1"));
    assert!(matches!(Value::from(&text_id("1")), Value::Text(text) if text.as_local() == Some("1")));
    assert!(matches!(Value::from(&ItemId::try_from(1).expect("an id")), Value::Integer(1)));

    assert_eq!(ItemId::try_from("é".repeat(513)), Err(InvalidItemId));
    for number in [ITEM_ID_MAX_INTEGER + 1, -ITEM_ID_MAX_INTEGER - 1, i64::MIN] {
        assert_eq!(ItemId::try_from(number), Err(InvalidItemId));
    }
    for value in [json!(9_007_199_254_740_992_i64), json!(1.5), json!(null), json!(["a"]), json!("x".repeat(1_025))] {
        assert!(serde_json::from_value::<ItemId>(value.clone()).is_err(), "{value}");
    }
}

#[test]
fn ids_are_in_the_order_of_the_database() {
    let sorted = [
        ItemId::try_from(-1),
        ItemId::try_from(10),
        ItemId::try_from("1".to_owned()),
        ItemId::try_from("Z".to_owned()),
    ]
    .map(|id| id.expect("an id"));
    assert!(sorted.is_sorted());
}
