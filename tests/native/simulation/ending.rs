//! What holds once everything is healed, every run has ended and the sweep was over everything.

use std::collections::{BTreeMap, BTreeSet};

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
        self.check_bytes();
        self.check_receipts();
    }

    fn end_runs(&self) {
        self.gate.heal();
        self.gate.set_outage(None);
        for tick in 0.. {
            for run in self.world.rows("SELECT id FROM stillstore_runs WHERE state = 'paused'") {
                let body = json!({"action": "resume", "runId": run["id"]});
                assert_eq!(self.quietly("POST", "/api/migrate-images", Some(&body)).status, 200);
            }
            self.world.runtime.advance(LEASE_MS);
            self.tick(None, || {});
            let running = self
                .world
                .rows("SELECT id, action, progress FROM stillstore_runs WHERE state IN ('running', 'paused')");
            if running.is_empty() {
                break;
            }
            assert!(tick < MOST_TICKS, "does not end: {running:?}");
            self.check();
        }
    }

    /// Everything in the bucket and the embedded store has exactly one reason to be there.
    fn check_bytes(&self) {
        let keys = |sql| -> BTreeSet<String> {
            self.world.rows(sql).iter().map(|row| row["k"].as_str().unwrap().to_owned()).collect()
        };
        let mut reasons =
            keys("SELECT storage_key AS k FROM stillstore_images WHERE status = 'stored' AND storage = 'r2'");
        reasons.extend(keys("SELECT storage_key AS k FROM stillstore_moves"));
        reasons.extend(keys("SELECT receipt ->> 'key' AS k FROM stillstore_runs WHERE receipt IS NOT NULL"));
        let objects = self.world.bucket.inner.contents().into_keys().collect::<BTreeSet<_>>();
        let orphans: Vec<_> = objects.difference(&reasons).collect();
        assert!(orphans.is_empty(), "orphans in the bucket: {orphans:?}");
        let named = "SELECT embedded_write_id AS k FROM stillstore_images WHERE status = 'stored' AND embedded_write_id IS NOT NULL";
        assert_eq!(keys("SELECT write_id AS k FROM stillstore_blobs"), keys(named), "embedded bytes");
        let waiting = self.world.rows("SELECT id FROM stillstore_images WHERE status NOT IN ('stored', 'deleted')");
        assert!(waiting.is_empty(), "{waiting:?}");
        let in_flight = self.world.rows("SELECT id, in_flight FROM stillstore_runs WHERE in_flight <> '[]'");
        assert!(in_flight.is_empty(), "{in_flight:?}");
        assert!(self.world.rows("SELECT run_id FROM stillstore_run_lines").is_empty(), "lines without a run");
    }

    /// Every receipt is whole, agrees with its run, and all of them together with the journal.
    fn check_receipts(&self) {
        let objects = self.world.bucket.inner.contents();
        let mut last = BTreeMap::<String, (&'static str, Value)>::new();
        for row in self.world.rows("SELECT id, state, parameters, progress, receipt FROM stillstore_runs ORDER BY finished_at_ms, created_at_ms") {
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
                assert!(items.insert(line["id"].to_string()), "twice in one receipt: {text}");
                let stage = match verdict {
                    "moved" => "moved",
                    "cleaned" => "cleaned",
                    "restored" if parameters["deleteFromR2"] == true => "",
                    "restored" => "restored",
                    "skipped" if line["reason"] == "copy-removed" => "",
                    _ => continue,
                };
                last.insert(line["id"].as_str().unwrap().to_owned(), (stage, line.clone()));
            }
            assert_eq!(progress["verdicts"], json!(verdicts), "the run says what its receipt says");
            let state = row["state"].as_str().unwrap();
            let named = parameters["itemIds"].as_array().filter(|_| state.starts_with("completed"));
            assert!(named.into_iter().flatten().all(|id| items.contains(&id.to_string())), "passed over: {text}");
            let failures: u64 = ["failed", "missing", "corrupted"].iter().filter_map(|verdict| verdicts.get(*verdict)).sum();
            assert_eq!(state == "completed" || state == "cancelled", failures == 0 || state == "cancelled", "{row}");
        }
        let mut journal = BTreeMap::new();
        for row in self.world.rows("SELECT item_id, stage FROM stillstore_moves") {
            journal.insert(row["item_id"].as_str().unwrap().to_owned(), row["stage"].as_str().unwrap().to_owned());
        }
        for id in self.images.borrow().keys() {
            let said = last.get(id).map_or("", |(stage, _)| stage);
            let stage = journal.get(id).map_or("", String::as_str);
            assert_eq!(said, stage, "{id}: {:?}", last.get(id));
        }
    }

    /// Moves everything, validates it, and moves it back: nothing that happened before stands in the way.
    pub fn round_trip(&self) {
        let act = |body: Value| {
            let reply = self.quietly("POST", "/api/migrate-images", Some(&body));
            assert!(reply.status < 300, "{body}: {}", reply.json());
            let id = reply.json()["runId"].as_str().unwrap().to_owned();
            if reply.json()["done"] == false {
                self.end_runs();
            }
            let run = self.quietly("GET", &format!("/api/migrate-images/runs/{id}"), None).json();
            assert_eq!(run["state"], "completed", "{run}");
            run
        };
        act(json!({"action": "migrate"}));
        let valid = act(json!({"action": "validate", "checkIntegrity": true}));
        assert_eq!(valid["result"]["isValid"], true, "{valid}");
        act(json!({"action": "rollback", "deleteFromR2": true}));
        self.finish();
        assert!(self.world.rows("SELECT item_id FROM stillstore_moves").is_empty());
        for row in self.world.rows("SELECT id, storage FROM stillstore_images WHERE status = 'stored'") {
            let embedded = self.embedded.borrow().contains(row["id"].as_str().unwrap());
            assert_eq!(row["storage"], if embedded { "d1" } else { "r2" }, "{row}");
        }
    }
}
