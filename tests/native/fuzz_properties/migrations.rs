//! What migrations are configured with, and the records that they leave and read again.

use std::cell::OnceCell;
use std::collections::VecDeque;

use async_trait::async_trait;
use rusqlite::Connection;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};
use stillstore::image::{ObjectKey, Sha256Digest};
use stillstore::migrate::backup::{BackupItem, Data, Join, JoinError, Joined, Split, Survey};
use stillstore::migrate::item::ItemId;
use stillstore::migrate::line::{LINE_MAX_BYTES, Line};
use stillstore::migrate::record::{self, Extent, Integrity, Pages, Read};
use stillstore::migrate::table::Identifier;
use stillstore::migrate::{ConfiguredSource, TableSource};
use stillstore::sql::{DatabaseError, Value};
use stillstore::store::{ImageStore as _, Media, MemoryStore, ObjectMetadata, PutObject, StorageKind};

use crate::runtime::{TestRuntime, block_on};

thread_local! {
    static SQLITE: OnceCell<Connection> = const { OnceCell::new() };
}

/// Sources that are accepted keep to the rules, mean the same when written as JSON again, and SQLite takes each quoted name for
/// exactly the name that was configured.
pub fn migration_sources(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(configured) = ConfiguredSource::parse_list(&text) else { return };
    assert!(configured.len() <= 16);
    let sources: Vec<_> = configured
        .iter()
        .filter_map(|configured| match configured {
            ConfiguredSource::Table(source) => Some((source, true)),
            ConfiguredSource::Url(source) => Some((&source.table, false)),
            ConfiguredSource::Bucket(_) => None,
        })
        .collect();
    for (index, (source, has_data)) in sources.iter().enumerate() {
        assert!(sources[..index].iter().all(|(other, _)| other.name != source.name), "{} twice", source.name);
        assert!(
            (1..=32).contains(&source.name.len())
                && source.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        );
        let table = source.table.as_str().to_ascii_lowercase();
        assert!(!["stillstore_", "sqlite_", "_cf_"].iter().any(|prefix| table.starts_with(prefix)), "{table}");
        assert!(source.metadata.len() <= 8 && source.filter.len() <= 8);
        let optional = [&source.media_type, &source.key, &source.status, &source.migrated_at].into_iter().flatten();
        let data = has_data.then_some(&source.data);
        let columns: Vec<_> = [&source.id, &source.url].into_iter().chain(data).chain(optional).collect();
        for (index, column) in columns.iter().enumerate() {
            assert!(columns[..index].iter().all(|other| !other.is(column)), "{column:?} twice");
        }
        let filtered = source.filter.iter().map(|(column, _)| column);
        for name in columns.into_iter().chain([&source.table]).chain(&source.metadata).chain(filtered) {
            check_quoting(name);
        }
    }
    let tables: Vec<_> =
        configured.iter().filter(|configured| matches!(configured, ConfiguredSource::Table(_))).collect();
    let written = tables.iter().filter_map(|configured| match configured {
        ConfiguredSource::Table(source) => Some(to_json(source)),
        ConfiguredSource::Url(_) | ConfiguredSource::Bucket(_) => None,
    });
    let written = Json::from(written.collect::<Vec<_>>()).to_string();
    let again = ConfiguredSource::parse_list(&written).expect("what was accepted is accepted again");
    assert_eq!(format!("{again:?}"), format!("{tables:?}"));
}

fn check_quoting(name: &Identifier) {
    assert!((1..=64).contains(&name.as_str().len()));
    SQLITE.with(|connection| {
        let connection = connection.get_or_init(|| Connection::open_in_memory().expect("open"));
        let statement = connection.prepare(&format!("SELECT 1 AS {}", name.quoted())).expect("a quoted name is SQL");
        assert_eq!(statement.column_names(), [name.as_str()]);
    });
}

fn to_json(source: &TableSource) -> Json {
    let name = |column: &Identifier| json!(column.as_str());
    let optional = |column: &Option<Identifier>| column.as_ref().map_or(Json::Null, name);
    let value = |value: &Value| match value {
        Value::Null => Json::Null,
        Value::Integer(number) => json!(number),
        Value::Text(text) => json!(text.as_local()),
        Value::Base64(_) => panic!("bytes in a filter"),
    };
    let filter: Map<_, _> =
        source.filter.iter().map(|(column, wanted)| (column.as_str().to_owned(), value(wanted))).collect();
    json!({
        "name": source.name, "binding": source.binding, "table": name(&source.table), "id": name(&source.id),
        "data": name(&source.data), "type": optional(&source.media_type), "url": name(&source.url),
        "key": optional(&source.key), "status": optional(&source.status), "migratedAt": optional(&source.migrated_at),
        "metadata": source.metadata.iter().map(name).collect::<Vec<_>>(), "filter": filter,
    })
}

/// A record is taken for whole exactly when its last line proves the bytes before it; what is written is read again. A receipt's line
/// is within its length whatever stands in it, and is read as it was.
///
/// The input is an object's bytes, in which `{end}` stands for the line that proves what is before it.
pub fn run_record(input: &[u8]) {
    let bytes = match find(input, b"{end}") {
        Some(at) => [&input[..at], end_of(&input[..at]).as_bytes(), &input[at + 5..]].concat(),
        None => input.to_vec(),
    };
    let (lines, verdict) = read(&holding(bytes.clone()));
    assert!(lines.iter().all(|line| !line.contains('\n')));
    let proof =
        bytes.strip_suffix(b"\n").map(|lines| lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    let is_proved = proof.is_some_and(|at| at > 0 && bytes[at..] == *end_of(&bytes[..at]).as_bytes());
    let is_text = std::str::from_utf8(&bytes).is_ok();
    assert_eq!(matches!(verdict, Integrity::Whole(_)), is_proved && is_text, "{verdict:?}");
    if let Integrity::Whole(written) = verdict {
        assert_eq!((written.size_bytes, written.sha256), (bytes.len() as u64, Sha256Digest::of(&bytes)));
        assert_eq!(written.lines + 1, lines.len() as u64);
    }

    let text = String::from_utf8_lossy(input);
    let content = text.lines().flat_map(|line| [line, "\n"]).collect::<String>();
    let (start, rest) = content.split_at(content.char_indices().nth(7).map_or(0, |(at, _)| at));
    let pages = Given([start, rest].map(str::to_owned).into());
    let store = memory();
    let header = json!({ "run": "r1" });
    block_on(record::write(&store, key(), &header, Extent::of(&content), pages)).expect("a record");
    let (lines, verdict) = read(&store);
    assert!(matches!(verdict, Integrity::Whole(_)));
    assert_eq!(lines[1..].iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>(), content);

    let Ok(id) = ItemId::try_from(text.chars().take(100).collect::<String>()) else { return };
    let line = Line::failed(id, "reason", &text).from_place(&text).to_place(&text.repeat(4));
    let written = line.to_ndjson();
    assert!(written.len() <= LINE_MAX_BYTES && written.find('\n') == Some(written.len() - 1));
    assert_eq!(serde_json::from_str::<Line>(&written).ok(), Some(line));
    if let Ok(line) = serde_json::from_str::<Line>(&text) {
        assert_eq!(serde_json::from_str::<Line>(&line.to_ndjson()).ok(), Some(line));
    }
}

/// Pages in memory.
struct Given(VecDeque<String>);

#[async_trait(?Send)]
impl Pages for Given {
    async fn next(&mut self) -> Result<Option<String>, DatabaseError> {
        Ok(self.0.pop_front())
    }
}

fn key() -> ObjectKey {
    ObjectKey::try_from("record".to_owned()).expect("a key")
}

fn memory() -> MemoryStore {
    MemoryStore::new(StorageKind::R2, 100 << 20, TestRuntime::new())
}

fn holding(bytes: Vec<u8>) -> MemoryStore {
    let store = memory();
    let (key, body, metadata) = (key(), bytes.into(), ObjectMetadata::new());
    block_on(store.put(PutObject { key, body, media: Media::Ndjson, sha256: None, metadata })).expect("put");
    store
}

/// All lines of the record, and the verdict on them.
fn read(store: &MemoryStore) -> (Vec<String>, Integrity) {
    let mut record = block_on(record::read(store, &key())).expect("a store").expect("a record");
    let mut lines = Vec::new();
    loop {
        match block_on(record.next()).expect("a read") {
            Read::Line(line) => lines.push(line),
            Read::End(verdict) => return (lines, verdict),
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The line that proves `before`, which is the first line and those of the content.
fn end_of(before: &[u8]) -> String {
    let lines = before.split(|byte| *byte == b'\n').count().saturating_sub(2);
    format!("{{\"end\":true,\"lines\":{lines},\"sha256\":\"{}\"}}\n", Sha256Digest::of(before))
}

/// Any text and any bytes come back from a backup's lines as they were, in whatever pieces they went in. Where one byte of the lines
/// is another, or lines are made up, what comes back has the digest that its item's line says, or nothing does.
///
/// The first two bytes say which byte is changed, the third to what; the rest are the data.
pub fn backup_lines(input: &[u8]) {
    let made_up = String::from_utf8_lossy(input);
    let _ = join(made_up.split_inclusive('\n'));
    let Some(([high, low, changed], data)) = input.split_first_chunk() else { return };
    let id = ItemId::try_from("p1".to_owned()).expect("an id");
    let text = String::from_utf8_lossy(data);
    for is_text in [true, false] {
        let pieces: Vec<_> = if is_text { text.split_inclusive(' ').collect() } else { vec![] };
        let mut survey = Survey::of(id.clone());
        for piece in &pieces {
            survey.text(piece);
        }
        let chunks = || data.chunks(usize::from(*high) + 1).filter(|_| !is_text);
        chunks().for_each(|chunk| survey.blob(chunk));
        let (described, _) = if is_text { survey.finish_text() } else { survey.finish_blob() };
        let columns = RawValue::from_string(json!({ "id": "p1", "prompt": text }).to_string()).expect("JSON");
        let item = BackupItem { id: id.clone(), source: "images".to_owned(), columns, data: described };
        let (mut split, first) = Split::begin(&item).expect("begins");
        let mut lines = vec![first];
        for piece in &pieces {
            lines.extend(split.text(piece).expect("text"));
        }
        chunks().for_each(|chunk| lines.extend(split.blob(chunk).expect("bytes")));
        split.finish().expect("all data passed");

        let expected = if is_text { text.as_bytes() } else { data };
        assert_eq!(join(lines.iter().map(String::as_str)).ok(), Some(vec![expected.to_vec()]));
        let mut bytes = lines.concat().into_bytes();
        let at = usize::from(u16::from_be_bytes([*high, *low])) % bytes.len();
        bytes[at] = *changed;
        if let Ok(damaged) = String::from_utf8(bytes)
            && let Ok(items) = join(damaged.split_inclusive('\n'))
        {
            assert!(items.iter().all(|item| item == expected), "a damaged backup gives other data");
        }
    }
}

/// The data of the items in `lines`, each proved by its digest.
fn join<'line>(lines: impl Iterator<Item = &'line str>) -> Result<Vec<Vec<u8>>, JoinError> {
    let mut join = Join::default();
    let mut items = Vec::<(Data, Vec<u8>)>::new();
    for line in lines {
        let (bytes, is_complete) = match join.push(line)? {
            Joined::Item { item, complete } => {
                items.push((item.data, Vec::new()));
                (Vec::new(), complete)
            }
            Joined::Text { text, complete } => (text.into_bytes(), complete),
            Joined::Bytes { bytes, complete } => (bytes, complete),
        };
        let (data, so_far) = items.last_mut().expect("data of no item");
        so_far.extend(bytes);
        if let (true, Data::Text { bytes, sha256 } | Data::Blob { bytes, sha256 }) = (is_complete, &*data) {
            assert_eq!((*bytes, *sha256), (so_far.len() as u64, Sha256Digest::of(so_far)));
        }
    }
    join.finish()?;
    Ok(items.into_iter().map(|(_, bytes)| bytes).collect())
}
