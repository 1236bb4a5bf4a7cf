//! `GET /images/{id}` with a width, a height, a format or a name.

use serde_json::json;
use stillstore::app::Delivery;
use stillstore::sql::Fault;
use stillstore::store::StoreCall;

use super::uploads::Presigned;
use super::world::{Answer, PNG, TOKEN, World};
use crate::runtime::block_on;

const JPEG: &[u8] = include_bytes!("../../fixtures/images/baseline.jpg");
const ROTATED: &[u8] = include_bytes!("../../fixtures/images/rotated.jpg");
const ANIMATED: &[u8] = include_bytes!("../../fixtures/images/animated.gif");
const ALPHA: &[u8] = include_bytes!("../../fixtures/images/palette-transparent.png");
const SVG: &[u8] = include_bytes!("../../fixtures/images/plain.svg");
const AVIF: &[u8] = include_bytes!("../../fixtures/images/still.avif");
const BIG: &[u8] = include_bytes!("../../fixtures/images/progressive-exif-thumbnail.jpg");

fn world(r2_enabled: bool, vars: &[(&str, &str)]) -> World {
    let r2 = if r2_enabled { "true" } else { "false" };
    World::with_vars(&[&[("ENABLE_R2_STORAGE", r2), ("API_TOKEN", TOKEN)], vars].concat())
}

fn stored(world: &World, bytes: &[u8]) -> String {
    let uploaded = world.upload("filename=cat.orig.jpg", bytes);
    assert_eq!(uploaded.status, 201, "{uploaded:?}");
    format!("/images/{}", uploaded.json()["id"].as_str().unwrap())
}

fn get(world: &World, path: &str) -> Answer {
    world.send("GET", path, &[], None)
}

/// Width, height and format of what was answered.
fn picture(answer: &Answer) -> (u32, u32, &'static str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let (format, geometry) = stillstore::image::Format::inspect(&answer.body).unwrap();
    assert_eq!(answer.header("content-type"), Some(format.content_type()));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    let dimensions = geometry.unwrap().dimensions;
    (dimensions.width, dimensions.height, format.extension())
}

#[test]
fn a_size_and_a_format_are_made_of_an_image() {
    for r2_enabled in [true, false] {
        let world = world(r2_enabled, &[("VARIANT_WIDTHS", "8,16"), ("VARIANT_QUALITIES", "40,75")]);
        let jpeg = stored(&world, JPEG);
        let (width, height, _) = picture(&get(&world, &jpeg));
        let made = get(&world, &format!("{jpeg}?w=8&q=40"));
        assert_eq!(picture(&made), (8, (8 * height + width / 2) / width, "jpg"));
        assert_eq!(
            made.header("content-disposition").map(|header| &header[..30]),
            Some("inline; filename=\"cat.orig.jpg")
        );
        assert_eq!(made.header("cache-tag"), Some(&jpeg["/images/".len()..]));
        assert_eq!(made.header("cache-control"), Some("public, max-age=31536000, immutable"));
        let again = get(&world, &format!("{jpeg}?quality=40&width=8"));
        assert_eq!(
            (&again.body, again.header("etag")),
            (&made.body, made.header("etag")),
            "in whatever order and words"
        );
        assert_eq!(world.codecs.calls.get(), 1);
        let png = get(&world, &format!("{jpeg}?fm=png&w=16&h=8&fit=cover"));
        assert_eq!(picture(&png), (16, 8, "png"));
        assert!(png.header("content-disposition").unwrap().contains("cat.orig.png"));
        let (_, rotated_height, _) = picture(&get(&world, &format!("{}?h=8", stored(&world, ROTATED))));
        assert_eq!(rotated_height, 8);
    }
}

#[test]
fn auto_is_what_the_client_takes() {
    let world = world(true, &[]);
    let (opaque, see_through) = (stored(&world, JPEG), stored(&world, ALPHA));
    let formats = |path: &str, accept: &str| {
        let answer = world.send("GET", &format!("{path}?w=32&fm=auto"), &[("accept", accept)], None);
        assert_eq!(answer.header("vary"), Some("Accept"));
        picture(&answer).2
    };
    for (accept, of_opaque, of_see_through) in [
        ("image/avif,image/webp,*/*;q=0.8", "jpg", "webp"),
        ("*/*", "jpg", "png"),
        ("image/webp;q=0, image/png", "jpg", "png"),
        ("", "jpg", "png"),
    ] {
        assert_eq!(formats(&opaque, accept), of_opaque, "{accept}");
        assert_eq!(formats(&see_through, accept), of_see_through, "{accept}");
    }
    assert_eq!(get(&world, &format!("{opaque}?w=32")).header("vary"), None);
    let see_through = get(&world, &format!("{see_through}?w=32&auto=format"));
    assert_eq!(see_through.header("vary"), Some("Accept"));
}

#[test]
fn of_an_animation_the_first_frame_is_said_to_be_shown() {
    let world = world(true, &[]);
    let animated = stored(&world, ANIMATED);
    for _ in 0..2 {
        let answer = get(&world, &format!("{animated}?w=32"));
        assert_eq!((picture(&answer).2, answer.header("x-variant-frame")), ("png", Some("first")));
    }
    assert_eq!(get(&world, &format!("{}?w=32", stored(&world, JPEG))).header("x-variant-frame"), None);
}

#[test]
fn what_is_not_listed_is_a_400_that_names_the_nearest() {
    let world = world(true, &[("VARIANTS", r#"{"card": {"w": 7, "h": 5, "fit": "cover"}}"#)]);
    let jpeg = stored(&world, JPEG);
    for (query, field) in [
        ("w=641", "w"),
        ("w=0640", "w"),
        ("w=640junk", "w"),
        ("w=640&width=640", "width"),
        ("w=640&w=640", "w"),
        ("w=640&q=80", "q"),
        ("w=640&h=700", "h"),
        ("w=640&blur=3", "blur"),
        ("variant=hero", "variant"),
        ("fallback=original", "fallback"),
        ("fm=gif", "fm"),
    ] {
        let answer = get(&world, &format!("{jpeg}?{query}"));
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-field"), "{query}");
        assert_eq!(answer.json()["field"], field, "{query}");
    }
    let detail = get(&world, &format!("{jpeg}?w=641")).json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with("the nearest is 640"), "{detail}");
    let (width, height, _) = picture(&get(&world, &format!("{jpeg}?variant=card")));
    assert_eq!((width, height), (7, 5));
    assert_eq!(world.codecs.calls.get(), 1, "nothing was made of the others");
    assert_eq!(world.rows("SELECT form FROM stillstore_variants").len(), 1);
}

#[test]
fn a_signed_url_may_ask_for_any_size_and_for_no_other() {
    let world = world(true, &[]);
    let jpeg = stored(&world, JPEG);
    let id = &jpeg["/images/".len()..];
    let sign = |body: serde_json::Value| world.post_json(&format!("/api/images/{id}/signed-url"), &body, &[]);
    let signed = sign(serde_json::json!({"variant": "w=9&q=33"}));
    let url = signed.json()["url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("https://images.example").unwrap();
    assert_eq!(picture(&get(&world, path)).0, 9);
    assert_eq!(get(&world, &format!("{jpeg}?w=9&q=33")).status, 400, "without the signature");
    // What a signature does not open is as if there were none: the bare URL of a public image.
    let moved = get(&world, &path.replace("w=9", "w=32").replace("q=33", "q=75"));
    assert_eq!((moved.status, moved.header("location")), (302, Some(format!("{jpeg}?w=32&q=75").as_str())));
    for variant in ["", "w=0", "blur=1", "w=1&w=1", "variant=card", "w"] {
        let answer = sign(serde_json::json!({"variant": variant}));
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some("variant")), "{variant}");
    }
}

#[test]
fn a_private_image_is_as_private_in_every_size() {
    let world = world(true, &[]);
    let uploaded = world.upload("filename=a.jpg&visibility=private", JPEG);
    let path = format!("/images/{}", uploaded.json()["id"].as_str().unwrap());
    let refused = get(&world, &format!("{path}?w=32"));
    assert_eq!((refused.status, refused.code().as_str()), (403, "signature-invalid"));
    assert_eq!(world.codecs.calls.get(), 0);
    let by_owner = world.call("GET", &format!("{path}?w=32"), None);
    assert_eq!((by_owner.status, by_owner.header("cache-control")), (200, Some("private, no-cache")));
    assert_eq!(get(&world, &format!("{path}?w=32")).status, 403, "also when it is there");
    let signed = world.post_json(&format!("/api{path}/signed-url"), &serde_json::json!({}), &[]).json();
    let url = signed["url"].as_str().unwrap().replace("https://images.example", "");
    assert_eq!(get(&world, &format!("{url}&w=32")).body, by_owner.body, "the image's signature opens its variants");
    assert_eq!(get(&world, &format!("{url}&w=33")).status, 400);
    let other = stored(&world, JPEG);
    assert_eq!(get(&world, &url.replace(&path, &other)).status, 302);
}

#[test]
fn what_cannot_become_a_variant_is_a_422_or_the_image_itself() {
    let world = world(true, &[("VARIANT_MAX_PIXELS", "200")]);
    let damaged = [&PNG[..41], b"no deflate data", &PNG[56..]].concat();
    for (bytes, code) in [
        (SVG, "variant-unsupported"),
        (AVIF, "variant-unsupported"),
        (BIG, "variant-too-large"),
        (&damaged, "variant-impossible"),
    ] {
        let path = stored(&world, bytes);
        for _ in 0..2 {
            let answer = get(&world, &format!("{path}?w=32"));
            assert_eq!((answer.status, answer.code().as_str()), (422, code));
        }
        let original = get(&world, &format!("{path}?w=32&fallback=original"));
        assert_eq!((original.status, original.header("x-variant-fallback")), (200, Some(code)));
        assert_eq!(original.body, bytes);
        assert_eq!(original.header("cache-control"), Some("public, max-age=3600"));
    }
    assert_eq!(world.codecs.calls.get(), 1, "what cannot be decoded is tried once");
    let missing = get(&world, "/images/0f8fad5b-d9cb-469f-a165-70867728950e?w=32&fallback=original");
    assert_eq!(missing.status, 404);
}

#[test]
fn a_decoder_that_breaks_down_ends_its_own_request() {
    let world = world(true, &[]);
    let jpeg = stored(&world, JPEG);
    world.codecs.traps.set(true);
    let answer = get(&world, &format!("{jpeg}?w=32"));
    assert_eq!((answer.status, answer.code().as_str()), (422, "variant-impossible"));
    assert!(world.log().iter().any(|line| line["event"] == "variant" && line["outcome"] == "trapped"));
    assert_eq!(get(&world, &format!("{jpeg}?w=64")).status, 200);
}

#[test]
fn an_image_has_as_many_variants_as_it_may() {
    let world = world(true, &[("VARIANT_MAX_PER_IMAGE", "2")]);
    let jpeg = stored(&world, JPEG);
    for width in [32, 64] {
        assert_eq!(get(&world, &format!("{jpeg}?w={width}")).status, 200);
    }
    let refused = get(&world, &format!("{jpeg}?w=96"));
    assert_eq!((refused.status, refused.code().as_str()), (409, "variant-limit"));
    assert_eq!(get(&world, &format!("{jpeg}?w=96&fallback=original")).body, JPEG);
    assert_eq!(get(&world, &format!("{jpeg}?w=64")).status, 200);
    assert_eq!(get(&world, &format!("{}?w=96", stored(&world, PNG))).status, 200);
}

#[test]
fn what_is_wanted_of_each_asset_is_made_by_the_queue() {
    let named = ("VARIANTS", r#"{"card": {"w": 12, "fm": "auto"}, "thumbnail": {"w": 8}}"#);
    // With an editor's name, the world has a queue.
    let vars = [named, ("THUMBNAIL_VARIANTS", "thumbnail,card"), ("EDIT_PROVIDER", "builtin")];
    let world = world(true, &vars);
    stored(&world, JPEG);
    assert!(world.mailbox.messages.borrow().is_empty(), "an image that is no asset has what is asked for");
    let upload = Presigned::new(&world, &json!({}));
    assert_eq!(upload.put(&world, ALPHA.to_vec()).status, 200);
    let asset = upload.confirm(&world);
    assert_eq!((asset.status, world.codecs.calls.get()), (200, 0), "{asset:?}");
    world.bucket.plan.fail_all(StoreCall::Get, Fault::FailBefore);
    let message = world.mailbox.messages.borrow()[0].0.clone();
    let deliver = || block_on(world.app.deliver(Some(serde_json::to_string(&message).unwrap())));
    assert_eq!(deliver(), Delivery::Retry);
    world.bucket.plan.heal();
    assert_eq!((deliver(), deliver()), (Delivery::Acknowledge, Delivery::Acknowledge));
    assert_eq!(world.codecs.calls.get(), 3, "the card in both its formats, once");
    let id = asset.json()["id"].as_str().unwrap().to_owned();
    let thumbnail = world.call("GET", &format!("/images/{id}?variant=thumbnail"), None);
    let shoot = asset.json()["shoot_id"].as_str().unwrap().to_owned();
    let listed = world.call("GET", &format!("/shoots/{shoot}/assets"), None).json();
    let listed = &listed["assets"][0];
    assert!(listed["thumbhash"].is_string() && listed["dominant_color"].is_string(), "{listed}");
    assert_eq!((picture(&thumbnail).0, world.codecs.calls.get()), (8, 3));

    assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 204);
    assert_eq!(deliver(), Delivery::Acknowledge, "the image is gone");
    assert_eq!(world.codecs.calls.get(), 3);
}

#[test]
fn what_makes_variants_elsewhere_takes_more_formats_and_its_variant_is_measured_here() {
    for r2_enabled in [true, false] {
        let world = world(r2_enabled, &[("VARIANT_MAKER", "images")]);
        world.codecs.is_elsewhere.set(true);
        let avif = stored(&world, AVIF);
        assert_eq!(picture(&get(&world, &format!("{avif}?w=32"))).2, "jpg");
        assert_eq!(
            (world.codecs.calls.get(), get(&world, &format!("{avif}?w=32")).status),
            (2, 200),
            "made and measured once"
        );
        let record = world.call("GET", &format!("/api{avif}"), None).json();
        assert!(record["thumbhash"].is_string() && record["dominantColor"].is_string(), "{record}");
        // What is cut off is not measured.
        let jpeg = stored(&world, JPEG);
        assert_eq!(get(&world, &format!("{jpeg}?w=32&h=32&fit=cover")).status, 200);
        assert!(world.call("GET", &format!("/api{jpeg}"), None).json().get("thumbhash").is_none());
        let svg = get(&world, &format!("{}?w=32", stored(&world, SVG)));
        assert_eq!((svg.status, svg.code().as_str()), (422, "variant-unsupported"));
        world.codecs.hangs.set(true);
        let late = get(&world, &format!("{jpeg}?w=48"));
        assert_eq!((late.status, late.code().as_str()), (503, "busy"), "it is not waited for without end");
        assert_eq!(get(&world, &format!("{jpeg}?w=48")).status, 200);
    }
}
