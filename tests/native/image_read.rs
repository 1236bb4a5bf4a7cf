//! Conditional and ranged reads: chosen cases, then all of it against a model.

use proptest::prelude::*;
use proptest::sample::select;
use stillstore::image::{
    EntityTag, ReadMethod, ReadRequest, Representation, ServeDecision, Sha256Digest, format_http_date, parse_http_date,
};
use stillstore::runtime::Timestamp;
use stillstore::store::ByteRange;

use crate::image_read_model::{Answer, Fields, answer};

const GET: ReadRequest = ReadRequest::unconditional(ReadMethod::Get);
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const MODIFIED_SECOND: i64 = 784_111_777;

const PART: ServeDecision = ServeDecision::Partial(ByteRange { offset_bytes: 0, length_bytes: 4 });

/// The answer for an image of 10 bytes with the tag `"a,b"`, modified half a second after [`MODIFIED`].
fn decide(request: &ReadRequest) -> ServeDecision {
    decide_for(request, "a,b", 10)
}

fn decide_for(request: &ReadRequest, tag: &str, size_bytes: u64) -> ServeDecision {
    let entity_tag = &EntityTag::strong(tag).expect("tag");
    let last_modified = Timestamp::from_millis(MODIFIED_SECOND * 1000 + 500);
    request.decide(&Representation { entity_tag, last_modified, size_bytes })
}

#[test]
fn entity_tags_are_quoted_digests() {
    let digest = Sha256Digest::of(b"");
    let expected = "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"";
    assert_eq!(EntityTag::from(&digest).to_string(), expected);
    for opaque in ["a b", "a\"b", "a\tb", "\u{7F}", "\n"] {
        assert_eq!(EntityTag::strong(opaque), None, "{opaque:?}");
    }
    assert_eq!(EntityTag::strong("!#,W/*\\é~").expect("tag").to_string(), "\"!#,W/*\\é~\"");
}

#[test]
fn if_match_compares_strongly() {
    for (list, is_met) in [
        ("*", true),
        (" * ", true),
        ("\"a,b\"", true),
        ("\"x\", \"a,b\"", true),
        (",, \"x\"\t,\"a,b\" ,", true),
        ("W/\"a,b\"", false),
        ("\"a\",\"b\"", false),
        ("\"A,B\"", false),
        ("a,b", false),
        ("", false),
        ("\"a,b", false),
        ("w/\"a,b\"", false),
        ("\"x\" \"a,b\"", false),
        ("\"x y\", \"a,b\"", false),
        ("*, \"a,b\"", false),
        ("\"x\", *", false),
    ] {
        let expected = if is_met { ServeDecision::Full } else { ServeDecision::PreconditionFailed };
        assert_eq!(decide(&ReadRequest { if_match: Some(list), ..GET }), expected, "{list}");
    }
}

#[test]
fn if_none_match_compares_weakly() {
    for (list, is_known) in [
        ("*", true),
        ("\"a,b\"", true),
        ("W/\"a,b\"", true),
        ("W/\"x\", W/\"a,b\"", true),
        ("\"x\"", false),
        ("a,b", false),
        ("", false),
    ] {
        let expected = if is_known { ServeDecision::NotModified } else { ServeDecision::Full };
        assert_eq!(decide(&ReadRequest { if_none_match: Some(list), ..GET }), expected, "{list}");
        let head = ReadRequest::unconditional(ReadMethod::Head);
        assert_eq!(decide(&ReadRequest { if_none_match: Some(list), ..head }), expected, "HEAD {list}");
    }
}

#[test]
fn dates_count_in_whole_seconds() {
    let invalid = [LATER, EARLIER].join(", ");
    for (date, since, unmodified) in [
        (EARLIER, ServeDecision::Full, ServeDecision::PreconditionFailed),
        (MODIFIED, ServeDecision::NotModified, ServeDecision::Full),
        (LATER, ServeDecision::NotModified, ServeDecision::Full),
        ("Sunday, 06-Nov-94 08:49:37 GMT", ServeDecision::NotModified, ServeDecision::Full),
        ("Sun Nov  6 08:49:37 1994", ServeDecision::NotModified, ServeDecision::Full),
        ("Mon, 06 Nov 1994 08:49:37 GMT", ServeDecision::Full, ServeDecision::Full),
        ("yesterday", ServeDecision::Full, ServeDecision::Full),
        ("0", ServeDecision::Full, ServeDecision::Full),
        (&invalid, ServeDecision::Full, ServeDecision::Full),
    ] {
        assert_eq!(decide(&ReadRequest { if_modified_since: Some(date), ..GET }), since, "{date}");
        assert_eq!(decide(&ReadRequest { if_unmodified_since: Some(date), ..GET }), unmodified, "{date}");
    }
}

#[test]
fn conditions_have_an_order() {
    let all = ReadRequest {
        if_match: Some("\"x\""),
        if_unmodified_since: Some(EARLIER),
        if_none_match: Some("*"),
        if_modified_since: Some(LATER),
        range: Some("bytes=99-"),
        ..GET
    };
    assert_eq!(decide(&all), ServeDecision::PreconditionFailed);
    let matched = ReadRequest { if_match: Some("*"), ..all };
    assert_eq!(decide(&matched), ServeDecision::NotModified, "If-Unmodified-Since gives way to If-Match");
    let unknown = ReadRequest { if_none_match: Some("\"x\""), ..matched };
    assert_eq!(decide(&unknown), ServeDecision::RangeNotSatisfiable, "If-Modified-Since gives way to If-None-Match");
    assert_eq!(decide(&ReadRequest { if_range: Some("\"x\""), ..unknown }), ServeDecision::Full);
}

#[test]
fn if_range_wants_this_very_image() {
    for (validator, expected) in [
        ("\"a,b\"", PART),
        (MODIFIED, PART),
        ("Sun Nov  6 08:49:37 1994", PART),
        ("W/\"a,b\"", ServeDecision::Full),
        ("\"x\"", ServeDecision::Full),
        ("\"a,b\", \"x\"", ServeDecision::Full),
        ("*", ServeDecision::Full),
        (EARLIER, ServeDecision::Full),
        (LATER, ServeDecision::Full),
        ("", ServeDecision::Full),
        ("junk", ServeDecision::Full),
    ] {
        let request = ReadRequest { if_range: Some(validator), range: Some("bytes=0-3"), ..GET };
        assert_eq!(decide(&request), expected, "{validator}");
    }
    assert_eq!(decide(&ReadRequest { if_range: Some("\"a,b\""), ..GET }), ServeDecision::Full, "no range");
}

#[test]
fn a_vertical_tab_is_no_white_space_around_a_range() {
    for range in ["bytes=1-\u{b}", "bytes=\u{c}1-", "bytes=1-\u{a0}"] {
        assert_eq!(decide(&ReadRequest { range: Some(range), ..GET }), ServeDecision::Full, "{range:?}");
    }
}

#[test]
fn ranges_of_ten_bytes() {
    let part = |offset_bytes, length_bytes| ServeDecision::Partial(ByteRange { offset_bytes, length_bytes });
    for (range, expected) in [
        ("bytes=0-3", part(0, 4)),
        ("bytes=9-9", part(9, 1)),
        ("bytes=0-", part(0, 10)),
        ("bytes=4-", part(4, 6)),
        ("bytes=4-400", part(4, 6)),
        ("bytes=-3", part(7, 3)),
        ("bytes=-10", part(0, 10)),
        ("bytes=-11", part(0, 10)),
        ("BYTES=0-3", part(0, 4)),
        ("bytes=, 0-3 ,", part(0, 4)),
        ("bytes=00000000000000000000000-0000000000000000000000003", part(0, 4)),
        ("bytes=0-99999999999999999999999", part(0, 10)),
        ("bytes=-99999999999999999999999", part(0, 10)),
        ("bytes=10-", ServeDecision::RangeNotSatisfiable),
        ("bytes=10-11", ServeDecision::RangeNotSatisfiable),
        ("bytes=-0", ServeDecision::RangeNotSatisfiable),
        ("bytes=18446744073709551615-", ServeDecision::RangeNotSatisfiable),
        ("bytes=99999999999999999999998-99999999999999999999999", ServeDecision::RangeNotSatisfiable),
        ("bytes=99999999999999999999999-99999999999999999999998", ServeDecision::Full),
        ("bytes=3-0", ServeDecision::Full),
        ("bytes=30-20", ServeDecision::Full),
        ("bytes=0-1,4-5", ServeDecision::Full),
        ("bytes=20-21,40-", ServeDecision::Full),
        ("bytes=-", ServeDecision::Full),
        ("bytes=", ServeDecision::Full),
        ("bytes", ServeDecision::Full),
        ("", ServeDecision::Full),
        ("bytes=a-b", ServeDecision::Full),
        ("bytes=+1-3", ServeDecision::Full),
        ("bytes=1-+3", ServeDecision::Full),
        ("bytes=1--3", ServeDecision::Full),
        ("bytes=--3", ServeDecision::Full),
        ("bytes=1 - 3", ServeDecision::Full),
        ("bytes=0x1-3", ServeDecision::Full),
        ("bytes=1", ServeDecision::Full),
        ("items=0-3", ServeDecision::Full),
        ("bytes =0-3", ServeDecision::Full),
        ("bytes=0-3=", ServeDecision::Full),
    ] {
        assert_eq!(decide(&ReadRequest { range: Some(range), ..GET }), expected, "{range}");
        let head = ReadRequest { range: Some(range), ..ReadRequest::unconditional(ReadMethod::Head) };
        assert_eq!(decide(&head), ServeDecision::Full, "HEAD {range}");
    }
}

#[test]
fn ranges_of_no_bytes_and_of_the_most() {
    for (range, expected) in [
        ("bytes=0-", ServeDecision::RangeNotSatisfiable),
        ("bytes=0-0", ServeDecision::RangeNotSatisfiable),
        ("bytes=-0", ServeDecision::RangeNotSatisfiable),
        ("bytes=-5", ServeDecision::Full),
    ] {
        assert_eq!(decide_for(&ReadRequest { range: Some(range), ..GET }, "a", 0), expected, "{range}");
    }
    let all = ServeDecision::Partial(ByteRange { offset_bytes: 0, length_bytes: u64::MAX });
    assert_eq!(decide_for(&ReadRequest { range: Some("bytes=0-"), ..GET }, "a", u64::MAX), all);
    assert_eq!(decide_for(&ReadRequest { range: Some("bytes=-18446744073709551616"), ..GET }, "a", u64::MAX), all);
}

#[test]
fn content_range_names_the_part_or_the_size() {
    assert_eq!(PART.content_range(10).as_deref(), Some("bytes 0-3/10"));
    let last_byte = ServeDecision::Partial(ByteRange { offset_bytes: u64::MAX - 1, length_bytes: 1 });
    assert_eq!(
        last_byte.content_range(u64::MAX).as_deref(),
        Some("bytes 18446744073709551614-18446744073709551614/18446744073709551615")
    );
    assert_eq!(ServeDecision::RangeNotSatisfiable.content_range(10).as_deref(), Some("bytes */10"));
    for other in [ServeDecision::Full, ServeDecision::NotModified, ServeDecision::PreconditionFailed] {
        assert_eq!(other.content_range(10), None);
    }
}

#[test]
fn http_dates_stay_within_their_form() {
    for (moment_ms, text) in [
        (MODIFIED_SECOND * 1000 + 999, MODIFIED),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (-1, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (i64::MIN, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (253_402_300_799_999, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        assert_eq!(format_http_date(Timestamp::from_millis(moment_ms)), text);
        assert!(parse_http_date(text).is_some(), "{text}");
    }
    for text in ["Sat, 30 Feb 2024 00:00:00 GMT", "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:49:37 CET"] {
        assert_eq!(parse_http_date(text), None, "{text}");
    }
}

/// Texts around the ones that mean something for the tag `"a,b"`.
fn tag_list() -> impl Strategy<Value = String> {
    let element =
        select(vec!["\"a,b\"", "W/\"a,b\"", "\"x\"", "W/\"x\"", "\"\"", "*", "", "junk", "\"open", "\"a b\""]);
    let separator = select(vec![",", ", ", " ,\t", ",,", " "]);
    prop::collection::vec((element, separator), 0..4)
        .prop_map(|pairs| pairs.into_iter().flat_map(|(element, separator)| [element, separator]).collect::<String>())
        .prop_flat_map(|list| select(vec![list.trim_end_matches([' ', ',', '\t']).to_owned(), list]))
}

fn date() -> impl Strategy<Value = String> {
    let zone = select(vec![" GMT", "", " UTC"]);
    let second = prop_oneof![(-2..3_i64).prop_map(|offset| MODIFIED_SECOND + offset), 0..4_000_000_000_i64];
    (second, zone).prop_map(|(second, zone)| {
        let date = format_http_date(Timestamp::from_millis(second * 1000));
        date.replace(" GMT", zone)
    })
}

fn range() -> impl Strategy<Value = String> {
    let number = || {
        let large = select(vec!["", "00000000000000000000000007", "18446744073709551615", "99999999999999999999999"]);
        prop_oneof![4 => (0..25_u64).prop_map(|number| number.to_string()), 1 => large.prop_map(str::to_owned)]
    };
    let spec = prop_oneof![
        6 => (number(), number()).prop_map(|(first, last)| format!("{first}-{last}")),
        1 => number().prop_map(|first| format!("{first}-")),
        1 => number().prop_map(|suffix| format!("-{suffix}")),
        1 => select(vec!["", " ", "-", "a-b", "1-2-3", "+1-2"]).prop_map(str::to_owned),
    ];
    let unit = prop_oneof![8 => Just("bytes="), 1 => select(vec!["Bytes=", "items=", "bytes", "bytes =", "="])];
    (unit, prop::collection::vec(spec, 1..3)).prop_map(|(unit, specs)| unit.to_owned() + &specs.join(", "))
}

fn fields() -> impl Strategy<Value = Fields> {
    let rarely = |value: BoxedStrategy<String>| prop::option::weighted(0.3, value);
    let validator = prop_oneof![tag_list(), date()];
    (
        any::<bool>(),
        rarely(tag_list().boxed()),
        rarely(date().boxed()),
        rarely(tag_list().boxed()),
        rarely(date().boxed()),
        rarely(validator.boxed()),
        prop::option::weighted(0.8, range()),
    )
        .prop_map(|(is_get, if_match, if_unmodified_since, if_none_match, if_modified_since, if_range, range)| {
            Fields { is_get, if_match, if_unmodified_since, if_none_match, if_modified_since, if_range, range }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn reads_are_answered_as_the_model_says(fields in fields(), size_bytes in 0..20_u64) {
        let request = ReadRequest {
            method: if fields.is_get { ReadMethod::Get } else { ReadMethod::Head },
            if_match: fields.if_match.as_deref(),
            if_unmodified_since: fields.if_unmodified_since.as_deref(),
            if_none_match: fields.if_none_match.as_deref(),
            if_modified_since: fields.if_modified_since.as_deref(),
            if_range: fields.if_range.as_deref(),
            range: fields.range.as_deref(),
        };
        let decision = decide_for(&request, "a,b", size_bytes);
        let content_range = decision.content_range(size_bytes);
        let bytes: Vec<u64> = match decision {
            ServeDecision::Full => (0..size_bytes).collect(),
            ServeDecision::Partial(part) => (part.offset_bytes..part.offset_bytes + part.length_bytes).collect(),
            _ => Vec::new(),
        };
        let status = match decision {
            ServeDecision::Full => 200,
            ServeDecision::Partial(_) => 206,
            ServeDecision::NotModified => 304,
            ServeDecision::PreconditionFailed => 412,
            ServeDecision::RangeNotSatisfiable => 416,
        };
        let expected = answer(&fields, "a,b", MODIFIED_SECOND, size_bytes);
        prop_assert_eq!(Answer { status, bytes, content_range }, expected);
    }

    #[test]
    fn any_field_values_are_answered(values in prop::collection::vec(prop::option::of(".{0,30}"), 6), size_bytes: u64) {
        let value = |index: usize| values[index].as_deref();
        let request = ReadRequest {
            method: ReadMethod::Get,
            if_match: value(0),
            if_unmodified_since: value(1),
            if_none_match: value(2),
            if_modified_since: value(3),
            if_range: value(4),
            range: value(5),
        };
        if let ServeDecision::Partial(part) = decide_for(&request, "a,b", size_bytes) {
            prop_assert!(part.length_bytes > 0);
            prop_assert!(part.offset_bytes.checked_add(part.length_bytes).is_some_and(|end| end <= size_bytes));
        }
    }

    #[test]
    fn http_dates_round_trip(second in 0..253_402_300_800_i64, millisecond in 0..1000_i64) {
        let text = format_http_date(Timestamp::from_millis(second * 1000 + millisecond));
        prop_assert_eq!(parse_http_date(&text), Some(Timestamp::from_millis(second * 1000)));
    }
}
