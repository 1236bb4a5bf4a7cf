//! Listings: filters, pages, cursors and the indexes that they walk.

use std::collections::BTreeSet;

use proptest::prelude::*;
use stillstore::catalog::{
    CachePurge, Frame, ImageRecord, InvalidCursor, InvalidPageSize, LOOKED_THROUGH, ListError, ListFilter, LookedFor,
    MovedImages, OwnerFilter, PageCursor, PageSize, Status,
};
use stillstore::image::{Context, ImageId, Labels};
use stillstore::runtime::Timestamp;
use stillstore::store::StorageKind;

use crate::catalog_database::{Shelf, at, collection, description, done, id, user};

fn size(images: u64) -> PageSize {
    PageSize::try_from(images).unwrap()
}

/// Stores image `number`: one of three moments, two personas, two sessions, two homes, two owners, two collections of five ordinals.
fn put(shelf: &Shelf, number: u64) -> ImageId {
    let mut description = description(number);
    description.created_at = at(i64::try_from(number % 3).unwrap());
    description.associations.persona_id = (!number.is_multiple_of(5)).then(|| format!("p{}", number % 2));
    description.associations.session_id = (!number.is_multiple_of(7)).then(|| format!("s{}", number / 2 % 2));
    description.context = (!number.is_multiple_of(11)).then(|| Context::try_from(format!("x{}", number % 6)).unwrap());
    description.filename = (!number.is_multiple_of(3)).then(|| format!("Photo-{number}.JPG"));
    let label = |value: String| [("place".to_owned(), value)].into_iter().collect();
    description.labels = if number % 4 == 1 {
        Labels::try_new(label(format!("Kew {}", number % 8))).unwrap()
    } else {
        Labels::default()
    };
    description.owner_id = (!number.is_multiple_of(3)).then(|| user(&format!("u{}", number / 8 % 2)));
    description.frame = (!number.is_multiple_of(4)).then(|| Frame {
        collection_id: collection(&format!("c{}", number / 16 % 2)),
        ordinal: u32::try_from(number * 7 % 5).unwrap(),
    });
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
        for bits in 0..32 {
            filters.push(ListFilter {
                status,
                persona_id: (bits & 1 > 0).then(|| "p1".to_owned()),
                session_id: (bits & 2 > 0).then(|| "s0".to_owned()),
                storage: (bits & 4 > 0).then_some(StorageKind::D1),
                owner: if bits & 8 > 0 { OwnerFilter::Only(user("u0")) } else { OwnerFilter::Any },
                collection_id: (bits & 16 > 0).then(|| collection("c1")),
                ..ListFilter::default()
            });
        }
    }
    filters
}

/// Filters by what no index has, and by the time of creation, each alone and beside one that has an index.
fn further_filters() -> Vec<ListFilter> {
    let context = Some(Context::try_from("x1".to_owned()).unwrap());
    let labels = |value: &str| Labels::try_new([("place".to_owned(), value.to_owned())].into_iter().collect()).unwrap();
    let text = |text: &str| LookedFor { text: Some(text.to_owned()), ..LookedFor::default() };
    let looked_for = [
        LookedFor::default(),
        LookedFor { context: context.clone(), ..LookedFor::default() },
        text("photo-1"),
        text("kew"),
        text("%"),
        LookedFor { labels: labels("Kew 5"), ..LookedFor::default() },
        LookedFor { context, labels: labels("Kew 5"), text: Some("KEW".to_owned()) },
    ];
    let mut filters = Vec::new();
    for looked_for in looked_for {
        for (from, to) in [(None, None), (Some(1), None), (None, Some(2)), (Some(1), Some(2)), (Some(2), Some(1))] {
            for persona in [None, Some("p1".to_owned())] {
                filters.push(ListFilter {
                    looked_for: looked_for.clone(),
                    created_from: from.map(at),
                    created_to: to.map(at),
                    persona_id: persona,
                    ..ListFilter::default()
                });
            }
        }
    }
    filters
}

fn matches(filter: &ListFilter, record: &ImageRecord) -> bool {
    let description = &record.description;
    let is_owners = match &filter.owner {
        OwnerFilter::Any => true,
        OwnerFilter::Only(user) => description.owner_id.as_ref() == Some(user),
    };
    let LookedFor { context, text, labels } = &filter.looked_for;
    let has_text = text.as_ref().is_none_or(|text| {
        let has = |value: &str| value.to_ascii_lowercase().contains(&text.to_ascii_lowercase());
        description.filename.as_deref().is_some_and(has) || description.labels.iter().any(|(_, value)| has(value))
    });
    let is_found = (context.is_none() || description.context == *context)
        && has_text
        && labels.iter().all(|label| description.labels.iter().any(|other| other == label));
    let is_then = filter.created_from.is_none_or(|from| description.created_at >= from)
        && filter.created_to.is_none_or(|to| description.created_at < to);
    let collection_id = description.frame.as_ref().map(|frame| &frame.collection_id);
    record.status == filter.status
        && is_owners
        && is_found
        && is_then
        && filter.storage.is_none_or(|storage| record.storage == storage)
        && (filter.collection_id.is_none() || collection_id == filter.collection_id.as_ref())
        && (filter.persona_id.is_none() || description.associations.persona_id == filter.persona_id)
        && (filter.session_id.is_none() || description.associations.session_id == filter.session_id)
}

fn is_by_ordinal(filter: &ListFilter) -> bool {
    filter.status == Status::Stored && filter.collection_id.is_some()
}

#[test]
fn each_filter_lists_what_matches_in_its_order_whatever_the_page_size() {
    let shelf = Shelf::new();
    let ids: Vec<_> = (0..240).map(|number| put(&shelf, number)).collect();
    for image in &ids[200..232] {
        done(shelf.catalog.begin_delete(*image, &OwnerFilter::Any, MovedImages::Go, at(9))).unwrap();
    }
    for image in &ids[220..232] {
        done(shelf.catalog.finish_delete(*image, shelf.version(*image), &CachePurge::Needless, at(9))).unwrap();
    }
    for number in 240..243 {
        shelf.image_in(number, Status::Pending);
    }
    let records: Vec<_> = (0..243).filter_map(|number| shelf.find(id(number))).collect();
    assert_eq!(records.len(), 243);
    let mut unmatched = 0;
    for filter in filters().into_iter().chain(further_filters()) {
        let mut expected: Vec<_> = records.iter().filter(|record| matches(&filter, record)).collect();
        if is_by_ordinal(&filter) {
            expected.sort_by_key(|record| {
                (record.description.frame.as_ref().map(|frame| frame.ordinal), record.description.id)
            });
        } else {
            expected.sort_by_key(|record| (record.description.created_at, record.description.id));
            expected.reverse();
        }
        let expected: Vec<_> = expected.into_iter().map(|record| record.description.id).collect();
        for page_size in [1, 7, 100] {
            assert_eq!(all_pages(&shelf, &filter, size(page_size)), expected, "{filter:?} by {page_size}");
        }
        let can_match = filter.created_from <= filter.created_to || filter.created_to.is_none();
        let is_plain = filter.looked_for.text.as_deref() != Some("%") && filter.looked_for.context.is_none();
        unmatched += usize::from(filter.status == Status::Stored && can_match && is_plain && expected.is_empty());
    }
    assert_eq!(unmatched, 0, "filters of stored images that match none");
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

/// The index of those that a filter could use which leaves the fewest images to walk, and its first column.
fn narrowest_index(filter: &ListFilter) -> (&'static str, &'static str) {
    let candidates = [
        (filter.status != Status::Stored, "by_status", "status"),
        (filter.collection_id.is_some(), "by_collection", "collection_id"),
        (filter.session_id.is_some(), "by_session", "session_id"),
        (filter.persona_id.is_some(), "by_persona", "persona_id"),
        (filter.owner != OwnerFilter::Any, "by_owner", "owner_id"),
        (filter.storage.is_some(), "by_storage", "storage"),
        (true, "by_status", "status"),
    ];
    let (_, index, column) = candidates.into_iter().find(|(is_usable, ..)| *is_usable).unwrap();
    (index, column)
}

#[test]
fn each_combination_of_filters_walks_the_narrowest_index_without_a_sort() {
    let shelf = Shelf::new();
    let plan = |filter: &ListFilter, cursor| {
        done(shelf.catalog.list(filter, cursor, size(1))).unwrap();
        shelf.database.plan(&shelf.database.last_sql())
    };
    for filter in filters() {
        let (index, column) = narrowest_index(&filter);
        let (cursor, place) = if is_by_ordinal(&filter) {
            (PageCursor::after_frame(0, id(1)), "(ordinal,id)>(?,?)")
        } else {
            (PageCursor::after(at(0), id(1)), "(created_at_ms,id)<(?,?)")
        };
        let walk = format!("SEARCH stillstore_images USING INDEX stillstore_images_{index} ({column}=?");
        assert_eq!(plan(&filter, None), format!("{walk})"), "{filter:?}");
        assert_eq!(plan(&filter, Some(cursor)), format!("{walk} AND {place})"), "{filter:?}");
    }
}

#[test]
fn what_no_index_has_is_looked_for_in_so_many_images_a_page() {
    let shelf = Shelf::new();
    let first = put(&shelf, 1);
    // The first image that the first page does not look at.
    let images = u64::from(LOOKED_THROUGH) + 1;
    let copy = "WITH RECURSIVE n(value) AS (SELECT 2 UNION ALL SELECT value + 1 FROM n WHERE value < {images}) \
        INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, labels, version, created_at_ms, updated_at_ms, \
        size_bytes, sha256) SELECT printf('%08x-0000-4000-8000-000000000000', n.value), 'stored', 'r2', 'k/' || n.value, content_type, \
        visibility, '{}', 1, created_at_ms + n.value, 1, 1, sha256 FROM n, stillstore_images WHERE id = '{id}'";
    shelf.sql(&copy.replace("{images}", &images.to_string()).replace("{id}", &first.to_string())).unwrap();
    let filter = ListFilter {
        looked_for: LookedFor { text: Some("photo-1.".to_owned()), ..LookedFor::default() },
        ..ListFilter::default()
    };
    let page = done(shelf.catalog.list(&filter, None, size(10))).unwrap();
    assert_eq!((page.records.len(), page.next.is_some()), (0, true), "the oldest has it");
    let (page, calls) = shelf.calls_of(shelf.catalog.list(&filter, page.next, size(10)));
    let page = page.unwrap();
    assert_eq!(
        (page.records.iter().map(|record| record.description.id).collect::<Vec<_>>(), page.next),
        (vec![first], None)
    );
    assert_eq!(calls, 1);
    // The walk stops at the number of images by itself, whatever is looked for.
    let plan = shelf.database.plan(&shelf.database.last_sql());
    assert!(
        plan.contains("SEARCH stillstore_images USING COVERING INDEX stillstore_images_by_status (status=?"),
        "{plan}"
    );
}

#[test]
fn a_time_of_creation_bounds_the_walk_and_not_only_what_it_shows() {
    let shelf = Shelf::new();
    let filter = ListFilter { created_from: Some(at(1)), created_to: Some(at(5)), ..ListFilter::default() };
    for (cursor, place) in [
        (None, "created_at_ms>? AND created_at_ms<?"),
        (Some(PageCursor::after(at(3), id(1))), "created_at_ms>? AND (created_at_ms,id)<(?,?)"),
        (Some(PageCursor::after(at(9), id(1))), "created_at_ms>? AND created_at_ms<?"),
    ] {
        done(shelf.catalog.list(&filter, cursor, size(1))).unwrap();
        let plan = shelf.database.plan(&shelf.database.last_sql());
        assert_eq!(
            plan,
            format!("SEARCH stillstore_images USING INDEX stillstore_images_by_status (status=? AND {place})")
        );
    }
}

#[test]
fn a_cursor_of_another_order_is_refused() {
    let shelf = Shelf::new();
    let newest_first = ListFilter::default();
    let by_ordinal = ListFilter { collection_id: Some(collection("c1")), ..newest_first.clone() };
    for (filter, cursor) in
        [(newest_first, PageCursor::after_frame(0, id(1))), (by_ordinal, PageCursor::after(at(0), id(1)))]
    {
        assert_eq!(done(shelf.catalog.list(&filter, Some(cursor), size(1))), Err(ListError::Cursor(InvalidCursor)));
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
                        done(shelf.catalog.begin_delete(image, &OwnerFilter::Any, MovedImages::Go, at(9))).unwrap();
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
        let cursor = PageCursor::after(Timestamp::from_millis(millis), ImageId::from_random_bytes(bytes));
        let text = cursor.to_string();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{}", text);
        prop_assert_eq!(text.parse(), Ok(cursor));
    }

    #[test]
    fn a_cursor_of_frames_survives_its_text_form(ordinal: u32, bytes: [u8; 16]) {
        let cursor = PageCursor::after_frame(ordinal, ImageId::from_random_bytes(bytes));
        prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn a_text_is_a_cursor_only_in_the_form_that_listings_give_out(text in "\\PC{0,80}", encode: bool) {
        let text = if encode { base64_simd::URL_SAFE_NO_PAD.encode_to_string(&text) } else { text };
        if let Ok(cursor) = text.parse::<PageCursor>() {
            prop_assert_eq!(cursor.to_string(), text);
        }
    }
}

#[test]
fn other_spellings_of_a_cursor_are_refused() {
    let place = |millis: &str| format!("{millis}/{}", id(1));
    let encode = |place: String| base64_simd::URL_SAFE_NO_PAD.encode_to_string(place);
    assert!(encode(place("1700000000000")).parse::<PageCursor>().is_ok());
    for ordinal in ["#-1", "#+1", "#01", "#4294967296", "#", "##1"] {
        assert!(encode(place(ordinal)).parse::<PageCursor>().is_err(), "{ordinal}");
    }
    for millis in ["+1700000000000", "01700000000000", "-0", "9007199254740993", "99999999999999999999", "", "1e3"] {
        assert!(encode(place(millis)).parse::<PageCursor>().is_err(), "{millis}");
    }
    assert!(encode(place("1").to_uppercase().replace('-', "")).parse::<PageCursor>().is_err());
    assert!(format!("{}=", encode(place("1"))).parse::<PageCursor>().is_err());
    assert!("".parse::<PageCursor>().is_err());
}
