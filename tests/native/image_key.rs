//! Keys: a path is a function of the record, and tells back what went into it.

use proptest::prelude::*;
use proptest::sample::select;
use stillstore::image::{
    CalendarMonth, Context, Format, ImageId, ImageKey, KeySecret, ObjectKey, ParsedKey, SafeName, ShootId, UserId,
};
use stillstore::runtime::Timestamp;

const DAY_MS: i64 = 86_400_000;

fn id(text: &str) -> ImageId {
    text.parse().expect("id")
}

fn object_key(text: &str) -> ObjectKey {
    text.to_owned().try_into().expect("key")
}

#[test]
fn paths_are_as_documented() {
    let id = id("0a1b2c3d-1111-4222-8333-444455556666");
    let created_at = Timestamp::from_millis(1_709_251_199_999);
    let generated = ImageKey::Generated { id, secret: None, created_at, format: Format::Png };
    assert_eq!(generated.object_key().as_str(), "generated/2024/02/0a1b2c3d-1111-4222-8333-444455556666.png");
    let uploaded = ImageKey::Uploaded {
        context: Context::try_from("portraits".to_owned()).expect("context"),
        id,
        secret: None,
        created_at: created_at.plus_millis(1),
        name: SafeName::from_filename("My Photo.JPG"),
        format: Format::Jpeg,
    };
    assert_eq!(uploaded.object_key().as_str(), "portraits/2024/03/0a1b2c3d_my-photo.jpg");

    let secret = Some(KeySecret::from_random_bytes([0xa7; 16]));
    let digits = "a7".repeat(16);
    let ImageKey::Uploaded { context, id, created_at, name, format, .. } = uploaded else { panic!("made above") };
    let private = ImageKey::Uploaded { context, id, secret, created_at, name, format };
    assert_eq!(private.object_key().as_str(), format!("portraits/2024/03/0a1b2c3d-{digits}_my-photo.jpg"));
    let private = ImageKey::Generated { id, secret, created_at, format };
    let expected = format!("generated/2024/03/0a1b2c3d-1111-4222-8333-444455556666_{digits}.jpg");
    assert_eq!(private.object_key().as_str(), expected);
}

#[test]
fn an_asset_is_in_the_folders_of_its_user_and_shoot() {
    let text = "0a1b2c3d-1111-4222-8333-444455556666";
    let shoot: ShootId = "0f8fad5b-d9cb-469f-a165-70867728950e".parse().expect("shoot");
    for (user, segment) in [
        (None, "operator"),
        (Some("auth0|5f.a-b_C"), "auth0=7c5f.a-b_C"),
        (Some("operator"), "=6fperator"),
        (Some("generated"), "=67enerated"),
        (Some("stillstore"), "=73tillstore"),
        (Some("frames"), "=66rames"),
        (Some("../a/b"), "=2e.=2fa=2fb"),
        (Some("é=%"), "=c3=a9=3d=25"),
    ] {
        let owner = user.map(|user| UserId::try_from(user.to_owned()).expect("user"));
        let asset = ImageKey::Asset { owner: owner.clone(), shoot, id: id(text), format: Format::Webp };
        let key = asset.object_key();
        assert_eq!(key.as_str(), format!("{segment}/{shoot}/{text}/original.webp"));
        let parsed = ParsedKey::parse(&key).expect("an asset's key");
        assert_eq!(parsed, ParsedKey::Asset { owner, shoot, id: id(text), format: Format::Webp });
    }
    for path in [
        format!("=61/{shoot}/{text}/original.webp"),
        format!("a=7C/{shoot}/{text}/original.webp"),
        format!("a=7/{shoot}/{text}/original.webp"),
        format!("a=7{shoot}/{text}/original.webp"),
        format!("generated/{shoot}/{text}/original.webp"),
        format!("/{shoot}/{text}/original.webp"),
        format!("a/{shoot}/{text}/original.exe"),
        format!("a/{shoot}/{text}/copy.webp"),
        format!("a/{shoot}/{text}/original.webp/b"),
    ] {
        assert_eq!(ParsedKey::parse(&object_key(&path)), None, "{path}");
    }
}

#[test]
fn file_names_become_safe() {
    for (filename, expected) in [
        ("photo.png", "photo"),
        ("PHOTO", "photo"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\Windows\\win.ini", "win"),
        ("a/b\\c.d/e.f.g", "e.f"),
        ("../..", "image"),
        ("photo/", "image"),
        ("", "image"),
        (".png", "image"),
        (".", "image"),
        ("-_.-.png", "image"),
        ("日本語.png", "image"),
        ("Été à Paris (2024).jpeg", "t-paris-2024"),
        ("a   b\t\n\0c.png", "a-b-c"),
        ("a---b__c..d.-.e.png", "a-b__c.d.-.e"),
        ("__private__.png", "private"),
        ("x%2F..%2Fy.png", "x-2f.-2fy"),
        ("\u{212A}elvin.png", "elvin"),
    ] {
        assert_eq!(SafeName::from_filename(filename).as_str(), expected, "{filename:?}");
    }
    assert_eq!(SafeName::from_filename(&"a".repeat(200)).as_str(), "a".repeat(64));
    let cut_at_a_dash = format!("{}-{}", "a".repeat(63), "b".repeat(9));
    assert_eq!(SafeName::from_filename(&cut_at_a_dash).as_str(), "a".repeat(63));
}

#[test]
fn foreign_paths_are_not_parsed() {
    for path in [
        "generated/2024/02/0a1b2c3d-1111-4222-8333-444455556666.png",
        "portraits/2024/03/0a1b2c3d_my-photo.jpg",
        "portraits/1970/12/00000000_a.b_c-d.svg",
    ] {
        let parsed = ParsedKey::parse(&object_key(path)).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(parsed.object_key().as_str(), path);
    }
    for path in [
        "generated",
        "generated/2024/02",
        "generated/2024/02/0a1b2c3d.png",
        "generated/2024/02/0a1b2c3d_photo.png",
        "generated/2024/02/0A1B2C3D-1111-4222-8333-444455556666.png",
        "generated/2024/02/0a1b2c3d-1111-4222-8333-444455556666.jpeg",
        "generated/2024/02/0a1b2c3d-1111-4222-8333-444455556666.png/",
        "generated/2024/13/0a1b2c3d-1111-4222-8333-444455556666.png",
        "generated/2024/00/0a1b2c3d-1111-4222-8333-444455556666.png",
        "generated/2024/2/0a1b2c3d-1111-4222-8333-444455556666.png",
        "generated/1969/02/0a1b2c3d-1111-4222-8333-444455556666.png",
        "generated/+202/02/0a1b2c3d-1111-4222-8333-444455556666.png",
        "generated/2024/02/0a1b2c3d-1111-4222-8333-444455556666_A7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.png",
        "generated/2024/02/0a1b2c3d-1111-4222-8333-444455556666_a7.png",
        "portraits/2024/03/0a1b2c3d-A7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7_my-photo.jpg",
        "portraits/2024/03/0a1b2c3d-a7_my-photo.jpg",
        "frames/2024/02/0a1b2c3d_photo.png",
        "Portraits/2024/02/0a1b2c3d_photo.png",
        "portraits/2024/02/0a1b2c3_photo.png",
        "portraits/2024/02/0A1B2C3D_photo.png",
        "portraits/2024/02/+a1b2c3d_photo.png",
        "portraits/2024/02/0a1b2c3d_.png",
        "portraits/2024/02/0a1b2c3d_-photo.png",
        "portraits/2024/02/0a1b2c3d_photo-.png",
        "portraits/2024/02/0a1b2c3d_Photo.png",
        "portraits/2024/02/0a1b2c3d_pho..to.png",
        "portraits/2024/02/0a1b2c3d_pho+to.png",
        "portraits/2024/02/0a1b2c3d_photo",
        "portraits/2024/02/0a1b2c3d_photo.exe",
        "/2024/02/0a1b2c3d_photo.png",
    ] {
        assert_eq!(ParsedKey::parse(&object_key(path)), None, "{path}");
    }
}

#[test]
fn months_follow_the_calendar_day_by_day() {
    // Straightforward counting from the first day of 1970 to the last of 9999.
    let is_leap = |year: u32| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut first_day = 0;
    for year in 1970..=9999 {
        let february = if is_leap(year) { 29 } else { 28 };
        for (month, days) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
            let expected = format!("{year:04}/{month:02}");
            let (first_ms, next_ms) = (first_day * DAY_MS, (first_day + days) * DAY_MS);
            for moment_ms in [first_ms, next_ms - 1] {
                assert_eq!(CalendarMonth::from(Timestamp::from_millis(moment_ms)).to_string(), expected);
            }
            first_day += days;
        }
    }
    for (moment_ms, nearest) in
        [(-1, "1970/01"), (i64::MIN, "1970/01"), (first_day * DAY_MS, "9999/12"), (i64::MAX, "9999/12")]
    {
        assert_eq!(CalendarMonth::from(Timestamp::from_millis(moment_ms)).to_string(), nearest);
    }
}

fn any_image_key() -> impl Strategy<Value = ImageKey> {
    let id = any::<[u8; 16]>().prop_map(ImageId::from_random_bytes);
    let moment = prop_oneof![any::<i64>(), 0..253_402_300_800_000_i64].prop_map(Timestamp::from_millis);
    let context = "[a-z0-9][a-z0-9_-]{0,63}".prop_filter_map("reserved", |text| Context::try_from(text).ok());
    let filename = prop_oneof![".*", "[a-zA-Z0-9._ /\\\\-]{0,90}", "[é.]{0,5}[a-z]{60,66}[-.]{0,4}[a-z]{0,9}"];
    let secret = proptest::option::of(any::<[u8; 16]>().prop_map(KeySecret::from_random_bytes));
    (any::<bool>(), id, secret, moment, context, filename, select(Format::ALL.to_vec())).prop_map(
        |(is_generated, id, secret, created_at, context, filename, format)| {
            if is_generated {
                return ImageKey::Generated { id, secret, created_at, format };
            }
            ImageKey::Uploaded { context, id, secret, created_at, name: SafeName::from_filename(&filename), format }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_key_round_trips_and_is_safe(key in any_image_key()) {
        let path = key.object_key();
        let text = path.as_str();
        prop_assert_eq!(ObjectKey::try_from(text.to_owned()), Ok(path.clone()));
        prop_assert!(text.len() <= 184, "{} bytes", text.len());
        prop_assert!(!text.contains("..") && text.split('/').all(|segment| !segment.is_empty()), "{text}");
        prop_assert!(text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/')));
        prop_assert_eq!(text.matches('/').count(), 3);

        let parsed = ParsedKey::parse(&path);
        prop_assert_eq!(parsed.as_ref(), Some(&ParsedKey::from(&key)));
        prop_assert_eq!(parsed.map(|parsed| parsed.object_key()), Some(path));
    }

    #[test]
    fn what_parses_is_the_path_of_what_was_parsed(
        text in prop_oneof!["[!-~]{1,80}", "[a-z]{1,9}/20[0-9]{2}/[01][0-9]/[0-9a-f]{7,9}_[a-z._-]{0,9}\\.(png|jpg|gif|svg)"],
    ) {
        let path = object_key(&text);
        if let Some(parsed) = ParsedKey::parse(&path) {
            prop_assert_eq!(parsed.object_key(), path);
        }
    }

    #[test]
    fn safe_names_stay_as_they_are(filename in ".*") {
        let name = SafeName::from_filename(&filename);
        let again = SafeName::from_filename(&format!("{}.png", name.as_str()));
        prop_assert_eq!(again, name);
    }
}
