//! Who may do what, and how the API looks from outside its routes.

use stillstore::api::ROUTES;
use stillstore::store::StoreCall;

use super::world::{PNG, TOKEN, World};

const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

fn guarded() -> Vec<(&'static str, String)> {
    vec![
        ("POST", "/api/generate-image".to_owned()),
        ("POST", "/api/images".to_owned()),
        ("GET", "/api/images".to_owned()),
        ("GET", format!("/api/images/{ID}")),
        ("DELETE", format!("/api/images/{ID}")),
        ("POST", format!("/api/images/{ID}/signed-url")),
        ("GET", "/api/migrate-images".to_owned()),
        ("GET", "/metrics".to_owned()),
    ]
}

#[test]
fn everything_that_writes_lists_or_migrates_wants_the_token() {
    let world = World::new(true);
    let closed = World::with_vars(&[("ENABLE_R2_STORAGE", "true"), ("ALLOW_UNAUTHENTICATED", "true")]);
    for (method, path) in guarded() {
        for authorization in [None, Some("Bearer wrong"), Some("Basic Zm9v")] {
            let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
            let answer = world.send(method, &path, &headers, None);
            assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        let answer = closed.send(method, &path, &[], None);
        assert_eq!((answer.status, answer.code().as_str()), (503, "token-not-configured"), "{method} {path}");
        assert!(answer.json()["remedy"].as_str().unwrap().contains("API_TOKEN"));
    }
    assert!(world.database.plan.calls().is_empty() && world.bucket.plan.calls().is_empty());
}

#[test]
fn pages_of_other_sites_reach_no_store_of_a_worker_for_local_work() {
    let world = World::with_vars(&[("ENABLE_R2_STORAGE", "true"), ("ALLOW_UNAUTHENTICATED", "true")]);
    for route in ROUTES.iter().filter(|route| route.access.is_closed()) {
        let of_run = route.path.starts_with("/api/migrate-images");
        let path = route
            .path
            .replace("{id}", if of_run { "0f8fad5bd9cb469fa16570867728950e" } else { ID })
            .replace("{number}", "1");
        for origin in ["https://evil.example", "null", "https://localhost.evil.example"] {
            let answer =
                world.send_at("http://localhost:8787", route.method.as_str(), &path, &[("origin", origin)], None);
            assert_eq!((answer.status, answer.code().as_str()), (403, "origin-not-local"), "{origin} {path}");
        }
    }
    assert!(world.database.plan.calls().is_empty() && world.bucket.plan.calls().is_empty());
    let own =
        world.send_at("http://localhost:8787", "GET", "/api/images", &[("origin", "http://localhost:8787")], None);
    assert_eq!(own.status, 200);
}

#[test]
fn a_broken_configuration_closes_everything_but_reading() {
    let vars = [("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN)];
    let mut world = World::with_vars(&vars);
    let url = world.upload("", PNG).json()["url"].as_str().unwrap().replace("https://images.example", "");
    world.app.services.problems =
        World::with_vars(&[("MIGRATION_BATCH_SIZE", "none"), ("IMAGE_PROVIDER", "dalle")]).app.services.problems;
    for (method, path) in guarded() {
        let answer = world.call(method, &path, None);
        assert_eq!((answer.status, answer.code().as_str()), (503, "configuration-invalid"), "{method} {path}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("MIGRATION_BATCH_SIZE") && detail.contains("IMAGE_PROVIDER"));
    }
    assert_eq!(world.send("GET", &url, &[], None).body, PNG);
    let health = world.send("GET", "/health", &[], None);
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("degraded")));
    assert_eq!(health.json()["configuration"].as_array().unwrap().len(), 2);
}

#[test]
fn health_tells_what_is_down_and_keeps_secrets() {
    let world = World::new(true);
    let body = world.send("GET", "/health", &[], None).json();
    assert_eq!(body["status"], "healthy");
    assert_eq!(body["services"], serde_json::json!({"database": "healthy", "r2_storage": "enabled"}));
    assert!(!body.to_string().contains(TOKEN));
    assert_eq!(World::new(false).send("GET", "/health", &[], None).json()["services"]["r2_storage"], "disabled");

    for fault in stillstore::sql::Fault::ALL {
        let world = World::new(true);
        world.bucket.plan.fail_all(None, fault);
        let answer = world.send("GET", "/health", &[], None);
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("degraded")), "{fault:?}");
        assert_eq!(answer.json()["services"]["r2_storage"], "error");
        world.runtime.advance(10_000);
        world.database.plan.fail_all(None, fault);
        let answer = world.send("GET", "/health", &[], None);
        assert_eq!((answer.status, answer.json()["status"].as_str()), (503, Some("unhealthy")), "{fault:?}");
        assert_eq!(answer.json()["services"], serde_json::json!({"database": "unhealthy", "r2_storage": "error"}));
    }
}

#[test]
fn those_without_a_token_cause_one_look_in_ten_seconds() {
    let world = World::new(true);
    let ask = || world.send("GET", "/health", &[], None).json()["services"]["r2_storage"].clone();
    assert_eq!(ask(), "enabled");
    let looks = || (world.database.plan.calls().len(), world.bucket.plan.calls());
    let (database_calls, bucket_calls) = looks();
    assert_eq!((database_calls, bucket_calls.len()), (1, 1));
    assert_eq!(bucket_calls[0].kind, StoreCall::Head);
    world.bucket.plan.fail_all(None, stillstore::sql::Fault::FailBefore);
    world.runtime.advance(9_999);
    for _ in 0..100 {
        assert_eq!(ask(), "enabled");
    }
    assert_eq!(looks().0, 1);
    world.runtime.advance(1);
    assert_eq!(ask(), "error");
    world.bucket.plan.heal();
    assert_eq!(ask(), "error");
    assert_eq!(looks().0, 2);
    assert_eq!(world.call("GET", "/health", None).json()["services"]["r2_storage"], "enabled");
    assert_eq!(ask(), "enabled");
}

#[test]
fn what_a_variable_holds_is_told_to_the_operator_only() {
    let sources = r#"[{"name": "a", "table": "t", "id": "i", "data": "d", "url": "u", "customer-x": 1}]"#;
    let vars = [("API_TOKEN", TOKEN), ("MIGRATION_SOURCES", sources)];
    let world = World::with_vars(&vars);
    let anyone = world.send("GET", "/health", &[], None);
    assert!(!String::from_utf8_lossy(&anyone.body).contains("customer"), "{anyone:?}");
    let problem = &anyone.json()["configuration"][0];
    assert_eq!(problem["variable"], "MIGRATION_SOURCES");
    assert!(problem["rule"].as_str().unwrap().starts_with("entry 1: may have no other fields than kind, name, "));
    let operator = world.call("GET", "/health", None).json();
    assert_eq!(operator["configuration"][0]["given"], "customer-x");
    assert_eq!(operator["configuration"][0]["rule"], problem["rule"]);
}

#[test]
fn the_address_itself_says_what_answers_and_where_to_read_on() {
    let world = World::new(true);
    let index = world.send("GET", "/", &[], None);
    assert_eq!((index.status, index.json()["name"].as_str()), (200, Some("Stillstore")));
    assert_eq!(index.json()["version"], env!("CARGO_PKG_VERSION"));
    let links = index.json()["links"].as_object().unwrap().clone();
    assert_eq!(links.keys().collect::<Vec<_>>(), ["console", "docs", "health", "openapi"]);
    // The console's files are served in front of the Worker.
    assert_eq!(links["console"], "https://images.example/console");
    for url in links.iter().filter(|(name, _)| *name != "console").map(|(_, url)| url) {
        let path = url.as_str().unwrap().strip_prefix("https://images.example").unwrap();
        assert_eq!(world.send("GET", path, &[], None).status, 200, "{path}");
    }
    let docs = world.send("GET", "/docs", &[], None);
    assert!(docs.body.starts_with(b"# API\n"));
}

#[test]
fn request_ids_come_back_and_tie_the_log_together() {
    let world = World::new(true);
    let answer = world.send("GET", "/health", &[("x-request-id", "trace-7:a.b")], None);
    assert_eq!(answer.header("x-request-id"), Some("trace-7:a.b"));
    assert!(world.log().iter().all(|line| line["request_id"] == "trace-7:a.b"));
    for bad in ["", "a b", "\u{e9}", &"x".repeat(129), "a\",\"b"] {
        let answer = world.send("GET", "/health", &[("x-request-id", bad)], None);
        let id = answer.header("x-request-id").unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{bad:?} -> {id}");
    }
}

#[test]
fn one_line_a_request_and_one_a_storage_operation() {
    let world = World::new(true);
    let id = world.upload("context=studio&filename=cat.png", PNG).json()["id"].clone();
    let log = world.log();
    let put = log.iter().find(|line| line["event"] == "storage").unwrap();
    assert_eq!(
        (put["operation"].as_str(), put["backend"].as_str(), put["bucket"].as_str(), put["outcome"].as_str()),
        (Some("put"), Some("r2"), Some("R2_IMAGES"), Some("ok"))
    );
    assert_eq!(put["bytes"], PNG.len());
    assert!(put["image_id"] == id && put["duration_ms"].is_u64());
    let request = log.iter().find(|line| line["event"] == "request").unwrap();
    assert_eq!((request["route"].as_str(), request["status"].as_u64()), (Some("upload-image"), Some(201)));
    assert_eq!(log.len(), 2);
}

#[test]
fn a_head_is_its_get_without_the_body() {
    let world = World::new(true);
    let record = world.upload("filename=a.png", PNG).json();
    let id = record["id"].as_str().unwrap();
    for path in ["/api/images".to_owned(), format!("/api/images/{id}"), format!("/images/{id}"), "/health".to_owned()] {
        let (get, head) = (world.call("GET", &path, None), world.call("HEAD", &path, None));
        assert_eq!((get.status, get.header("content-length")), (head.status, head.header("content-length")), "{path}");
        assert_eq!(get.header("content-type"), head.header("content-type"));
        assert!(head.body.is_empty() && !get.body.is_empty());
    }
}

#[test]
fn preflights_are_answered_by_the_policy() {
    let world = World::new(true);
    let answer = world.send("OPTIONS", "/api/images", &[("origin", "https://app.example")], None);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, Some("*")));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
    let answer = world.send("GET", "/nowhere", &[("origin", "https://app.example")], None);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (404, Some("*")));
    assert_eq!(answer.code(), "route-not-found");
}

#[test]
fn browsers_are_led_from_the_address_to_the_console() {
    let world = World::new(true);
    let html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (accept, status) in [(html, 302), ("application/json", 200), ("*/*", 200)] {
        let answer = world.send("GET", "/", &[("accept", accept)], None);
        assert_eq!(answer.status, status, "{accept}");
        assert_eq!(answer.header("Location"), (status == 302).then_some("/console"), "{accept}");
        assert_eq!(answer.header("Cache-Control"), Some("no-store"), "a cache would answer programs with it");
    }
}
