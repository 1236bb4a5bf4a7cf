//! What was moved out of a table is an image of the catalogue like any other, whichever database the table is in.

use std::rc::Rc;

use serde_json::{Value as Json, json};
use stillstore::sql::Database;

use crate::api::world::{Answer, TOKEN, World};
use crate::image_fixtures::bytes;
use crate::migrate_table::{IMAGES, act, base64, clean, execute, insert, lines, query, world_with};
use crate::runtime::block_on;
use crate::sqlite::Sqlite;

/// A deployment with a source `shop`, and the database that its table is in.
struct Shop {
    world: World,
    sqlite: Rc<Sqlite>,
}

impl Shop {
    fn new(is_elsewhere: bool, more: &Json) -> Self {
        let mut source = json!({"name": "shop", "binding": if is_elsewhere { "SHOP" } else { "DB" }, "table": "images",
            "id": "id", "data": "image_data", "url": "image_url", "key": "r2_key", "metadata": ["prompt", "Status"]});
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let other = Rc::new(Sqlite::migrated());
        let databases = vec![("SHOP".to_owned(), Rc::clone(&other) as Rc<dyn Database>)];
        let world = world_with(&json!([source]), if is_elsewhere { databases } else { Vec::new() });
        let sqlite = if is_elsewhere { other } else { Rc::clone(&world.sqlite) };
        execute(&sqlite, IMAGES, Vec::new());
        Self { world, sqlite }
    }

    /// With a row for each id, all of them moved.
    fn moved(is_elsewhere: bool, ids: &[&str]) -> Self {
        let shop = Self::new(is_elsewhere, &json!({}));
        for id in ids {
            insert(&shop.sqlite, id, &base64(&bytes("rgb.png")));
        }
        act(&shop.world, &json!({"action": "migrate", "source": "shop"}));
        shop
    }

    fn listed(&self) -> Vec<Json> {
        self.world.call("GET", "/api/images", None).json()["images"].as_array().unwrap().clone()
    }

    /// The image of an item.
    fn image(&self, item: &str) -> String {
        let sql = format!("SELECT id FROM stillstore_images WHERE source = 'shop' AND source_item = '{item}'");
        query(&self.world.sqlite, &sql).pop().expect(item)["id"].as_str().unwrap().to_owned()
    }

    fn delete(&self, id: &str, query: &str) -> Answer {
        self.world.call("DELETE", &format!("/api/images/{id}{query}"), None)
    }

    fn read(&self, id: &str) -> Answer {
        self.world.send("GET", &format!("/images/{id}"), &[], None)
    }

    fn journal(&self) -> Vec<Json> {
        query(&self.sqlite, "SELECT item_id, stage, catalogue FROM stillstore_moves ORDER BY 1")
    }

    fn counted(&self) -> Vec<Json> {
        let sql = "SELECT status, images FROM stillstore_counters WHERE images <> 0 ORDER BY 1";
        query(&self.world.sqlite, sql)
    }
}

const BOTH: [bool; 2] = [false, true];

#[test]
fn a_moved_image_is_listed_described_signed_and_counted() {
    for is_elsewhere in BOTH {
        let shop = Shop::moved(is_elsewhere, &["a"]);
        let listed = shop.listed();
        let [image] = &listed[..] else { panic!("one image: {listed:?}") };
        let described = shop.world.call("GET", &format!("/api/images/{}", image["id"].as_str().unwrap()), None).json();
        assert_eq!(*image, described);
        for (field, value) in [
            ("source", json!("shop")),
            ("sourceItem", json!("a")),
            ("metadata", json!({"prompt": "a cat", "status": "done"})),
            ("storage", json!("r2")),
            ("status", json!("stored")),
            ("visibility", json!("public")),
            ("content_type", json!("image/png")),
            ("size", json!(bytes("rgb.png").len())),
            ("width", json!(40)),
            ("height", json!(24)),
        ] {
            assert_eq!(image[field], value, "{field}: {image}");
        }
        let id = shop.image("a");
        assert_eq!(shop.read(&id).body, bytes("rgb.png"));
        let signed = shop.world.post_json(&format!("/api/images/{id}/signed-url"), &json!({"expiresIn": 60}), &[]);
        assert_eq!(signed.status, 200, "{signed:?}");
        assert_eq!(shop.counted(), [json!({"status": "moved", "images": 1})], "{is_elsewhere}");
        assert_eq!(shop.journal(), [json!({"item_id": "a", "stage": "moved", "catalogue": "present"})]);
    }
}

#[test]
fn images_of_a_private_source_want_a_signature_from_the_first_moment_on() {
    for is_elsewhere in BOTH {
        let shop = Shop::new(is_elsewhere, &json!({"visibility": "private"}));
        insert(&shop.sqlite, "a", &base64(&bytes("rgb.png")));
        act(&shop.world, &json!({"action": "migrate", "source": "shop"}));
        let id = shop.image("a");
        let url = query(&shop.sqlite, "SELECT image_url FROM images").remove(0);
        assert_eq!(url["image_url"], format!("https://images.example/images/{id}"));
        assert_eq!(shop.read(&id).code(), "signature-invalid");
        let signed = shop.world.post_json(&format!("/api/images/{id}/signed-url"), &json!({}), &[]).json();
        let path = signed["url"].as_str().unwrap().strip_prefix("https://images.example").unwrap().to_owned();
        assert_eq!(shop.world.send("GET", &path, &[], None).body, bytes("rgb.png"));
        // Without its row, as between the steps of an adoption, the journal says the same.
        forget_rows(&shop);
        assert_eq!(shop.read(&id).code(), "signature-invalid", "{is_elsewhere}");
        block_on(shop.world.app.tick());
        assert_eq!(shop.listed()[0]["visibility"], "private");
    }
    let public = world_of_private_source_and_public_bucket();
    let run = act(&public, &json!({"action": "migrate", "source": "shop"}));
    assert_eq!(lines(&public, &run)[0]["reason"], "private-image-and-public-bucket", "{run}");
}

fn world_of_private_source_and_public_bucket() -> World {
    let source = json!([{"name": "shop", "table": "images", "id": "id", "data": "image_data", "url": "image_url",
        "visibility": "private"}])
    .to_string();
    let world = World::with_vars(&[
        ("ENABLE_R2_STORAGE", "true"),
        ("R2_PUBLIC_URL", "https://bucket.example"),
        ("API_TOKEN", TOKEN),
        ("MIGRATION_SOURCES", &source),
    ]);
    execute(&world.sqlite, IMAGES, Vec::new());
    insert(&world.sqlite, "a", &base64(&bytes("rgb.png")));
    world
}

#[test]
fn an_image_that_a_row_shows_is_deleted_only_by_force() {
    for is_elsewhere in BOTH {
        let shop = Shop::moved(is_elsewhere, &["a", "b"]);
        let id = shop.image("a");
        for query in ["", "?force=false"] {
            let refused = shop.delete(&id, query);
            assert_eq!((refused.status, refused.code().as_str()), (409, "image-in-use"), "{refused:?}");
            let detail = refused.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains("the row a ") && detail.contains("the source shop"), "{detail}");
        }
        for (query, field) in [("?force=yes", "force"), ("?forse=true", "forse")] {
            let refused = shop.delete(&id, query);
            assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some(field)), "{refused:?}");
        }
        assert_eq!(shop.read(&id).body, bytes("rgb.png"), "nothing happened");

        assert_eq!(shop.delete(&id, "?force=true").status, 204);
        assert_eq!(shop.read(&id).code(), "image-deleted");
        assert_eq!(shop.delete(&id, "").status, 204, "twice is fine");
        let left: Vec<_> = shop.journal().iter().map(|entry| entry["item_id"].clone()).collect();
        assert_eq!(left, ["b"], "there is nothing left to roll back");
        let stages = "SELECT stage, items FROM stillstore_move_counters WHERE items <> 0";
        assert_eq!(query(&shop.sqlite, stages), [json!({"stage": "moved", "items": 1})]);
        assert_eq!(shop.counted(), [json!({"status": "moved", "images": 1})]);
        let run = act(&shop.world, &json!({"action": "validate", "source": "shop"}));
        assert_eq!((&run["result"]["invalid"], &run["result"]["orphaned"]), (&json!(0), &json!([])), "{run}");
    }
}

#[test]
fn an_image_that_no_row_shows_any_more_is_deleted_like_any_other() {
    for is_elsewhere in BOTH {
        let shop = Shop::moved(is_elsewhere, &["a", "b"]);
        let (a, b) = (shop.image("a"), shop.image("b"));
        execute(&shop.sqlite, "UPDATE images SET image_url = '/elsewhere' WHERE id = 'a'", Vec::new());
        execute(&shop.sqlite, "DELETE FROM images WHERE id = 'b'", Vec::new());
        for id in [a, b] {
            assert_eq!(shop.delete(&id, "").status, 204);
            assert_eq!(shop.read(&id).code(), "image-deleted");
        }
        assert!(
            shop.journal().is_empty() && shop.world.bucket.inner.contents().keys().all(|key| key.starts_with("still"))
        );
    }
}

#[test]
fn a_rollback_takes_the_image_out_of_the_catalogue_and_another_move_brings_it_back() {
    for is_elsewhere in BOTH {
        for delete in [false, true] {
            let shop = Shop::moved(is_elsewhere, &["a"]);
            let id = shop.image("a");
            act(&shop.world, &json!({"action": "rollback", "source": "shop", "deleteFromR2": delete}));
            assert!(shop.listed().is_empty() && shop.counted().is_empty(), "{is_elsewhere} {delete}");
            assert_eq!(shop.read(&id).code(), "image-not-found");
            act(&shop.world, &json!({"action": "migrate", "source": "shop"}));
            assert_eq!(shop.image("a"), id, "the same bytes of the same row are the same image");
            clean(&shop.world, "shop");
            assert_eq!(shop.read(&id).body, bytes("rgb.png"));
        }
    }
}

#[test]
fn the_picture_before_another_stays_as_an_image_of_its_own() {
    for is_elsewhere in BOTH {
        let shop = Shop::moved(is_elsewhere, &["a"]);
        let former = shop.image("a");
        let sql = "UPDATE images SET image_data = ?1, image_url = NULL WHERE id = 'a'";
        execute(&shop.sqlite, sql, vec![base64(&bytes("still.gif")).into()]);
        act(&shop.world, &json!({"action": "migrate", "source": "shop"}));
        assert_ne!(shop.image("a"), former);
        let listed = shop.listed();
        let kept = listed.iter().find(|image| image["id"] == former).expect("the former picture");
        assert!(kept.get("source").is_none(), "{kept}");
        assert_eq!(shop.read(&former).body, bytes("rgb.png"));
        let run = act(&shop.world, &json!({"action": "validate", "source": "shop"}));
        assert_eq!((&run["result"]["invalid"], &run["result"]["orphaned"]), (&json!(0), &json!([])), "{run}");
        assert_eq!(shop.delete(&former, "").status, 204, "nothing shows it");
    }
}

/// Leaves the journal as a version that had no rows for moved images wrote it, but for what it says of them.
fn forget_rows(shop: &Shop) {
    execute(&shop.world.sqlite, "DELETE FROM stillstore_images WHERE source = 'shop'", Vec::new());
    execute(&shop.sqlite, "UPDATE stillstore_moves SET catalogue = 'absent'", Vec::new());
}

#[test]
fn moves_of_versions_before_are_served_and_become_images_by_cron() {
    for is_elsewhere in BOTH {
        let ids: Vec<_> = (0..130).map(|number| format!("{number:03}")).collect();
        let shop = Shop::moved(is_elsewhere, &ids.iter().map(String::as_str).collect::<Vec<_>>());
        let image = shop.image("129");
        forget_rows(&shop);
        execute(&shop.sqlite, "UPDATE stillstore_moves SET image = NULL", Vec::new());
        assert!(shop.listed().is_empty());
        assert_eq!(shop.read(&image).body, bytes("rgb.png"), "served meanwhile");
        assert_eq!(shop.read("0f8fad5b-d9cb-469f-a165-70867728950e").status, 404);

        block_on(shop.world.app.tick());
        assert_eq!(shop.counted(), [json!({"status": "moved", "images": 130})], "{is_elsewhere}");
        assert_eq!(shop.image("129"), image);
        assert!(shop.journal().iter().all(|entry| entry["catalogue"] == "present"));
        let rows = query(
            &shop.world.sqlite,
            "SELECT labels, visibility, version FROM stillstore_images WHERE source_item = '007'",
        );
        assert_eq!(rows, [json!({"labels": "{}", "visibility": "public", "version": 1})]);
        act(&shop.world, &json!({"action": "rollback", "source": "shop", "deleteFromR2": true}));
        block_on(shop.world.app.tick());
        assert!(shop.counted().is_empty() && shop.journal().is_empty(), "{is_elsewhere}");
    }
}
