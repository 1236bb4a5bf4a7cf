//! The lines of a backup: data of every kind and length come back as they were, and nothing else passes for them.

use proptest::prelude::*;
use serde_json::value::RawValue;
use stillstore::image::Sha256Digest;
use stillstore::migrate::backup::{
    BLOB_PART_MAX_BYTES, BackupItem, BackupLine, Data, Join, JoinError, Joined, Split, SplitError, Survey,
    TEXT_PART_MAX_JSON_BYTES,
};
use stillstore::migrate::item::ItemId;
use stillstore::migrate::record::{Extent, LINE_MAX_BYTES};

use crate::store_database::picture;

const FORMAT: &str = include_str!("../../docs/backup.md");

/// What an item's data column holds, in the pieces in which it was read.
#[derive(Debug, Clone, PartialEq)]
enum Content {
    Null,
    Text(Vec<String>),
    Blob(Vec<Vec<u8>>),
}

impl Content {
    fn joined(&self) -> Self {
        match self {
            Self::Null => Self::Null,
            Self::Text(pieces) => Self::Text(vec![pieces.concat()]),
            Self::Blob(pieces) => Self::Blob(vec![pieces.concat()]),
        }
    }
}

fn id(text: &str) -> ItemId {
    ItemId::try_from(text.to_owned()).expect("an id")
}

fn item(id: ItemId, columns: &str, data: Data) -> BackupItem {
    let columns = RawValue::from_string(columns.to_owned()).expect("JSON");
    BackupItem { id, source: "images".to_owned(), columns, data }
}

fn text_data(text: &str) -> Data {
    Data::Text { bytes: text.len() as u64, sha256: Sha256Digest::of(text.as_bytes()) }
}

fn survey(id: &ItemId, content: &Content) -> (Data, Extent) {
    let mut survey = Survey::of(id.clone());
    match content {
        Content::Null => (Data::Null, Extent::default()),
        Content::Text(pieces) => {
            for piece in pieces {
                survey.text(piece);
            }
            survey.finish_text()
        }
        Content::Blob(pieces) => {
            for piece in pieces {
                survey.blob(piece);
            }
            survey.finish_blob()
        }
    }
}

/// The lines of an item, checked against what the survey promised.
fn split(id: &ItemId, columns: &str, content: &Content) -> Vec<String> {
    let (data, extent) = survey(id, content);
    let (mut split, first) = Split::begin(&item(id.clone(), columns, data)).expect("begins");
    let mut lines = vec![first];
    match content {
        Content::Null => {}
        Content::Text(pieces) => pieces.iter().for_each(|piece| lines.extend(split.text(piece).expect("text"))),
        Content::Blob(pieces) => pieces.iter().for_each(|piece| lines.extend(split.blob(piece).expect("bytes"))),
    }
    split.finish().expect("all data passed");
    assert_eq!(Extent::of(&lines[1..].concat()), extent);
    lines
}

/// The items in `lines`: id, columns, data.
fn join(lines: &[String]) -> Result<Vec<(ItemId, String, Content)>, JoinError> {
    let mut join = Join::default();
    let mut items: Vec<(ItemId, String, Content)> = Vec::new();
    let mut was_complete = true;
    for line in lines {
        let joined = join.push(line)?;
        let complete = match joined {
            Joined::Item { item, complete } => {
                assert!(was_complete);
                let content = match item.data {
                    Data::Null => Content::Null,
                    Data::Text { .. } => Content::Text(vec![String::new()]),
                    Data::Blob { .. } => Content::Blob(vec![Vec::new()]),
                };
                items.push((item.id, item.columns.get().to_owned(), content));
                complete
            }
            Joined::Text { text, complete } => {
                let Some((_, _, Content::Text(texts))) = items.last_mut() else { panic!("text of no text") };
                texts[0].push_str(&text);
                complete
            }
            Joined::Bytes { bytes, complete } => {
                let Some((_, _, Content::Blob(blobs))) = items.last_mut() else { panic!("bytes of no blob") };
                blobs[0].extend(bytes);
                complete
            }
        };
        was_complete = complete;
    }
    join.finish()?;
    Ok(items)
}

#[test]
fn the_format_is_as_documented() {
    let columns = r#"{"id":"p1","prompt":"a \"lighthouse\"","rating":0.1,"r2_key":null}"#;
    let text = split(&id("p1"), columns, &Content::Text(vec!["data:image/gif;base64,R0lGODlh".to_owned()]));
    let number = ItemId::try_from(7).expect("an id");
    let blob = split(&number, r#"{"id":7}"#, &Content::Blob(vec![b"GIF".to_vec(), b"89a".to_vec()]));
    let null = split(&ItemId::try_from(8).expect("an id"), r#"{"id":8}"#, &Content::Null);
    let expected = [text, blob, null].concat().concat();
    assert!(FORMAT.contains(&format!("```json\n{expected}```")), "docs/backup.md lacks:\n{expected}");
}

#[test]
fn data_of_every_length_come_back_in_lines_of_bounded_length() {
    let mib = TEXT_PART_MAX_JSON_BYTES;
    let texts =
        ["a", "é\"\\\n\u{1}\u{1f9c0}", &"x".repeat(mib), &"x".repeat(mib + 1), &"\u{1}".repeat(mib), &"é".repeat(mib)];
    let blobs = [1, BLOB_PART_MAX_BYTES, BLOB_PART_MAX_BYTES + 1];
    let texts = texts.into_iter().map(|text| Content::Text(vec![text.to_owned()]));
    let blobs = blobs.into_iter().map(|size_bytes| Content::Blob(vec![picture(size_bytes, 3)]));
    let empty = [Content::Null, Content::Text(vec![]), Content::Blob(vec![])];
    let worst_id = id(&"\u{1}".repeat(1_024));
    for content in empty.into_iter().chain(texts).chain(blobs) {
        let lines = split(&worst_id, "{}", &content);
        assert!(lines.iter().all(|line| line.len() <= 1_405_000 && line.ends_with('\n')));
        assert!(lines.iter().all(|line| line.matches('\n').count() == 1));
        assert!(join(&lines) == Ok(vec![(worst_id.clone(), "{}".to_owned(), content.joined())]));
    }
    let longest = split(&worst_id, "{}", &Content::Blob(vec![picture(4 * BLOB_PART_MAX_BYTES, 4)]));
    assert_eq!((longest.len(), longest[1].len() > 1_400_000), (5, true), "a chunk is a part");
}

#[test]
fn columns_stay_in_the_databases_spelling() {
    let columns = r#"{"a":0.1000000000000000055511151231257827,"b":9007199254740993,"c":"\u00e9","a":1e400}"#;
    let lines = split(&id("a"), columns, &Content::Null);
    assert_eq!(join(&lines).expect("joins")[0].1, columns);
    let spaced = split(&id("a"), "{\n \"a\":\n \"b\\nc\"}", &Content::Null);
    assert_eq!(join(&spaced).expect("joins")[0].1, "{  \"a\":  \"b\\nc\"}");
}

#[test]
fn columns_that_no_line_can_hold_are_refused() {
    let begin = |columns: &str| Split::begin(&item(id("a"), columns, Data::Null)).map(|(_, line)| line);
    assert_eq!(begin("[]"), Err(SplitError::Columns));
    assert_eq!(begin("null"), Err(SplitError::Columns));
    let of_length = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    let around = begin("{}").expect("begins").len() - 2;
    assert!(begin(&of_length(LINE_MAX_BYTES - around)).is_ok());
    assert_eq!(begin(&of_length(LINE_MAX_BYTES - around + 1)), Err(SplitError::LongLine));
}

#[test]
fn data_that_changed_since_they_were_described_are_refused() {
    let begin = |data: Data| Split::begin(&item(id("a"), "{}", data)).expect("begins").0;
    let changed = Err(SplitError::Changed);
    let text = |split: &mut Split, text: &str| split.text(text).map(Iterator::count);
    assert_eq!(text(&mut begin(text_data("abc")), "abd"), Err(SplitError::Changed));
    assert_eq!(text(&mut begin(text_data("abc")), "abcd"), Err(SplitError::Changed));
    assert_eq!(text(&mut begin(Data::Null), "abc"), Err(SplitError::Changed));
    assert!(begin(text_data("abc")).blob(b"abc").is_err());
    let mut short = begin(text_data("abc"));
    assert_eq!(text(&mut short, "ab"), Ok(1));
    assert_eq!(short.finish(), changed);
    assert_eq!(begin(text_data("abc")).finish(), changed);
    assert_eq!(begin(Data::Text { bytes: 0, sha256: Sha256Digest::of(b"a") }).finish(), changed);
}

#[test]
fn lines_out_of_place_are_refused() {
    let two_parts = Content::Text(vec!["ab".to_owned(), "cd".to_owned()]);
    let lines = split(&id("a"), "{}", &two_parts);
    let other = split(&id("b"), "{}", &two_parts);
    let [first, part_0, part_1] = [0, 1, 2].map(|index| lines[index].clone());
    for (order, error) in [
        (vec![part_0.clone()], JoinError::OutOfOrder),
        (vec![first.clone(), part_1.clone()], JoinError::OutOfOrder),
        (vec![first.clone(), part_0.clone(), part_0.clone()], JoinError::OutOfOrder),
        (vec![first.clone(), part_0.clone(), first.clone()], JoinError::OutOfOrder),
        (vec![first.clone(), other[1].clone()], JoinError::OutOfOrder),
        (vec![first.clone(), part_0.clone(), part_1.clone(), part_1.clone()], JoinError::OutOfOrder),
        (vec![first.clone(), part_0.clone()], JoinError::WrongData),
        (vec![first.clone()], JoinError::WrongData),
        (vec![first.clone(), part_0.replace("ab", "ax"), part_1.clone()], JoinError::WrongData),
        (vec![first.clone(), part_0.replace("ab", "abcde")], JoinError::WrongData),
        (vec![first.replace("text", "blob"), part_0.replace("ab", "???")], JoinError::NotBase64),
        (vec!["{}\n".to_owned()], JoinError::NotALine),
        (vec![first.replace("{}", "{},\"more\":1")], JoinError::NotALine),
        (vec![first.replace("\"a\"", "1.5")], JoinError::NotALine),
    ] {
        assert_eq!(join(&order).expect_err("refused"), error, "{order:?}");
    }
    let items = join(&[lines, other].concat()).expect("in order");
    assert_eq!(items.len(), 2);
}

#[test]
fn a_part_without_escapes_is_read_without_a_copy() {
    let lines = split(&id("a"), "{}", &Content::Blob(vec![vec![7; 1000]]));
    let BackupLine::Part(part) = BackupLine::parse(&lines[1]).expect("a line") else { panic!("a part") };
    assert!(matches!(part.data, std::borrow::Cow::Borrowed(_)));
    let BackupLine::Item(_) = BackupLine::parse(&lines[0]).expect("a line") else { panic!("an item") };
}

fn contents() -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(Content::Null),
        proptest::collection::vec(any::<String>(), 0..5).prop_map(Content::Text),
        proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..5).prop_map(Content::Blob),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_items_come_back(items in proptest::collection::vec(("[^\0]{0,20}", any::<String>(), contents()), 0..6)) {
        let mut lines = Vec::new();
        let mut expected = Vec::new();
        for (name, prompt, content) in items {
            let columns = serde_json::json!({"prompt": prompt}).to_string();
            lines.extend(split(&id(&name), &columns, &content));
            expected.push((id(&name), columns, content.joined()));
        }
        prop_assert_eq!(join(&lines), Ok(expected));
    }
}
