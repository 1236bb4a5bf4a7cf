//! `/api/images`: list, describe, delete, sign.

use serde_json::{Value, json};
use stillstore::sql::{Database as _, Fault, Statement};
use stillstore::store::StoreCall;

use super::callers::Users;
use super::world::{PNG, TOKEN, World};
use crate::runtime::block_on;

fn upload(world: &World, query: &str) -> String {
    let answer = world.upload(query, PNG);
    assert_eq!(answer.status, 201, "{answer:?}");
    world.runtime.advance(1);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn ids(world: &World, query: &str) -> Vec<String> {
    let answer = world.call("GET", &format!("/api/images?{query}"), None);
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    body["images"].as_array().unwrap().iter().map(|image| image["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_listing_cuts_prompts_that_a_record_has_whole() {
    let world = World::new(true);
    for (characters, cut) in [(4000, false), (4001, true), (32_000, true)] {
        let prompt = "\u{1f98a}".repeat(characters);
        let made =
            world.post_json("/api/generate-image", &serde_json::json!({"prompt": prompt, "personaId": "p1"}), &[]);
        let id = made.json()["image"]["id"].as_str().unwrap().to_owned();
        let record = world.call("GET", &format!("/api/images/{id}"), None).json();
        assert_eq!(record["generation"]["prompt"], prompt);
        assert_eq!(record["generation"].get("prompt_cut"), None);
        let listed = world.call("GET", "/api/images", None).json()["images"].as_array().unwrap().clone();
        let listed = listed.iter().find(|image| image["id"] == id).unwrap().clone();
        let generation = &listed["generation"];
        assert_eq!(generation["prompt"].as_str().unwrap().chars().count(), characters.min(4000));
        assert!(prompt.starts_with(generation["prompt"].as_str().unwrap()));
        assert_eq!(generation.get("prompt_cut").and_then(serde_json::Value::as_bool), cut.then_some(true));
        assert_eq!(generation["size"], record["generation"]["size"]);
    }
}

#[test]
fn pages_show_every_image_once_newest_first() {
    let world = World::new(true);
    let mut uploaded: Vec<String> = (0..7).map(|_| upload(&world, "")).collect();
    uploaded.reverse();
    let mut listed = Vec::new();
    let mut query = "limit=3".to_owned();
    loop {
        let page = world.call("GET", &format!("/api/images?{query}"), None).json();
        listed.extend(page["images"].as_array().unwrap().iter().map(|image| image["id"].as_str().unwrap().to_owned()));
        match page["nextCursor"].as_str() {
            Some(cursor) => query = format!("limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(listed, uploaded);
}

#[test]
fn filters_choose_by_persona_session_storage_and_status() {
    let world = World::new(true);
    let a = upload(&world, "personaId=a&sessionId=s");
    let b = upload(&world, "personaId=b&sessionId=s");
    assert_eq!(ids(&world, "personaId=a"), [&*a]);
    assert_eq!(ids(&world, "sessionId=s"), [&*b, &*a]);
    assert_eq!(ids(&world, "personaId=a&sessionId=s&storage=r2"), [&*a]);
    assert!(ids(&world, "storage=d1").is_empty());
    world.call("DELETE", &format!("/api/images/{a}"), None);
    assert_eq!(ids(&world, ""), [b]);
    assert_eq!(ids(&world, "status=deleted"), [a]);
    for (field, query) in [
        ("status", "status=lost"),
        ("storage", "storage=s3"),
        ("limit", "limit=0"),
        ("limit", "limit=101"),
        ("limit", "limit=x"),
        ("cursor", "cursor=x"),
        ("persona", "persona=a"),
    ] {
        let answer = world.call("GET", &format!("/api/images?{query}"), None);
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(field)), "{query}");
    }
}

#[test]
fn filters_choose_by_context_owner_time_text_and_label() {
    let users = Users::by_secret();
    let world = users.world_with(&[("API_TOKEN", TOKEN), ("ENABLE_R2_STORAGE", "true")]);
    let alices = format!("Bearer {}", users.token_of("alice"));
    let hers = world.send("POST", "/api/images", &[("authorization", &alices)], Some(PNG.to_vec().into())).json();
    let c = hers["id"].as_str().unwrap().to_owned();
    let a = upload(&world, "context=studio&filename=Blue%20Fox.png&meta.place=Kew");
    world.runtime.advance(24 * 60 * 60 * 1000);
    let b = upload(&world, "filename=owl.png&meta.place=Kew%20Gardens&meta.by=fox");
    assert_eq!(ids(&world, "context=studio"), [&*a]);
    assert_eq!(ids(&world, "search=fOX"), [&*b, &*a]);
    assert_eq!(ids(&world, "search=100%25"), [""; 0]);
    assert_eq!(ids(&world, "meta.place=Kew"), [&*a]);
    assert_eq!(ids(&world, "meta.place=Kew&meta.by=fox"), [""; 0]);
    assert_eq!(ids(&world, "meta.place=Kew%20Gardens&meta.by=fox&context=uploads&search=owl"), [&*b]);
    assert_eq!(ids(&world, "ownerId=alice"), [&*c]);
    let day = world.call("GET", &format!("/api/images/{b}"), None).json()["createdAt"].as_str().unwrap().to_owned();
    assert_eq!(ids(&world, &format!("createdFrom={}&limit=1", &day[..10])).len(), 1);
    assert_eq!(ids(&world, &format!("createdTo={day}")), [&*a, &*c]);
    assert_eq!(ids(&world, &format!("createdFrom={day}&createdTo={day}")), [""; 0]);

    let alices = format!("Bearer {}", users.token_from(24 * 60 * 60, "alice"));
    let listed = |query: &str| world.send("GET", &format!("/api/images?{query}"), &[("authorization", &alices)], None);
    assert_eq!(listed("ownerId=alice&search=.").json()["images"], json!([]));
    assert_eq!((listed("ownerId=bob").status, listed("ownerId=bob").json()["field"].as_str()), (400, Some("ownerId")));
    for (field, query) in [
        ("context", "context=Generated"),
        ("ownerId", "ownerId="),
        ("createdFrom", "createdFrom=yesterday"),
        ("createdTo", "createdTo=2026-13-01"),
        ("search", "search="),
        ("search", "search=%20"),
        ("search", &format!("search={}", "x".repeat(101))),
        ("meta", "meta.A=1"),
    ] {
        let answer = world.call("GET", &format!("/api/images?{query}"), None);
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(field)), "{query}");
    }
}

#[test]
fn a_deletion_is_final_idempotent_and_forgets_what_people_wrote() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let id = upload(&world, "filename=jane-doe.png&personaId=jane&meta.note=hello");
        let path = format!("/api/images/{id}");
        assert_eq!(world.call("DELETE", &path, None).status, 204);
        assert_eq!(world.call("DELETE", &path, None).status, 204);
        assert_eq!(world.call("GET", &path, None).code(), "image-deleted");
        assert_eq!(world.send("GET", &format!("/images/{id}"), &[], None).code(), "image-deleted");
        assert!(world.bucket.inner.contents().is_empty() && world.rows("SELECT 1 FROM stillstore_chunks").is_empty());
        assert_eq!(world.cache.purged.borrow().iter().map(ToString::to_string).collect::<Vec<_>>(), [&*id]);
        let row = world.rows("SELECT * FROM stillstore_images")[0].to_string();
        assert!(!row.contains("jane") && !row.contains("hello"), "{row}");

        let unknown = world.call("DELETE", "/api/images/0f8fad5b-d9cb-469f-a165-70867728950e", None);
        assert_eq!((unknown.status, unknown.code().as_str()), (404, "image-not-found"));
    }
}

#[test]
fn private_images_want_a_signature_or_the_token() {
    let world = World::new(true);
    let record = world.upload("visibility=private", PNG).json();
    let id = record["id"].as_str().unwrap();
    let bare = format!("/images/{id}");
    let refused = world.send("GET", &bare, &[], None);
    assert_eq!((refused.status, refused.code().as_str()), (403, "signature-invalid"));
    assert_eq!(world.call("GET", &bare, None).body, PNG);

    let signed = record["url"].as_str().unwrap().strip_prefix("https://images.example").unwrap();
    let answer = world.send("GET", signed, &[], None);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("private, no-cache")));
    assert_eq!(answer.header("cache-tag"), None);
    world.runtime.advance(60 * 60 * 1000);
    assert_eq!(world.send("GET", signed, &[], None).code(), "signature-expired");

    let path = format!("/api/images/{id}/signed-url");
    let longer = world.post_json(&path, &json!({"expiresInSeconds": 7200}), &[]).json();
    let url = longer["url"].as_str().unwrap().strip_prefix("https://images.example").unwrap().to_owned();
    world.runtime.advance(7_100_000);
    assert_eq!(world.send("GET", &url, &[], None).status, 200);
    for seconds in [json!(0), json!(604_801), json!("1"), json!(1.5)] {
        let answer = world.post_json(&path, &json!({"expiresInSeconds": seconds}), &[]);
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some("expiresInSeconds")));
    }
}

#[test]
fn the_key_of_a_private_image_cannot_be_told_from_its_record() {
    let world = World::new(true);
    let public = world.upload("filename=cat.png", PNG).json();
    let private = world.upload("filename=cat.png&visibility=private", PNG).json();
    let generated = world.post_json(
        "/api/generate-image",
        &json!({"prompt": "a lighthouse", "personaId": "p1", "visibility": "private"}),
        &[],
    );
    let generated = generated.json()["image"].clone();
    let secret_of = |record: &Value| {
        let id = record["id"].as_str().unwrap();
        let key = record["key"].as_str().unwrap();
        let random = key.split(['-', '_', '/', '.']).find(|part| part.len() == 32).map(str::to_owned);
        assert!(key.contains(&id[..8]), "{key}");
        random
    };
    assert_eq!(secret_of(&public), None);
    let (one, other) = (secret_of(&private).unwrap(), secret_of(&generated).unwrap());
    assert_ne!(one, other);
    let contents = world.bucket.inner.contents();
    for record in [&private, &generated] {
        assert!(contents.contains_key(record["key"].as_str().unwrap()), "{record}");
        assert_eq!(world.call("GET", &format!("/images/{}", record["id"].as_str().unwrap()), None).body, PNG);
    }
    world.assert_invariants();
}

#[test]
fn private_images_of_before_stay_readable() {
    let world = World::new(true);
    let private = world.upload("filename=cat.png&visibility=private", PNG).json();
    let (id, key) = (private["id"].as_str().unwrap(), private["key"].as_str().unwrap());
    let before = format!("uploads/2027/01/{}_cat.png", &id[..8]);
    world.put_foreign_object(&before, PNG);
    world.lose_object(key);
    let update = Statement::new("UPDATE stillstore_images SET storage_key = ?1 WHERE id = ?2").bind(before.as_str());
    block_on(world.sqlite.run(update.bind(id))).unwrap();
    assert_eq!(world.call("GET", &format!("/images/{id}"), None).body, PNG);
    assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 204);
    assert!(world.bucket.inner.contents().is_empty());
}

#[test]
fn an_interrupted_private_image_keeps_its_key_when_its_request_is_repeated() {
    for fault in [Fault::HangBefore, Fault::HangAfter] {
        let world = World::new(true);
        world.runtime.end_sleeps_up_to(0);
        let body = json!({"prompt": "a lighthouse", "personaId": "p1", "visibility": "private"});
        let bearer = format!("Bearer {TOKEN}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", "interrupted"),
        ];
        world.bucket.plan.fail_nth(StoreCall::Put, 1, fault);
        let sent = || Some(body.to_string().into_bytes().into());
        assert!(world.send_until_crash("POST", "/api/generate-image", &headers, sent()).is_none());
        let reserved = world.rows("SELECT storage_key FROM stillstore_images");
        world.bucket.plan.heal();
        world.runtime.advance(60 * 60 * 1000);
        let again = world.send("POST", "/api/generate-image", &headers, sent());
        assert_eq!(again.status, 200, "{fault:?}: {again:?}");
        assert_eq!(again.json()["image"]["key"], reserved[0]["storage_key"], "{fault:?}");
        assert_eq!(world.bucket.inner.contents().len(), 1);
        world.assert_invariants();
    }
}

#[test]
fn private_images_stay_out_of_a_bucket_with_a_public_domain() {
    let world = World::with_vars(&[
        ("ENABLE_R2_STORAGE", "true"),
        ("API_TOKEN", TOKEN),
        ("R2_PUBLIC_URL", "https://cdn.example/"),
    ]);
    let public = world.upload("", PNG).json();
    assert_eq!(public["url"], format!("https://cdn.example/{}", public["key"].as_str().unwrap()));
    let private = world.upload("visibility=private", PNG).json();
    assert_eq!(
        (&private["storage"], &private["fallbackReason"]),
        (&json!("d1"), &json!("private-image-and-public-bucket"))
    );
    assert!(private["url"].as_str().unwrap().starts_with("https://images.example/images/"));
    assert_eq!(world.bucket.inner.contents().len(), 1);
}

#[test]
fn the_migration_status_counts_images_by_home() {
    let world = World::new(true);
    upload(&world, "");
    world.bucket.plan.fail_nth(None, 1, stillstore::sql::Fault::FailBefore);
    upload(&world, "");
    let body = world.call("GET", "/api/migrate-images", None).json();
    assert_eq!((&body["r2Status"], &body["enableR2Storage"]), (&json!("connected"), &json!(true)));
    assert_eq!((&body["batchSize"], &body["migrationReady"]), (&json!(10), &json!(true)));
    let stats = &body["migrationStats"];
    assert_eq!(
        (&stats["totalImages"], &stats["migratedImages"], &stats["base64Images"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!((&stats["migrationProgress"], &stats["fallbackImages"]), (&json!(50.0), &json!(1)));
}

#[test]
fn a_run_can_begin_wherever_a_bucket_answers_and_its_source_can_be_read() {
    let status = |world: &World| {
        let body = world.call("GET", "/api/migrate-images", None).json();
        (body["r2Status"].clone(), body["migrationReady"].clone(), body["readySources"].clone())
    };
    let source = json!([{ "name": "avatars", "table": "none", "id": "id", "data": "data", "url": "url" }]).to_string();
    for (enabled, working, broken) in [("true", "connected", "error"), ("false", "disabled", "disabled")] {
        let world =
            World::with_vars(&[("API_TOKEN", TOKEN), ("ENABLE_R2_STORAGE", enabled), ("MIGRATION_SOURCES", &source)]);
        assert_eq!(status(&world), (json!(working), json!(true), json!(["embedded"])));
        assert_eq!(world.post_json("/api/migrate-images", &json!({"action": "migrate"}), &[]).status, 200);
        world.bucket.plan.fail_all(None::<StoreCall>, Fault::FailBefore);
        assert_eq!(status(&world), (json!(broken), json!(false), json!([])));
    }
}
