//! `/shoots`: make, list, describe, and the assets.

use serde_json::{Value, json};
use stillstore::catalog::{Committed, Frame};
use stillstore::image::{ImageId, ShootId};

use super::world::{Answer, TOKEN, World};
use crate::catalog_database::{content, description, id, plain_commit};
use crate::runtime::block_on;

fn create(world: &World, content_type: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", content_type)];
    world.send("POST", "/shoots", &headers, Some(body.as_bytes().to_vec().into()))
}

/// Stores an image in a shoot past the routes.
fn store(world: &World, number: u64, shoot: &str, parent: Option<ImageId>) {
    let shoot: ShootId = shoot.parse().unwrap();
    let mut image = description(number);
    image.frame = Some(Frame::of_shoot(&shoot, image.created_at));
    image.parent_id = parent;
    let content = content();
    let committed = block_on(world.app.services.catalog.commit(plain_commit(&image, &content)));
    assert!(matches!(committed, Ok(Committed::Done(_))), "{committed:?}");
}

#[test]
fn a_shoot_is_made_from_json_and_from_a_form() {
    let world = World::new(true);
    for (content_type, body) in [
        ("application/json", r#"{"name": "Räume & co"}"#),
        ("application/x-www-form-urlencoded", "name=R%C3%A4ume+%26+co"),
        ("Application/X-WWW-form-urlencoded; charset=utf-8", "other=1&name=R%C3%A4ume+%26%20co"),
    ] {
        let made = create(&world, content_type, body);
        assert_eq!(made.status, 201, "{made:?}");
        let shoot = made.json();
        assert_eq!(shoot["name"], "Räume & co");
        let path = made.header("location").unwrap().to_owned();
        assert_eq!(path, format!("/shoots/{}", shoot["id"].as_str().unwrap()));
        assert_eq!(world.call("GET", &path, None).json(), shoot);
        let assets = world.call("GET", &format!("{path}/assets"), None);
        assert_eq!((assets.status, assets.json()), (200, json!({"assets": []})));
    }
}

#[test]
fn a_body_that_names_no_shoot_is_refused() {
    let world = World::new(true);
    let form = "application/x-www-form-urlencoded";
    let long = format!("name={}", "a".repeat(201));
    for (content_type, body, code, field) in [
        ("text/plain", "name=a", "unsupported-media-type", None),
        ("", "name=a", "unsupported-media-type", None),
        (form, "", "invalid-field", Some("name")),
        (form, "name=+", "invalid-field", Some("name")),
        (form, "name=%FF", "invalid-field", Some("body")),
        (form, "name=a%0Ab", "invalid-field", Some("name")),
        (form, long.as_str(), "invalid-field", Some("name")),
        ("application/json", "{}", "invalid-field", Some("name")),
        ("application/json", r#"{"name": 7}"#, "invalid-field", Some("name")),
        ("application/json", "name=a", "invalid-json", None),
    ] {
        let refused = create(&world, content_type, body);
        assert_eq!(refused.code(), code, "{content_type} {body}");
        assert_eq!(refused.json()["field"].as_str(), field, "{content_type} {body}");
    }
    assert!(world.rows("SELECT id FROM stillstore_collections").is_empty());
}

#[test]
fn shoots_come_in_pages_newest_first() {
    let world = World::new(true);
    let mut made: Vec<Value> = (0..5)
        .map(|number| {
            world.runtime.advance(1);
            create(&world, "application/json", &json!({"name": format!("Shoot {number}")}).to_string()).json()
        })
        .collect();
    made.reverse();
    let mut listed = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let page = world.call("GET", &format!("/shoots?{query}"), None).json();
        listed.extend(page["shoots"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(listed, made);
    for (query, field) in [("limit=0", "limit"), ("limit=101", "limit"), ("cursor=x", "cursor"), ("q=1", "q")] {
        let refused = world.call("GET", &format!("/shoots?{query}"), None);
        assert_eq!((refused.code().as_str(), refused.json()["field"].as_str()), ("invalid-field", Some(field)));
    }
}

#[test]
fn assets_come_with_what_was_made_from_them() {
    let world = World::new(true);
    let shoots = ["a", "b"].map(|name| {
        let made = create(&world, "application/json", &json!({ "name": name }).to_string()).json();
        made["id"].as_str().unwrap().to_owned()
    });
    store(&world, 1, &shoots[0], None);
    store(&world, 2, &shoots[0], None);
    store(&world, 3, &shoots[0], Some(id(1)));
    store(&world, 4, &shoots[1], None);
    let page = world.call("GET", &format!("/shoots/{}/assets?limit=1", shoots[0]), None).json();
    let asset = &page["assets"][0];
    let fields: Vec<_> = asset.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "id",
        "shoot_id",
        "filename",
        "content_type",
        "file_size",
        "file_path",
        "width",
        "height",
        "created_at",
        "download_url",
        "outputs",
    ];
    expected.sort_unstable();
    assert_eq!(fields, expected);
    assert_eq!((&asset["id"], &asset["shoot_id"]), (&json!(id(1)), &json!(shoots[0])));
    assert_eq!(asset["file_path"], json!(description(1).key));
    assert!(asset["download_url"].as_str().unwrap().starts_with("https://images.example/images/"));
    assert_eq!(asset["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(asset["outputs"][0]["id"], json!(id(3)));

    let cursor = page["next_cursor"].as_str().unwrap();
    let next = world.call("GET", &format!("/shoots/{}/assets?limit=1&cursor={cursor}", shoots[0]), None).json();
    assert_eq!((&next["assets"][0]["id"], &next["assets"][0]["outputs"]), (&json!(id(2)), &json!([])));
    assert_eq!(next.get("next_cursor"), None);
}

#[test]
fn a_shoot_that_is_not_there_is_not_found() {
    let world = World::new(true);
    let path = "/shoots/0f8fad5b-d9cb-469f-a165-70867728950e";
    for path in [path, &format!("{path}/assets"), "/shoots/x"] {
        let answer = world.call("GET", path, None);
        assert_eq!((answer.status, answer.code().as_str()), (404, "shoot-not-found"), "{path}");
    }
}

#[test]
fn the_database_is_asked_at_most_three_times_for_assets() {
    let world = World::new(true);
    let shoot = create(&world, "application/json", r#"{"name": "a"}"#).json()["id"].as_str().unwrap().to_owned();
    store(&world, 1, &shoot, None);
    let before = world.database.plan.calls().len();
    world.call("GET", &format!("/shoots/{shoot}/assets"), None);
    assert_eq!(world.database.plan.calls().len() - before, 3);
}
