//! What holds once everything is healed, every run has ended and the sweep was over everything.

use std::collections::{BTreeMap, BTreeSet};

use super::ops::EMBEDDED;
use super::shop::SHOP;

use serde_json::{Value, json};
use stillstore::image::Sha256Digest;

use super::stage::{HOURS_2_MS, LEASE_MS, Stage};

/// More cron events than any run needs.
const MOST_TICKS: usize = 60;

impl Stage {
    /// Heals, lets every run end, sweeps, and checks everything.
    pub fn finish(&self) {
        self.end_runs();
        for _ in 0..2 {
            self.world.runtime.advance(HOURS_2_MS);
            self.world.sweep();
        }
        self.check();
        let reported = self.check_receipts();
        self.check_bytes(&reported);
    }

    fn end_runs(&self) {
        self.gate.heal();
        self.gate.set_outage(None);
        for tick in 0.. {
            for run in self.rows("SELECT id FROM stillstore_runs WHERE state = 'paused'") {
                let body = json!({"action": "resume", "runId": run["id"]});
                assert_eq!(self.quietly("POST", "/api/migrate-images", Some(&body)).status, 200);
            }
            self.world.runtime.advance(LEASE_MS);
            self.tick(None, || {});
            let running =
                self.rows("SELECT id, action, progress FROM stillstore_runs WHERE state IN ('running', 'paused')");
            if running.is_empty() {
                break;
            }
            assert!(tick < MOST_TICKS, "does not end: {running:?}");
            self.check();
        }
    }

    /// The keys that rows of any database have in the column `k`.
    fn keys(&self, sql: &str) -> BTreeSet<String> {
        self.rows(sql).iter().map(|row| row["k"].as_str().unwrap().to_owned()).collect()
    }

    /// Objects that nothing names.
    fn orphans(&self) -> BTreeSet<String> {
        let mut reasons =
            self.keys("SELECT storage_key AS k FROM stillstore_images WHERE status = 'stored' AND storage = 'r2'");
        reasons.extend(self.keys("SELECT storage_key AS k FROM stillstore_moves"));
        let saved =
            "SELECT original ->> '$.saved.key' AS k FROM stillstore_moves WHERE original ->> '$.saved.key' IS NOT NULL";
        reasons.extend(self.keys(saved));
        reasons.extend(self.keys("SELECT receipt ->> 'key' AS k FROM stillstore_runs WHERE receipt IS NOT NULL"));
        self.world.bucket.inner.contents().into_keys().filter(|key| !reasons.contains(key)).collect()
    }

    /// Everything in the bucket and the embedded store has exactly one reason to be there. `reported` are copies of pictures that the
    /// application has replaced.
    fn check_bytes(&self, reported: &BTreeSet<String>) {
        let orphans = self.orphans();
        let unreported: Vec<_> = orphans.difference(reported).collect();
        assert!(unreported.is_empty(), "orphans in the bucket: {unreported:?}");
        let named = "SELECT embedded_write_id AS k FROM stillstore_images WHERE status = 'stored' AND embedded_write_id IS NOT NULL";
        assert_eq!(self.keys("SELECT write_id AS k FROM stillstore_blobs"), self.keys(named), "embedded bytes");
        let waiting = self.world.rows("SELECT id FROM stillstore_images WHERE status NOT IN ('stored', 'deleted')");
        assert!(waiting.is_empty(), "{waiting:?}");
        let in_flight = self.rows("SELECT id, in_flight FROM stillstore_runs WHERE in_flight <> '[]'");
        assert!(in_flight.is_empty(), "{in_flight:?}");
        assert!(self.rows("SELECT run_id FROM stillstore_run_lines").is_empty(), "lines without a run");
    }

    /// Every receipt is whole, agrees with its run, and all of them together with the journal. Answers with the copies that they say
    /// no row names any more.
    fn check_receipts(&self) -> BTreeSet<String> {
        let objects = self.world.bucket.inner.contents();
        let mut last = BTreeMap::<(String, String), (&'static str, Value)>::new();
        let (mut reported, mut orphaned) = (BTreeSet::new(), BTreeSet::new());
        for row in self.rows("SELECT id, source, state, parameters, progress, receipt FROM stillstore_runs ORDER BY finished_at_ms, created_at_ms") {
            let json = |column: &str| serde_json::from_str::<Value>(row[column].as_str().unwrap()).unwrap();
            let (progress, receipt, parameters) = (json("progress"), json("receipt"), json("parameters"));
            let object = &objects[receipt["key"].as_str().unwrap()];
            assert_eq!(Sha256Digest::of(object).to_string(), receipt["sha256"].as_str().unwrap());
            let text = std::str::from_utf8(object).unwrap();
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let lines = &lines[1..lines.len() - 1];
            let mut verdicts = BTreeMap::<String, u64>::new();
            let mut items = BTreeSet::new();
            for line in lines {
                let verdict = line["verdict"].as_str().unwrap();
                *verdicts.entry(verdict.to_owned()).or_default() += 1;
                assert!(items.insert(text_of(&line["id"])), "twice in one receipt: {text}");
                // Nobody has damaged anything.
                assert!(!["missing", "corrupted"].contains(&verdict), "a false alarm: {line}");
                if verdict == "orphaned" {
                    orphaned.insert(text_of(&line["id"]));
                }
                if line["reason"] == "replaces-copy" {
                    let key = line["detail"].as_str().and_then(|detail| detail.strip_prefix("r2:")?.split(' ').next());
                    reported.insert(key.unwrap().to_owned());
                }
                let stage = match verdict {
                    "moved" => "moved",
                    "cleaned" => "cleaned",
                    "restored" if parameters["deleteFromR2"] == true => "",
                    "restored" => "restored",
                    "skipped" if line["reason"] == "copy-removed" => "",
                    _ => continue,
                };
                last.insert((text_of(&row["source"]), text_of(&line["id"])), (stage, line.clone()));
            }
            assert_eq!(progress["verdicts"], json!(verdicts), "the run says what its receipt says");
            let state = row["state"].as_str().unwrap();
            let named = parameters["itemIds"].as_array().filter(|_| state.starts_with("completed"));
            assert!(named.into_iter().flatten().all(|id| items.contains(&text_of(id))), "passed over: {text}");
            let failures: u64 = ["failed", "missing", "corrupted"].iter().filter_map(|verdict| verdicts.get(*verdict)).sum();
            assert_eq!(state == "completed" || state == "cancelled", failures == 0 || state == "cancelled", "{row}");
        }
        assert!(orphaned.is_subset(&reported), "a false alarm: {orphaned:?} {reported:?}");
        let mut journal = BTreeMap::new();
        for row in self.rows("SELECT source, item_id, stage FROM stillstore_moves") {
            journal.insert((text_of(&row["source"]), text_of(&row["item_id"])), text_of(&row["stage"]));
        }
        let images = self.images.borrow();
        let is_there = |(source, item): &&(String, String)| source == SHOP || images.contains_key(item);
        for item in last.keys().chain(journal.keys()).filter(is_there) {
            let said = last.get(item).map_or("", |(stage, _)| stage);
            let stage = journal.get(item).map_or("", String::as_str);
            assert_eq!(said, stage, "{item:?}: {:?}", last.get(item));
        }
        reported
    }

    /// Has a run do all of its work; answers with it.
    fn act(&self, mut body: Value, source: &str) -> Value {
        body["source"] = source.into();
        let reply = self.quietly("POST", "/api/migrate-images", Some(&body));
        assert!(reply.status < 300, "{body}: {}", reply.json());
        let id = reply.json()["runId"].as_str().unwrap().to_owned();
        if reply.json()["done"] == false {
            self.end_runs();
        }
        self.quietly("GET", &format!("/api/migrate-images/runs/{id}"), None).json()
    }

    /// Moves everything, validates it, and moves it back: nothing that happened before stands in the way.
    pub fn round_trip(&self) {
        if self.shop.is_some() {
            self.round_trip_of_table();
        }
        let act = |body| {
            let run = self.act(body, EMBEDDED);
            assert_eq!(run["state"], "completed", "{run}");
            run
        };
        act(json!({"action": "migrate"}));
        let valid = act(json!({"action": "validate", "checkIntegrity": true}));
        assert_eq!(valid["result"]["isValid"], true, "{valid}");
        act(json!({"action": "rollback", "deleteFromR2": true}));
        self.finish();
        assert!(self.world.rows("SELECT item_id FROM stillstore_moves WHERE source = 'embedded'").is_empty());
        for row in self.world.rows("SELECT id, storage FROM stillstore_images WHERE status = 'stored'") {
            let embedded = self.embedded.borrow().contains(row["id"].as_str().unwrap());
            assert_eq!(row["storage"], if embedded { "d1" } else { "r2" }, "{row}");
        }
    }

    /// The same for the table. What fails is what the application has put out of reach.
    fn round_trip_of_table(&self) {
        let Some(shop) = &self.shop else { return };
        let act = |body| {
            let run = self.act(body, SHOP);
            for error in run["result"]["errors"].as_array().unwrap() {
                let is_failure = run["result"]["failed"] != 0;
                assert!(!is_failure || shop.is_beyond_help(error["id"].as_str().unwrap()), "{run}");
            }
            self.check();
            run
        };
        shop.tidy();
        self.check();
        act(json!({"action": "migrate"}));
        let valid = act(json!({"action": "validate", "checkIntegrity": true}));
        let orphans = self.orphans();
        let said: BTreeSet<_> =
            valid["result"]["orphaned"].as_array().unwrap().iter().map(|line| text_of(&line["id"])).collect();
        assert_eq!((said, &valid["result"]["invalid"]), (orphans, &json!(0)), "{valid}");
        act(json!({"action": "rollback", "deleteFromR2": true}));
        self.finish();
        shop.assert_restored();
    }
}

/// A text as it is, a number in digits.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
