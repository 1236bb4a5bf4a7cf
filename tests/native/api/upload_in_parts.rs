//! Uploads in parts: `/uploads/multipart` and its requests in the words of S3.

use serde_json::{Value, json};
use stillstore::bytes::Body;
use stillstore::image::Sha256Digest;
use stillstore::sql::Fault;
use stillstore::store::StoreCall;

use super::uploads::{HOUR_MS, new_shoot, world_with_s3};
use super::world::{Answer, Arriving, PNG, TOKEN, World};

pub const PART_BYTES: usize = 5 << 20;

/// An SVG of so many bytes.
pub fn svg(size_bytes: usize) -> Vec<u8> {
    let (start, end) = (r#"<svg xmlns="http://www.w3.org/2000/svg" width="3" height="4"><!--"#, "--></svg>");
    let padding = "x".repeat(size_bytes - start.len() - end.len());
    [start, &padding, end].concat().into_bytes()
}

/// An upload in parts that was begun.
pub struct Begun {
    pub shoot_id: String,
    pub asset_id: String,
    pub key: String,
    pub answer: Value,
}

impl Begun {
    pub fn new(world: &World, content_type: &str, size_bytes: usize, more: &Value) -> Self {
        let shoot_id = new_shoot(world);
        let answer = begin(world, &shoot_id, content_type, size_bytes, more);
        assert_eq!(answer.status, 201, "{answer:?}");
        let answer = answer.json();
        let text = |field: &str| answer[field].as_str().unwrap().to_owned();
        Self { shoot_id, asset_id: text("asset_id"), key: text("object_key"), answer }
    }

    pub fn path(&self) -> String {
        format!("/uploads/multipart/{}", self.asset_id)
    }

    pub fn put(&self, world: &World, number: u32, body: impl Into<Body>) -> Answer {
        let authorization = format!("Bearer {TOKEN}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/octet-stream")];
        world.send("PUT", &format!("{}/{number}", self.path()), &headers, Some(body.into()))
    }

    pub fn complete(&self, world: &World, body: &Value) -> Answer {
        world.post_json(&self.path(), body, &[])
    }

    fn parts(&self, world: &World) -> Vec<(u64, u64)> {
        let listed = world.call("GET", &self.path(), None).json();
        let parts = listed["parts"].as_array().unwrap().iter();
        parts.map(|part| (part["part_number"].as_u64().unwrap(), part["size"].as_u64().unwrap())).collect()
    }

    /// What the endpoint answers to `signRequest` of `@uppy/aws-s3`.
    fn sign(&self, world: &World, request: &Value) -> Answer {
        let mut body = json!({ "key": self.key });
        body.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
        world.post_json("/uploads/multipart", &body, &[])
    }

    /// The path and query of the Worker's URL for a request.
    fn path_signed(&self, world: &World, request: &Value) -> String {
        let answer = self.sign(world, request);
        assert_eq!(answer.status, 200, "{answer:?}");
        let url = answer.json()["url"].as_str().unwrap().to_owned();
        url.strip_prefix("https://images.example").unwrap_or_else(|| panic!("{url}")).to_owned()
    }

    fn upload_id(&self) -> &str {
        self.answer["upload_id"].as_str().unwrap()
    }
}

pub fn begin(world: &World, shoot_id: &str, content_type: &str, size_bytes: usize, more: &Value) -> Answer {
    let mut body = json!({
        "shoot_id": shoot_id, "filename": "large", "content_type": content_type, "file_size": size_bytes
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.post_json("/uploads/multipart", &body, &[])
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn parts_in_any_order_become_an_asset_like_any_other() {
    let world = World::new(true);
    let bytes = svg(2 * PART_BYTES + 77);
    let sha256 = Sha256Digest::of(&bytes).to_string();
    let begun = Begun::new(&world, "image/svg+xml", bytes.len(), &json!({}));
    assert_eq!(begun.answer["expires_at"], "2027-01-16T08:00:00.000Z");
    assert_eq!(begun.answer["min_part_size"], PART_BYTES);
    assert_eq!((&begun.answer["max_part_size"], &begun.answer["max_parts"]), (&json!(100_000_000), &json!(1_000)));
    let pieces: Vec<_> = bytes.chunks(PART_BYTES).collect();
    for (place, number) in [(2, 3), (0, 1), (1, 2)] {
        // Sent twice, with other bytes first: it counts once.
        if number == 3 {
            assert_eq!(begun.put(&world, number, vec![1; 99]).status, 200);
        }
        let put = begun.put(&world, number, pieces[place].to_vec());
        assert_eq!((put.status, &put.json()["size"]), (200, &json!(pieces[place].len())), "{put:?}");
    }
    assert_eq!(begun.parts(&world), [(1, 5_242_880), (2, 5_242_880), (3, 77)]);
    assert!(world.rows("SELECT id FROM stillstore_images").is_empty());
    for _ in 0..2 {
        let asset = begun.complete(&world, &json!({ "sha256": sha256 }));
        assert_eq!(asset.status, 200, "{asset:?}");
        let asset = asset.json();
        assert_eq!((&asset["id"], &asset["file_size"]), (&json!(begun.asset_id), &json!(bytes.len())));
        assert_eq!((&asset["width"], &asset["height"]), (&json!(3), &json!(4)));
    }
    let read = world.call("GET", &format!("/images/{}", begun.asset_id), None);
    assert_eq!((read.status, read.header("etag")), (200, Some(format!("\"{sha256}\"").as_str())));
    assert_eq!(read.body, bytes);
    assert_eq!(world.metadata(&begun.key)["image-id"], begun.asset_id);
    assert_eq!(refused(&begun.put(&world, 1, vec![1])), refusal(409, "upload-used"));
    assert_eq!(refused(&world.call("DELETE", &begun.path(), None)), refusal(409, "upload-used"));
    world.runtime.advance(27 * HOUR_MS);
    world.sweep();
    world.assert_swept();
    assert_eq!(world.call("GET", &format!("/images/{}", begun.asset_id), None).status, 200, "it outlives its grant");
}

#[test]
fn bytes_of_another_digest_or_type_are_deleted_at_completion() {
    for (promise, claim, bytes, code) in [
        (json!({}), json!({ "sha256": "0".repeat(64) }), PNG.to_vec(), "checksum-mismatch"),
        (json!({ "sha256": "0".repeat(64) }), json!({}), PNG.to_vec(), "checksum-mismatch"),
        (json!({}), json!({}), b"no image".to_vec(), "upload-type-differs"),
        (json!({}), json!({}), PNG[..PNG.len() - 30].to_vec(), "truncated"),
    ] {
        let world = World::new(true);
        let begun = Begun::new(&world, "image/png", bytes.len(), &promise);
        assert_eq!(begun.put(&world, 1, bytes).status, 200);
        for _ in 0..2 {
            assert_eq!(refused(&begun.complete(&world, &claim)), refusal(422, code));
        }
        assert!(world.bucket.inner.contents().is_empty(), "{code}");
        assert!(world.rows("SELECT id FROM stillstore_images").is_empty());
    }
}

#[test]
fn a_file_that_is_not_held_in_memory_is_hashed_while_it_is_read() {
    let world = World::new(true);
    let size = 30_000_000;
    let begun = Begun::new(&world, "image/png", size, &json!({}));
    let body = |start: &[u8]| {
        Body::from_source(
            Box::new(Arriving::of([start, &vec![0; size / 2 - start.len()]].concat())),
            Some(size as u64 / 2),
        )
    };
    assert_eq!(begun.put(&world, 1, body(PNG)).status, 200);
    assert_eq!(begun.put(&world, 2, body(&[])).status, 200);
    let mut whole = PNG.to_vec();
    whole.resize(size, 0);
    let sha256 = Sha256Digest::of(&whole).to_string();
    let asset = begun.complete(&world, &json!({ "sha256": sha256 }));
    assert_eq!((asset.status, &asset.json()["file_size"]), (200, &json!(size)), "{asset:?}");
    assert_eq!(world.rows("SELECT sha256 FROM stillstore_images"), [json!({ "sha256": sha256 })]);
}

#[test]
fn parts_that_do_not_make_the_file_are_refused_and_can_be_sent_again() {
    let world = World::new(true);
    let bytes = svg(PART_BYTES + 10);
    let begun = Begun::new(&world, "image/svg+xml", bytes.len(), &json!({}));
    let refused_with = |answer: &Answer, words: &str| {
        assert_eq!(refused(answer), refusal(422, "parts-refused"));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{detail}");
    };
    refused_with(&begun.complete(&world, &json!({})), "the 0 parts that arrived have 0 bytes");
    begun.put(&world, 1, bytes[..PART_BYTES].to_vec());
    refused_with(&begun.complete(&world, &json!({})), "have 5242880 bytes, not 5242890");
    begun.put(&world, 1, bytes[..20].to_vec());
    begun.put(&world, 2, bytes[20..].to_vec());
    refused_with(&begun.complete(&world, &json!({})), "at least 5242880 bytes");
    begun.put(&world, 1, bytes[..PART_BYTES].to_vec());
    begun.put(&world, 2, bytes[PART_BYTES..].to_vec());
    assert_eq!(begun.complete(&world, &json!({})).status, 200);
}

#[test]
fn what_is_no_part_is_refused_before_it_is_put() {
    let world = World::new(true);
    let begun = Begun::new(&world, "image/png", 200_000_000, &json!({}));
    let calls = || world.bucket.plan.calls().iter().filter(|call| call.kind == StoreCall::PutPart).count();
    let unpromised = Body::from_source(Box::new(Arriving::of(PNG.to_vec())), None);
    assert_eq!(refused(&begun.put(&world, 1, unpromised)), refusal(411, "length-required"));
    let large = Body::from_source(Box::new(Arriving::png(100_000_001)), Some(100_000_001));
    assert_eq!(refused(&begun.put(&world, 1, large)), refusal(413, "body-too-large"));
    assert_eq!(refused(&begun.put(&world, 1, Vec::new())), refusal(422, "parts-refused"));
    let answer = world.call("PUT", &format!("{}/1", begun.path()), Some(PNG.to_vec().into()));
    assert_eq!(refused(&answer), refusal(415, "unsupported-media-type"));
    assert_eq!(calls(), 0);
    for number in ["0", "1001", "01", "x"] {
        let answer = world.call("PUT", &format!("{}/{number}", begun.path()), Some(PNG.to_vec().into()));
        assert_eq!(answer.status, 404, "{number}");
    }
}

#[test]
fn uploads_in_parts_need_r2_and_a_size() {
    let world = World::new(false);
    let shoot_id = new_shoot(&world);
    let answer = begin(&world, &shoot_id, "image/png", 10, &json!({}));
    assert_eq!(refused(&answer), refusal(503, "multipart-unavailable"));
    let world =
        World::with_vars(&[("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN), ("MULTIPART_MAX_BYTES", "1000")]);
    let shoot_id = new_shoot(&world);
    for (size, code) in [(json!(null), "invalid-field"), (json!(0), "invalid-field"), (json!(1_001), "body-too-large")]
    {
        let answer = begin(&world, &shoot_id, "image/png", 10, &json!({ "file_size": size }));
        assert_eq!((answer.code().as_str(), &answer.json()["field"]), (code, &json!("file_size")));
    }
    let answer = begin(&world, "0f8fad5b-d9cb-469f-a165-70867728950e", "image/png", 10, &json!({}));
    assert_eq!(refused(&answer), refusal(404, "shoot-not-found"));
    assert!(world.bucket.inner.unfinished_uploads().is_empty(), "what R2 had begun is given up");
}

#[test]
fn an_upload_that_is_given_up_or_too_late_leaves_nothing() {
    let world = World::new(true);
    let aborted = Begun::new(&world, "image/png", PNG.len(), &json!({}));
    assert_eq!(aborted.put(&world, 1, PNG.to_vec()).status, 200);
    for _ in 0..2 {
        assert_eq!(world.call("DELETE", &aborted.path(), None).status, 204);
    }
    assert!(world.bucket.inner.unfinished_uploads().is_empty());
    assert_eq!(refused(&aborted.put(&world, 1, PNG.to_vec())), refusal(410, "upload-expired"));
    assert_eq!(refused(&aborted.complete(&world, &json!({}))), refusal(410, "upload-expired"));
    let late = Begun::new(&world, "image/png", PNG.len(), &json!({}));
    assert_eq!(late.put(&world, 1, PNG.to_vec()).status, 200);
    world.runtime.advance(24 * HOUR_MS);
    assert_eq!(refused(&late.put(&world, 2, PNG.to_vec())), refusal(410, "upload-expired"));
    for _ in 0..3 {
        world.runtime.advance(2 * HOUR_MS);
        world.sweep();
    }
    world.assert_swept();
    assert_eq!(refused(&late.complete(&world, &json!({}))), refusal(404, "upload-not-found"));
}

#[test]
fn a_completion_whose_answer_was_lost_is_taken_up() {
    let world = World::new(true);
    let begun = Begun::new(&world, "image/png", PNG.len(), &json!({}));
    assert_eq!(begun.put(&world, 1, PNG.to_vec()).status, 200);
    world.bucket.plan.fail_nth(StoreCall::CompleteMultipart, 1, Fault::FailAfter);
    assert_eq!(refused(&begun.complete(&world, &json!({}))), refusal(503, "storage-unavailable"));
    assert_eq!(begun.complete(&world, &json!({})).status, 200);
}

#[test]
fn requests_are_signed_for_the_worker_and_speak_s3() {
    let world = World::new(true);
    let begun = Begun::new(&world, "image/svg+xml", PART_BYTES + 100, &json!({}));
    let bytes = svg(PART_BYTES + 100);
    let id = begun.upload_id();
    let created = world.send("POST", &begun.path_signed(&world, &json!({ "method": "POST" })), &[], None);
    let created = String::from_utf8(created.body).unwrap();
    assert!(created.contains(&format!("<UploadId>{id}</UploadId>")), "{created}");
    assert!(created.contains(&format!("<Key>{}</Key>", begun.key)), "{created}");
    let mut named = Vec::new();
    for (number, piece) in [(2, &bytes[PART_BYTES..]), (1, &bytes[..PART_BYTES])] {
        let path = begun.path_signed(&world, &json!({ "method": "PUT", "uploadId": id, "partNumber": number }));
        let put = world.send("PUT", &path, &[], Some(piece.to_vec().into()));
        assert_eq!(put.status, 200, "{put:?}");
        named.push(format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>",
            put.header("etag").unwrap()
        ));
    }
    let named = named.concat();
    let listed = world.send("GET", &begun.path_signed(&world, &json!({ "method": "GET", "uploadId": id })), &[], None);
    let listed = String::from_utf8(listed.body).unwrap();
    assert!(listed.contains("<PartNumber>1</PartNumber>") && listed.contains("<Size>100</Size>"), "{listed}");
    let path = begun.path_signed(&world, &json!({ "method": "POST", "uploadId": id }));
    let complete = |parts: &str| {
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>").into_bytes();
        world.send("POST", &path, &[], Some(body.into()))
    };
    assert_eq!(refused(&complete("")), refusal(400, "invalid-field"));
    assert_eq!(refused(&complete(&named.replace("<PartNumber>2", "<PartNumber>3"))), refusal(422, "parts-refused"));
    for _ in 0..2 {
        let completed = complete(&named);
        assert_eq!(completed.status, 200, "{completed:?}");
        let text = String::from_utf8(completed.body).unwrap();
        assert!(text.contains(&format!("<Location>https://images.example/images/{}</Location>", begun.asset_id)));
    }
    let claims = json!({
        "asset_id": begun.asset_id, "shoot_id": begun.shoot_id, "object_key": begun.key,
        "sha256": Sha256Digest::of(&bytes).to_string(),
    });
    assert_eq!(world.post_json("/uploads/confirm", &claims, &[]).status, 200);
}

#[test]
fn a_signed_request_passes_as_it_was_signed_only() {
    let world = World::new(true);
    let begun = Begun::new(&world, "image/png", PNG.len(), &json!({}));
    let other = Begun::new(&world, "image/png", PNG.len(), &json!({}));
    let id = begun.upload_id();
    let path = begun.path_signed(&world, &json!({ "method": "PUT", "uploadId": id, "partNumber": 1 }));
    let invalid = refusal(403, "upload-signature-invalid");
    for (method, changed) in [
        ("PUT", path.replace("partNumber=1", "partNumber=2")),
        ("PUT", path.replace("&partNumber=1", "")),
        ("PUT", path.replace(&begun.asset_id, &other.asset_id)),
        ("PUT", path.replace("expires=18", "expires=19")),
        ("PUT", path.split('?').next().unwrap().to_owned()),
        ("DELETE", path.clone()),
        ("GET", path.clone()),
        ("POST", path.clone()),
    ] {
        let answer = world.send(method, &changed, &[], (method == "PUT").then(|| PNG.to_vec().into()));
        assert_eq!(refused(&answer), invalid, "{method} {changed}");
    }
    world.runtime.advance(HOUR_MS);
    assert_eq!(refused(&world.send("PUT", &path, &[], Some(PNG.to_vec().into()))), refusal(410, "upload-expired"));
    let path = begun.path_signed(&world, &json!({ "method": "DELETE", "uploadId": id }));
    assert_eq!(world.send("DELETE", &path, &[], None).status, 204);
    assert_eq!(
        refused(&begun.sign(&world, &json!({ "method": "POST", "uploadId": id }))),
        refusal(410, "upload-expired")
    );
}

#[test]
fn requests_that_mean_nothing_are_not_signed() {
    let world = World::new(true);
    let begun = Begun::new(&world, "image/png", PNG.len(), &json!({}));
    let id = begun.upload_id();
    for (request, field) in [
        (json!({ "method": "PATCH" }), "method"),
        (json!({ "method": "PUT" }), "uploadId"),
        (json!({ "method": "PUT", "uploadId": id }), "partNumber"),
        (json!({ "method": "PUT", "uploadId": id, "partNumber": 0 }), "partNumber"),
        (json!({ "method": "PUT", "uploadId": id, "partNumber": 1_001 }), "partNumber"),
        (json!({ "method": "GET" }), "uploadId"),
        (json!({ "method": "DELETE" }), "uploadId"),
        (json!({ "method": "POST", "uploadId": id, "partNumber": 1 }), "partNumber"),
        (json!({ "method": "PUT", "key": "" }), "key"),
    ] {
        let answer = begun.sign(&world, &request);
        assert_eq!((answer.code(), &answer.json()["field"]), ("invalid-field".to_owned(), &json!(field)), "{request}");
    }
    for request in [json!({ "method": "GET", "uploadId": "other" }), json!({ "method": "POST", "key": "a/b" })] {
        assert_eq!(refused(&begun.sign(&world, &request)), refusal(404, "upload-not-found"), "{request}");
    }
}

#[test]
fn bytes_and_lists_go_to_the_bucket_where_its_endpoint_is_known() {
    let world = world_with_s3();
    let begun = Begun::new(&world, "image/png", PNG.len(), &json!({}));
    let id = begun.upload_id();
    let url = |request: Value| begun.sign(&world, &request).json()["url"].as_str().unwrap().to_owned();
    let bucket = format!("https://account.r2.cloudflarestorage.com/photos/{}?", begun.key);
    let part = url(json!({ "method": "PUT", "uploadId": id, "partNumber": 7 }));
    assert!(part.starts_with(&bucket) && part.contains(&format!("&partNumber=7&uploadId={id}&")), "{part}");
    assert!(url(json!({ "method": "GET", "uploadId": id })).starts_with(&bucket));
    for request in [
        json!({ "method": "POST" }),
        json!({ "method": "POST", "uploadId": id }),
        json!({ "method": "DELETE", "uploadId": id }),
    ] {
        assert!(url(request).starts_with("https://images.example/uploads/s3/"));
    }
    // One that was presigned is put as a whole, as presign says.
    let presigned = super::uploads::Presigned::new(&world, &json!({}));
    let signed = world.post_json("/uploads/multipart", &json!({ "method": "PUT", "key": presigned.key }), &[]).json();
    assert_eq!(signed["headers"], presigned.answer["upload"]["headers"]);
    assert_eq!(signed["url"], presigned.answer["upload"]["url"]);
    let answer = world.post_json("/uploads/multipart", &json!({ "method": "POST", "key": presigned.key }), &[]);
    assert_eq!((answer.code(), &answer.json()["field"]), ("invalid-field".to_owned(), &json!("key")));
}
