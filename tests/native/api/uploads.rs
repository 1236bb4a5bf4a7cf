//! `POST /uploads/presign`, `POST /uploads/confirm`, `PUT /uploads/{id}`.

use serde_json::{Value, json};
use stillstore::bytes::Body;
use stillstore::image::Sha256Digest;
use stillstore::sql::Fault;
use stillstore::store::StoreCall;

use super::world::{Answer, Arriving, PNG, TOKEN, World};
use crate::image_fixtures;

pub const HOUR_MS: i64 = 60 * 60 * 1000;

/// An access key for R2's S3 endpoint.
pub const S3_VARS: [(&str, &str); 4] = [
    ("R2_ACCOUNT_ID", "account"),
    ("R2_ACCESS_KEY_ID", "key-id"),
    ("R2_SECRET_ACCESS_KEY", "made-up-secret"),
    ("R2_BUCKET_NAME", "photos"),
];

pub fn world_with_s3() -> World {
    World::with_vars(&[&[("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN)], &S3_VARS[..]].concat())
}

/// A presigned upload, and the answer that presigned it.
pub struct Presigned {
    pub shoot_id: String,
    pub asset_id: String,
    pub key: String,
    pub answer: Value,
}

impl Presigned {
    /// Presigns a PNG, with further fields.
    pub fn new(world: &World, more: &Value) -> Self {
        let shoot_id = new_shoot(world);
        let answer = presign(world, &shoot_id, more);
        assert_eq!(answer.status, 200, "{answer:?}");
        Self::of(shoot_id, answer.json())
    }

    fn of(shoot_id: String, answer: Value) -> Self {
        let text = |field: &str| answer[field].as_str().unwrap().to_owned();
        Self { shoot_id, asset_id: text("asset_id"), key: text("object_key"), answer }
    }

    /// Sends bytes by way of the Worker.
    pub fn put(&self, world: &World, bytes: impl Into<Body>) -> Answer {
        world.send("PUT", &self.put_path(), &[("content-type", "image/png")], Some(bytes.into()))
    }

    /// The path and query of the Worker's own PUT, whatever presign answered with.
    pub fn put_path(&self) -> String {
        let url = self.answer["upload"]["url"].as_str().unwrap();
        url.strip_prefix("https://images.example").unwrap_or_else(|| panic!("{url}")).to_owned()
    }

    /// The fields of the form, and `file`, which stands for the file.
    fn form(&self) -> Vec<(&str, &str)> {
        let fields = self.answer["fields"].as_object().unwrap().iter();
        fields.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).chain([("file", "")]).collect()
    }

    pub fn claims(&self) -> Value {
        json!({
            "asset_id": self.asset_id, "shoot_id": self.shoot_id, "object_key": self.key,
            "filename": "cat.png", "content_type": "image/png",
        })
    }

    pub fn confirm(&self, world: &World) -> Answer {
        world.post_json("/uploads/confirm", &self.claims(), &[])
    }
}

pub fn new_shoot(world: &World) -> String {
    let answer = world.post_json("/shoots", &json!({"name": "Garden"}), &[]);
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

pub fn presign(world: &World, shoot_id: &str, more: &Value) -> Answer {
    let mut body = json!({"shoot_id": shoot_id, "filename": "cat.png", "content_type": "image/png"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.post_json("/uploads/presign", &body, &[])
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn an_upload_past_the_worker_becomes_an_asset_when_it_is_confirmed() {
    let world = world_with_s3();
    let sha256 = Sha256Digest::of(PNG);
    let presigned = Presigned::new(&world, &json!({"file_size": PNG.len(), "sha256": sha256.to_string()}));
    let Presigned { shoot_id, asset_id, key, answer } = &presigned;
    assert_eq!(*key, format!("operator/{shoot_id}/{asset_id}/original.png"));
    assert_eq!(answer["expires_at"], "2027-01-15T09:00:00.000Z");
    let upload = &answer["upload"];
    assert_eq!(upload["method"], "PUT");
    let url = upload["url"].as_str().unwrap();
    assert!(
        url.starts_with(&format!("https://account.r2.cloudflarestorage.com/photos/{key}?X-Amz-Algorithm=")),
        "{url}"
    );
    assert!(url.contains("&X-Amz-Expires=3600&"));
    let signed = "cache-control%3Bcontent-length%3Bcontent-type%3Bhost%3Bif-none-match%3Bx-amz-checksum-sha256%3Bx-amz-meta-image-id";
    assert!(url.contains(&format!("&X-Amz-SignedHeaders={signed}&")), "{url}");
    let checksum = base64_simd::STANDARD.encode_to_string(sha256.as_bytes());
    let headers = json!({
        "cache-control": "private, no-store", "content-type": "image/png", "if-none-match": "*",
        "x-amz-checksum-sha256": checksum, "x-amz-meta-image-id": asset_id,
    });
    assert_eq!(upload["headers"], headers);
    assert_eq!(answer["url"], format!("https://images.example/uploads/{asset_id}"));
    assert!(world.rows("SELECT id FROM stillstore_images").is_empty());

    world.put_foreign_object(key, PNG);
    let asset = presigned.confirm(&world);
    assert_eq!(asset.status, 200, "{asset:?}");
    let asset = asset.json();
    let url = asset["download_url"].as_str().unwrap();
    assert_eq!(
        asset,
        json!({
            "id": asset_id, "shoot_id": shoot_id, "filename": "cat.png", "content_type": "image/png", "file_size": PNG.len(),
            "file_path": key, "width": 1, "height": 1, "created_at": "2027-01-15T08:00:00.000Z", "download_url": url,
            "outputs": [],
        })
    );
    let path = url.strip_prefix("https://images.example").unwrap();
    assert_eq!(world.send("GET", path, &[], None).body, PNG);
    let unsigned = path.split('?').next().unwrap();
    assert_eq!(refused(&world.send("GET", unsigned, &[], None)), refusal(403, "signature-invalid"));
    let record = world.call("GET", &format!("/api/images/{asset_id}"), None).json();
    assert_eq!((&record["visibility"], &record["sha256"]), (&json!("private"), &json!(sha256.to_string())));
    let assets = world.call("GET", &format!("/shoots/{shoot_id}/assets"), None).json();
    assert_eq!(assets["assets"][0]["id"], **asset_id);
}

#[test]
fn confirming_twice_is_confirming_once_also_when_the_grant_is_forgotten() {
    let world = world_with_s3();
    let presigned = Presigned::new(&world, &json!({}));
    world.put_foreign_object(&presigned.key, PNG);
    let first = presigned.confirm(&world).json();
    let images = "SELECT id, version FROM stillstore_images";
    let rows = world.rows(images);
    assert_eq!(rows.len(), 1);
    assert_eq!(presigned.confirm(&world).json(), first);
    world.runtime.advance(2 * HOUR_MS);
    world.sweep();
    assert!(world.rows("SELECT * FROM stillstore_uploads").is_empty());
    let later = presigned.confirm(&world).json();
    assert_eq!((&later["id"], &later["created_at"]), (&first["id"], &first["created_at"]));
    assert_eq!(world.rows(images), rows);
    world.assert_swept();
}

#[test]
fn without_an_access_key_or_a_bucket_the_bytes_go_by_way_of_the_worker() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let presigned = Presigned::new(&world, &json!({"file_size": PNG.len()}));
        assert_eq!(presigned.answer["upload"]["headers"], json!({"content-type": "image/png"}));
        assert_eq!(refused(&presigned.confirm(&world)), refusal(409, "upload-not-received"));
        for _ in 0..2 {
            let sent = presigned.put(&world, PNG.to_vec());
            assert_eq!(sent.status, 200, "{sent:?}");
            assert_eq!(sent.header("etag"), Some(format!("\"{}\"", Sha256Digest::of(PNG)).as_str()));
        }
        if r2_enabled {
            assert_eq!(world.metadata(&presigned.key)["image-id"], presigned.asset_id);
        }
        let asset = presigned.confirm(&world);
        assert_eq!(asset.status, 200, "{asset:?}");
        assert_eq!(refused(&presigned.put(&world, PNG.to_vec())), refusal(409, "upload-used"));
        let storage = world.rows("SELECT storage FROM stillstore_images");
        assert_eq!(storage, [json!({"storage": if r2_enabled { "r2" } else { "d1" }})]);
        world.assert_invariants();
        world.runtime.advance(2 * HOUR_MS);
        world.sweep();
        world.assert_swept();
        world.assert_invariants();
    }
}

#[test]
fn an_upload_falls_back_to_the_database_while_r2_fails_and_says_so() {
    let world = world_with_s3();
    let presigned = Presigned::new(&world, &json!({}));
    world.bucket.plan.fail_all(StoreCall::Put, Fault::FailBefore);
    let sent = post_form(&world, &presigned.asset_id, &presigned.form(), PNG);
    assert_eq!(sent.status, 204, "{sent:?}");
    let asset = presigned.confirm(&world);
    assert_eq!(asset.status, 200, "{asset:?}");
    let record = world.call("GET", &format!("/api/images/{}", presigned.asset_id), None).json();
    assert_eq!((&record["storage"], &record["fallbackReason"]), (&json!("d1"), &json!("store-unavailable")));
    world.bucket.plan.heal();
    world.runtime.advance(2 * HOUR_MS);
    world.sweep();
    world.assert_swept();
}

/// Posts the fields in their order, then the file; the field `file` stands for it.
fn post_form(world: &World, asset_id: &str, fields: &[(&str, &str)], file: &[u8]) -> Answer {
    let mut body = Vec::new();
    for (name, value) in fields {
        let is_file = *name == "file";
        let filename = if is_file { "; filename=\"cat.png\"\r\nContent-Type: image/png" } else { "" };
        body.extend(
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\n\r\n").into_bytes(),
        );
        body.extend(if is_file { file } else { value.as_bytes() });
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    let headers = [("content-type", "multipart/form-data; boundary=edge")];
    world.send("POST", &format!("/uploads/{asset_id}"), &headers, Some(body.into()))
}

#[test]
fn bytes_that_are_not_what_was_promised_are_removed_and_the_refusal_says_why_each_time() {
    let digest = Sha256Digest::of(b"other").to_string();
    let jpeg = image_fixtures::bytes("rotated.jpg");
    let png = image_fixtures::bytes("rgb.png");
    for (promise, bytes, code) in [
        (json!({"file_size": PNG.len() + 1}), PNG, "upload-size-differs"),
        (json!({"sha256": digest}), PNG, "checksum-mismatch"),
        (json!({}), &jpeg[..], "upload-type-differs"),
        (json!({}), b"hello", "upload-type-differs"),
        (json!({}), b"", "upload-type-differs"),
        (json!({}), &png[..png.len() / 2], "truncated"),
    ] {
        let world = world_with_s3();
        let presigned = Presigned::new(&world, &promise);
        world.put_foreign_object(&presigned.key, bytes);
        for _ in 0..2 {
            assert_eq!(refused(&presigned.confirm(&world)), refusal(422, code), "{promise}");
            assert!(world.bucket.inner.contents().is_empty(), "{promise}");
        }
        // The URL still counts, and the bytes come again.
        world.put_foreign_object(&presigned.key, bytes);
        assert_eq!(refused(&presigned.confirm(&world)), refusal(422, code), "{promise}");
        world.assert_invariants();
        world.runtime.advance(2 * HOUR_MS);
        world.sweep();
        world.assert_swept();
        assert_eq!(refused(&presigned.confirm(&world)), refusal(404, "upload-not-found"));
    }
}

#[test]
fn what_a_client_claims_of_its_size_must_be_true_too() {
    let world = world_with_s3();
    let presigned = Presigned::new(&world, &json!({}));
    world.put_foreign_object(&presigned.key, PNG);
    let mut claims = presigned.claims();
    claims["file_size"] = json!(PNG.len() + 1);
    let answer = world.post_json("/uploads/confirm", &claims, &[]);
    assert_eq!(refused(&answer), refusal(422, "upload-size-differs"));
}

#[test]
fn an_upload_over_the_limit_is_refused_at_each_step() {
    let vars = [("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN), ("UPLOAD_MAX_BYTES", "100")];
    let world = World::with_vars(&[&vars[..], &S3_VARS[..]].concat());
    let shoot_id = new_shoot(&world);
    let answer = presign(&world, &shoot_id, &json!({"file_size": 101}));
    assert_eq!(refused(&answer), refusal(413, "body-too-large"));
    assert_eq!(answer.json()["field"], "file_size");
    let big = image_fixtures::bytes("rgb.png");
    assert!(big.len() > 100);
    let presigned = Presigned::new(&world, &json!({}));
    world.put_foreign_object(&presigned.key, &big);
    assert_eq!(refused(&presigned.confirm(&world)), refusal(422, "upload-size-differs"));
    let by_worker = World::with_vars(&vars);
    let presigned = Presigned::new(&by_worker, &json!({}));
    assert_eq!(refused(&presigned.put(&by_worker, big.clone())), refusal(413, "body-too-large"));
    let arriving = Body::from_source(Box::new(Arriving::of(big)), None);
    assert_eq!(refused(&presigned.put(&by_worker, arriving)), refusal(413, "body-too-large"));
    assert!(by_worker.bucket.inner.contents().is_empty());
}

#[test]
fn a_grant_never_overwrites_and_takes_no_other_bytes_method_type_or_length() {
    let world = World::new(true);
    let presigned = Presigned::new(&world, &json!({"file_size": PNG.len()}));
    let short = presigned.put(&world, PNG[..40].to_vec());
    assert_eq!(refused(&short), refusal(422, "upload-size-differs"));
    let other_type =
        world.send("PUT", &presigned.put_path(), &[("content-type", "image/jpeg")], Some(PNG.to_vec().into()));
    assert_eq!(refused(&other_type), refusal(415, "unsupported-media-type"));
    let path = presigned.put_path().replace("max-bytes=", "max-bytes=9");
    let longer = world.send("PUT", &path, &[("content-type", "image/png")], Some(PNG.to_vec().into()));
    assert_eq!(refused(&longer), refusal(403, "upload-signature-invalid"));
    let another = Presigned::new(&world, &json!({}));
    let path = presigned.put_path().replace(&presigned.asset_id, &another.asset_id);
    let crossed = world.send("PUT", &path, &[("content-type", "image/png")], Some(PNG.to_vec().into()));
    assert_eq!(refused(&crossed), refusal(403, "upload-signature-invalid"));
    assert!(world.bucket.inner.contents().is_empty());

    assert_eq!(presigned.put(&world, PNG.to_vec()).status, 200);
    let mut other = PNG.to_vec();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&presigned.put(&world, other)), refusal(409, "upload-used"));
    assert_eq!(world.bucket.inner.contents()[&presigned.key], PNG);
}

#[test]
fn an_upload_that_is_too_large_for_memory_streams_and_its_header_is_read_in_passing() {
    let world = World::new(true);
    let presigned = Presigned::new(&world, &json!({"file_size": 4_000_000}));
    let full = world.fill_memory_budget();
    let body = Body::from_source(Box::new(Arriving::png(4_000_000)), Some(4_000_000));
    let sent = presigned.put(&world, body);
    assert_eq!(sent.status, 200, "{sent:?}");
    let asset = presigned.confirm(&world).json();
    assert_eq!((&asset["file_size"], &asset["width"]), (&json!(4_000_000), &json!(1)));
    let record = world.call("GET", &format!("/api/images/{}", presigned.asset_id), None).json();
    assert_eq!(record["sha256"], Sha256Digest::of(&world.bucket.inner.contents()[&presigned.key]).to_string());
    drop(full);
}

#[test]
fn what_is_never_confirmed_is_swept_when_no_put_can_be_under_way() {
    let world = world_with_s3();
    let presigned = Presigned::new(&world, &json!({}));
    world.put_foreign_object(&presigned.key, PNG);
    world.runtime.advance(2 * HOUR_MS - 1);
    world.sweep();
    assert_eq!(world.rows("SELECT state FROM stillstore_uploads"), [json!({"state": "granted"})]);
    world.runtime.advance(1);
    world.sweep();
    assert_eq!(refused(&presigned.confirm(&world)), refusal(410, "upload-expired"));
    world.assert_invariants();
    world.runtime.advance(HOUR_MS);
    world.sweep();
    assert!(world.bucket.inner.contents().is_empty());
    world.assert_swept();
}

#[test]
fn bytes_that_come_again_after_their_image_was_deleted_are_swept() {
    let world = world_with_s3();
    let presigned = Presigned::new(&world, &json!({}));
    world.put_foreign_object(&presigned.key, PNG);
    assert_eq!(presigned.confirm(&world).status, 200);
    assert_eq!(world.call("DELETE", &format!("/api/images/{}", presigned.asset_id), None).status, 204);
    world.put_foreign_object(&presigned.key, PNG);
    assert_eq!(refused(&presigned.confirm(&world)), refusal(410, "image-deleted"));
    world.assert_invariants();
    world.runtime.advance(2 * HOUR_MS);
    world.sweep();
    assert!(world.bucket.inner.contents().is_empty());
    world.assert_swept();
}

#[test]
fn a_confirmation_names_what_was_presigned() {
    let world = world_with_s3();
    let presigned = Presigned::new(&world, &json!({}));
    world.put_foreign_object(&presigned.key, PNG);
    let with = |field: &str, value: Value| {
        let mut claims = presigned.claims();
        claims[field] = value;
        world.post_json("/uploads/confirm", &claims, &[])
    };
    for field in ["object_key", "filename", "content_type"] {
        let value = if field == "content_type" { json!("image/jpeg") } else { json!("other") };
        let answer = with(field, value);
        assert_eq!(refused(&answer), refusal(400, "invalid-field"), "{field}");
        assert_eq!(answer.json()["field"], field);
    }
    let other = new_shoot(&world);
    assert_eq!(refused(&with("shoot_id", json!(other))), refusal(404, "upload-not-found"));
    assert_eq!(refused(&with("asset_id", json!(other))), refusal(404, "upload-not-found"));
    assert_eq!(presigned.confirm(&world).status, 200);
    assert_eq!(refused(&with("filename", json!("other"))), refusal(400, "invalid-field"));
}

#[test]
fn a_presign_wants_a_shoot_and_fields_that_keep_their_rules() {
    let world = world_with_s3();
    let shoot_id = new_shoot(&world);
    let unknown = presign(&world, "0f8fad5b-d9cb-469f-a165-70867728950e", &json!({}));
    assert_eq!(refused(&unknown), refusal(404, "shoot-not-found"));
    for (field, value) in [
        ("shoot_id", json!("x")),
        ("filename", json!("")),
        ("filename", json!("a\nb")),
        ("filename", json!("a".repeat(256))),
        ("content_type", json!("text/html")),
        ("content_type", json!("image/png; charset=x")),
        ("file_size", json!(0)),
        ("sha256", json!("abc")),
    ] {
        let answer = presign(&world, &shoot_id, &json!({field: value}));
        assert_eq!(refused(&answer), refusal(400, "invalid-field"), "{field} {value}");
        assert_eq!(answer.json()["field"], field, "{field} {value}");
    }
    assert!(world.rows("SELECT * FROM stillstore_uploads").is_empty());
}

#[test]
fn presigning_is_one_database_call_and_no_bucket_call_and_confirming_two_and_one() {
    let world = world_with_s3();
    let shoot_id = new_shoot(&world);
    let calls = || (world.database.plan.calls().len(), world.bucket.plan.calls().len());
    let (database, bucket) = calls();
    let presigned = presign(&world, &shoot_id, &json!({}));
    assert_eq!(presigned.status, 200);
    assert_eq!(calls(), (database + 1, bucket));
    let presigned = Presigned::of(shoot_id, presigned.json());
    world.put_foreign_object(&presigned.key, PNG);
    assert_eq!(presigned.confirm(&world).status, 200);
    assert_eq!(calls(), (database + 3, bucket + 1));
}

#[test]
fn a_form_needs_its_fields_before_its_file_and_as_they_were_answered() {
    let world = World::new(true);
    let presigned = Presigned::new(&world, &json!({"file_size": PNG.len()}));
    let form = presigned.form();
    let post = |fields: &[(&str, &str)]| post_form(&world, &presigned.asset_id, fields, PNG);
    assert_eq!(refused(&post(&form[..form.len() - 1])), refusal(400, "invalid-field"));
    for place in 0..form.len() - 1 {
        let mut changed = form.clone();
        changed[place].1 = "other";
        assert_eq!(refused(&post(&changed)), refusal(403, "upload-signature-invalid"), "{}", form[place].0);
        changed.remove(place);
        assert_eq!(refused(&post(&changed)), refusal(403, "upload-signature-invalid"), "{}", form[place].0);
    }
    let mut reversed = form.clone();
    reversed.reverse();
    assert_eq!(refused(&post(&reversed)), refusal(403, "upload-signature-invalid"));
    let long = "x".repeat(2000);
    assert_eq!(refused(&post(&[&[("note", long.as_str())], &form[..]].concat())), refusal(413, "body-too-large"));
    let path = format!("/uploads/{}", presigned.asset_id);
    let not_a_form = world.send("POST", &path, &[("content-type", "image/png")], Some(PNG.to_vec().into()));
    assert_eq!(refused(&not_a_form), refusal(415, "unsupported-media-type"));
    let put = world.send("PUT", &path, &[("content-type", "image/png")], Some(PNG.to_vec().into()));
    assert_eq!(refused(&put), refusal(403, "upload-signature-invalid"));
    assert!(world.bucket.inner.contents().is_empty());

    let sent = post(&[&form[..], &[("after", "it")]].concat());
    assert_eq!((sent.status, sent.body.len()), (204, 0), "{sent:?}");
    assert_eq!(sent.header("etag"), Some(format!("\"{}\"", Sha256Digest::of(PNG)).as_str()));
    assert_eq!(presigned.confirm(&world).status, 200);
    let other = post_form(&world, &presigned.asset_id, &form, &PNG[..40]);
    assert_eq!(refused(&other), refusal(409, "upload-used"));
}

#[test]
fn sending_ends_with_the_grant() {
    let world = World::new(true);
    let presigned = Presigned::new(&world, &json!({}));
    world.runtime.advance(HOUR_MS - 1);
    assert_eq!(presigned.put(&world, PNG.to_vec()).status, 200);
    let late = Presigned::new(&world, &json!({}));
    world.runtime.advance(HOUR_MS);
    assert_eq!(refused(&late.put(&world, PNG.to_vec())), refusal(410, "upload-expired"));
    let form = late.form();
    assert_eq!(refused(&post_form(&world, &late.asset_id, &form, PNG)), refusal(410, "upload-expired"));
    assert_eq!(presigned.confirm(&world).status, 200, "what was sent in time may be confirmed later");
}

#[test]
fn the_urls_of_private_images_are_the_same_within_a_window_and_live_for_an_hour() {
    let world = World::with_vars(&[("API_TOKEN", TOKEN), ("SIGNED_URL_WINDOW_S", "60")]);
    assert_eq!(world.upload("visibility=private", PNG).status, 201);
    let listed = || world.call("GET", "/api/images", None).json()["images"][0].clone();
    let first = listed();
    // The clock of these tests starts at a multiple of a minute.
    assert_eq!(first["urlExpiresAt"], "2027-01-15T09:00:00.000Z");
    world.runtime.advance(1);
    let next = listed();
    assert_eq!(next["urlExpiresAt"], "2027-01-15T09:00:00.000Z");
    world.runtime.advance(999);
    let second = listed();
    assert_eq!(second["urlExpiresAt"], "2027-01-15T09:01:00.000Z");
    assert_ne!(first["url"], second["url"]);
    world.runtime.advance(58_999);
    assert_eq!(listed()["url"], second["url"]);
}

#[test]
fn an_upload_that_is_not_confirmed_yet_is_no_orphan() {
    let world = world_with_s3();
    let presigned = Presigned::new(&world, &json!({}));
    world.put_foreign_object(&presigned.key, PNG);
    let validated =
        || world.post_json("/api/migrate-images", &json!({"action": "validate"}), &[]).json()["result"].clone();
    assert_eq!(validated()["orphaned"], json!([]));
    world.rows("DELETE FROM stillstore_uploads");
    assert_eq!(validated()["orphaned"].as_array().unwrap().len(), 1, "the key is known as one of ours");
}

#[test]
fn bytes_in_the_database_have_a_reason_also_where_its_record_was_lost() {
    let world = World::new(true);
    let presigned = Presigned::new(&world, &json!({}));
    world.bucket.plan.fail_all(StoreCall::Put, Fault::FailBefore);
    assert_eq!(presigned.put(&world, PNG.to_vec()).status, 200);
    world.bucket.plan.heal();
    world.rows("UPDATE stillstore_uploads SET storage = NULL, fallback_reason = NULL");
    assert_eq!(presigned.confirm(&world).status, 200);
    let record = world.call("GET", &format!("/api/images/{}", presigned.asset_id), None).json();
    assert_eq!(record["fallbackReason"], "store-unavailable");
}
