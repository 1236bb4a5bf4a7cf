//! What a run leaves of another bucket: objects that are no images, and copies that nothing names.

use serde_json::json;

use crate::api::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_bucket::{migrate, reasons, world_with};
use crate::migrate_table::act;

#[test]
fn what_is_no_image_is_read_once_where_only_images_are_copied() {
    let text = b"a text".to_vec();
    let long = vec![b'x'; 9 * 1024 * 1024];
    let contents: [(&str, &[u8]); 3] =
        [("pics/a.png", &bytes("rgb.png")), ("pics/b.txt", &text), ("pics/c.bin", &long)];
    let (world, bucket) = world_with(&[("others", json!("skip")), ("visibility", json!("public"))], &contents);
    let run = migrate(&world);
    assert_eq!((&run["result"]["migrated"], &run["result"]["skipped"], bucket.reads.get()), (&json!(1), &json!(2), 3));
    let run = migrate(&world);
    assert_eq!(
        (&run["result"]["total"], &run["state"], bucket.reads.get()),
        (&json!(0), &json!("completed"), 3),
        "{run}"
    );
    let named = act(&world, &json!({"action": "migrate", "source": "old", "imageIds": ["pics/a.png", "pics/b.txt"]}));
    let causes = [("pics/a.png", "already-moved"), ("pics/b.txt", "not-an-image")];
    assert_eq!(reasons(&world, &named), causes.map(|(key, why)| (json!(key), json!(why))));
    let complete = act(&world, &json!({"action": "complete", "source": "old"}));
    assert_eq!((&complete["result"]["left"], bucket.reads.get()), (&json!(2), 3), "nobody has a copy: {complete}");
    bucket.has("pics/b.txt", &bytes("still.gif"));
    assert_eq!((&migrate(&world)["result"]["migrated"], bucket.reads.get()), (&json!(1), 4), "another state is read");
}

#[test]
fn a_copy_that_nothing_names_is_an_orphan_and_what_others_put_is_not() {
    let (world, bucket) = world_with(&[], &[("pics/a.png", &bytes("rgb.png")), ("pics/b.txt", b"a text")]);
    migrate(&world);
    world.put_foreign_object("pics/theirs.png", &bytes("rgb.png"));
    let orphans = |world: &World| {
        let run = act(world, &json!({"action": "validate", "source": "old"}));
        let orphaned = run["result"]["orphaned"].as_array().unwrap().clone();
        orphaned.into_iter().map(|orphan| orphan["id"].clone()).collect::<Vec<_>>()
    };
    assert!(orphans(&world).is_empty());
    bucket.has("pics/b.txt", b"another text");
    bucket.has("pics/a.png", &bytes("still.gif"));
    migrate(&world);
    assert_eq!(orphans(&world), ["pics/b.txt"], "an image that was replaced at its source keeps its row");
    act(&world, &json!({"action": "rollback", "source": "old"}));
    assert_eq!(orphans(&world), ["pics/b.txt"], "what was rolled back is in the journal");
}

#[test]
fn an_object_that_changed_and_was_rolled_back_is_copied_again() {
    for delete in [false, true] {
        let (world, bucket) = world_with(&[], &[("pics/a.png", &bytes("rgb.png"))]);
        migrate(&world);
        bucket.has("pics/a.png", &bytes("still.gif"));
        migrate(&world);
        act(&world, &json!({"action": "rollback", "source": "old", "deleteFromR2": delete}));
        let run = migrate(&world);
        assert_eq!((&run["result"]["migrated"], &run["result"]["failed"]), (&json!(1), &json!(0)), "{delete}: {run}");
        let valid = act(&world, &json!({"action": "validate", "source": "old"}));
        assert_eq!((&valid["result"]["isValid"], &valid["result"]["valid"]), (&json!(true), &json!(1)), "{valid}");
    }
}
