//! What a rollback does about images that nothing shows any more, and what leaves the cache in front when a run takes images out.

use std::rc::Rc;

use serde_json::{Value as Json, json};
use stillstore::sql::Database;

use crate::api::world::{PNG, World};
use crate::image_fixtures::bytes;
use crate::migrate_table::{IMAGES, act, base64, clean, execute, insert, lines, objects, query, world_with};
use crate::runtime::block_on;
use crate::sqlite::Sqlite;

const HOUR_MS: i64 = 60 * 60 * 1000;
const GONE: &str = "DELETE FROM images WHERE id = 'a'";

/// A deployment whose row `a` was moved, in its own database or in another.
struct Shop {
    world: World,
    sqlite: Rc<Sqlite>,
    image: String,
}

impl Shop {
    fn moved(is_elsewhere: bool, visibility: &str) -> Self {
        let source = json!({"name": "shop", "binding": if is_elsewhere { "SHOP" } else { "DB" }, "table": "images", "id": "id",
            "data": "image_data", "url": "image_url", "key": "r2_key", "visibility": visibility});
        let other = Rc::new(Sqlite::migrated());
        let databases = vec![("SHOP".to_owned(), Rc::clone(&other) as Rc<dyn Database>)];
        let world = world_with(&json!([source]), if is_elsewhere { databases } else { Vec::new() });
        let sqlite = if is_elsewhere { other } else { Rc::clone(&world.sqlite) };
        execute(&sqlite, IMAGES, Vec::new());
        // A space in an odd place: cleanup saves the value itself.
        let data = base64(&bytes("rgb.png"));
        insert(&sqlite, "a", &format!(" {} {}", &data[..8], &data[8..]));
        act(&world, &json!({"action": "migrate", "source": "shop"}));
        let image =
            query(&world.sqlite, "SELECT id FROM stillstore_images").remove(0)["id"].as_str().unwrap().to_owned();
        Self { world, sqlite, image }
    }

    fn change(&self, sql: &str) {
        execute(&self.sqlite, sql, Vec::new());
    }

    fn new_picture(&self, url: &str) {
        let sql = format!("UPDATE images SET image_data = ?1, image_url = {url} WHERE id = 'a'");
        execute(&self.sqlite, &sql, vec![base64(&bytes("still.gif")).into()]);
    }

    fn roll_back(&self, delete: bool) -> (String, Option<String>) {
        let run = act(&self.world, &json!({"action": "rollback", "source": "shop", "deleteFromR2": delete}));
        let [line] = &lines(&self.world, &run)[..] else { panic!("one line") };
        let text = |field: &str| line[field].as_str().map(str::to_owned);
        (text("verdict").unwrap(), text("reason"))
    }

    fn read(&self) -> u16 {
        self.world.call("GET", &format!("/images/{}", self.image), None).status
    }

    fn journal(&self) -> Vec<Json> {
        query(&self.sqlite, "SELECT item_id FROM stillstore_moves")
    }

    /// Neither bytes, row, entry nor saved value of the image are left, and the cache forgot it.
    fn assert_forgotten(&self, case: &str) {
        let left: Vec<_> = self.world.bucket.inner.contents().into_keys().collect();
        assert!(left.iter().all(|key| key.starts_with("stillstore/receipts/")), "{case}: {left:?}");
        assert_eq!(self.read(), 404, "{case}");
        assert!(self.journal().is_empty(), "{case}");
        assert!(self.world.cache.forgot(&self.image), "{case}");
        let counted = query(&self.sqlite, "SELECT stage, items FROM stillstore_move_counters WHERE items <> 0");
        assert!(counted.is_empty(), "{case}: {counted:?}");
    }
}

fn skipped(reason: &str) -> (String, Option<String>) {
    ("skipped".to_owned(), Some(reason.to_owned()))
}

const BOTH: [bool; 2] = [false, true];

#[test]
fn a_rollback_that_deletes_from_r2_leaves_nothing_of_a_row_that_is_gone() {
    for is_elsewhere in BOTH {
        for is_clean in BOTH {
            let case = format!("elsewhere {is_elsewhere}, cleaned {is_clean}");
            let shop = Shop::moved(is_elsewhere, "public");
            if is_clean {
                clean(&shop.world, "shop");
                assert!(shop.world.bucket.inner.contents().keys().any(|key| key.starts_with("stillstore/originals/")));
            }
            shop.change(GONE);
            assert_eq!(shop.roll_back(false), skipped("deleted"), "{case}");
            block_on(shop.world.app.tick());
            assert_eq!((shop.read(), objects(&shop.world).len()), (200, 1), "{case}: it may be the last copy");
            shop.world.cache.purged.borrow_mut().clear();

            assert_eq!(shop.roll_back(true), skipped("copy-removed"), "{case}");
            shop.assert_forgotten(&case);
            block_on(shop.world.app.tick());
            shop.assert_forgotten(&case);
        }
    }
}

#[test]
fn a_rollback_that_deletes_from_r2_leaves_nothing_of_the_picture_before_another() {
    for is_elsewhere in BOTH {
        for url in ["NULL", "'https://app.example/new.gif'"] {
            let case = format!("elsewhere {is_elsewhere}, url {url}");
            let shop = Shop::moved(is_elsewhere, "public");
            shop.new_picture(url);
            let before = query(&shop.sqlite, "SELECT * FROM images");
            assert_eq!(shop.roll_back(false), skipped("url-changed"), "{case}");
            assert_eq!(shop.roll_back(true), skipped("copy-removed"), "{case}");
            shop.assert_forgotten(&case);
            assert_eq!(query(&shop.sqlite, "SELECT * FROM images"), before, "{case}");
        }
    }
}

#[test]
fn a_copy_that_the_row_may_show_stays() {
    for is_elsewhere in BOTH {
        for change in [
            // Another host in front of the same object.
            "UPDATE images SET image_url = replace(image_url, 'images.example', 'cdn.example') WHERE id = 'a'",
            "UPDATE images SET image_url = upper(image_url), image_data = 'new' WHERE id = 'a'",
            // No data and no url, but the key.
            "UPDATE images SET image_url = NULL, image_data = NULL WHERE id = 'a'",
            // The moved picture itself.
            "UPDATE images SET image_url = NULL WHERE id = 'a'",
        ] {
            let shop = Shop::moved(is_elsewhere, "public");
            shop.change(change);
            assert_eq!(shop.roll_back(true), skipped("url-changed"), "{change}");
            block_on(shop.world.app.tick());
            assert_eq!((shop.read(), shop.journal().len()), (200, 1), "{change}");
        }
        let shop = Shop::moved(is_elsewhere, "public");
        shop.change("UPDATE images SET image_url = NULL, image_data = NULL, r2_key = NULL WHERE id = 'a'");
        assert_eq!(shop.roll_back(true), skipped("copy-removed"));
        shop.assert_forgotten("a row that shows nothing");
    }
}

#[test]
fn what_a_rollback_left_in_the_bucket_goes_with_its_row() {
    for is_elsewhere in BOTH {
        for new_picture in BOTH {
            let shop = Shop::moved(is_elsewhere, "public");
            assert_eq!(shop.roll_back(false).0, "restored");
            assert!(shop.world.cache.forgot(&shop.image) && shop.read() == 404, "{is_elsewhere}");
            if new_picture {
                shop.new_picture("NULL");
            } else {
                shop.change(GONE);
            }
            assert_eq!(shop.roll_back(true), skipped("copy-removed"));
            shop.assert_forgotten(&format!("elsewhere {is_elsewhere}, new picture {new_picture}"));
        }
    }
}

#[test]
fn a_row_that_comes_back_while_its_copy_is_about_to_go_keeps_it() {
    let shop = Shop::moved(false, "public");
    let url = query(&shop.sqlite, "SELECT image_url FROM images").remove(0)["image_url"].as_str().unwrap().to_owned();
    shop.change(GONE);
    let back = format!("INSERT INTO images (id, image_url) VALUES ('a', '{url}')");
    let trigger = format!("CREATE TRIGGER stillstore_test AFTER DELETE ON stillstore_images BEGIN {back}; END");
    shop.change(&trigger);
    assert_eq!(shop.roll_back(true), skipped("changed-meanwhile"));
    assert_eq!((objects(&shop.world).len(), shop.journal().len(), shop.read()), (1, 1, 200));
}

#[test]
fn an_embedded_image_whose_row_is_gone_leaves_nothing_behind() {
    for is_clean in BOTH {
        for is_restored in BOTH {
            let world = World::new(false);
            let id = world.upload("", PNG).json()["id"].as_str().unwrap().to_owned();
            act(&world, &json!({"action": "migrate", "source": "embedded"}));
            if is_clean {
                clean(&world, "embedded");
            }
            if is_restored {
                act(&world, &json!({"action": "rollback", "source": "embedded"}));
            }
            execute(&world.sqlite, "DELETE FROM stillstore_images", Vec::new());
            world.cache.purged.borrow_mut().clear();
            let run = act(&world, &json!({"action": "rollback", "source": "embedded", "deleteFromR2": true}));
            let case = format!("cleaned {is_clean}, restored {is_restored}: {run}");
            assert_eq!(lines(&world, &run)[0]["reason"], "copy-removed", "{case}");
            assert!(objects(&world).is_empty(), "{case}");
            for table in ["stillstore_moves", "stillstore_blobs", "stillstore_chunks"] {
                assert!(query(&world.sqlite, &format!("SELECT 1 FROM {table}")).is_empty(), "{case}: {table}");
            }
            assert_eq!(world.send("GET", &format!("/images/{id}"), &[], None).status, 404);
            assert!(world.cache.forgot(&id), "{case}");
        }
    }
}

#[test]
fn what_leaves_the_catalogue_is_purged_at_once_and_once_more_an_hour_later() {
    for is_elsewhere in BOTH {
        for delete in BOTH {
            for visibility in ["public", "private"] {
                let case = format!("elsewhere {is_elsewhere}, delete {delete}, {visibility}");
                let shop = Shop::moved(is_elsewhere, visibility);
                assert_eq!(shop.roll_back(delete).0, "restored", "{case}");
                assert_eq!(shop.world.cache.forgot(&shop.image), visibility == "public", "{case}");
                shop.world.cache.purged.borrow_mut().clear();
                shop.world.runtime.advance(HOUR_MS);
                block_on(shop.world.app.tick());
                assert_eq!(shop.world.cache.forgot(&shop.image), visibility == "public", "{case}");
            }
        }
    }
}

#[test]
fn a_purge_that_the_cache_refuses_a_run_is_sent_by_cron() {
    let shop = Shop::moved(false, "public");
    shop.world.cache.allows.set(Some(0));
    assert_eq!(shop.roll_back(true).0, "restored");
    assert!(!shop.world.cache.forgot(&shop.image));
    shop.world.cache.allows.set(None);
    shop.world.runtime.advance(10 * 60 * 1000);
    block_on(shop.world.app.tick());
    assert!(shop.world.cache.forgot(&shop.image));
}

#[test]
fn a_restore_that_takes_an_image_out_of_the_catalogue_purges_it() {
    for is_elsewhere in BOTH {
        let shop = Shop::moved(is_elsewhere, "public");
        assert_eq!(shop.roll_back(false).0, "restored");
        let backup = act(&shop.world, &json!({"action": "backup", "source": "shop"}));
        shop.world.runtime.advance(1);
        act(&shop.world, &json!({"action": "migrate", "source": "shop"}));
        shop.change(GONE);
        shop.world.cache.purged.borrow_mut().clear();
        let restore = json!({"action": "restore", "source": "shop", "runId": backup["runId"]});
        act(&shop.world, &restore);
        assert_eq!(query(&shop.sqlite, "SELECT id FROM images").len(), 1);
        assert_eq!(shop.read(), 404);
        assert!(shop.world.cache.forgot(&shop.image), "{is_elsewhere}");
    }
}

#[test]
fn embedded_bytes_that_are_replaced_from_a_backup_are_purged() {
    let world = World::new(false);
    let id = world.upload("", PNG).json()["id"].as_str().unwrap().to_owned();
    let whole = world.upload("", &bytes("rgb.png")).json()["id"].as_str().unwrap().to_owned();
    let backup = act(&world, &json!({"action": "backup", "source": "embedded"}));
    let broken = base64(&[0; 67]);
    let sql = format!(
        "UPDATE stillstore_chunks SET data = '{broken}' WHERE write_id = (SELECT embedded_write_id FROM stillstore_images WHERE id = '{id}')"
    );
    execute(&world.sqlite, &sql, Vec::new());
    assert_ne!(world.send("GET", &format!("/images/{id}"), &[], None).body, PNG);
    act(&world, &json!({"action": "restore", "source": "embedded", "runId": backup["runId"]}));
    assert_eq!(world.send("GET", &format!("/images/{id}"), &[], None).body, PNG);
    assert!(world.cache.forgot(&id) && !world.cache.forgot(&whole));
}
