//! An image of another owner is as one that does not exist.

use stillstore::catalog::{
    CachePurge, DeleteStep, IdempotencyKey, ListFilter, MovedImages, OwnerFilter, PageSize, Serving, Status,
};
use stillstore::image::{ImageId, Visibility};

use crate::catalog_database::{Shelf, at, description, done, user};

const STATUSES: [Status; 4] = [Status::Pending, Status::Stored, Status::Deleting, Status::Deleted];

/// Of image 1, which `description` gives to `user-1`.
fn owner() -> OwnerFilter {
    OwnerFilter::Only(user("user-1"))
}

#[test]
fn an_owner_finds_and_lists_their_own_images_alone() {
    for status in STATUSES {
        let shelf = Shelf::new();
        let image = shelf.image_in(1, status);
        shelf.image_in(2, status);
        let find = |owner: &OwnerFilter| done(shelf.catalog.find(image.id, owner)).unwrap();
        let list = |owner: OwnerFilter| {
            let filter = ListFilter { status, owner, ..ListFilter::default() };
            let page = done(shelf.catalog.list(&filter, None, PageSize::MAX)).unwrap();
            page.records.into_iter().map(|record| record.description.id).collect::<Vec<_>>()
        };
        // A tombstone names no owner.
        let is_owned = status != Status::Deleted;
        assert_eq!(find(&owner()), find(&OwnerFilter::Any).filter(|_| is_owned), "{status:?}");
        assert_eq!(list(owner()), if is_owned { vec![image.id] } else { Vec::new() }, "{status:?}");
        assert_eq!(list(OwnerFilter::Any).len(), 2);
        for other in ["user-2", "user-", "USER-1"] {
            assert_eq!(find(&OwnerFilter::Only(user(other))), None, "{status:?} {other}");
        }
    }
}

#[test]
fn an_image_without_an_owner_is_nobodys() {
    let shelf = Shelf::new();
    let mut image = description(1);
    image.owner_id = None;
    shelf.store(&image, stillstore::store::StorageKind::R2);
    assert_eq!(done(shelf.catalog.find(image.id, &owner())).unwrap(), None);
    let step = done(shelf.catalog.begin_delete(image.id, &owner(), MovedImages::Go, at(2))).unwrap();
    assert_eq!((step, shelf.status(image.id)), (DeleteStep::NotFound, Some(Status::Stored)));
}

#[test]
fn only_the_owner_deletes_an_image() {
    for status in STATUSES {
        let shelf = Shelf::new();
        let image = shelf.image_in(1, status);
        let before = shelf.find(image.id);
        let delete =
            |owner: &OwnerFilter| done(shelf.catalog.begin_delete(image.id, owner, MovedImages::Go, at(9))).unwrap();
        assert_eq!(delete(&OwnerFilter::Only(user("user-2"))), DeleteStep::NotFound, "{status:?}");
        assert_eq!(shelf.find(image.id), before, "{status:?}");
        match delete(&owner()) {
            DeleteStep::Delete { record, .. } => assert_eq!(Some(*record), shelf.find(image.id)),
            step => assert_eq!((step, status), (DeleteStep::NotFound, Status::Deleted)),
        }
    }
}

#[test]
fn a_user_is_served_what_is_public_and_their_own() {
    let shelf = Shelf::new();
    let private = |number: u64, owner: Option<&str>| {
        let mut image = description(number);
        image.visibility = Visibility::Private;
        image.owner_id = owner.map(user);
        shelf.store(&image, stillstore::store::StorageKind::D1).description.id
    };
    let (own, others, nobodys) = (private(1, Some("user-1")), private(2, Some("user-2")), private(3, None));
    let mut image = description(4);
    image.visibility = Visibility::Public;
    let public = shelf.store(&image, stillstore::store::StorageKind::R2).description.id;
    let is_served = |id: ImageId, reader: &OwnerFilter| {
        matches!(done(shelf.catalog.find_for_serving(id, reader)).unwrap(), Serving::Found(_))
    };
    for (id, is_readable) in [(own, true), (others, false), (nobodys, false), (public, true)] {
        assert_eq!(is_served(id, &owner()), is_readable, "{id}");
        assert!(is_served(id, &OwnerFilter::Any), "{id}");
    }
}

#[test]
fn a_key_is_its_callers_and_another_callers_is_another() {
    let key: IdempotencyKey = "k".parse().unwrap();
    let keys =
        [None, Some(user("user-1")), Some(user("user-2")), Some(user("user"))].map(|user| key.of_caller(user.as_ref()));
    for (at, one) in keys.iter().enumerate() {
        assert_eq!(keys.iter().filter(|other| *other == one).count(), 1, "{at}");
    }
    assert_eq!(keys[0], key, "what the operator sent before is remembered");
    let image = ImageId::from_random_bytes([1; 16]);
    assert_ne!(keys[1].of_further_image(image, 1), keys[2].of_further_image(image, 1));
}

#[test]
fn an_owner_who_deleted_an_image_is_told_so_again_and_nobody_else_is() {
    for is_erased_first in [false, true] {
        let shelf = Shelf::new();
        let image = shelf.image_in(1, Status::Stored);
        let delete = |owner: &OwnerFilter, at_ms| {
            done(shelf.catalog.begin_delete(image.id, owner, MovedImages::Go, at(at_ms))).unwrap()
        };
        let DeleteStep::Delete { record, .. } = delete(&owner(), 9) else { panic!("it is the owner's") };
        let mut version = record.version;
        if is_erased_first {
            done(shelf.catalog.erase(image.id, version, &CachePurge::Needless, at(9))).unwrap();
            let again = delete(&owner(), 10);
            assert_eq!(again, delete(&OwnerFilter::Any, 10));
            let DeleteStep::Delete { record, .. } = again else { panic!("{again:?}") };
            version = record.version;
        }
        done(shelf.catalog.finish_delete(image.id, version, &CachePurge::Needless, at(11))).unwrap();
        for owner in [owner(), OwnerFilter::Any] {
            assert_eq!(delete(&owner, 12), DeleteStep::AlreadyDeleted);
        }
        assert_eq!(delete(&OwnerFilter::Only(user("user-2")), 12), DeleteStep::NotFound);
        let row = format!("{:?}", shelf.sql("SELECT * FROM stillstore_images").unwrap());
        assert!(!row.contains("user-1"), "a tombstone names no user: {row}");
        done(shelf.catalog.purge_tombstones(at(13), 10)).unwrap();
        assert_eq!(delete(&owner(), 14), DeleteStep::NotFound);
    }
}

#[test]
fn the_owner_of_an_image_that_the_operator_deleted_does_not_find_it() {
    let shelf = Shelf::new();
    let image = shelf.image_in(1, Status::Stored);
    let delete =
        |owner: &OwnerFilter| done(shelf.catalog.begin_delete(image.id, owner, MovedImages::Go, at(9))).unwrap();
    let DeleteStep::Delete { record, .. } = delete(&OwnerFilter::Any) else { panic!("it is there") };
    done(shelf.catalog.finish_delete(image.id, record.version, &CachePurge::Needless, at(10))).unwrap();
    assert_eq!(delete(&owner()), DeleteStep::NotFound);
}
