//! EXIF orientation: what browsers turn, and what they leave.

use stillstore::image::{Format, HeaderWalk, Orientation};

use crate::image_fixtures::bytes;
use crate::image_format_rules::{inspect, jpeg_with, png_chunk, segment};

/// EXIF data with this orientation, and another entry before it.
fn exif(orientation: u16, is_big_endian: bool) -> Vec<u8> {
    let (short, long) = if is_big_endian {
        (u16::to_be_bytes as fn(u16) -> [u8; 2], u32::to_be_bytes as fn(u32) -> [u8; 4])
    } else {
        (u16::to_le_bytes as fn(u16) -> [u8; 2], u32::to_le_bytes as fn(u32) -> [u8; 4])
    };
    let entry = |tag: u16, kind: u16, count: u32, value: u16| {
        [short(tag).as_slice(), &short(kind), &long(count), &short(value), &[0, 0]].concat()
    };
    let order = if is_big_endian { b"MM" } else { b"II" };
    [
        order.as_slice(),
        &short(42),
        &long(8),
        &short(2),
        &entry(0x0100, 3, 1, 9),
        &entry(0x0112, 3, 1, orientation),
        &long(0),
    ]
    .concat()
}

#[test]
fn exif_orientations_are_those_that_chromium_applies() {
    let (upright, turned) = (Ok(Some((40, 24))), Ok(Some((24, 40))));
    let app_1 = |tiff: &[u8]| segment(0xE1, &[b"Exif\0\0", tiff].concat());
    for is_big_endian in [false, true] {
        for orientation in 0..=9 {
            let expected = if (5..=8).contains(&orientation) { turned } else { upright };
            let tiff = exif(orientation, is_big_endian);
            assert_eq!(inspect(&jpeg_with(&[app_1(&tiff)])), expected, "JPEG {orientation}");
            let png = bytes("rgb.png");
            let png = [&png[..33], &png_chunk(b"eXIf", &tiff), &png[33..]].concat();
            assert_eq!(inspect(&png), expected, "PNG {orientation}");
        }
    }
    let tiff = exif(6, false);
    let changed = |position: usize, byte: u8| {
        let mut tiff = tiff.clone();
        tiff[position] = byte;
        app_1(&tiff)
    };
    for (segments, expected, rule) in [
        (
            vec![
                segment(0xE1, &[b"http://ns.adobe.com/xap/1.0/\0".as_slice(), &[b' '; 60_000]].concat()),
                app_1(&tiff),
            ],
            turned,
            "XMP first",
        ),
        (vec![app_1(&tiff), app_1(&exif(1, false))], turned, "the first counts"),
        (vec![app_1(&exif(1, false)), app_1(&tiff)], upright, "the second does not"),
        (vec![app_1(b"broken"), app_1(&tiff)], upright, "nor after a broken one"),
        (vec![segment(0xE1, &[b"Exif\0\xFF", tiff.as_slice()].concat())], turned, "any padding"),
        (vec![segment(0xE0, &[b"Exif\0\0", tiff.as_slice()].concat())], upright, "another segment"),
        (vec![app_1(&tiff[..tiff.len() - 4])], turned, "the directory's end is missing"),
        (vec![changed(8, 9)], turned, "it has fewer entries than it says"),
        (vec![changed(24, 4)], upright, "the type of a long number"),
        (vec![changed(26, 2)], upright, "two numbers"),
        (vec![changed(2, 43)], upright, "no TIFF"),
        (vec![changed(4, 0)], upright, "a directory within the header"),
        (vec![changed(5, 0xFF)], upright, "a directory that is not there"),
    ] {
        assert_eq!(inspect(&jpeg_with(&segments)), expected, "{rule}");
    }
    let jpeg = bytes("baseline.jpg");
    let scan = jpeg.windows(2).position(|marker| marker == b"\xFF\xDA").expect("SOS");
    assert_eq!(inspect(&[&jpeg[..scan], &app_1(&tiff), &jpeg[scan..]].concat()), turned, "after the frame");
    let end = jpeg.len() - 2;
    assert_eq!(inspect(&[&jpeg[..end], &app_1(&tiff), &jpeg[end..]].concat()), upright, "after the scan");

    let png = bytes("rgb.png");
    let exif_chunk = png_chunk(b"eXIf", &tiff);
    let with = |chunk: &[u8], at: usize| inspect(&[&png[..at], chunk, &png[at..]].concat());
    let mut broken = exif_chunk.clone();
    broken.pop();
    broken.push(0);
    assert_eq!(with(&broken, 33), upright, "a wrong checksum");
    assert_eq!(with(&exif_chunk, png.len() - 12), upright, "after the pixels");
    assert_eq!(
        with(&png_chunk(b"eXIf", &[b"Exif\0\0", tiff.as_slice()].concat()), 33),
        upright,
        "named like a segment's"
    );
    assert_eq!(
        with(&[png_chunk(b"eXIf", &tiff), png_chunk(b"eXIf", &exif(1, false))].concat(), 33),
        turned,
        "the first counts"
    );
}

/// The orientation that is recorded, which a header that passes by tells too.
fn recorded(image: &[u8]) -> Option<u8> {
    let (format, geometry) = Format::inspect(image).expect("an image");
    let mut walk = HeaderWalk::new(format, image.len() as u64);
    image.chunks(600).for_each(|run| walk.pass(&run.to_vec().into()));
    walk.settle();
    assert_eq!(walk.geometry(), geometry);
    geometry?.orientation.map(Orientation::get)
}

#[test]
fn the_orientation_is_recorded_as_exif_numbers_it() {
    for number in 0..=9 {
        let expected = u8::try_from(number).ok().filter(|number| (1..=8).contains(number));
        let tiff = exif(number, true);
        let jpeg = jpeg_with(&[segment(0xE1, &[b"Exif\0\0", tiff.as_slice()].concat())]);
        assert_eq!(recorded(&jpeg), expected, "JPEG {number}");
        let png = bytes("rgb.png");
        let png = [&png[..33], &png_chunk(b"eXIf", &tiff), &png[33..]].concat();
        assert_eq!(recorded(&png), expected, "PNG {number}");
    }
    let two = [exif(9, true), exif(6, true)].map(|tiff| segment(0xE1, &[b"Exif\0\0", tiff.as_slice()].concat()));
    assert_eq!(recorded(&jpeg_with(&two)), None, "the first counts");
    for name in ["rgb.png", "baseline.jpg", "extended-alpha-exif.webp"] {
        assert_eq!(recorded(&bytes(name)), None, "{name}");
    }
}

#[test]
fn orientation_in_a_webp_is_not_applied() {
    assert_eq!(inspect(&bytes("extended-alpha-exif.webp")), Ok(Some((40, 24))));
}
