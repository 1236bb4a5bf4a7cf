//! A deployment whose requests can be held in the middle, and what must hold of it at every moment.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::rc::Rc;

use serde_json::Value;
use stillstore::api::Request;
use stillstore::app::App;
use stillstore::catalog::Catalog;
use stillstore::image::Sha256Digest;
use stillstore::runtime::Runtime;
use stillstore::sql::{Database, Statement};
use stillstore::store::{EmbeddedStore, ImageStore};

use super::gate::{Gate, GatedDatabase, GatedStore, Trouble};
use super::shop::{self, BINDING, Opening, SHOP, Shop};
use crate::api::world::{PNG, TOKEN, World};
use crate::migrate_table::query;
use crate::runtime::{block_on, poll_until_stalled};
use crate::sqlite::Sqlite;

/// Longer than a lease.
pub const LEASE_MS: i64 = 10 * 60 * 1000;
/// Longer than what the sweep takes for unfinished work.
pub const HOURS_2_MS: i64 = 2 * 60 * 60 * 1000;
/// The pauses between attempts are over at once; deadlines never pass.
const PAUSES_MS: u64 = 1_000;

pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

pub struct Stage {
    pub world: World,
    /// The same with R2 enabled for new images.
    r2: World,
    pub gate: Rc<Gate>,
    /// An application with a table of its own.
    pub shop: Option<Shop>,
    /// Images that must be readable.
    pub images: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Images that were embedded when they came.
    pub embedded: RefCell<BTreeSet<String>>,
    /// Images that were deleted, and must not be readable.
    pub deleted: RefCell<BTreeSet<String>>,
    seed: Cell<u8>,
}

impl Stage {
    pub fn new(vars: &[(&str, &str)], opening: Option<&Opening>) -> Self {
        let sources = opening.map_or_else(|| "[]".to_owned(), |opening| format!("[{}]", shop::source(opening)));
        let ours = [("API_TOKEN", TOKEN), ("MIGRATION_SOURCES", sources.as_str())];
        let with = |enabled| [vars, &ours, &[("ENABLE_R2_STORAGE", enabled)]].concat();
        let mut world = World::with_vars(&with("false"));
        let mut r2 = World::over(Rc::clone(&world.sqlite), &with("true"));
        world.runtime.end_sleeps_up_to(PAUSES_MS);
        let gate = Gate::new(Rc::clone(&world.runtime));
        let database: Rc<dyn Database> = Rc::new(GatedDatabase(Rc::clone(&world.sqlite) as _, Rc::clone(&gate)));
        let bucket: Rc<dyn ImageStore> = Rc::new(GatedStore(Rc::clone(&world.bucket) as _, Rc::clone(&gate)));
        let shop = opening.map(|opening| {
            let own = if opening.own_database { Rc::new(Sqlite::migrated()) } else { Rc::clone(&world.sqlite) };
            Shop::open(opening, own)
        });
        let of_shop = shop.iter().filter(|shop| !Rc::ptr_eq(&shop.sqlite, &world.sqlite)).map(|shop| {
            let sqlite = Rc::clone(&shop.sqlite) as Rc<dyn Database>;
            (BINDING.to_owned(), Rc::new(GatedDatabase(sqlite, Rc::clone(&gate))) as Rc<dyn Database>)
        });
        let databases: Rc<[_]> = of_shop.collect();
        for services in [&mut world.app.services, &mut r2.app.services] {
            let runtime = Rc::clone(&world.runtime) as Rc<dyn Runtime>;
            services.catalog =
                Catalog::new(Rc::clone(&database)).with_others(Rc::clone(&databases), Rc::clone(&runtime));
            services.databases = Rc::clone(&databases);
            services.embedded = Rc::new(EmbeddedStore::new(Rc::clone(&database), Rc::clone(&runtime)));
            services.r2 = Some(Rc::clone(&bucket));
            services.runtime = runtime;
        }
        Self {
            world,
            r2,
            gate,
            shop,
            images: RefCell::default(),
            embedded: RefCell::default(),
            deleted: RefCell::default(),
            seed: Cell::default(),
        }
    }

    async fn request(app: &App, method: &str, path: &str, body: Option<Vec<u8>>) -> Reply {
        let mut headers = vec![("authorization".to_owned(), format!("Bearer {TOKEN}"))];
        if body.as_ref().is_some_and(|body| body.starts_with(b"{")) {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let url = format!("https://images.example{path}");
        let response = app.handle(Request::new(method, &url, headers, body.map(Into::into))).await;
        let body = match response.body {
            Some(body) => body.collect(100_000_000).await.expect("the answer's body").to_vec(),
            None => Vec::new(),
        };
        Reply { status: response.status, body }
    }

    /// Runs `work`; when it waits at the gate, runs `meanwhile` and lets it go on. `None` when it hangs, which kills it.
    fn perform<T>(&self, work: impl Future<Output = T>, meanwhile: impl FnOnce()) -> Option<T> {
        let mut work = pin!(work);
        let mut done = poll_until_stalled(work.as_mut());
        if done.is_none() && self.gate.is_shut() {
            meanwhile();
            self.world.runtime.advance(1);
            self.gate.open();
            done = poll_until_stalled(work);
        }
        self.world.runtime.end_sleeps_up_to(PAUSES_MS);
        done
    }

    /// Sends a request whose `nth` call may get into trouble.
    pub fn ask(
        &self,
        (method, path): (&str, &str),
        body: Option<&Value>,
        trouble: Option<(usize, Trouble)>,
        meanwhile: impl FnOnce(),
    ) -> Option<Reply> {
        if let Some((nth, trouble)) = trouble {
            self.gate.plan(nth, trouble);
        }
        let body = body.map(|body| body.to_string().into_bytes());
        let reply = self.perform(Self::request(&self.world.app, method, path, body), meanwhile);
        if trouble.is_some() {
            self.gate.heal();
        }
        reply
    }

    /// Sends a request that nothing happens to.
    pub fn quietly(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let body = body.map(|body| body.to_string().into_bytes());
        block_on(Self::request(&self.world.app, method, path, body))
    }

    /// Runs the cron event.
    pub fn tick(&self, trouble: Option<(usize, Trouble)>, meanwhile: impl FnOnce()) {
        if let Some((nth, trouble)) = trouble {
            self.gate.plan(nth, trouble);
        }
        self.perform(self.world.app.tick(), meanwhile);
        if trouble.is_some() {
            self.gate.heal();
        }
    }

    pub fn upload(&self, size: usize, private: bool, to_r2: bool) {
        self.world.runtime.advance(1);
        self.seed.set(self.seed.get().wrapping_add(1));
        let mut bytes = PNG.to_vec();
        bytes.resize(size.max(PNG.len() + 1), self.seed.get());
        let path = format!("/api/images?filename=a.png&visibility={}", if private { "private" } else { "public" });
        let app = if to_r2 { &self.r2.app } else { &self.world.app };
        let reply = block_on(Self::request(app, "POST", &path, Some(bytes.clone())));
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        let image = reply.json();
        let id = image["id"].as_str().unwrap().to_owned();
        if image["storage"] != "r2" {
            self.embedded.borrow_mut().insert(id.clone());
        }
        self.images.borrow_mut().insert(id, bytes);
    }

    /// Deletes an image, which may fail: the row says whether it is gone.
    pub fn delete(&self, id: &str, trouble: Option<(usize, Trouble)>, meanwhile: impl FnOnce()) {
        let bytes = self.images.borrow_mut().remove(id).unwrap();
        self.ask(("DELETE", &format!("/api/images/{id}")), None, trouble, meanwhile);
        let status = self.one("SELECT status FROM stillstore_images WHERE id = ?1", id);
        if status["status"] == "stored" {
            self.images.borrow_mut().insert(id.to_owned(), bytes);
        } else {
            self.deleted.borrow_mut().insert(id.to_owned());
        }
    }

    pub fn one(&self, sql: &'static str, parameter: &str) -> Value {
        let answer = block_on(self.world.sqlite.run(Statement::new(sql).bind(parameter))).unwrap();
        answer.first().unwrap().unwrap_or_default()
    }

    /// What holds at every moment, whatever is under way.
    pub fn check(&self) {
        for (id, bytes) in self.images.borrow().iter() {
            let reply = self.untroubled(&format!("/images/{id}"));
            assert!(reply.status == 200 && reply.body == *bytes, "{id} is whole: {}", reply.status);
        }
        for id in self.deleted.borrow().iter() {
            assert_ne!(self.untroubled(&format!("/images/{id}")).status, 200, "{id} stays deleted");
        }
        let journal = "SELECT storage_key, size_bytes, moves.sha256, item_id FROM stillstore_moves AS moves \
            JOIN stillstore_images AS images USING (storage_key, size_bytes) WHERE stage <> 'restored' AND status = 'stored'";
        let objects = self.world.bucket.inner.contents();
        for entry in self.world.rows(journal) {
            let object = objects.get(entry["storage_key"].as_str().unwrap());
            let sha256 = object.map(|bytes| Sha256Digest::of(bytes).to_string());
            assert_eq!(sha256.as_deref(), entry["sha256"].as_str(), "the journal runs ahead: {entry}");
        }
        let counted = "SELECT status, storage, fallback, images, bytes FROM stillstore_counters WHERE images <> 0 OR bytes <> 0 \
            ORDER BY 1, 2, 3";
        let actual = "SELECT iif(source IS NULL, 'stored', 'moved') AS status, storage, fallback_reason IS NOT NULL AS fallback, count(*) AS images, \
            sum(size_bytes) AS bytes FROM stillstore_images WHERE status = 'stored' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
        assert_eq!(self.world.rows(counted), self.world.rows(actual), "the image counters");
        let counted = "SELECT source, stage, items FROM stillstore_move_counters WHERE items <> 0 ORDER BY 1, 2";
        let actual = "SELECT source, stage, count(*) AS items FROM stillstore_moves GROUP BY 1, 2 ORDER BY 1, 2";
        for database in self.databases() {
            assert_eq!(query(database, counted), query(database, actual), "the journal's counters");
        }
        if let Some(shop) = &self.shop {
            self.check_shop(shop, &objects);
            self.check_catalogue(shop);
        }
    }

    /// What the catalogue and the shop's journal say of each other.
    fn check_catalogue(&self, shop: &Shop) {
        let images = |sqlite: &Sqlite, sql: &str| -> BTreeSet<String> {
            query(sqlite, sql).iter().map(|row| row["image_id"].as_str().unwrap().to_owned()).collect()
        };
        let rows = "SELECT id AS image_id FROM stillstore_images WHERE source = 'shop' AND status = 'stored'";
        let rows = images(&self.world.sqlite, rows);
        let moved =
            images(&shop.sqlite, "SELECT image_id FROM stillstore_moves WHERE source = 'shop' AND stage <> 'restored'");
        assert!(rows.is_subset(&moved), "a row of the catalogue without a move: {rows:?} {moved:?}");
        let present = "SELECT image_id FROM stillstore_moves WHERE source = 'shop' AND stage <> 'restored' AND catalogue = 'present'";
        let present = images(&shop.sqlite, present);
        assert!(present.is_subset(&rows), "the journal says that the catalogue has it: {present:?} {rows:?}");
    }

    fn check_shop(&self, shop: &Shop, objects: &BTreeMap<String, Vec<u8>>) {
        shop.check(|url| match url.strip_prefix("https://images.example") {
            Some(path) => Some(self.untroubled(path)).filter(|reply| reply.status == 200).map(|reply| reply.body),
            None => objects.get(url.strip_prefix("https://bucket.example/")?).cloned(),
        });
        let journal = "SELECT item_id, storage_key, sha256, stage, original ->> 'url' AS url FROM stillstore_moves \
            WHERE source = 'shop' AND stage <> 'restored'";
        let entries = query(&shop.sqlite, journal);
        for entry in &entries {
            let object = objects.get(entry["storage_key"].as_str().unwrap());
            let sha256 = object.map(|bytes| Sha256Digest::of(bytes).to_string());
            assert_eq!(sha256.as_deref(), entry["sha256"].as_str(), "the journal runs ahead: {entry}");
        }
        let stats = self.untroubled("/api/migrate-images").json();
        let said = stats["migrationStats"]["sources"].as_array().unwrap().iter().find(|source| source["name"] == SHOP);
        let count = |stage: &str| entries.iter().filter(|entry| entry["stage"] == stage).count();
        let said = said.expect("the shop");
        assert_eq!((&said["moved"], &said["cleaned"]), (&count("moved").into(), &count("cleaned").into()), "{stats}");
        let places = shop.places(&entries);
        let of = |fields: [&str; 3]| fields.map(|field| said[field].as_u64().expect(field));
        assert_eq!(of(["base64Images", "migratedImages", "partiallyMigratedImages"]), places, "{said}");
    }

    /// Every database, ours first.
    pub fn databases(&self) -> Vec<&Sqlite> {
        let others = self.shop.iter().map(|shop| &shop.sqlite).filter(|sqlite| !Rc::ptr_eq(sqlite, &self.world.sqlite));
        std::iter::once(&self.world.sqlite).chain(others).map(|sqlite| &**sqlite).collect()
    }

    /// Rows of all databases.
    pub fn rows(&self, sql: &str) -> Vec<Value> {
        self.databases().into_iter().flat_map(|database| query(database, sql)).collect()
    }

    /// Reads past troubles that are planned for others, and past an outage.
    pub fn untroubled(&self, path: &str) -> Reply {
        let set_aside = self.gate.set_aside();
        let reply = self.quietly("GET", path, None);
        self.gate.restore(set_aside);
        reply
    }
}
