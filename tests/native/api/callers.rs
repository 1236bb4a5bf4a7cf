//! Every route as every caller: nobody, a user, another user, the operator, and those whose token does not hold.

use std::rc::Rc;

use serde_json::{Value, json};
use stillstore::api::{Access, ROUTES, Route};
use stillstore::config::{Config, TokenSettings};
use stillstore::http::HttpClient;
use stillstore::jwt::Tokens;
use stillstore::runtime::Runtime;

use super::world::{Answer, PNG, TOKEN, World};
use crate::jwt_fakes::{KEYS_URL, KeyServer, RingSignatures, Shared, Signer};

const RUN_ID: &str = "0f8fad5bd9cb469fa16570867728950e";
const SECRET: &str = "a secret of at least 32 characters";
const PREVIOUS: &str = "the secret that was before this one";
/// Of `TestRuntime`.
const NOW_S: i64 = 1_800_000_000;

/// How users' tokens are signed, here and by whom they must not be.
pub struct Users {
    signer: Signer,
    other: Signer,
    vars: Vec<(&'static str, String)>,
}

impl Users {
    fn all() -> Vec<Self> {
        let secret = vec![("JWT_SECRET", SECRET.to_owned()), ("JWT_SECRET_PREVIOUS", PREVIOUS.to_owned())];
        let published = vec![("JWT_JWKS_URL", KEYS_URL.to_owned())];
        vec![
            Self { signer: Signer::hs256(SECRET), other: Signer::hs256(TOKEN), vars: secret },
            Self { signer: Signer::rs256(0), other: Signer::rs256(1), vars: published.clone() },
            Self { signer: Signer::es256(), other: Signer::es256(), vars: published },
        ]
    }

    pub fn by_secret() -> Self {
        Self::all().swap_remove(0)
    }

    /// A token that is good from so many seconds later on.
    pub fn token_from(&self, later_s: i64, user: &str) -> String {
        let now_s = NOW_S + later_s;
        self.signer.token("key-1", &claims(&json!({ "sub": user, "nbf": now_s, "exp": now_s + 600 })))
    }

    fn world(&self) -> World {
        self.world_with(&[("API_TOKEN", TOKEN), ("ENABLE_R2_STORAGE", "true"), ("EDIT_PROVIDER", "workers-ai")])
    }

    pub fn world_with(&self, more: &[(&str, &str)]) -> World {
        let own = [("JWT_AUDIENCE", "stillstore"), ("JWT_ISSUER", "https://id.example/")];
        let own = own.into_iter().chain(self.vars.iter().map(|(name, value)| (*name, value.as_str())));
        let vars: Vec<_> = own.chain(more.iter().copied()).collect();
        let mut world = World::with_vars(&vars);
        assert!(world.app.services.problems.is_empty());
        let lookup = |name: &str| vars.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned());
        let settings: TokenSettings = Config::parse(lookup).0.users.tokens.unwrap();
        let server = KeyServer::publishing(&[self.signer.jwk("key-1")]);
        let http = Rc::new(Shared(server)) as Rc<dyn HttpClient>;
        let runtime = Rc::clone(&world.runtime) as Rc<dyn Runtime>;
        world.app.services.tokens = Some(Tokens::new(&settings, http, Rc::new(RingSignatures), runtime));
        world
    }

    pub fn token_of(&self, user: &str) -> String {
        self.signer.token("key-1", &claims(&json!({ "sub": user })))
    }

    /// Tokens that do not hold, and why.
    fn bad_tokens(&self) -> Vec<(&'static str, String)> {
        let with = |changed: &Value| self.signer.token("key-1", &claims(changed));
        let good = self.token_of("alice");
        let header = |algorithm: &str| json!({ "alg": algorithm, "kid": "key-1" });
        let public_key = self.signer.jwk("key-1").to_string();
        let (signed, _) = good.rsplit_once('.').unwrap();
        vec![
            ("expired", with(&json!({ "exp": NOW_S - 60 }))),
            ("without an end", with(&json!({ "exp": null }))),
            ("not yet valid", with(&json!({ "nbf": NOW_S + 61 }))),
            ("for another audience", with(&json!({ "aud": "others" }))),
            ("by another issuer", with(&json!({ "iss": "https://other.example/" }))),
            ("by another key", self.other.token("key-1", &claims(&json!({})))),
            ("by a key of an unknown name", self.other.token("key-2", &claims(&json!({})))),
            ("without an algorithm", self.signer.token_with(&header("none"), &claims(&json!({})))),
            ("without a signature", format!("{signed}.")),
            ("alg none and no signature", {
                let token = self.signer.token_with(&header("none"), &claims(&json!({})));
                format!("{}.", token.rsplit_once('.').unwrap().0)
            }),
            (
                "with the public key as a secret",
                Signer::hs256(&public_key).token_with(&header("HS256"), &claims(&json!({}))),
            ),
            (
                "with the public key as a secret, called RS256",
                Signer::hs256(public_key).token_with(&header("RS256"), &claims(&json!({}))),
            ),
            ("with the URL of the keys as a secret", Signer::hs256(KEYS_URL).token("key-1", &claims(&json!({})))),
            ("cut off", good[..good.len() - 1].to_owned()),
            ("cut off in its claims", good[..good.len() / 2].to_owned()),
            ("100 KB long", with(&json!({ "padding": "x".repeat(100_000) }))),
            ("a little longer than 8 KiB", with(&json!({ "padding": "x".repeat(6_200) }))),
            ("without a user", with(&json!({ "sub": null }))),
            ("with a user id that is too long", with(&json!({ "sub": "u".repeat(201) }))),
            ("with a user id over two lines", with(&json!({ "sub": "alice\nbob" }))),
            ("no token at all", "nonsense".to_owned()),
            ("of another scheme of secrets", format!("{TOKEN}x")),
        ]
    }
}

/// What a good token claims, but for `changed`.
fn claims(changed: &Value) -> Value {
    let mut claims = json!({
        "sub": "alice", "exp": NOW_S + 600, "nbf": NOW_S - 60, "aud": ["stillstore", "others"], "iss": "https://id.example/"
    });
    for (name, value) in changed.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// Alice's private image, her shoot, a job on the image, and her session [`SESSION`] with one frame.
struct Hers {
    id: String,
    key: String,
    shoot_id: String,
    /// Of an upload in parts.
    upload_id: String,
    job_id: String,
}

const SESSION: &str = "hers";

/// A form with one frame, which is to have this number.
fn form_with_frame(number: &str) -> Vec<u8> {
    let head = format!("--x\r\nContent-Disposition: form-data; name=\"{number}\"; filename=\"a.png\"\r\n\r\n");
    [head.as_bytes(), PNG, b"\r\n--x--\r\n"].concat()
}

/// A request for a route. An `{id}` in its path is that of Alice's private image or shoot.
struct Sample {
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<Vec<u8>>,
    /// What somebody gets who may.
    passes: (u16, Option<String>),
    /// What another user gets, when it is about what is Alice's.
    missing: Option<&'static str>,
}

fn sample(route: &Route, image: &Hers) -> Sample {
    const JSON: (&str, &str) = ("content-type", "application/json");
    const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=x");
    let (id, mut missing) = match route.path {
        path if path.contains("/runs/") => (RUN_ID, None),
        path if path.starts_with("/shoots/") => (image.shoot_id.as_str(), Some("shoot-not-found")),
        path if path.starts_with("/sessions/") => (SESSION, Some("session-not-found")),
        path if path.starts_with("/uploads/multipart/") => (image.upload_id.as_str(), Some("upload-not-found")),
        path if path.starts_with("/batches/") => (image.shoot_id.as_str(), Some("batch-not-found")),
        path if path.starts_with("/jobs/") => (image.job_id.as_str(), Some("job-not-found")),
        path if path.starts_with("/uploads/") => (image.id.as_str(), None),
        path => (image.id.as_str(), path.contains("{id}").then_some("image-not-found")),
    };
    let mut path = route.path.replace("{id}", id).replace("{number}", "1");
    match route.name {
        "delete-image-by-key" => {
            path = format!("{path}?key={}", image.key);
            missing = Some("image-not-found");
        }
        "serve-frame" => missing = Some("frame-not-found"),
        "presign-upload" | "create-multipart" => missing = Some("shoot-not-found"),
        "create-job" => missing = Some("image-not-found"),
        _ => {}
    }
    let upload = json!({
        "asset_id": image.id, "shoot_id": image.shoot_id, "object_key": image.key, "filename": "a.png", "file_size": PNG.len(),
        "content_type": "image/png"
    });
    let (headers, body, status) = match route.name {
        "generate-image" => (vec![JSON], Some(json!({ "prompt": "a fox", "personaId": "p" }).to_string().into()), 200),
        "upload-image" => (Vec::new(), Some(PNG.to_vec()), 201),
        "delete-image" | "delete-image-by-key" | "abort-multipart" => (Vec::new(), None, 204),
        "sign-image-url" | "reconcile" => (vec![JSON], Some(b"{}".to_vec()), 200),
        "migrate-images" => (vec![JSON], Some(json!({ "action": "stats" }).to_string().into()), 200),
        "create-session" => (vec![JSON], Some(b"{}".to_vec()), 201),
        "upload-frames" => (vec![FORM], Some(form_with_frame("2")), 201),
        "create-shoot" => (vec![JSON], Some(json!({ "name": "Autumn" }).to_string().into()), 201),
        "presign-upload" => (vec![JSON], Some(upload.to_string().into()), 200),
        "create-multipart" => (vec![JSON], Some(upload.to_string().into()), 201),
        "put-part" => (vec![("content-type", "application/octet-stream")], Some(PNG.to_vec()), 200),
        // No part was sent.
        "complete-multipart" => (vec![JSON], Some(b"{}".to_vec()), 422),
        "s3-post" | "s3-put-part" | "s3-list-parts" | "s3-abort" => (Vec::new(), None, 403),
        // Nothing was presigned for it.
        "confirm-upload" => (vec![JSON], Some(upload.to_string().into()), 404),
        // What opens these is their own signature, which is a field of the form.
        "receive-upload" => (Vec::new(), Some(PNG.to_vec()), 403),
        "receive-form" => (Vec::new(), Some(PNG.to_vec()), 415),
        // Her shoot has no assets, so that there are no batches.
        "edit-shoot" => (vec![JSON], Some(json!({ "prompt": "a" }).to_string().into()), 409),
        // There are no runs, and nobody has looked.
        "describe-run" | "run-items" | "run-receipt" | "describe-batch" | "cancel-batch" | "image-description"
        | "session-analysis" => (Vec::new(), None, 404),
        "look-at-image" | "analyze-session" => (Vec::new(), None, 202),
        "create-job" => (vec![JSON], Some(json!({ "asset_id": image.id, "prompt": "a" }).to_string().into()), 202),
        "describe-job" | "cancel-job" | "list-jobs" | "usage" | "delete-shoot" | "delete-frames" | "list-frames"
        | "serve-frame" | "list-shoots" | "describe-shoot" | "list-assets" | "list-images" | "describe-caller"
        | "describe-image" | "serve-image" | "migration-status" | "health" | "list-parts" | "metrics" | "openapi"
        | "index" | "docs" => (Vec::new(), None, 200),
        name => panic!("{name} needs a sample here, so that it is asked as every caller"),
    };
    let passes = match (route.name, status) {
        ("confirm-upload", _) => refused(status, "upload-not-found"),
        ("image-description" | "session-analysis", _) => refused(status, "analysis-not-found"),
        ("edit-shoot", _) => refused(status, "shoot-empty"),
        ("describe-batch" | "cancel-batch", _) => refused(status, "batch-not-found"),
        ("complete-multipart", _) => refused(status, "parts-refused"),
        ("receive-upload" | "s3-post" | "s3-put-part" | "s3-list-parts" | "s3-abort", _) => {
            refused(status, "upload-signature-invalid")
        }
        ("receive-form", _) => refused(status, "unsupported-media-type"),
        (_, 404) => refused(status, "run-not-found"),
        _ => (status, None),
    };
    Sample { path, headers, body, passes, missing }
}

fn send(world: &World, method: &str, sample: &Sample, token: Option<&str>) -> Answer {
    let authorization = token.map(|token| format!("Bearer {token}"));
    let mut headers = sample.headers.clone();
    headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
    let headers: Vec<(&str, &str)> = headers.into_iter().collect();
    world.send(method, &sample.path, &headers, sample.body.clone().map(Into::into))
}

fn outcome(answer: &Answer) -> (u16, Option<String>) {
    (answer.status, (answer.status >= 400).then(|| answer.code()))
}

fn refused(status: u16, code: &str) -> (u16, Option<String>) {
    (status, Some(code.to_owned()))
}

/// A deployment with one image, private, of Alice's.
fn hers(users: &Users) -> (World, Hers) {
    let world = users.world();
    let authorization = format!("Bearer {}", users.token_of("alice"));
    let headers = [("authorization", authorization.as_str())];
    let answer = world.send("POST", "/api/images?visibility=private", &headers, Some(PNG.to_vec().into()));
    assert_eq!(answer.status, 201, "{answer:?}");
    let text = |field: &str| answer.json()[field].as_str().unwrap().to_owned();
    let headers = [headers[0], ("content-type", "application/json")];
    let shoot = world.send("POST", "/shoots", &headers, Some(br#"{"name": "Hers"}"#.to_vec().into()));
    let shoot_id = shoot.json()["id"].as_str().expect("a shoot").to_owned();
    let job = json!({ "asset_id": text("id"), "prompt": "a" }).to_string().into_bytes();
    let job_id =
        world.send("POST", "/jobs", &headers, Some(job.into())).json()["id"].as_str().expect("a job").to_owned();
    let headers = [headers[0], ("content-type", "multipart/form-data; boundary=x")];
    let frame = world.send("POST", &format!("/sessions/{SESSION}/frames"), &headers, Some(form_with_frame("1").into()));
    assert_eq!(frame.status, 201, "{frame:?}");
    let wanted = json!({
        "shoot_id": shoot_id, "filename": "a.png", "file_size": PNG.len(), "content_type": "image/png"
    });
    let headers = [headers[0], ("content-type", "application/json")];
    let upload = world.send("POST", "/uploads/multipart", &headers, Some(wanted.to_string().into_bytes().into()));
    let upload_id = upload.json()["asset_id"].as_str().expect("an upload").to_owned();
    let image = Hers { id: text("id"), key: text("key"), shoot_id, upload_id, job_id };
    (world, image)
}

#[test]
fn every_route_answers_every_caller_by_the_rules_of_its_access() {
    let users = Users::by_secret();
    let (alice, bob) = (users.token_of("alice"), users.token_of("bob"));
    for route in ROUTES {
        for (caller, token) in
            [("nobody", None), ("alice", Some(alice.as_str())), ("bob", Some(&bob)), ("the operator", Some(TOKEN))]
        {
            let (world, image) = hers(&users);
            let sample = sample(route, &image);
            let answer = send(&world, route.method.as_str(), &sample, token);
            let passes = sample.passes.clone();
            let expected = match (route.access, caller) {
                (Access::Anyone, _) | (_, "the operator") => passes,
                (Access::Holder, "nobody") => refused(403, "signature-invalid"),
                (Access::User | Access::Operator, "nobody") => refused(401, "unauthorized"),
                (Access::Operator, _) => refused(403, "forbidden"),
                (_, "bob") => sample.missing.map_or(passes, |code| refused(404, code)),
                _ => passes,
            };
            let what = format!("{} as {caller}", route.name);
            assert_eq!(outcome(&answer), expected, "{what}: {answer:?}");
            let rows = world.rows("SELECT id, status FROM stillstore_images");
            let is_gone = rows.iter().any(|row| row["id"] == image.id.as_str() && row["status"] == "deleted");
            assert_eq!(is_gone, route.name.starts_with("delete-image") && answer.status == 204, "{what}");
        }
    }
}

#[test]
fn a_token_that_does_not_hold_opens_no_route_and_changes_nothing() {
    for users in Users::all() {
        let (world, image) = hers(&users);
        let before = world.rows("SELECT * FROM stillstore_images");
        for (why, token) in users.bad_tokens() {
            for route in ROUTES {
                let sample = sample(route, &image);
                let answer = send(&world, route.method.as_str(), &sample, Some(&token));
                let what = format!("{} with a token {why}, {}", route.name, users.signer.algorithm());
                match route.access {
                    Access::Anyone => assert_eq!(outcome(&answer), sample.passes, "{what}"),
                    Access::Holder | Access::User | Access::Operator => {
                        assert_eq!(outcome(&answer), refused(401, "unauthorized"), "{what}");
                        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
                    }
                }
            }
            assert!(!world.log_text().contains(&token), "{why}: the log has the token");
        }
        assert_eq!(world.rows("SELECT * FROM stillstore_images"), before);
    }
}

#[test]
fn an_answer_says_what_is_wrong_with_a_token_only_once_its_signature_is_good() {
    let users = &Users::all()[0];
    let world = users.world();
    for (changed, words) in [
        (json!({ "exp": NOW_S - 60 }), "expired"),
        (json!({ "nbf": NOW_S + 61 }), "not valid yet"),
        (json!({ "aud": "others" }), "audience"),
        (json!({ "iss": "x" }), "issuer"),
    ] {
        for (signer, expected) in [(&users.signer, words), (&users.other, "not one that was signed")] {
            let authorization = format!("Bearer {}", signer.token("key-1", &claims(&changed)));
            let answer = world.send("GET", "/api/images", &[("authorization", &authorization)], None);
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(answer.status == 401 && detail.contains(expected), "{changed}: {detail}");
        }
    }
    let by_previous = Signer::hs256(PREVIOUS).token("any", &claims(&json!({})));
    let authorization = format!("Bearer {by_previous}");
    assert_eq!(world.send("GET", "/api/images", &[("authorization", &authorization)], None).status, 200);
}

#[test]
fn users_list_and_replay_what_is_theirs_alone() {
    let users = &Users::all()[0];
    let (world, hers) = hers(users);
    let bearer = |user: &str| format!("Bearer {}", users.token_of(user));
    let list = |authorization: &str| {
        let page = world.send("GET", "/api/images", &[("authorization", authorization)], None).json();
        page["images"]
            .as_array()
            .unwrap()
            .iter()
            // Her frame is listed too.
            .filter(|image| image["sessionId"] != SESSION)
            .map(|image| image["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(&bearer("alice")), [hers.id.as_str()]);
    for (user, status) in [("alice", 200), ("bob", 404)] {
        let path = format!("/api/images?key={}", hers.key);
        assert_eq!(world.send("GET", &path, &[("authorization", &bearer(user))], None).status, status, "{user}");
    }
    assert_eq!(list(&bearer("bob")), [""; 0]);
    assert_eq!(list(&format!("Bearer {TOKEN}")), [hers.id.as_str()]);
    // One key, three callers: each has an image of their own, and gets it again.
    let generate = |authorization: &str| {
        let headers =
            [("authorization", authorization), ("content-type", "application/json"), ("idempotency-key", "the-same")];
        let body = json!({ "prompt": "a fox", "personaId": "p" }).to_string().into_bytes();
        let answer = world.send("POST", "/api/generate-image", &headers, Some(body.into()));
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = answer.json()["image"]["id"].as_str().unwrap().to_owned();
        (id, answer.header("idempotency-replayed").is_some())
    };
    let callers = [bearer("alice"), bearer("bob"), format!("Bearer {TOKEN}")];
    let first: Vec<_> = callers.iter().map(|caller| generate(caller)).collect();
    let again: Vec<_> = callers.iter().map(|caller| generate(caller)).collect();
    for (at, (one, other)) in first.iter().zip(&again).enumerate() {
        assert_eq!((&one.0, one.1, other.1), (&other.0, false, true), "{at}");
        assert_eq!(first.iter().filter(|(id, _)| *id == one.0).count(), 1, "{at}");
    }
    assert_eq!(list(&bearer("bob")), [first[1].0.as_str()]);
}

#[test]
fn a_signed_url_opens_anothers_image_whoever_asks() {
    let users = &Users::all()[0];
    let (world, image) = hers(users);
    let alice = format!("Bearer {}", users.token_of("alice"));
    let headers = [("authorization", alice.as_str()), ("content-type", "application/json")];
    let signed =
        world.send("POST", &format!("/api/images/{}/signed-url", image.id), &headers, Some(b"{}".to_vec().into()));
    let url = signed.json()["url"].as_str().unwrap().replace("https://images.example", "");
    for authorization in [None, Some(format!("Bearer {}", users.token_of("bob"))), Some("Bearer nonsense".to_owned())] {
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        assert_eq!(world.send("GET", &url, &headers, None).status, 200, "{authorization:?}");
    }
}

#[test]
fn public_images_are_everybodys_whatever_token_is_sent() {
    let users = &Users::all()[0];
    let world = users.world();
    let path = format!("/images/{}", world.upload("", PNG).json()["id"].as_str().unwrap());
    for token in [users.token_of("bob"), "nonsense".to_owned()] {
        assert_eq!(world.send("GET", &path, &[("authorization", &format!("Bearer {token}"))], None).body, PNG);
    }
}

#[test]
fn a_token_that_is_sent_must_hold_where_local_work_needs_none() {
    let users = &Users::all()[0];
    let local = |world: &World, token: Option<&str>| {
        let headers = token.map(|token| ("authorization".to_owned(), format!("Bearer {token}")));
        let request = stillstore::api::Request::new(
            "GET",
            "http://localhost:8787/api/images",
            headers.into_iter().collect(),
            None,
        );
        crate::runtime::block_on(world.app.handle(request)).status
    };
    let open = [("ALLOW_UNAUTHENTICATED", "true")];
    let with_users = users.world_with(&open);
    assert_eq!(local(&with_users, None), 200);
    assert_eq!(local(&with_users, Some(&users.token_of("alice"))), 200);
    assert_eq!(local(&with_users, Some(TOKEN)), 401);
    let without = World::with_vars(&open);
    assert_eq!(local(&without, None), 200);
    assert_eq!(local(&without, Some(TOKEN)), 401);
    // Elsewhere it is only users who can show anything.
    assert_eq!(with_users.send("GET", "/metrics", &[], None).code(), "unauthorized");
    assert_eq!(without.send("GET", "/metrics", &[], None).code(), "token-not-configured");
}

#[test]
fn while_keys_cannot_be_fetched_users_wait_and_the_operator_does_not() {
    let mut world = Users::all()[2].world();
    let settings = TokenSettings {
        keys: stillstore::config::TokenKeys::Published { url: KEYS_URL.to_owned() },
        audience: None,
        issuer: None,
    };
    let server = Rc::new(KeyServer::default());
    let runtime = Rc::clone(&world.runtime) as Rc<dyn Runtime>;
    let http = Rc::new(Shared(Rc::clone(&server))) as Rc<dyn HttpClient>;
    world.app.services.tokens = Some(Tokens::new(&settings, http, Rc::new(RingSignatures), runtime));
    let authorization = format!("Bearer {}", Signer::es256().token("k", &claims(&json!({}))));
    let answer = world.send("GET", "/api/images", &[("authorization", &authorization)], None);
    assert_eq!((answer.status, answer.code().as_str()), (503, "token-keys-unavailable"));
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(world.call("GET", "/api/images", None).status, 200);
    assert_eq!(world.send("GET", "/health", &[("authorization", &authorization)], None).status, 200);
    assert_eq!(server.requests.get(), 1);
}

#[test]
fn callers_are_told_who_they_are() {
    let users = Users::by_secret();
    let world = users.world();
    let asked = |token: &str| {
        let authorization = format!("Bearer {token}");
        world.send("GET", "/api/caller", &[("authorization", &authorization)], None).json()
    };
    assert_eq!(asked(TOKEN), json!({ "caller": "operator", "thumbnailWidth": 384 }));
    assert_eq!(asked(&users.token_of("alice")), json!({ "caller": "user", "userId": "alice", "thumbnailWidth": 384 }));
    for (widths, width) in [("100,600,300", 600), ("64,32", 64)] {
        let world = World::with_vars(&[("API_TOKEN", TOKEN), ("VARIANT_WIDTHS", widths)]);
        assert_eq!(world.call("GET", "/api/caller", None).json()["thumbnailWidth"], width, "{widths}");
    }
}

#[test]
fn whom_cloudflare_access_lets_in_is_the_operator_unless_another_site_sent_them() {
    let users = Users::all().swap_remove(1);
    let mut world = users.world_with(&[("API_TOKEN", TOKEN), ("ENABLE_R2_STORAGE", "true")]);
    // The same keys, but for what Access says, and no users.
    world.app.services.assertions = world.app.services.tokens.take();
    let good = users.token_of("0123-person");
    let asked = |headers: &[(&str, &str)]| {
        let answer = world.send("GET", "/api/caller", headers, None);
        (
            answer.status,
            if answer.status == 200 { answer.json()["caller"].as_str().unwrap().to_owned() } else { answer.code() },
        )
    };
    let operator = (200, "operator".to_owned());
    let nobody = (401, "unauthorized".to_owned());
    let assertion = ("cf-access-jwt-assertion", good.as_str());
    assert_eq!(asked(&[assertion]), operator);
    assert_eq!(asked(&[assertion, ("origin", "https://images.example")]), operator);
    assert_eq!(asked(&[assertion, ("sec-fetch-site", "same-origin")]), operator);
    assert_eq!(asked(&[assertion, ("sec-fetch-site", "none")]), operator);
    for foreign in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "http://images.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(asked(&[assertion, foreign]), nobody, "{foreign:?}");
    }
    assert_eq!(asked(&[]), nobody);
    assert_eq!(asked(&[assertion, ("authorization", "Bearer wrong")]), nobody, "a token that is sent must hold");
    for (why, token) in users.bad_tokens() {
        assert_eq!(asked(&[("cf-access-jwt-assertion", &token)]).0, 401, "{why}");
    }
    let open = world.send("GET", "/health", &[("cf-access-jwt-assertion", "nonsense")], None);
    assert_eq!(open.status, 200, "where anyone may ask, nobody's token is looked at");
}
