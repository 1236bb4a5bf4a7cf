//! What happens in a simulated deployment, as data.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::gate::{Trouble, When};
use super::shop::{Form, Opening, SHOP, Write};
use super::stage::{LEASE_MS, Stage};

/// The source of our own images.
pub const EMBEDDED: &str = "embedded";
const MIB: usize = 1024 * 1024;

#[derive(Debug, Clone)]
pub struct Image {
    pub size: usize,
    pub private: bool,
    /// It came while R2 was away.
    pub fell_back: bool,
}

/// One request or event, without its troubles.
#[derive(Debug, Clone)]
pub enum Op {
    Begin {
        source: &'static str,
        action: &'static str,
        flag: bool,
        batch_size: u16,
        concurrency: u16,
        only: Option<Vec<u8>>,
    },
    CleanupByForce(&'static str),
    TakeUp,
    Control(&'static str),
    Upload {
        to_r2: bool,
    },
    Delete(u8),
    /// The application writes to one of its rows.
    Write(u8, Write),
    Advance(i64),
    Outage(Option<When>),
    /// The request that goes on behind this dies so many calls later.
    CrashLater(usize),
}

/// An op, what befalls one of its calls, and what else happens while that call waits.
#[derive(Debug, Clone)]
pub struct Step {
    pub op: Op,
    pub trouble: Option<(usize, Trouble)>,
    pub meanwhile: Vec<Op>,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub images: Vec<Image>,
    pub table: Option<Opening>,
    pub bucket_is_public: bool,
    pub short_invocations: bool,
    pub steps: Vec<Step>,
}

pub fn op(op: Op) -> Step {
    Step { op, trouble: None, meanwhile: Vec::new() }
}

pub fn troubled(op: Op, nth: usize, trouble: Trouble) -> Step {
    Step { op, trouble: Some((nth, trouble)), meanwhile: Vec::new() }
}

/// A run over everything, `flag` being dryRun, deleteFromR2 or checkIntegrity.
pub fn begin(action: &'static str, flag: bool) -> Op {
    begin_over(EMBEDDED, action, flag)
}

pub fn begin_over(source: &'static str, action: &'static str, flag: bool) -> Op {
    Op::Begin { source, action, flag, batch_size: 10, concurrency: 2, only: None }
}

impl Stage {
    pub fn of(case: &Case) -> Self {
        let mut vars = vec![("STORE_TIMEOUT_MS", "20000")];
        if case.short_invocations {
            vars.push(("MIGRATION_OPERATIONS", "20"));
        }
        if case.bucket_is_public {
            vars.push(("R2_PUBLIC_URL", "https://bucket.example"));
        }
        let stage = Self::new(&vars, case.table.as_ref());
        for image in &case.images {
            stage.gate.set_outage(image.fell_back.then_some(When::Before));
            stage.upload(image.size, image.private, image.fell_back);
        }
        stage.gate.set_outage(None);
        stage
    }

    pub fn step(&self, step: &Step) {
        self.carry_out(&step.op, step.trouble, || {
            self.check();
            if matches!(step.trouble, Some((_, Trouble::Lags(_)))) {
                self.world.runtime.advance(LEASE_MS);
            }
            for op in &step.meanwhile {
                self.carry_out(op, None, || {});
                self.check();
            }
        });
        self.check();
    }

    fn nth_item(&self, source: &str, number: u8) -> Option<String> {
        match &self.shop {
            Some(shop) if source == SHOP => shop.nth_id(number),
            _ => self.nth_image(number),
        }
    }

    fn nth_image(&self, number: u8) -> Option<String> {
        let images = self.images.borrow();
        images.keys().nth(usize::from(number) % images.len().max(1)).cloned()
    }

    fn carry_out(&self, op: &Op, trouble: Option<(usize, Trouble)>, meanwhile: impl FnOnce()) {
        match op {
            Op::Begin { source, action, flag, batch_size, concurrency, only } => {
                let mut body =
                    json!({"source": source, "action": action, "batchSize": batch_size, "concurrency": concurrency});
                match *action {
                    "rollback" => body["deleteFromR2"] = json!(flag),
                    "validate" => body["checkIntegrity"] = json!(flag),
                    _ => body["dryRun"] = json!(flag),
                }
                if let Some(only) = only {
                    let mut ids: Vec<_> = only.iter().filter_map(|number| self.nth_item(source, *number)).collect();
                    ids.sort();
                    ids.dedup();
                    if !ids.is_empty() {
                        body["imageIds"] = json!(ids);
                    }
                }
                self.begin(&body, trouble, meanwhile);
            }
            Op::CleanupByForce(source) => {
                let runs =
                    self.rows("SELECT id, source FROM stillstore_runs WHERE action = 'migrate' ORDER BY created_at_ms");
                if let Some(run) = runs.iter().rfind(|run| run["source"] == *source) {
                    let body = json!({"source": source, "action": "cleanup", "force": true, "runId": run["id"],
                        "confirmRunId": run["id"]});
                    self.begin(&body, trouble, meanwhile);
                }
            }
            Op::TakeUp => self.tick(trouble, meanwhile),
            Op::Control(action) => {
                let body = json!({"action": action});
                let reply = self.ask(("POST", "/api/migrate-images"), Some(&body), trouble, meanwhile);
                let allowed = [200, 404, 409, 503];
                assert!(reply.is_none_or(|reply| allowed.contains(&reply.status)), "{action}");
            }
            Op::Upload { to_r2 } => {
                let set_aside = self.gate.set_aside();
                self.upload(100, false, *to_r2);
                self.gate.restore(set_aside);
            }
            Op::Delete(number) => {
                if let Some(id) = self.nth_image(*number) {
                    self.delete(&id, trouble, meanwhile);
                }
            }
            Op::Write(number, write) => {
                if let Some(shop) = &self.shop {
                    shop.write(*number, *write);
                }
            }
            Op::Advance(milliseconds) => self.world.runtime.advance(*milliseconds),
            Op::CrashLater(nth) => self.gate.plan(*nth, Trouble::Hangs(When::Before)),
            Op::Outage(when) => self.gate.set_outage(*when),
        }
    }

    fn begin(&self, body: &Value, trouble: Option<(usize, Trouble)>, meanwhile: impl FnOnce()) {
        self.world.runtime.advance(1);
        let mut before =
            self.rows("SELECT id, source FROM stillstore_runs WHERE exclusive = 1 AND state IN ('running', 'paused')");
        before.retain(|run| run["source"] == body["source"]);
        let Some(reply) = self.ask(("POST", "/api/migrate-images"), Some(body), trouble, meanwhile) else { return };
        let answer = reply.json();
        let changes = body["action"] != "validate" && body["dryRun"] != true;
        if changes && !before.is_empty() && trouble.is_none() {
            assert_eq!((reply.status, &answer["runId"]), (409, &before[0]["id"]), "two at once: {answer}");
        }
        match reply.status {
            200 | 202 => {
                let run = self.untroubled(&format!("/api/migrate-images/runs/{}", answer["runId"].as_str().unwrap()));
                if answer["done"] == true && answer["success"] == true {
                    assert_eq!(
                        (&run.json()["state"], &run.json()["progress"]["failed"]),
                        (&json!("completed"), &json!(0))
                    );
                }
            }
            409 => assert_eq!(answer["code"], "run-in-progress", "{answer}"),
            status => assert_eq!(status, 503, "{answer} {:?}", self.world.log().last()),
        }
    }
}

fn image() -> impl Strategy<Value = Image> {
    let size = prop_oneof![20 => 70..3000_usize, 1 => Just(MIB), 1 => Just(MIB + 1), 1 => Just(2 * MIB + 7)];
    (size, any::<bool>(), prop::bool::weighted(0.3)).prop_map(|(size, private, fell_back)| Image {
        size,
        private,
        fell_back,
    })
}

fn opening() -> impl Strategy<Value = Opening> {
    (any::<bool>(), any::<bool>(), vec(form(), 1..6)).prop_map(|(own_database, integer_ids, rows)| Opening {
        own_database,
        integer_ids,
        rows,
    })
}

fn form() -> impl Strategy<Value = Form> {
    // A long value takes a hundred times as long.
    (0..Form::ALL.len() * 40).prop_map(|number| {
        let form = Form::ALL[number % Form::ALL.len()];
        if form == Form::LargeBlob && number >= Form::ALL.len() { Form::Blob } else { form }
    })
}

fn write() -> impl Strategy<Value = Op> {
    let write = prop_oneof![
        4 => (form(), prop::bool::weighted(0.3)).prop_map(|(form, keeps_url)| Write::Picture { form, keeps_url }),
        1 => Just(Write::Note),
        2 => Just(Write::DropData),
        2 => Just(Write::Delete),
        1 => Just(Write::Elsewhere),
        1 => Just(Write::Kind),
        2 => form().prop_map(Write::Insert),
    ];
    (any::<u8>(), write).prop_map(|(number, write)| Op::Write(number, write))
}

/// What happens where there is a table beside our own images.
fn any_op_over_both() -> impl Strategy<Value = Op> {
    let at_the_table = any_op().prop_map(|op| match op {
        Op::Begin { action, flag, batch_size, concurrency, only, .. } => {
            Op::Begin { source: SHOP, action, flag, batch_size, concurrency, only }
        }
        Op::CleanupByForce(_) => Op::CleanupByForce(SHOP),
        op => op,
    });
    prop_oneof![5 => at_the_table, 1 => any_op(), 2 => write()]
}

fn any_op() -> impl Strategy<Value = Op> {
    let action = select(vec!["migrate", "migrate", "migrate", "rollback", "rollback", "cleanup", "validate"]);
    let begin = (action, any::<bool>(), 1..5_u16, 1..4_u16, option::weighted(0.2, vec(any::<u8>(), 1..4)));
    prop_oneof![
        6 => begin.prop_map(|(action, flag, batch_size, concurrency, only)| {
            // Most migrations are real ones.
            let flag = flag && (action != "migrate" || batch_size == 1);
            Op::Begin { source: EMBEDDED, action, flag, batch_size, concurrency, only }
        }),
        1 => Just(Op::CleanupByForce(EMBEDDED)),
        5 => Just(Op::TakeUp),
        3 => select(vec!["pause", "resume", "cancel"]).prop_map(Op::Control),
        1 => any::<bool>().prop_map(|to_r2| Op::Upload { to_r2 }),
        2 => any::<u8>().prop_map(Op::Delete),
        4 => select(vec![1_000, LEASE_MS, LEASE_MS, 31 * 24 * 60 * 60 * 1000]).prop_map(Op::Advance),
        1 => (1..12_usize).prop_map(Op::CrashLater),
        1 => select(vec![None, None, Some(When::Before), Some(When::After)]).prop_map(Op::Outage),
    ]
}

fn trouble() -> impl Strategy<Value = (usize, Trouble)> {
    let when = || select(vec![When::Before, When::After]);
    let trouble = prop_oneof![
        2 => when().prop_map(Trouble::Fails),
        2 => when().prop_map(Trouble::Hangs),
        2 => when().prop_map(Trouble::Waits),
        2 => when().prop_map(Trouble::Lags),
        1 => when().prop_map(Trouble::TimesOut),
    ];
    (1..25_usize, trouble)
}

fn steps(op: impl Strategy<Value = Op> + Clone) -> impl Strategy<Value = Vec<Step>> {
    // A call to the bucket lasts no longer than a lease: it has a deadline, and a lease is longer.
    let meanwhile = op.clone().prop_filter("time stands still", |op| !matches!(op, Op::Advance(1_001..)));
    let step = (op, option::weighted(0.5, trouble()), vec(meanwhile, 1..3)).prop_map(|(op, trouble, meanwhile)| Step {
        op,
        trouble,
        meanwhile,
    });
    vec(step, 1..14)
}

/// Our own images only.
pub fn case() -> impl Strategy<Value = Case> {
    let images = vec(image(), 1..6);
    (images, prop::bool::weighted(0.2), any::<bool>(), steps(any_op().boxed())).prop_map(
        |(images, bucket_is_public, short_invocations, steps)| Case {
            images,
            table: None,
            bucket_is_public,
            short_invocations,
            steps,
        },
    )
}

/// An application's table, and at times images of our own beside it.
pub fn case_with_table() -> impl Strategy<Value = Case> {
    let images = vec(image(), 0..3);
    let steps = steps(any_op_over_both().boxed());
    (images, opening(), prop::bool::weighted(0.3), any::<bool>(), steps).prop_map(
        |(images, table, bucket_is_public, short_invocations, steps)| Case {
            images,
            table: Some(table),
            bucket_is_public,
            short_invocations,
            steps,
        },
    )
}
