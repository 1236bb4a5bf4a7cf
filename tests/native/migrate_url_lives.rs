//! Whole lives of a deployment that moves links: rows come, change and go, hosts fail, throttle and lie, and runs meet failures.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use stillstore::image::Sha256Digest;

use crate::api::migrate_crash::ask_until_crash;
use crate::api::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_bucket_lives::{Failure, cases, fail, failure, heal, settle};
use crate::migrate_table::{act, execute, fetch, objects, query};
use crate::migrate_url::{source, world_with};
use crate::runtime::block_on;

const MINUTE_MS: i64 = 60 * 1_000;
const ROWS: u8 = 4;
const LINKS: [&str; 4] = [
    "https://one.example.org/a.png",
    "https://one.example.org/b.png",
    "https://two.example.org/c?x=1",
    "https://two.example.org/d",
];
/// What a link gives.
const ANSWERS: [(u16, &str); 7] =
    [(200, "rgb.png"), (200, "still.gif"), (200, "lossy.webp"), (200, ""), (404, ""), (429, ""), (500, "")];

#[derive(Debug, Clone)]
enum Step {
    /// The application writes a link, in a row that it had or not.
    Write {
        row: u8,
        link: usize,
    },
    Remove {
        row: u8,
    },
    Answer {
        link: usize,
        answer: usize,
    },
    Act {
        action: usize,
        batch_size: u8,
        failure: Option<Failure>,
    },
    /// Cron takes up whatever runs.
    Wait {
        minutes: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..ROWS, 0..LINKS.len()).prop_map(|(row, link)| Step::Write { row, link }),
        1 => (0..ROWS).prop_map(|row| Step::Remove { row }),
        3 => (0..LINKS.len(), 0..ANSWERS.len()).prop_map(|(link, answer)| Step::Answer { link, answer }),
        6 => (0..4_usize, 1..4_u8, failure())
            .prop_map(|(action, batch_size, failure)| Step::Act { action, batch_size, failure }),
        2 => (1..15_i64).prop_map(|minutes| Step::Wait { minutes }),
    ]
}

struct Life {
    world: World,
    /// The link that the application wrote into a row last.
    rows: BTreeMap<u8, usize>,
    gives: [usize; LINKS.len()],
    /// The pictures that a link has given.
    gave: [BTreeSet<&'static str>; LINKS.len()],
}

impl Life {
    fn new() -> Self {
        let world = world_with(&source(), &[]);
        let mut life = Self { world, rows: BTreeMap::new(), gives: [0; LINKS.len()], gave: Default::default() };
        for link in 0..LINKS.len() {
            life.answer(link, 0);
        }
        life
    }

    fn answer(&mut self, link: usize, answer: usize) {
        let (status, name) = ANSWERS[answer];
        let body = if name.is_empty() { b"a page".to_vec() } else { bytes(name) };
        self.world.outside.has(LINKS[link], status, &body);
        self.gives[link] = answer;
        if !name.is_empty() {
            self.gave[link].insert(name);
        }
    }

    fn step(&mut self, step: &Step) {
        self.world.runtime.advance(1_000);
        match *step {
            Step::Write { row, link } => {
                let sql = "INSERT INTO posts (id, picture, author) VALUES (?1, ?2, 'jane') \
                    ON CONFLICT (id) DO UPDATE SET picture = excluded.picture";
                execute(&self.world.sqlite, sql, vec![row.to_string().into(), LINKS[link].into()]);
                self.rows.insert(row, link);
            }
            Step::Remove { row } => {
                execute(&self.world.sqlite, "DELETE FROM posts WHERE id = ?1", vec![row.to_string().into()]);
                self.rows.remove(&row);
            }
            Step::Answer { link, answer } => self.answer(link, answer),
            Step::Act { action, batch_size, ref failure } => {
                let body = match action {
                    0 | 1 => json!({"action": "migrate", "source": "posts", "batchSize": batch_size}),
                    2 => json!({"action": "rollback", "source": "posts", "batchSize": batch_size}),
                    _ => {
                        json!({"action": "rollback", "source": "posts", "batchSize": batch_size, "deleteFromR2": true})
                    }
                };
                fail(&self.world, *failure);
                let _ = ask_until_crash(&self.world, &body);
                heal(&self.world);
            }
            Step::Wait { minutes } => {
                self.world.runtime.advance(minutes * MINUTE_MS);
                block_on(self.world.app.tick());
            }
        }
        self.check();
    }

    fn pictures(&self) -> Vec<(u8, String)> {
        let rows = query(&self.world.sqlite, "SELECT id, picture FROM posts ORDER BY id");
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        rows.iter().map(|row| (text(&row["id"]).parse().unwrap(), text(&row["picture"]))).collect()
    }

    /// What holds at every moment.
    fn check(&self) {
        let pictures = self.pictures();
        assert_eq!(pictures.len(), self.rows.len());
        for (row, picture) in pictures {
            let link = self.rows[&row];
            if picture == LINKS[link] {
                continue;
            }
            let shown = fetch(&self.world, &json!(picture));
            let is_right = self.gave[link].iter().any(|name| bytes(name) == shown);
            assert!(is_right, "row {row} shows {picture}, which {} never gave", LINKS[link]);
        }
        let ours: BTreeMap<_, _> = objects(&self.world).into_iter().collect();
        let stored = "SELECT storage_key, sha256 FROM stillstore_images WHERE status = 'stored' \
            UNION ALL SELECT storage_key, sha256 FROM stillstore_moves WHERE stage = 'moved'";
        for named in query(&self.world.sqlite, stored) {
            let bytes = ours.get(named["storage_key"].as_str().unwrap());
            let sha256 = bytes.map(|bytes| Sha256Digest::of(bytes).to_string());
            assert_eq!(sha256.as_deref(), named["sha256"].as_str(), "what is named is there, whole: {named}");
        }
        let counted = "SELECT stage, items FROM stillstore_move_counters WHERE items <> 0 ORDER BY 1";
        let actual = "SELECT stage, count(*) AS items FROM stillstore_moves GROUP BY 1 ORDER BY 1";
        assert_eq!(query(&self.world.sqlite, counted), query(&self.world.sqlite, actual), "the journal's counters");
    }

    fn finish(&mut self) {
        settle(&self.world);
        self.check();
        for link in 0..LINKS.len() {
            self.answer(link, 0);
        }
        let run = act(&self.world, &json!({"action": "migrate", "source": "posts"}));
        assert_eq!(run["result"]["failed"], 0, "{run}");
        self.check();
        for (row, picture) in self.pictures() {
            assert!(picture.contains("/images/"), "row {row} was moved: {picture}");
        }
        act(&self.world, &json!({"action": "rollback", "source": "posts"}));
        for (row, picture) in self.pictures() {
            assert_eq!(picture, LINKS[self.rows[&row]], "row {row} has its link again");
        }
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_row_has_its_link_or_the_picture_that_the_link_gave(steps in proptest::collection::vec(step(), 1..25)) {
        let mut life = Life::new();
        for step in &steps {
            life.step(step);
        }
        life.finish();
    }
}
