//! What the periodic sweep is told, and what it removes.

use stillstore::catalog::Status;
use stillstore::image::ImageId;
use stillstore::store::StorageKind;

use crate::catalog_database::{Shelf, at, description, done, id};

fn stale_ids(shelf: &Shelf, seconds: i64, limit: u16) -> Vec<ImageId> {
    let stale = done(shelf.catalog.stale(at(seconds), limit)).unwrap();
    stale.into_iter().map(|record| record.description.id).collect()
}

#[test]
fn unfinished_work_is_found_once_it_is_old_enough() {
    let shelf = Shelf::new();
    shelf.image_in(1, Status::Stored);
    shelf.image_in(2, Status::Deleted);
    for (number, seconds) in [(3, 30), (4, 10), (5, 20)] {
        done(shelf.catalog.reserve(&description(number), StorageKind::R2, 1, at(seconds))).unwrap();
    }
    done(shelf.catalog.abandon(id(5), at(40))).unwrap();

    assert_eq!(stale_ids(&shelf, 9, 10), []);
    assert_eq!(stale_ids(&shelf, 10, 10), [id(4)]);
    assert_eq!(stale_ids(&shelf, 40, 10), [id(4), id(3), id(5)]);
    assert_eq!(stale_ids(&shelf, 40, 2), [id(4), id(3)]);
}

#[test]
fn a_postponed_deletion_waits_behind_the_others() {
    let shelf = Shelf::new();
    for number in [1, 2] {
        shelf.image_in(number, Status::Deleting);
    }
    let [first, second] = stale_ids(&shelf, 50, 10).try_into().unwrap();
    done(shelf.catalog.postpone_delete(first, shelf.version(first), at(50))).unwrap();
    assert_eq!(stale_ids(&shelf, 50, 10), [second, first]);
    assert_eq!(stale_ids(&shelf, 49, 10), [second]);
}

#[test]
fn tombstones_are_purged_when_old_enough_and_nothing_else_is() {
    let shelf = Shelf::new();
    for (number, status) in [(1, Status::Pending), (2, Status::Stored), (3, Status::Deleting), (4, Status::Deleted)] {
        shelf.image_in(number, status);
    }
    let tombstone_at = shelf.find(id(4)).unwrap().updated_at;
    assert_eq!(done(shelf.catalog.purge_tombstones(tombstone_at.plus_millis(-1), 10)).unwrap(), 0);
    assert_eq!(done(shelf.catalog.purge_tombstones(tombstone_at, 10)).unwrap(), 1);
    assert_eq!(done(shelf.catalog.purge_tombstones(at(1_000_000), 10)).unwrap(), 0);
    assert_eq!([1, 2, 3, 4].map(|number| shelf.find(id(number)).is_some()), [true, true, true, false]);
}

#[test]
fn a_purge_takes_at_most_its_limit() {
    let shelf = Shelf::new();
    for number in 0..5 {
        shelf.image_in(number, Status::Deleted);
    }
    let purged = [(); 4].map(|()| done(shelf.catalog.purge_tombstones(at(60), 2)).unwrap());
    assert_eq!(purged, [2, 2, 1, 0]);
}
