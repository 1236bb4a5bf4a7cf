//! An image of another owner is as one that does not exist.

use stillstore::catalog::{DeleteStep, ListFilter, MovedImages, OwnerFilter, PageSize, Status};

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
