//! `GET` and `DELETE /api/images?key=...`.

use serde_json::json;

use super::world::{PNG, World};

#[test]
fn an_image_is_described_and_deleted_by_its_key() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let record = world.upload("filename=a.png&meta.note=n", PNG).json();
        world.upload("filename=a.png", PNG);
        let by_key = format!("/api/images?key={}", record["key"].as_str().unwrap());
        let described = world.call("GET", &by_key, None);
        assert_eq!((described.status, described.json()), (200, record.clone()));
        assert_eq!(world.call("HEAD", &by_key, None).status, 200);

        assert_eq!(world.call("DELETE", &by_key, None).status, 204);
        let id = record["id"].as_str().unwrap();
        assert_eq!(world.call("GET", &format!("/api/images/{id}"), None).code(), "image-deleted");
        for method in ["GET", "DELETE"] {
            assert_eq!(world.call(method, &by_key, None).code(), "image-not-found", "{method}");
        }
        assert_eq!(world.call("GET", "/api/images", None).json()["images"].as_array().unwrap().len(), 1);
        world.assert_invariants();
    }
}

#[test]
fn a_wrong_query_names_its_field() {
    let world = World::new(true);
    for (method, query, field) in [
        ("GET", "key=", "key"),
        ("GET", "key=a%00b", "key"),
        ("GET", "key=a&limit=1", "limit"),
        ("DELETE", "", "key"),
        ("DELETE", "key=", "key"),
        ("DELETE", "key=a&force=maybe", "force"),
        ("DELETE", "key=a&limit=1", "limit"),
    ] {
        let answer = world.call(method, &format!("/api/images?{query}"), None);
        assert_eq!((answer.status, answer.json()["field"].clone()), (400, json!(field)), "{method} {query}");
    }
    assert_eq!(world.send("DELETE", "/api/images?key=a", &[], None).code(), "unauthorized");
}
