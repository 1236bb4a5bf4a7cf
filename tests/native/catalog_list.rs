//! Listings: filters, pages, cursors and the indexes that they walk.

use std::collections::BTreeSet;

use proptest::prelude::*;
use stillstore::catalog::{Cursor, InvalidPageSize, ListFilter, PageSize, Status};
use stillstore::image::ImageId;
use stillstore::runtime::Timestamp;
use stillstore::store::StorageKind;

use crate::catalog_database::{Shelf, at, description, done, id};

fn size(images: u64) -> PageSize {
    PageSize::try_from(images).unwrap()
}

/// Stores image `number`: one of three moments, two personas, two sessions, two homes.
fn put(shelf: &Shelf, number: u64) -> ImageId {
    let mut description = description(number);
    description.created_at = at(i64::try_from(number % 3).unwrap());
    description.associations.persona_id = (!number.is_multiple_of(5)).then(|| format!("p{}", number % 2));
    description.associations.session_id = (!number.is_multiple_of(7)).then(|| format!("s{}", number / 2 % 2));
    let storage = if (number / 4).is_multiple_of(2) { StorageKind::R2 } else { StorageKind::D1 };
    shelf.store(&description, storage);
    description.id
}

fn all_pages(shelf: &Shelf, filter: &ListFilter, page_size: PageSize) -> Vec<ImageId> {
    let mut ids = Vec::new();
    let mut cursor = None;
    loop {
        let page = done(shelf.catalog.list(filter, cursor, page_size)).unwrap();
        assert!(page.records.len() <= page_size.get());
        ids.extend(page.records.iter().map(|record| record.description.id));
        match page.next {
            Some(next) => cursor = Some(next.to_string().parse().unwrap()),
            None => return ids,
        }
    }
}

fn filters() -> Vec<ListFilter> {
    let mut filters = Vec::new();
    for status in [Status::Pending, Status::Stored, Status::Deleting, Status::Deleted] {
        for bits in 0..8 {
            filters.push(ListFilter {
                status,
                persona_id: (bits & 1 > 0).then(|| "p1".to_owned()),
                session_id: (bits & 2 > 0).then(|| "s0".to_owned()),
                storage: (bits & 4 > 0).then_some(StorageKind::D1),
            });
        }
    }
    filters
}

#[test]
fn each_filter_lists_what_matches_newest_first_whatever_the_page_size() {
    let shelf = Shelf::new();
    let ids: Vec<_> = (0..60).map(|number| put(&shelf, number)).collect();
    for image in &ids[50..58] {
        done(shelf.catalog.begin_delete(*image, at(9))).unwrap();
    }
    for image in &ids[55..58] {
        done(shelf.catalog.finish_delete(*image, shelf.version(*image), at(9))).unwrap();
    }
    for number in 60..63 {
        shelf.image_in(number, Status::Pending);
    }
    let records: Vec<_> = (0..63).filter_map(|number| shelf.find(id(number))).collect();
    assert_eq!(records.len(), 63);
    let mut listed = 0;
    for filter in filters() {
        let mut expected: Vec<_> = records
            .iter()
            .filter(|record| record.status == filter.status)
            .filter(|record| filter.storage.is_none_or(|storage| record.storage == storage))
            .filter(|record| {
                filter.persona_id.is_none() || record.description.associations.persona_id == filter.persona_id
            })
            .filter(|record| {
                filter.session_id.is_none() || record.description.associations.session_id == filter.session_id
            })
            .map(|record| (record.description.created_at, record.description.id))
            .collect();
        expected.sort_by(|one, other| other.cmp(one));
        let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
        for page_size in [1, 7, 100] {
            assert_eq!(all_pages(&shelf, &filter, size(page_size)), expected, "{filter:?} by {page_size}");
        }
        listed += expected.len();
    }
    assert!(listed > 100, "the filters matched {listed} images in all");
}

#[test]
fn the_last_page_says_so_even_when_it_is_full() {
    let shelf = Shelf::new();
    assert_eq!(done(shelf.catalog.list(&ListFilter::default(), None, size(2))).unwrap().next, None);
    for number in 0..4 {
        put(&shelf, number);
    }
    let first = done(shelf.catalog.list(&ListFilter::default(), None, size(2))).unwrap();
    let second = done(shelf.catalog.list(&ListFilter::default(), first.next, size(2))).unwrap();
    assert_eq!((first.records.len(), second.records.len(), second.next), (2, 2, None));
}

#[test]
fn each_filter_walks_the_index_made_for_it() {
    let persona = || Some("p".to_owned());
    let stored = ListFilter::default();
    let cases = [
        (stored.clone(), "stillstore_images_by_status (status=? AND (created_at_ms,id)<(?,?))"),
        (
            ListFilter { persona_id: persona(), ..stored.clone() },
            "stillstore_images_by_persona (persona_id=? AND (created_at_ms,id)<(?,?))",
        ),
        (
            ListFilter { session_id: persona(), persona_id: persona(), ..stored.clone() },
            "stillstore_images_by_session (session_id=? AND (created_at_ms,id)<(?,?))",
        ),
        (
            ListFilter { storage: Some(StorageKind::D1), ..stored.clone() },
            "stillstore_images_by_storage (storage=? AND (created_at_ms,id)<(?,?))",
        ),
        (
            ListFilter { status: Status::Deleted, persona_id: persona(), ..stored },
            "stillstore_images_by_status (status=? AND (created_at_ms,id)<(?,?))",
        ),
    ];
    for (filter, index) in cases {
        let shelf = Shelf::new();
        done(shelf.catalog.list(&filter, Some(Cursor::after(at(0), id(1))), size(1))).unwrap();
        let plan = shelf.database.plan(&shelf.database.last_sql());
        assert_eq!(plan, format!("SEARCH stillstore_images USING INDEX {index}"));
    }
}

#[test]
fn a_page_holds_1_to_100_images() {
    for (images, valid) in [(0, false), (1, true), (100, true), (101, false), (257, false), (u64::MAX, false)] {
        assert_eq!(PageSize::try_from(images).map_err(|InvalidPageSize| ()).is_ok(), valid, "{images}");
    }
}

#[derive(Debug, Clone)]
enum Meanwhile {
    Insert(u64),
    Delete(usize),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn paging_shows_each_image_that_stays_exactly_once(
        before in 1..30_u64,
        page_size in 1..6_u64,
        meanwhile in prop::collection::vec(
            prop_oneof![(100..1000_u64).prop_map(Meanwhile::Insert), (0..30_usize).prop_map(Meanwhile::Delete)], 0..40,
        ),
    ) {
        let shelf = Shelf::new();
        let ids: Vec<_> = (0..before).map(|number| put(&shelf, number)).collect();
        let mut staying: BTreeSet<_> = ids.iter().copied().collect();
        let mut inserted = BTreeSet::new();
        let mut meanwhile = meanwhile.into_iter();
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = done(shelf.catalog.list(&ListFilter::default(), cursor, size(page_size))).unwrap();
            seen.extend(page.records.iter().map(|record| record.description.id));
            for change in meanwhile.by_ref().take(3) {
                match change {
                    Meanwhile::Insert(number) if inserted.insert(number) => drop(put(&shelf, number)),
                    Meanwhile::Insert(_) => {}
                    Meanwhile::Delete(index) => {
                        let image = ids[index % ids.len()];
                        done(shelf.catalog.begin_delete(image, at(9))).unwrap();
                        staying.remove(&image);
                    }
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let distinct: BTreeSet<_> = seen.iter().copied().collect();
        prop_assert_eq!(distinct.len(), seen.len(), "an image was shown twice");
        prop_assert!(staying.is_subset(&distinct), "an image was left out");
    }
}

proptest! {
    #[test]
    fn a_cursor_survives_its_text_form(millis in -(1_i64 << 53)..=1 << 53, bytes: [u8; 16]) {
        let cursor = Cursor::after(Timestamp::from_millis(millis), ImageId::from_random_bytes(bytes));
        let text = cursor.to_string();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{}", text);
        prop_assert_eq!(text.parse(), Ok(cursor));
    }

    #[test]
    fn a_text_is_a_cursor_only_in_the_form_that_listings_give_out(text in "\\PC{0,80}", encode: bool) {
        let text = if encode { base64_simd::URL_SAFE_NO_PAD.encode_to_string(&text) } else { text };
        if let Ok(cursor) = text.parse::<Cursor>() {
            prop_assert_eq!(cursor.to_string(), text);
        }
    }
}

#[test]
fn other_spellings_of_a_cursor_are_refused() {
    let place = |millis: &str| format!("{millis}/{}", id(1));
    let encode = |place: String| base64_simd::URL_SAFE_NO_PAD.encode_to_string(place);
    assert!(encode(place("1700000000000")).parse::<Cursor>().is_ok());
    for millis in ["+1700000000000", "01700000000000", "-0", "9007199254740993", "99999999999999999999", "", "1e3"] {
        assert!(encode(place(millis)).parse::<Cursor>().is_err(), "{millis}");
    }
    assert!(encode(place("1").to_uppercase().replace('-', "")).parse::<Cursor>().is_err());
    assert!(format!("{}=", encode(place("1"))).parse::<Cursor>().is_err());
    assert!("".parse::<Cursor>().is_err());
}
