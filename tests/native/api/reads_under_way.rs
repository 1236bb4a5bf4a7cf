//! Reading an embedded image of several chunks while it is moved or deleted.

use serde_json::json;

use stillstore::api::Request;
use stillstore::bytes::{Body, BodyError};
use stillstore::sql::{Database, DatabaseCall, Fault, Statement};
use stillstore::store::StoreCall;

use super::migrate::act;
use super::world::{PNG, World};
use crate::runtime::block_on;

const MIB: usize = 1024 * 1024;
const RETENTION_MS: i64 = 31 * 24 * 60 * 60 * 1000;

/// The image's bytes do not live in the database any more.
const OUT: &[&str] = &["migrate", "cleanup"];
/// They do again, as another write.
const OUT_AND_BACK: &[&str] = &["migrate", "cleanup", "rollback"];

const OTHER_DIGEST_IN_ROW: &str = "UPDATE stillstore_images SET version = version + 1, sha256 = printf('%064d', 0)";
const OTHER_DIGEST_OF_BYTES: &str = "UPDATE stillstore_blobs SET sha256 = printf('%064d', 0)";

/// An embedded image, no two places of which look alike.
struct Kept {
    world: World,
    id: String,
    bytes: Vec<u8>,
}

impl Kept {
    fn new(size_bytes: usize) -> Self {
        let world = World::new(false);
        let mut bytes: Vec<u8> =
            PNG.iter().copied().chain((0_u32..).flat_map(u32::to_be_bytes).take(size_bytes)).collect();
        bytes.truncate(size_bytes);
        let answer = world.upload("filename=a.png", &bytes);
        assert_eq!((answer.status, &answer.json()["storage"]), (201, &json!("d1")), "{answer:?}");
        Self { id: answer.json()["id"].as_str().unwrap().to_owned(), world, bytes }
    }

    /// The body of an answer that has begun.
    fn begin_reading(&self, headers: &[(&str, &str)]) -> Body {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = Request::new("GET", &format!("https://images.example/images/{}", self.id), headers, None);
        let response = block_on(self.world.app.handle(request));
        assert!([200, 206].contains(&response.status), "{}", response.status);
        response.body.expect("a body")
    }

    /// Each of these runs moves the image.
    fn undergo(&self, actions: &[&str]) {
        for action in actions {
            if *action == "cleanup" {
                self.world.runtime.advance(RETENTION_MS);
            }
            let ended = act(
                &self.world,
                &json!({"action": action, "source": "embedded", "deleteFromR2": *action == "rollback"}),
            );
            assert_eq!((&ended["state"], &ended["result"]["total"]), (&json!("completed"), &json!(1)), "{ended}");
        }
    }

    fn query(&self, sql: &'static str) {
        block_on(self.world.sqlite.run(Statement::new(sql))).expect("query");
    }

    /// Calls to the database and reads of the bucket that `work` takes.
    fn calls_of(&self, work: impl FnOnce()) -> (usize, usize) {
        let count = || {
            let reads = self.world.bucket.plan.calls().iter().filter(|call| call.kind == StoreCall::Get).count();
            (self.world.database.plan.calls().len(), reads)
        };
        let before = count();
        work();
        let after = count();
        (after.0 - before.0, after.1 - before.1)
    }
}

/// Reads on, in runs of `run_bytes`, until `read` is `until_bytes` long or the body ends.
fn read_on(body: &mut Body, read: &mut Vec<u8>, run_bytes: usize, until_bytes: usize) -> Result<(), BodyError> {
    while read.len() < until_bytes
        && let Some(run) = block_on(body.next(run_bytes))?
    {
        read.extend(run.to_vec());
    }
    Ok(())
}

/// Reads some bytes, lets the runs of `actions` move the image, and compares what comes in all.
fn assert_goes_on(actions: &[&str], run_bytes: usize, bytes_before: usize) {
    let kept = Kept::new(3 * MIB + 7);
    let (mut body, mut read) = (kept.begin_reading(&[]), Vec::new());
    read_on(&mut body, &mut read, run_bytes, bytes_before).expect("the bytes before the move");
    kept.undergo(actions);
    let rest = read_on(&mut body, &mut read, run_bytes, usize::MAX);
    let what = format!("{actions:?} after {bytes_before} bytes, in runs of {run_bytes}");
    assert_eq!(rest, Ok(()), "{what}");
    assert!(read == kept.bytes, "{what}");
}

#[test]
fn a_read_goes_on_where_its_image_was_moved() {
    for actions in [
        &["migrate"],
        OUT,
        &["migrate", "rollback"],
        OUT_AND_BACK,
        &["migrate", "cleanup", "rollback", "migrate"],
        &["migrate", "cleanup", "rollback", "migrate", "cleanup"],
    ] {
        assert_goes_on(actions, 256 << 10, MIB);
    }
}

#[test]
fn a_read_goes_on_at_the_very_byte_whatever_its_runs_are() {
    for actions in [OUT, OUT_AND_BACK] {
        for (run_bytes, bytes_before) in [(MIB, 2 * MIB), (300_000, 1), (MIB + 1, 1)] {
            assert_goes_on(actions, run_bytes, bytes_before);
        }
    }
}

#[test]
fn a_read_of_a_range_goes_on_where_its_image_was_moved() {
    for (first, last) in [(0, 3 * MIB), (MIB - 1, 2 * MIB), (MIB, 2 * MIB), (5, 3 * MIB + 6), (MIB + 9, 3 * MIB - 9)] {
        for actions in [OUT, OUT_AND_BACK] {
            let kept = Kept::new(3 * MIB + 7);
            let range = format!("bytes={first}-{last}");
            let (mut body, mut read) = (kept.begin_reading(&[("range", &range)]), Vec::new());
            read_on(&mut body, &mut read, 1000, 1).expect("the bytes before the move");
            kept.undergo(actions);
            assert_eq!(read_on(&mut body, &mut read, MIB, usize::MAX), Ok(()), "{range} {actions:?}");
            assert!(read == kept.bytes[first..=last], "{range} {actions:?}");
        }
    }
}

#[test]
fn looking_ahead_across_a_move_takes_nothing_away() {
    let kept = Kept::new(3 * MIB + 7);
    let (mut body, mut read) = (kept.begin_reading(&[]), Vec::new());
    read_on(&mut body, &mut read, 1000, 1).expect("the bytes before the move");
    assert_eq!(block_on(body.peek(10)).expect("peek"), kept.bytes[1000..1010]);
    kept.undergo(OUT);
    for _ in 0..2 {
        assert!(block_on(body.peek(2 * MIB)).expect("peek") == kept.bytes[1000..1000 + 2 * MIB]);
    }
    read_on(&mut body, &mut read, MIB, usize::MAX).expect("the bytes after the move");
    assert!(read == kept.bytes);
}

#[test]
fn a_read_follows_four_moves_and_no_more() {
    for (moves, expected_bytes) in [(4, 6 * MIB), (5, 5 * MIB)] {
        let kept = Kept::new(6 * MIB);
        let (mut body, mut read) = (kept.begin_reading(&[]), Vec::new());
        for moved in 1..=moves {
            read_on(&mut body, &mut read, MIB, moved * MIB).expect("a read that follows");
            kept.undergo(OUT_AND_BACK);
        }
        let rest = read_on(&mut body, &mut read, MIB, usize::MAX);
        assert_eq!(rest.is_ok(), moves == 4, "{rest:?}");
        assert!(read == kept.bytes[..expected_bytes], "{} bytes", read.len());
    }
}

#[test]
fn a_read_that_nothing_breaks_costs_no_more_and_one_that_a_move_breaks_costs_a_look_at_the_row() {
    let cost_of = |actions: &[&str]| {
        let kept = Kept::new(3 * MIB);
        let (mut body, mut read) = (kept.begin_reading(&[]), Vec::new());
        kept.undergo(actions);
        let calls = kept.calls_of(|| read_on(&mut body, &mut read, MIB, usize::MAX).expect("the image"));
        assert!(read == kept.bytes);
        calls
    };
    assert_eq!(cost_of(&[]), (2, 0), "a call a chunk; the first came with the row of the write");
    assert_eq!(cost_of(&["migrate"]), (2, 0), "the original is there until it is cleaned up");
    assert_eq!(cost_of(&["migrate", "rollback"]), (2, 0));
    assert_eq!(cost_of(OUT), (2, 1), "the chunk that is gone, the row, and the copy");
    assert_eq!(cost_of(OUT_AND_BACK), (4, 0), "the chunk that is gone, the row, and the two chunks that are left");
}

/// Opens an image, reads a chunk, lets something happen, and reads on: must break off behind that chunk.
fn assert_breaks_off(what: &str, happen: impl FnOnce(&Kept)) -> (usize, usize) {
    let kept = Kept::new(3 * MIB);
    let (mut body, mut read) = (kept.begin_reading(&[]), Vec::new());
    read_on(&mut body, &mut read, MIB, 1).expect("the bytes before");
    happen(&kept);
    let calls = kept.calls_of(|| {
        let rest = read_on(&mut body, &mut read, MIB, usize::MAX);
        assert!(matches!(rest, Err(BodyError::Interrupted(_))), "{what}: {rest:?}");
    });
    assert!(read == kept.bytes[..MIB], "{what}: {} bytes", read.len());
    calls
}

#[test]
fn a_read_of_an_image_that_is_deleted_breaks_off() {
    let delete = |kept: &Kept| {
        assert_eq!(kept.world.call("DELETE", &format!("/api/images/{}", kept.id), None).status, 204);
    };
    assert_breaks_off("deleted", delete);
    assert_breaks_off("moved and deleted", |kept| {
        kept.undergo(&["migrate"]);
        delete(kept);
    });
    assert_breaks_off("being deleted", |kept| {
        kept.query("UPDATE stillstore_images SET status = 'deleting', version = version + 1");
        kept.query("DELETE FROM stillstore_blobs");
    });
}

#[test]
fn a_read_breaks_off_where_the_row_has_nowhere_else_to_go() {
    let lost = assert_breaks_off("the bytes are lost, and the row has not changed", |kept| {
        kept.query("DELETE FROM stillstore_blobs");
    });
    assert_eq!(lost, (2, 0), "the chunk and the row");
    let failed = assert_breaks_off("the database failed, and the row has not changed", |kept| {
        kept.world.database.plan.fail_nth(DatabaseCall::Read, 1, Fault::FailBefore);
    });
    assert_eq!(failed, (2, 0), "the chunk and the row");
    assert_breaks_off("the database fails", |kept| {
        kept.undergo(OUT);
        kept.world.database.plan.fail_all(None, Fault::FailBefore);
    });
    assert_breaks_off("the bucket fails", |kept| {
        kept.undergo(OUT);
        kept.world.bucket.plan.fail_all(StoreCall::Get, Fault::FailBefore);
    });
    assert_breaks_off("the copy is lost", |kept| {
        kept.undergo(OUT);
        let key = kept.world.rows("SELECT storage_key AS key FROM stillstore_images")[0]["key"].clone();
        kept.world.lose_object(key.as_str().unwrap());
    });
    assert_breaks_off("row and bytes are another image's", |kept| {
        kept.undergo(OUT_AND_BACK);
        kept.query(OTHER_DIGEST_IN_ROW);
        kept.query(OTHER_DIGEST_OF_BYTES);
    });
    assert_breaks_off("the new home holds other bytes", |kept| {
        kept.undergo(OUT_AND_BACK);
        kept.query(OTHER_DIGEST_OF_BYTES);
    });
}
