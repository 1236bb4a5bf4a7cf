//! Records: what is written is read, and the last line proves the others.

use std::collections::VecDeque;

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::json;
use stillstore::migrate::record::{self, Extent, Integrity, Pages, Read, WriteError, Written};
use stillstore::sql::DatabaseError;
use stillstore::store::{ImageStore, MemoryStore, StorageKind};

use crate::reference_sha256::sha256_hex;
use crate::runtime::{TestRuntime, block_on};
use crate::store_database::{Embedded, key};

/// Pages in memory, or an error in place of one.
pub struct Given(VecDeque<Result<String, DatabaseError>>);

impl Given {
    pub fn new(pages: impl IntoIterator<Item = Result<String, DatabaseError>>) -> Self {
        Self(pages.into_iter().collect())
    }

    pub fn texts(pages: &[&str]) -> Self {
        Self::new(pages.iter().map(|page| Ok((*page).to_owned())))
    }
}

#[async_trait(?Send)]
impl Pages for Given {
    async fn next(&mut self) -> Result<Option<String>, DatabaseError> {
        self.0.pop_front().transpose()
    }
}

pub fn memory() -> MemoryStore {
    MemoryStore::new(StorageKind::R2, 100 << 20, TestRuntime::new())
}

/// Writes `pages` under "record", with the extent that they have.
pub fn write(store: &dyn ImageStore, pages: &[&str]) -> Result<Written, WriteError> {
    let content = Extent::of(&pages.concat());
    block_on(record::write(store, key("record"), &json!({"run": "r1"}), content, Given::texts(pages)))
}

/// All lines under "record", and the verdict on them.
pub fn read(store: &dyn ImageStore) -> (Vec<String>, Integrity) {
    let mut record = block_on(record::read(store, &key("record"))).expect("a store").expect("a record");
    let mut lines = Vec::new();
    loop {
        match block_on(record.next()).expect("a read") {
            Read::Line(line) => lines.push(line),
            Read::End(verdict) => return (lines, verdict),
        }
    }
}

/// The bytes under "record".
pub fn stored(store: &MemoryStore) -> Vec<u8> {
    store.contents().remove("record").expect("a record")
}

#[test]
fn a_record_is_its_header_its_lines_and_their_proof() {
    let store = memory();
    let written = write(&store, &["{\"id\":1}\n{\"i", "d\":2}\n", ""]).expect("written");
    let before = "{\"run\":\"r1\"}\n{\"id\":1}\n{\"id\":2}\n";
    let expected = format!("{before}{{\"end\":true,\"lines\":2,\"sha256\":\"{}\"}}\n", sha256_hex(before.as_bytes()));
    assert_eq!(String::from_utf8(stored(&store)).expect("text"), expected);
    assert_eq!((written.lines, written.size_bytes), (2, expected.len() as u64));
    assert_eq!(written.sha256.to_string(), sha256_hex(expected.as_bytes()));
    let info = block_on(store.head(&key("record"))).expect("head").expect("there");
    assert_eq!(info.content_type, "application/x-ndjson");
}

#[test]
fn a_record_without_content_is_whole() {
    let store = memory();
    let written = write(&store, &[]).expect("written");
    let (lines, verdict) = read(&store);
    assert_eq!((lines, verdict), (vec!["{\"run\":\"r1\"}".to_owned()], Integrity::Whole(written)));
}

#[test]
fn the_same_record_again_is_the_same_and_another_is_refused() {
    let store = memory();
    let written = write(&store, &["a\nb\n"]).expect("written");
    assert_eq!(write(&store, &["a\n", "b\n"]).as_ref(), Ok(&written));
    let before = store.contents();
    assert_eq!(write(&store, &["a\nc\n"]), Err(WriteError::KeyTaken));
    assert_eq!(store.contents(), before);
    assert_eq!(block_on(record::check(&store, &key("record"))), Ok(Some(Integrity::Whole(written))));
}

#[test]
fn a_header_is_an_object_of_one_line() {
    let store = memory();
    for header in [json!(1), json!([1]), json!(null), json!({"long": "x".repeat(record::LINE_MAX_BYTES)})] {
        let outcome = block_on(record::write(&store, key("record"), &header, Extent::default(), Given::texts(&[])));
        assert_eq!(outcome, Err(WriteError::Header));
    }
    assert!(store.contents().is_empty());
}

#[test]
fn what_is_not_there_is_none() {
    let store = memory();
    assert!(block_on(record::read(&store, &key("record"))).expect("a store").is_none());
    assert_eq!(block_on(record::check(&store, &key("record"))), Ok(None));
}

#[test]
fn records_larger_than_a_run_come_back_from_the_database_too() {
    let store = Embedded::new();
    let line = format!("{}\n", "é".repeat(100_000));
    let pages: Vec<&str> = vec![&line; 30];
    let written = write(&store.store, &pages).expect("written");
    let bytes = store.read("record").expect("there");
    assert_eq!(written.sha256.to_string(), sha256_hex(&bytes));
    let (lines, verdict) = read(&store.store);
    assert_eq!((lines.len(), verdict), (31, Integrity::Whole(written)));
    assert!(lines[1..].iter().all(|read| *read == line.trim_end()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_lines_in_any_pages_come_back_with_the_right_digests(
        lines in proptest::collection::vec("[^\n]{0,40}", 0..30),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let content: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| content.floor_char_boundary(cut.index(content.len() + 1))).collect();
        cuts.extend([0, content.len()]);
        cuts.sort_unstable();
        let pages: Vec<&str> = cuts.windows(2).map(|cut| &content[cut[0]..cut[1]]).collect();
        let store = memory();
        let written = write(&store, &pages).expect("written");

        let bytes = stored(&store);
        prop_assert_eq!(written.sha256.to_string(), sha256_hex(&bytes));
        prop_assert_eq!((written.size_bytes, written.lines), (bytes.len() as u64, lines.len() as u64));
        let text = String::from_utf8(bytes).expect("text");
        let (before, last) = text.trim_end_matches('\n').rsplit_once('\n').expect("two lines");
        let end: serde_json::Value = serde_json::from_str(last).expect("JSON");
        let sha256 = sha256_hex(format!("{before}\n").as_bytes());
        prop_assert_eq!(end, json!({"end": true, "lines": lines.len(), "sha256": sha256}));

        let (mut read, verdict) = read(&store);
        prop_assert_eq!(read.remove(0), "{\"run\":\"r1\"}");
        prop_assert_eq!(read, lines);
        prop_assert_eq!(verdict, Integrity::Whole(written));
    }
}
