//! An application with a table of pictures, and what it must find in its rows at every moment.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Value as Json, json};
use stillstore::bytes::Text;
use stillstore::migrate::value::{StoredText, decode};
use stillstore::sql::Value;

use crate::image_fixtures::bytes;
use crate::migrate_table::{base64, execute, hex, large_jpeg, query};
use crate::sqlite::Sqlite;

/// The name of the source.
pub const SHOP: &str = "shop";
/// The binding of a database of the application's own.
pub const BINDING: &str = "SHOP_DB";
/// What the URLs begin with that a move writes.
const OURS: [&str; 2] = ["https://images.example/images/", "https://bucket.example/tables/shop/"];

/// A table before anything happens.
#[derive(Debug, Clone)]
pub struct Opening {
    pub own_database: bool,
    pub integer_ids: bool,
    pub rows: Vec<Form>,
}

/// How the application writes a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Base64,
    DataUrl,
    Lines,
    UrlSafe,
    /// White space in an odd place: the value cannot be had from the bytes.
    Spaced,
    Percent,
    Blob,
    /// In pieces, on its way between the database and Stillstore.
    LargeBlob,
    /// No picture.
    NotBase64,
    NotAnImage,
    Truncated,
    Empty,
}

impl Form {
    pub const ALL: [Self; 12] = [
        Self::Base64,
        Self::DataUrl,
        Self::Lines,
        Self::UrlSafe,
        Self::Spaced,
        Self::Percent,
        Self::Blob,
        Self::LargeBlob,
        Self::NotBase64,
        Self::NotAnImage,
        Self::Truncated,
        Self::Empty,
    ];

    /// A picture that differs for each seed, and the value that stands for it, its type in front.
    fn write(self, seed: u16) -> (Option<Vec<u8>>, String) {
        let picture = jpeg_with(&bytes("baseline.jpg"), seed);
        let encoded = base64(&picture);
        let text = |value: String| (Some(picture.clone()), format!("t{value}"));
        match self {
            Self::Base64 => text(encoded),
            Self::DataUrl => text(format!("data:image/jpeg;base64,{encoded}")),
            Self::Lines => {
                let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
                text(lines.join("\n") + "\n")
            }
            Self::UrlSafe => text(encoded.replace('+', "-").replace('/', "_").replace('=', "")),
            Self::Spaced => text(format!("{} {}", &encoded[..10], &encoded[10..])),
            Self::Percent => {
                let svg = format!("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{seed}\" height=\"1\"/>");
                (
                    Some(svg.clone().into_bytes()),
                    format!("tdata:image/svg+xml,{}", svg.replace('<', "%3C").replace('>', "%3E")),
                )
            }
            Self::Blob => (Some(picture.clone()), format!("b{}", hex(&picture))),
            Self::LargeBlob => {
                let jpeg = jpeg_with(&large_jpeg(1_450_000), seed);
                let value = format!("b{}", hex(&jpeg));
                (Some(jpeg), value)
            }
            Self::NotBase64 => (None, format!("tno picture {seed}!")),
            Self::NotAnImage => (None, format!("t{}", base64(format!("neither is this {seed}").as_bytes()))),
            Self::Truncated => (None, format!("t{}", base64(&picture[..picture.len() - 20]))),
            Self::Empty => (None, "t".to_owned()),
        }
    }
}

/// What the application does to a row, in one statement of its own.
#[derive(Debug, Clone, Copy)]
pub enum Write {
    /// A new picture; a careful application takes back the URL of the old one.
    Picture {
        form: Form,
        keeps_url: bool,
    },
    Note,
    DropData,
    Delete,
    /// The picture is somewhere else from now on.
    Elsewhere,
    /// The row leaves the source's filter, or comes back.
    Kind,
    /// A new row, under the id of one that was deleted when there is one.
    Insert(Form),
}

/// A row as the application knows it.
#[derive(Debug, Clone)]
struct Row {
    picture: Option<Vec<u8>>,
    data: Option<String>,
    /// The columns that a move writes, as they were before it.
    columns: Json,
    note: String,
    kind: &'static str,
    /// The URL of an older picture that the application left in the row when it wrote a new one.
    stale_url: Option<String>,
    /// The application dropped the data when the row had a copy, so that it may come back, as the same picture.
    dropped: bool,
}

pub struct Shop {
    pub sqlite: Rc<Sqlite>,
    rows: RefCell<BTreeMap<String, Row>>,
    deleted: RefCell<BTreeSet<String>>,
    integer_ids: bool,
    seed: Cell<u16>,
}

/// The source as `MIGRATION_SOURCES` says it.
pub fn source(opening: &Opening) -> Json {
    let mut source = json!({"name": SHOP, "table": "photos", "id": "id", "data": "picture", "url": "picture_url", "key": "r2_key",
        "status": "state", "migratedAt": "moved_at", "metadata": ["note"], "filter": {"kind": "photo"}});
    if opening.own_database {
        source["binding"] = json!(BINDING);
    }
    source
}

const COLUMNS: &str = "json_array(picture_url, r2_key, state, moved_at)";

impl Shop {
    pub fn open(opening: &Opening, sqlite: Rc<Sqlite>) -> Self {
        let id = if opening.integer_ids { "INTEGER PRIMARY KEY" } else { "TEXT PRIMARY KEY NOT NULL" };
        let table = format!(
            "CREATE TABLE photos (id {id}, picture, picture_url TEXT, r2_key TEXT, state TEXT, moved_at, kind TEXT, note TEXT)"
        );
        execute(&sqlite, &table, Vec::new());
        let shop = Self {
            sqlite,
            rows: RefCell::default(),
            deleted: RefCell::default(),
            integer_ids: opening.integer_ids,
            seed: Cell::default(),
        };
        for form in &opening.rows {
            shop.write(0, Write::Insert(*form));
        }
        shop
    }

    fn next_seed(&self) -> u16 {
        self.seed.set(self.seed.get() + 1);
        self.seed.get()
    }

    fn update(&self, id: &str, set: &str, params: Vec<Value>) {
        execute(&self.sqlite, &format!("UPDATE photos SET {set} WHERE CAST(id AS TEXT) = '{id}'"), params);
    }

    fn row(&self, id: &str) -> Option<Json> {
        let sql = format!(
            "SELECT {COLUMNS} AS columns, picture_url AS url, kind, note, substr(typeof(picture), 1, 1) || \
             CASE typeof(picture) WHEN 'blob' THEN hex(picture) ELSE picture END AS data FROM photos WHERE CAST(id AS TEXT) = '{id}'"
        );
        query(&self.sqlite, &sql).pop()
    }

    /// How many rows have their picture in the database only, in the bucket, and in both, given the entries of the journal.
    pub fn places(&self, entries: &[Json]) -> [u64; 3] {
        let mut places = [0; 3];
        let rows =
            "SELECT CAST(id AS TEXT) AS id, picture IS NOT NULL AS has_data, picture_url AS url, kind FROM photos";
        for row in query(&self.sqlite, rows) {
            let stands = entries.iter().any(|entry| entry["item_id"] == row["id"] && entry["url"] == row["url"]);
            let has_data = row["has_data"] == 1;
            places[0] += u64::from(has_data && !stands && row["kind"] == "photo");
            places[1] += u64::from(stands);
            places[2] += u64::from(stands && has_data);
        }
        places
    }

    /// The id of a row, any number standing for one.
    pub fn nth_id(&self, number: u8) -> Option<String> {
        let rows = self.rows.borrow();
        rows.keys().nth(usize::from(number) % rows.len().max(1)).cloned()
    }

    pub fn write(&self, number: u8, write: Write) {
        if let Write::Insert(form) = write {
            return self.insert(form);
        }
        let Some(id) = self.nth_id(number) else { return };
        let before = self.row(&id).expect("the row is there");
        let url = before["url"].as_str().map(str::to_owned);
        let has_copy = url.as_deref().is_some_and(is_ours);
        let mut rows = self.rows.borrow_mut();
        let row = rows.get_mut(&id).expect("a row");
        if row.dropped && !before["data"].is_null() {
            row.data = before["data"].as_str().map(str::to_owned);
            row.dropped = false;
        }
        match write {
            Write::Picture { form, keeps_url } => {
                let (picture, data) = form.write(self.next_seed());
                let (expression, value) = express(&data);
                let and_url = if keeps_url { "" } else { ", picture_url = NULL" };
                self.update(&id, &format!("picture = {expression}{and_url}"), vec![value]);
                (row.picture, row.data, row.dropped) = (picture, Some(data), false);
                row.stale_url = url.filter(|_| has_copy && keeps_url);
                if !keeps_url {
                    row.columns = self.row(&id).expect("the row")["columns"].clone();
                }
            }
            Write::Note => {
                row.note = format!("note {}", self.next_seed());
                self.update(&id, "note = ?1", vec![row.note.as_str().into()]);
            }
            Write::DropData if row.stale_url.is_some() => {}
            Write::DropData => {
                self.update(&id, "picture = NULL", Vec::new());
                row.dropped = has_copy;
                if !has_copy {
                    (row.picture, row.data) = (None, None);
                }
            }
            Write::Delete => {
                execute(&self.sqlite, &format!("DELETE FROM photos WHERE CAST(id AS TEXT) = '{id}'"), Vec::new());
                rows.remove(&id);
                self.deleted.borrow_mut().insert(id);
            }
            Write::Elsewhere => {
                self.update(&id, "picture_url = 'https://elsewhere.example/a.png'", Vec::new());
                row.columns = self.row(&id).expect("the row")["columns"].clone();
                (row.stale_url, row.dropped) = (None, false);
                if before["data"].is_null() {
                    (row.picture, row.data) = (None, None);
                }
            }
            Write::Kind => {
                row.kind = if row.kind == "photo" { "icon" } else { "photo" };
                self.update(&id, "kind = ?1", vec![row.kind.into()]);
            }
            // Needs no row.
            Write::Insert(_) => {}
        }
    }

    fn insert(&self, form: Form) {
        let again = self.deleted.borrow_mut().pop_first();
        let seed = self.next_seed();
        let id = again.unwrap_or_else(|| if self.integer_ids { seed.to_string() } else { format!("row {seed}") });
        let (picture, data) = form.write(seed);
        let (expression, value) = express(&data);
        let key = if self.integer_ids { id.clone() } else { format!("'{id}'") };
        // What is in the columns before a move is as odd as it may be.
        let (url, state) = if seed.is_multiple_of(3) { ("'/old.png'", "7") } else { ("NULL", "NULL") };
        let sql = format!(
            "INSERT INTO photos (id, picture, picture_url, state, kind, note) VALUES ({key}, {expression}, {url}, {state}, 'photo', 'new')"
        );
        execute(&self.sqlite, &sql, vec![value]);
        let columns = self.row(&id).expect("the row")["columns"].clone();
        let row = Row {
            picture,
            data: Some(data),
            columns,
            note: "new".to_owned(),
            kind: "photo",
            stale_url: None,
            dropped: false,
        };
        self.rows.borrow_mut().insert(id, row);
    }

    /// What the application finds in its rows, reading a URL of ours with `fetch`.
    pub fn check(&self, fetch: impl Fn(&str) -> Option<Vec<u8>>) {
        let count = &query(&self.sqlite, "SELECT count(*) AS n FROM photos")[0]["n"];
        assert_eq!(*count, self.rows.borrow().len(), "no row comes or goes by itself");
        for (id, row) in &mut *self.rows.borrow_mut() {
            let found = self.row(id).expect("the row");
            if found["url"].as_str() != row.stale_url.as_deref() {
                // A move has replaced it, for good.
                row.stale_url = None;
            }
            let row = &*row;
            let case = || format!("{id}: {row:?} is {found}").chars().take(2_000).collect::<String>();
            assert!(found["note"] == row.note && found["kind"] == row.kind, "other columns: {}", case());
            let url = found["url"].as_str().filter(|url| is_ours(url));
            if url.is_none() {
                assert_eq!(found["columns"], row.columns, "columns are as they were: {}", case());
            }
            let data = found["data"].as_str();
            let is_same = data == row.data.as_deref() || (row.dropped && data.and_then(picture_in) == row.picture);
            assert!(data.is_none() || is_same, "the data is not the application's: {}", case());
            let Some(picture) = &row.picture else {
                assert_eq!(data, row.data.as_deref(), "a broken row stays as it is: {}", case());
                continue;
            };
            if let Some(url) = url.filter(|_| row.stale_url.is_none()) {
                assert!(fetch(url).as_ref() == Some(picture), "the URL shows the picture: {}", case());
            } else {
                assert!(data.is_some(), "the picture is gone: {}", case());
            }
        }
    }

    /// Whether a run may fail the item: the application has left nothing of what was moved.
    pub fn is_beyond_help(&self, id: &str) -> bool {
        self.rows.borrow().get(id).is_none_or(|row| row.picture.is_none() || row.dropped)
    }

    /// The application puts its rows in order.
    pub fn tidy(&self) {
        let ids: Vec<_> = self.rows.borrow().keys().cloned().collect();
        for (number, id) in ids.iter().enumerate() {
            let (kind, is_stale) = {
                let row = &self.rows.borrow()[id];
                (row.kind, row.stale_url.is_some())
            };
            let number = u8::try_from(number).expect("few rows");
            if kind != "photo" {
                self.write(number, Write::Kind);
            }
            if is_stale {
                self.update(id, "picture_url = NULL", Vec::new());
                let columns = self.row(id).expect("the row")["columns"].clone();
                let mut rows = self.rows.borrow_mut();
                let row = rows.get_mut(id).expect("a row");
                (row.columns, row.stale_url) = (columns, None);
            }
        }
    }

    /// Rows that name their originals, and still have them, have no copy's URL.
    pub fn assert_restored(&self) {
        for (id, row) in &*self.rows.borrow() {
            let found = self.row(id).expect("the row");
            if row.dropped && found["data"].is_null() {
                continue;
            }
            assert_eq!(found["columns"], row.columns, "{id}");
            let is_same = found["data"].as_str() == row.data.as_deref() || row.dropped;
            assert!(is_same, "{id}: every character is back");
        }
    }
}

fn is_ours(url: &str) -> bool {
    OURS.iter().any(|ours| url.starts_with(ours))
}

/// The JPEG with a comment of its own.
fn jpeg_with(jpeg: &[u8], comment: u16) -> Vec<u8> {
    let [high, low] = comment.to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xFE, 0, 4, high, low], &jpeg[2..]].concat()
}

/// SQL of a value, and its one parameter.
fn express(data: &str) -> (&'static str, Value) {
    let (kind, value) = data.split_at(1);
    (if kind == "b" { "unhex(?1)" } else { "?1" }, value.into())
}

/// The picture that a value stands for.
fn picture_in(data: &str) -> Option<Vec<u8>> {
    let (kind, text) = data.split_at(1);
    let stored = StoredText { is_blob: kind == "b", text: Text::from(text) };
    decode(&stored).ok().map(|decoded| decoded.bytes.to_vec())
}
