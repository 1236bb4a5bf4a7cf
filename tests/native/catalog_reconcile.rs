//! Rows in the order of their keys, and keys that are held while their objects are removed.

use stillstore::catalog::{Reservation, Status, Unnamed};
use stillstore::image::ObjectKey;
use stillstore::store::StorageKind;

use crate::catalog_database::{Shelf, at, description, done, id};

fn key(number: u64) -> ObjectKey {
    description(number).key
}

#[test]
fn rows_of_every_status_come_in_the_order_of_their_keys() {
    let shelf = Shelf::new();
    for (number, status) in [(3, Status::Stored), (1, Status::Pending), (2, Status::Deleting)] {
        shelf.image_in(number, status);
    }
    let mut expected = [1, 2, 3].map(|number| (key(number), shelf.status(id(number)).unwrap()));
    expected.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut seen = Vec::new();
    loop {
        let after = seen.last().map(|(key, _): &(ObjectKey, Status)| key.clone());
        let page = done(shelf.catalog.rows_by_key(after.as_ref(), 2)).unwrap();
        let is_last = page.len() < 2;
        seen.extend(page.into_iter().map(|row| (row.key, row.status)));
        if is_last {
            break;
        }
    }
    assert_eq!(seen, expected);
}

#[test]
fn grants_variants_and_uploads_of_frames_name_objects() {
    let shelf = Shelf::new();
    let names = done(shelf.catalog.names_of(&Unnamed {
        keys: vec![key(1)],
        images: vec![id(1)],
        sessions: vec!["s".parse().unwrap()],
    }));
    assert_eq!(names.unwrap().keys, []);
}

#[test]
fn a_key_is_held_by_no_image_until_it_is_let_go() {
    let shelf = Shelf::new();
    shelf.image_in(1, Status::Stored);
    let wanted = [(id(8), key(1)), (id(9), key(2))];
    assert_eq!(done(shelf.catalog.hold_keys(&wanted, at(0))).unwrap(), [key(2)], "an image has the other");
    let reserve = || done(shelf.catalog.reserve(&description(2), StorageKind::R2, 1, at(0))).unwrap();
    assert_eq!(reserve(), Reservation::KeyTaken);
    assert_eq!(done(shelf.catalog.hold_keys(&wanted, at(0))).unwrap(), [], "and somebody removes it already");
    done(shelf.catalog.let_go(&[id(8), id(9), id(1)])).unwrap();
    assert_eq!(reserve(), Reservation::Reserved);
    assert_eq!(shelf.status(id(1)), Some(Status::Stored), "an image that is stored stays");
}
