//! Limits of users where no row of the catalogue is there before the bytes: presigned uploads, uploads in parts, and frames.

use std::pin::pin;

use futures::future::join_all;
use serde_json::{Value, json};
use stillstore::api::Request;
use stillstore::sql::Fault;

use super::frames::{form, svg};
use super::limits::{Deployment, HOUR_MS, PNG_BYTES, problem};
use super::world::{Answer, PNG};
use crate::runtime::poll_until_stalled;

const FORM: &str = "multipart/form-data; boundary=x-frames";

impl Deployment {
    fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("alice", "POST", path, Some(body.to_string().into_bytes())).expect("an answer")
    }

    fn shoot(&self) -> Value {
        self.post("/shoots", &json!({ "name": "Garden" })).json()["id"].clone()
    }

    fn presign(&self, shoot: &Value, file_size: Option<usize>) -> Answer {
        let body = json!({
            "shoot_id": shoot, "filename": "cat.png", "content_type": "image/png", "file_size": file_size
        });
        self.post("/uploads/presign", &body)
    }

    fn put(&self, granted: &Answer) {
        let url = granted.json()["upload"]["url"].as_str().unwrap().replace("https://images.example", "");
        let sent = self.world.send("PUT", &url, &[("content-type", "image/png")], Some(PNG.to_vec().into()));
        assert_eq!(sent.status, 200, "{sent:?}");
    }

    fn confirm(&self, shoot: &Value, granted: &Answer) -> Answer {
        let granted = granted.json();
        let claims = json!({ "asset_id": granted["asset_id"], "shoot_id": shoot, "object_key": granted["object_key"] });
        self.post("/uploads/confirm", &claims)
    }

    fn frames_until_crash(&self, query: &str, frames: &[(&str, Vec<u8>)]) -> Option<Answer> {
        let authorization = format!("Bearer {}", self.users.token_of("alice"));
        let headers = [("authorization", authorization.as_str()), ("content-type", FORM)];
        let path = format!("/sessions/s/frames{query}");
        self.world.send_until_crash("POST", &path, &headers, Some(form(frames).into()))
    }

    fn frames(&self, query: &str, frames: &[(&str, Vec<u8>)]) -> Answer {
        self.frames_until_crash(query, frames).expect("an answer")
    }

    fn frame(&self, number: u32) -> Option<Vec<u8>> {
        let answer = self.world.call("GET", &format!("/sessions/s/frames/{number}"), None);
        (answer.status == 200).then_some(answer.body)
    }

    /// What cron clears once everything is hours old.
    fn clear(&self) {
        for _ in 0..4 {
            self.world.runtime.advance(2 * HOUR_MS);
            crate::runtime::block_on(self.world.app.tick());
        }
    }
}

/// Numbers of the frames, each with the code of its refusal.
fn codes(answer: &Answer) -> Vec<(u64, Option<String>)> {
    let frames = answer.json()["frames"].as_array().unwrap().clone();
    let code = |frame: &Value| frame["code"].as_str().map(str::to_owned);
    frames.iter().map(|frame| (frame["frameNumber"].as_u64().unwrap(), code(frame))).collect()
}

fn bytes_of(frames: &[&[u8]]) -> i64 {
    frames.iter().map(|frame| i64::try_from(frame.len()).unwrap()).sum()
}

#[test]
fn presigned_uploads_count_from_their_grant_on() {
    let limit = (2 * PNG_BYTES).to_string();
    for deployment in Deployment::each(&[("USER_MAX_BYTES", &limit), ("USER_MAX_IMAGES_PER_DAY", "3")]) {
        let shoot = deployment.shoot();
        let (first, second) =
            (deployment.presign(&shoot, Some(PNG.len())), deployment.presign(&shoot, Some(PNG.len())));
        assert_eq!((first.status, second.status, deployment.usage()), (200, 200, (2 * PNG_BYTES, 2, 0)));
        let third = deployment.presign(&shoot, Some(1));
        assert_eq!(problem(&third), (507, "byte-limit-reached".to_owned()));
        deployment.put(&first);
        assert_eq!((deployment.confirm(&shoot, &first).status, deployment.confirm(&shoot, &first).status), (200, 200));
        assert_eq!((deployment.usage(), deployment.claims().len()), ((2 * PNG_BYTES, 2, 0), 1));
        // The second is never sent: it counts until it is closed.
        deployment.world.runtime.advance(HOUR_MS + 1);
        deployment.world.sweep();
        assert_eq!(deployment.claims().len(), 1, "its grant may just be used");
        deployment.world.runtime.advance(HOUR_MS + 1);
        deployment.world.sweep();
        assert_eq!((deployment.usage(), deployment.claims().len()), ((PNG_BYTES, 1, 0), 0));
        deployment.assert_exact("after the sweep");
    }
}

#[test]
fn an_upload_without_a_size_counts_as_large_as_it_is_when_it_is_confirmed() {
    let limit = PNG_BYTES.to_string();
    for deployment in Deployment::each(&[("USER_MAX_BYTES", &limit), ("USER_MAX_IMAGES_PER_DAY", "2")]) {
        let shoot = deployment.shoot();
        let (first, second) = (deployment.presign(&shoot, None), deployment.presign(&shoot, None));
        let third = deployment.presign(&shoot, None);
        assert_eq!(problem(&third), (429, "image-limit-reached".to_owned()));
        assert_eq!(third.header("retry-after"), Some("57600"));
        deployment.put(&first);
        deployment.put(&second);
        assert_eq!(
            problem(&deployment.confirm(&shoot, &first)),
            (507, "byte-limit-reached".to_owned()),
            "a byte is claimed"
        );
        deployment.clear();
        assert_eq!((deployment.usage(), deployment.claims().len()), ((0, 0, 0), 0));
    }
}

#[test]
fn presigned_uploads_at_once_do_not_exceed_a_limit() {
    for deployment in Deployment::each(&[("USER_MAX_IMAGES_PER_DAY", "3")]) {
        let shoot = deployment.shoot();
        let authorization = format!("Bearer {}", deployment.users.token_of("alice"));
        let presign = |path: &str| {
            let headers = vec![
                ("authorization".to_owned(), authorization.clone()),
                ("content-type".to_owned(), "application/json".to_owned()),
            ];
            let body = json!({
                "shoot_id": shoot, "filename": "cat.png", "content_type": "image/png", "file_size": PNG.len()
            });
            let request = Request::new(
                "POST",
                &format!("https://images.example{path}"),
                headers,
                Some(body.to_string().into_bytes().into()),
            );
            deployment.world.app.handle(request)
        };
        let mut all = pin!(join_all((0..8).map(|_| presign("/uploads/presign"))));
        let answers = poll_until_stalled(all.as_mut()).unwrap();
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 3);
        assert_eq!(answers.iter().filter(|answer| answer.status == 429).count(), 5);
        assert_eq!(deployment.usage().1, 3);
    }
}

#[test]
fn an_upload_in_parts_counts_while_it_may_be_sent_and_no_longer() {
    let deployment = Deployment::new(true, &[("USER_MAX_BYTES", "10000000")]);
    let shoot = deployment.shoot();
    let begin = |size: usize| {
        let body = json!({ "shoot_id": shoot, "filename": "a", "content_type": "image/png", "file_size": size });
        deployment.post("/uploads/multipart", &body)
    };
    let first = begin(9_000_000);
    assert_eq!((first.status, deployment.usage().0), (201, 9_000_000));
    assert_eq!(problem(&begin(1_000_001)), (507, "byte-limit-reached".to_owned()));
    assert_eq!(
        deployment.world.bucket.inner.unfinished_uploads().len(),
        1,
        "R2's upload of the refused one is aborted"
    );
    deployment.world.runtime.advance(20 * HOUR_MS);
    deployment.world.sweep();
    assert_eq!(deployment.claims().len(), 1);
    let path = format!("/uploads/multipart/{}", first.json()["asset_id"].as_str().unwrap());
    // The operator, since the user's token has ended meanwhile.
    assert_eq!(deployment.world.call("DELETE", &path, None).status, 204);
    assert_eq!((deployment.usage().0, deployment.claims().len()), (0, 0));
}

#[test]
fn frames_over_a_limit_are_refused_one_by_one() {
    for deployment in Deployment::each(&[("USER_MAX_IMAGES_PER_DAY", "3")]) {
        let frames = [("1", svg(1)), ("2", svg(2)), ("3", svg(3)), ("4", svg(4)), ("5", svg(5))];
        let answer = deployment.frames("", &frames);
        assert_eq!(answer.status, 207, "{answer:?}");
        let limit = || Some("image-limit-reached".to_owned());
        assert_eq!(codes(&answer), [(1, None), (2, None), (3, None), (4, limit()), (5, limit())]);
        assert_eq!(deployment.usage(), (bytes_of(&[&svg(1), &svg(2), &svg(3)]), 3, 0));
        let refused = deployment.frames("", &[("6", svg(6))]);
        assert_eq!(problem(&refused), (429, "image-limit-reached".to_owned()));
        assert_eq!(refused.header("retry-after"), Some("57600"));
        // What is there already takes nothing.
        assert_eq!(deployment.frames("", &[("1", svg(1))]).status, 201);
        deployment.clear();
        assert_eq!((deployment.frame(3), deployment.frame(4)), (Some(svg(3)), None));
        deployment.world.assert_invariants();
        deployment.world.assert_swept();
        deployment.assert_exact("in the end");
        assert_eq!(deployment.usage().1, 3);
    }
}

#[test]
fn of_frames_those_are_kept_that_fit_into_the_bytes() {
    let large = super::upload_in_parts::svg(1_000);
    let limit = (bytes_of(&[&svg(1), &svg(3)]) + 10).to_string();
    for deployment in Deployment::each(&[("USER_MAX_BYTES", &limit)]) {
        let answer = deployment.frames("", &[("1", svg(1)), ("2", large.clone()), ("3", svg(3))]);
        let limit = Some("byte-limit-reached".to_owned());
        assert_eq!((answer.status, codes(&answer)), (207, vec![(1, None), (2, limit), (3, None)]));
        assert_eq!(deployment.usage().0, bytes_of(&[&svg(1), &svg(3)]));
    }
}

#[test]
fn after_a_refusal_no_frame_is_put_that_would_be_refused() {
    let deployment = Deployment::new(true, &[("USER_MAX_IMAGES_PER_DAY", "50")]);
    let frames: Vec<_> = (1..=150).map(|number| (number.to_string(), svg(number))).collect();
    let frames: Vec<_> = frames.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let answer = deployment.frames("", &frames).json();
    assert_eq!((&answer["stored"], &answer["refused"]), (&json!(50), &json!(100)));
    assert_eq!(deployment.world.bucket.inner.contents().len(), 100, "the second fifty were put before it was known");
}

#[test]
fn a_frame_that_may_not_replace_another_leaves_it() {
    for deployment in Deployment::each(&[("USER_MAX_IMAGES_PER_DAY", "2")]) {
        assert_eq!(deployment.frames("", &[("1", svg(1))]).status, 201);
        assert_eq!(deployment.frames("?replace=true", &[("1", svg(10))]).status, 201);
        let refused = deployment.frames("?replace=true", &[("1", svg(100))]);
        assert_eq!(problem(&refused), (429, "image-limit-reached".to_owned()));
        assert_eq!(deployment.frame(1), Some(svg(10)));
    }
}

#[test]
fn frames_at_once_do_not_exceed_a_limit() {
    for deployment in Deployment::each(&[("USER_MAX_IMAGES_PER_DAY", "5")]) {
        let authorization = format!("Bearer {}", deployment.users.token_of("alice"));
        let ask = |session: usize| {
            let headers =
                vec![("authorization".to_owned(), authorization.clone()), ("content-type".to_owned(), FORM.to_owned())];
            let body = form(&[("1", svg(1)), ("2", svg(2)), ("3", svg(3))]);
            let url = format!("https://images.example/sessions/s{session}/frames");
            deployment.world.app.handle(Request::new("POST", &url, headers, Some(body.into())))
        };
        let mut all = pin!(join_all((0..4).map(ask)));
        let answers = poll_until_stalled(all.as_mut()).unwrap();
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [201, 207, 429, 429]);
        assert_eq!(deployment.usage().1, 5);
        let stored = deployment.world.rows("SELECT count(*) AS frames FROM stillstore_images WHERE status = 'stored'");
        assert_eq!(stored, [json!({ "frames": 5 })]);
        deployment.assert_exact("at once");
    }
}

#[test]
fn the_operator_sees_whose_an_image_is() {
    let deployment = Deployment::new(true, &[]);
    deployment.frames("", &[("1", svg(1))]);
    let listed = deployment.world.call("GET", "/sessions/s/frames", None).json();
    assert_eq!(listed["frames"][0]["ownerId"], "alice");
    let hers = deployment.send("alice", "GET", "/api/images", None).unwrap().json();
    assert_eq!(hers["images"][0]["ownerId"], Value::Null);
    assert_eq!(deployment.world.call("GET", "/api/images", None).json()["images"][0]["ownerId"], "alice");
}

/// Every call fails, hangs or loses its answer while frames are added and replaced, some of them over the limit, and an upload is granted,
/// sent and confirmed.
#[test]
fn whatever_fails_the_counters_are_those_of_the_rows() {
    let mut cases = 0;
    for r2 in [true, false] {
        for fault in Fault::ALL {
            for (nth, of_bucket) in (1..=24).map(|nth| (nth, false)).chain((1..=8).map(|nth| (nth, true))) {
                let what = format!("{fault:?} at call {nth}, of the bucket: {of_bucket}, in R2: {r2}");
                let deployment = Deployment::new(r2, &[("USER_MAX_BYTES", "9999"), ("USER_MAX_IMAGES_PER_DAY", "5")]);
                assert_eq!(deployment.frames("", &[("1", svg(1))]).status, 201);
                let shoot = deployment.shoot();
                let granted = deployment.presign(&shoot, Some(PNG.len()));
                deployment.put(&granted);
                if of_bucket {
                    deployment.world.bucket.plan.fail_nth(None, nth, fault);
                } else {
                    deployment.world.database.plan.fail_nth(None, nth, fault);
                }
                let until_crash = |path: &str, body: &Value| {
                    drop(deployment.send("alice", "POST", path, Some(body.to_string().into_bytes())));
                };
                let claims = granted.json();
                let claims =
                    json!({ "asset_id": claims["asset_id"], "shoot_id": shoot, "object_key": claims["object_key"] });
                drop(deployment.frames_until_crash("?replace=true", &[("1", svg(10)), ("2", svg(2))]));
                until_crash(
                    "/uploads/presign",
                    &json!({ "shoot_id": shoot, "filename": "a.png", "content_type": "image/png", "file_size": 9 }),
                );
                until_crash("/uploads/confirm", &claims);
                drop(deployment.frames_until_crash("", &[("3", svg(3)), ("4", svg(4)), ("5", svg(5))]));
                deployment.assert_exact(&what);
                let failed = deployment.world.database.plan.has_failed() || deployment.world.bucket.plan.has_failed();
                cases += usize::from(failed);
                deployment.world.database.plan.heal();
                deployment.world.bucket.plan.heal();
                let images = deployment.usage().1;
                assert!(images <= 5, "{what}: {images} images");
                deployment.world.assert_invariants();
                deployment.clear();
                deployment.world.assert_invariants();
                deployment.world.assert_swept();
                deployment.assert_exact(&what);
                assert_eq!(deployment.claims(), Vec::<Value>::new(), "{what}");
                let added = "SELECT count(*) AS images FROM stillstore_images WHERE status = 'stored' OR size_bytes IS NOT NULL";
                let added = deployment.world.rows(added)[0]["images"].as_i64().unwrap();
                assert_eq!(deployment.usage().1, added, "{what}");
            }
        }
    }
    assert!(cases > 150, "{cases} cases");
}
