//! Collections: rows, whose they are, and what may join them.

use stillstore::catalog::collections::require_open;
use stillstore::catalog::{
    CatalogError, Collection, CollectionCursor, CollectionKind, CollectionState, Commit, Committed, Frame, ListFilter,
    OwnerFilter, PageSize,
};
use stillstore::image::{CollectionId, ShootId};
use stillstore::sql::DatabaseErrorKind;
use stillstore::store::StorageKind;

use crate::catalog_database::{Fault, Shelf, at, content, description, done, id, plain_commit, user};

fn shoot_id(number: u8) -> ShootId {
    ShootId::from_random_bytes([number; 16])
}

/// A shoot of `owner`'s, made `number` seconds into the tests.
fn shoot(number: u8, owner: Option<&str>) -> Collection {
    Collection {
        id: shoot_id(number).collection(),
        kind: CollectionKind::Shoot,
        state: CollectionState::Open,
        owner_id: owner.map(user),
        name: Some(format!("Shoot {number}")),
        created_at: at(number.into()),
        updated_at: at(number.into()),
        leaving: 0,
    }
}

fn make(shelf: &Shelf, collection: &Collection) {
    assert!(done(shelf.catalog.create_collection(collection)).unwrap());
}

fn find(shelf: &Shelf, id: &CollectionId, kind: CollectionKind, owner: &OwnerFilter) -> Option<Collection> {
    done(shelf.catalog.find_collection(id, kind, owner)).unwrap()
}

fn only(owner: &str) -> OwnerFilter {
    OwnerFilter::Only(user(owner))
}

#[test]
fn a_collection_is_found_by_its_owner_and_by_its_kind() {
    let shelf = Shelf::new();
    let made = shoot(1, Some("jane"));
    make(&shelf, &made);
    for owner in [OwnerFilter::Any, only("jane")] {
        assert_eq!(find(&shelf, &made.id, CollectionKind::Shoot, &owner).as_ref(), Some(&made));
        assert_eq!(find(&shelf, &made.id, CollectionKind::Session, &owner), None);
    }
    for other in ["john", "Jane", "jane2"] {
        assert_eq!(find(&shelf, &made.id, CollectionKind::Shoot, &only(other)), None);
    }
    let nobodys = shoot(2, None);
    make(&shelf, &nobodys);
    assert_eq!(find(&shelf, &nobodys.id, CollectionKind::Shoot, &only("jane")), None);
}

#[test]
fn making_a_collection_again_changes_nothing() {
    let shelf = Shelf::new();
    let made = shoot(1, Some("jane"));
    for fault in [Fault::BeforeEffect, Fault::AfterEffect] {
        shelf.fail_next(fault);
        let error: CatalogError = done(shelf.catalog.create_collection(&made)).unwrap_err();
        assert_eq!(error.kind(), DatabaseErrorKind::Unavailable);
    }
    let other = Collection { name: Some("Other".to_owned()), owner_id: Some(user("john")), ..made.clone() };
    assert!(!done(shelf.catalog.create_collection(&other)).unwrap());
    assert_eq!(find(&shelf, &made.id, CollectionKind::Shoot, &OwnerFilter::Any), Some(made));
}

#[test]
fn pages_show_an_owners_collections_newest_first_and_each_once() {
    let shelf = Shelf::new();
    let owners = [Some("jane"), None, Some("john")];
    let made: Vec<_> = (1..=9).map(|number| shoot(number, owners[usize::from(number) % 3])).collect();
    for shoot in &made {
        make(&shelf, shoot);
    }
    let session = Collection { kind: CollectionKind::Session, ..shoot(10, Some("jane")) };
    make(&shelf, &session);
    for (owner, expected) in [(OwnerFilter::Any, 9), (only("jane"), 3), (only("john"), 3), (only("nobody"), 0)] {
        for size in [1, 2, 100] {
            let mut listed = Vec::new();
            let mut cursor: Option<CollectionCursor> = None;
            loop {
                let size = PageSize::try_from(size).unwrap();
                let page = shelf.catalog.list_collections(CollectionKind::Shoot, &owner, cursor.as_ref(), size);
                let page = done(page).unwrap();
                listed.extend(page.collections);
                match page.next {
                    Some(next) => cursor = Some(next.to_string().parse().unwrap()),
                    None => break,
                }
            }
            assert_eq!(listed.len(), expected, "{owner:?}");
            assert!(listed.is_sorted_by(|before, after| before.created_at > after.created_at));
            let is_owners = |shoot: &Collection| match &owner {
                OwnerFilter::Any => true,
                OwnerFilter::Only(user) => shoot.owner_id.as_ref() == Some(user),
            };
            assert!(listed.iter().all(|shoot| is_owners(shoot) && made.contains(shoot)));
        }
    }
}

#[test]
fn a_cursor_that_no_listing_gave_out_is_none() {
    for text in ["", "x", "MTIz", "MTIzLw", "LzEyMw", "MDEyMy9h", "OTk5OTk5OTk5OTk5OTk5OTk5L2E"] {
        assert!(text.parse::<CollectionCursor>().is_err(), "{text}");
    }
    assert!("MTIzL2E".parse::<CollectionCursor>().is_ok(), "123/a");
}

#[test]
fn a_collection_takes_members_while_it_is_there_and_open() {
    let shelf = Shelf::new();
    make(&shelf, &shoot(1, None));
    let commit = |number: u64, shoot: ShootId| {
        let content = content();
        let mut image = description(number);
        image.frame = Some(Frame::of_shoot(&shoot, image.created_at));
        let extra = vec![require_open(&shoot.collection(), at(50))];
        done(shelf.catalog.commit(Commit { extra, ..plain_commit(&image, &content) }))
    };
    assert!(matches!(commit(1, shoot_id(1)), Ok(Committed::Done(_))));
    let joined = find(&shelf, &shoot_id(1).collection(), CollectionKind::Shoot, &OwnerFilter::Any).unwrap();
    assert_eq!((joined.updated_at, joined.name.as_deref()), (at(50), Some("Shoot 1")));

    let refused =
        |outcome: Result<Committed, CatalogError>| outcome.unwrap_err().kind() == DatabaseErrorKind::Constraint;
    assert!(refused(commit(2, shoot_id(2))), "there is none");
    for state in ["emptying", "deleting"] {
        shelf.sql(&format!("UPDATE stillstore_collections SET state = '{state}'")).unwrap();
        assert!(refused(commit(3, shoot_id(1))), "{state}");
    }
    assert_eq!((shelf.find(id(2)), shelf.find(id(3))), (None, None));
    assert_eq!(shelf.sql("SELECT id FROM stillstore_collections").unwrap().len(), 1);
}

#[test]
fn what_was_made_from_an_image_is_found_with_it_and_left_out_among_originals() {
    let shelf = Shelf::new();
    let place = Frame::of_shoot(&shoot_id(1), at(0));
    for (number, parent) in [(1, None), (2, None), (3, Some(1)), (4, Some(1)), (5, Some(2))] {
        let mut image = description(number);
        image.frame = Some(place.clone());
        image.parent_id = parent.map(id);
        image.owner_id = Some(user("jane"));
        shelf.store(&image, StorageKind::R2);
    }
    let made = |parents: &[u64], owner: &OwnerFilter| {
        let parents: Vec<_> = parents.iter().map(|number| id(*number)).collect();
        let records = done(shelf.catalog.made_from(&parents, owner)).unwrap();
        records.into_iter().map(|record| record.description.id).collect::<Vec<_>>()
    };
    assert_eq!(made(&[1], &OwnerFilter::Any), [id(3), id(4)]);
    assert_eq!(made(&[1, 2], &only("jane")), [id(3), id(4), id(5)]);
    assert_eq!((made(&[1, 2], &only("john")), made(&[3], &OwnerFilter::Any)), (Vec::new(), Vec::new()));
    let filter = ListFilter { collection_id: Some(place.collection_id), ..ListFilter::default() };
    for (originals_only, expected) in [(true, 2), (false, 5)] {
        let filter = ListFilter { originals_only, ..filter.clone() };
        assert_eq!(done(shelf.catalog.list(&filter, None, PageSize::MAX)).unwrap().records.len(), expected);
    }
}
