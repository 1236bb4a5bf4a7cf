//! What users may have: exact whatever fails, whoever asks at once, and nothing where there is no limit.

use std::pin::pin;

use futures::future::join_all;
use serde_json::{Value, json};
use stillstore::api::Request;
use stillstore::sql::Fault;

use super::callers::Users;
use super::world::{Answer, PNG, World};
use crate::runtime::poll_until_stalled;

pub const HOUR_MS: i64 = 60 * 60 * 1000;
#[expect(clippy::cast_possible_wrap, reason = "a pixel")]
pub const PNG_BYTES: i64 = PNG.len() as i64;

pub struct Deployment {
    pub users: Users,
    pub world: World,
}

impl Deployment {
    pub fn new(r2: bool, limits: &[(&str, &str)]) -> Self {
        let users = Users::by_secret();
        let r2 = ("ENABLE_R2_STORAGE", if r2 { "true" } else { "false" });
        let token = ("API_TOKEN", super::world::TOKEN);
        let world = users.world_with(&[&[r2, token][..], limits].concat());
        Self { users, world }
    }

    /// Both homes.
    pub fn each(limits: &[(&str, &str)]) -> [Self; 2] {
        [true, false].map(|r2| Self::new(r2, limits))
    }

    pub fn send(&self, user: &str, method: &str, path: &str, body: Option<Vec<u8>>) -> Option<Answer> {
        let authorization = format!("Bearer {}", self.users.token_of(user));
        let content_type = if path.starts_with("/api/images") { "image/png" } else { "application/json" };
        let headers = [("authorization", authorization.as_str()), ("content-type", content_type)];
        self.world.send_until_crash(method, path, &headers, body.map(Into::into))
    }

    fn upload(&self, user: &str) -> Answer {
        self.send(user, "POST", "/api/images", Some(PNG.to_vec())).expect("an answer")
    }

    fn generate(&self, user: &str) -> Answer {
        let body = json!({ "prompt": "a fox", "personaId": "p" }).to_string().into_bytes();
        self.send(user, "POST", "/api/generate-image", Some(body)).expect("an answer")
    }

    pub fn delete(&self, user: &str, uploaded: &Answer) -> Option<Answer> {
        let id = uploaded.json()["id"].as_str().unwrap().to_owned();
        self.send(user, "DELETE", &format!("/api/images/{id}"), None)
    }

    /// The user's counters: bytes, images, generations.
    pub fn usage(&self) -> (i64, i64, i64) {
        let rows = self.world.rows("SELECT bytes, images, generations FROM stillstore_usage WHERE owner_id = 'alice'");
        rows.first().map_or((0, 0, 0), |row| {
            let number = |column: &str| row[column].as_i64().unwrap();
            (number("bytes"), number("images"), number("generations"))
        })
    }

    /// What the counters must be by the rows.
    pub fn assert_exact(&self, what: &str) {
        let sum = "SELECT ifnull(sum(size_bytes), 0) AS bytes FROM stillstore_images WHERE owner_id = 'alice' AND status = 'stored'";
        let stored = self.world.rows(sum)[0]["bytes"].as_i64().unwrap();
        let claimed = "SELECT ifnull(sum(bytes), 0) AS bytes FROM stillstore_usage_claims WHERE owner_id = 'alice'";
        let claimed = self.world.rows(claimed)[0]["bytes"].as_i64().unwrap();
        assert_eq!(self.usage().0, stored + claimed, "{what}");
    }

    pub fn claims(&self) -> Vec<Value> {
        self.world.rows("SELECT * FROM stillstore_usage_claims")
    }
}

pub fn problem(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

#[test]
fn a_users_bytes_are_limited_and_deleting_gives_them_back() {
    let limit = (2 * PNG_BYTES).to_string();
    for deployment in Deployment::each(&[("USER_MAX_BYTES", &limit)]) {
        let first = deployment.upload("alice");
        assert_eq!((first.status, deployment.upload("alice").status), (201, 201));
        let refused = deployment.upload("alice");
        assert_eq!(problem(&refused), (507, "byte-limit-reached".to_owned()));
        assert_eq!(refused.header("retry-after"), None);
        assert_eq!(problem(&deployment.generate("alice")), (507, "byte-limit-reached".to_owned()));
        assert_eq!(deployment.world.studio.calls.get(), 0, "no provider was paid");
        assert_eq!(deployment.upload("bob").status, 201, "another user has bytes of their own");
        assert_eq!(deployment.world.upload("", PNG).status, 201, "the operator is not limited");
        assert_eq!(deployment.delete("alice", &first).unwrap().status, 204);
        assert_eq!((deployment.upload("alice").status, deployment.upload("alice").status), (201, 507));
        assert_eq!((deployment.usage().0, deployment.claims().len()), (2 * PNG_BYTES, 0));
        let pending = deployment.world.rows("SELECT id FROM stillstore_images WHERE status = 'pending'");
        assert!(pending.is_empty(), "what is refused leaves nothing");
    }
}

#[test]
fn images_and_generations_of_a_day_are_limited_until_the_next() {
    let limits = [("USER_MAX_IMAGES_PER_DAY", "3"), ("USER_MAX_GENERATIONS_PER_DAY", "1")];
    for deployment in Deployment::each(&limits) {
        assert_eq!(deployment.generate("alice").status, 200);
        let refused = deployment.generate("alice");
        assert_eq!(problem(&refused), (429, "generation-limit-reached".to_owned()));
        // TestRuntime begins at 1,800,000,000 s, which is 8 o'clock in UTC.
        assert_eq!(refused.header("retry-after"), Some("57600"));
        assert_eq!(deployment.world.studio.calls.get(), 1, "no provider was paid for the second");
        let second = deployment.upload("alice");
        assert_eq!((second.status, deployment.upload("alice").status), (201, 201));
        assert_eq!(problem(&deployment.upload("alice")), (429, "image-limit-reached".to_owned()));
        assert_eq!(deployment.delete("alice", &second).unwrap().status, 204);
        assert_eq!(deployment.upload("alice").status, 429, "a deleted image was added all the same");
        // The tokens are good for ten minutes only.
        deployment.world.runtime.advance(57_600_000);
        let tomorrow = |body: &Value| {
            let token = deployment.users.token_from(57_600, "alice");
            let authorization = format!("Bearer {token}");
            let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
            let body = body.to_string().into_bytes();
            deployment.world.send("POST", "/api/generate-image", &headers, Some(body.into())).status
        };
        let body = json!({ "prompt": "a fox", "personaId": "p" });
        assert_eq!((tomorrow(&body), tomorrow(&body)), (200, 429));
    }
}

#[test]
fn an_image_that_fails_gives_back_what_it_took() {
    let limits = [("USER_MAX_BYTES", "9999"), ("USER_MAX_IMAGES_PER_DAY", "9"), ("USER_MAX_GENERATIONS_PER_DAY", "9")];
    for deployment in Deployment::each(&limits) {
        assert_eq!(deployment.generate("alice").status, 200);
        let before = deployment.usage();
        assert_eq!(before, (PNG_BYTES, 1, 1));
        deployment.world.studio.errors.borrow_mut().push(stillstore::generate::GenerateError::Moderation);
        assert_eq!(deployment.generate("alice").status, 422);
        assert_eq!((deployment.usage(), deployment.claims().len()), (before, 0));
        let wrong = "/api/images?sha256=0000000000000000000000000000000000000000000000000000000000000000";
        let answer = deployment.send("alice", "POST", wrong, Some(PNG.to_vec())).unwrap();
        assert_eq!(answer.status, 422);
        assert_eq!((deployment.usage(), deployment.claims().len()), (before, 0));
    }
}

#[test]
fn requests_at_once_do_not_exceed_a_limit() {
    let limits = [("USER_MAX_GENERATIONS_PER_DAY", "3")];
    for deployment in Deployment::each(&limits) {
        let authorization = format!("Bearer {}", deployment.users.token_of("alice"));
        let ask = || {
            let headers = vec![
                ("authorization".to_owned(), authorization.clone()),
                ("content-type".to_owned(), "application/json".to_owned()),
            ];
            let body = json!({ "prompt": "a fox", "personaId": "p" }).to_string().into_bytes();
            let url = "https://images.example/api/generate-image";
            deployment.world.app.handle(Request::new("POST", url, headers, Some(body.into())))
        };
        deployment.world.studio.yields.set(true);
        deployment.world.runtime.end_sleeps_up_to(0);
        let mut all = pin!(join_all((0..8).map(|_| ask())));
        let answers = poll_until_stalled(all.as_mut()).unwrap();
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 3);
        assert_eq!(answers.iter().filter(|answer| answer.status == 429).count(), 5);
        assert_eq!(deployment.world.studio.calls.get(), 3);
        assert_eq!(deployment.usage(), (3 * PNG_BYTES, 3, 3));
    }
}

#[test]
fn images_from_before_a_limit_count_when_it_comes() {
    for r2 in [true, false] {
        let without = Deployment::new(r2, &[]);
        let old = without.upload("alice");
        without.upload("alice");
        assert!(without.world.rows("SELECT * FROM stillstore_usage").is_empty(), "nothing is counted without a limit");
        let limit = (3 * PNG_BYTES).to_string();
        let limited = stillstore::catalog::UserLimits { bytes: limit.parse().ok(), ..Default::default() };
        let Deployment { users, mut world } = without;
        world.app.services.catalog = world.app.services.catalog.clone().with_limits(limited);
        let deployment = Deployment { users, world };
        assert_eq!((deployment.upload("alice").status, deployment.upload("alice").status), (201, 507));
        assert_eq!(deployment.delete("alice", &old).unwrap().status, 204);
        assert_eq!((deployment.upload("alice").status, deployment.upload("alice").status), (201, 507));
        deployment.assert_exact("images of before and after");
    }
}

/// Every call to the database and the bucket fails, hangs or loses its answer, while an image is added, deleted and another generated.
#[test]
fn whatever_fails_the_counters_are_those_of_the_rows() {
    let limits = [("USER_MAX_BYTES", "9999"), ("USER_MAX_IMAGES_PER_DAY", "9"), ("USER_MAX_GENERATIONS_PER_DAY", "9")];
    for r2 in [true, false] {
        for fault in Fault::ALL {
            // So many calls there are, and one more.
            for (nth, of_bucket) in (1..=12).map(|nth| (nth, false)).chain((1..=4).map(|nth| (nth, true))) {
                let what = format!("{fault:?} at call {nth}, of the bucket: {of_bucket}, in R2: {r2}");
                let deployment = Deployment::new(r2, &limits);
                let first = deployment.upload("alice");
                assert_eq!(first.status, 201);
                if of_bucket {
                    deployment.world.bucket.plan.fail_nth(None, nth, fault);
                } else {
                    deployment.world.database.plan.fail_nth(None, nth, fault);
                }
                let body = json!({ "prompt": "a fox", "personaId": "p" }).to_string().into_bytes();
                drop(deployment.send("alice", "POST", "/api/images", Some(PNG.to_vec())));
                drop(deployment.delete("alice", &first));
                drop(deployment.send("alice", "POST", "/api/generate-image", Some(body)));
                deployment.assert_exact(&what);
                deployment.world.database.plan.heal();
                deployment.world.bucket.plan.heal();
                for _ in 0..2 {
                    deployment.world.runtime.advance(HOUR_MS + 1);
                    deployment.world.sweep();
                }
                deployment.assert_exact(&what);
                assert_eq!(deployment.claims(), Vec::<Value>::new(), "{what}");
                let stored = "SELECT count(*) AS images, count(generation) AS generations FROM stillstore_images WHERE status = 'stored'";
                let stored = deployment.world.rows(stored)[0].clone();
                let deleted = deployment
                    .world
                    .rows("SELECT id FROM stillstore_images WHERE status = 'deleted' AND size_bytes IS NOT NULL");
                let added = stored["images"].as_i64().unwrap() + i64::try_from(deleted.len()).unwrap();
                let (_, images, generations) = deployment.usage();
                assert_eq!((images, Some(generations)), (added, stored["generations"].as_i64()), "{what}");
            }
        }
    }
}
