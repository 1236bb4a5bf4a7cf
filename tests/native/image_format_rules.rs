//! The rules that inspection holds each format to, one broken at a time.

use stillstore::image::{Dimensions, Format, Rejection};

use crate::image_fixtures::bytes;

pub type Sides = Option<(u32, u32)>;

fn sides(dimensions: Option<Dimensions>) -> Sides {
    dimensions.map(|sides| (sides.width, sides.height))
}

pub fn inspect(bytes: &[u8]) -> Result<Sides, Rejection> {
    Format::inspect(bytes).map(|(_, dimensions)| sides(dimensions))
}

fn sides_from_prefix(bytes: &[u8]) -> Sides {
    sides(Format::dimensions_from_prefix(bytes))
}

/// `bytes` with the one occurrence of `old` replaced by `new`.
pub fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    assert_eq!(places.len(), 1, "{} occurs {} times", old.escape_ascii(), places.len());
    [&bytes[..places[0]], new, &bytes[places[0] + old.len()..]].concat()
}

/// An ISO base media box.
pub fn iso_box(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).expect("short").to_be_bytes();
    [&length, kind.as_slice(), body].concat()
}

#[test]
fn png_header_must_be_valid() {
    let png = bytes("rgb.png");
    for (position, byte, rule) in [
        (11, 14, "length of IHDR"),
        (12, b'i', "name of IHDR"),
        (19, 41, "width under the old CRC"),
        (24, 9, "bit depth"),
        (32, png[32] ^ 1, "CRC"),
    ] {
        let mut broken = png.clone();
        broken[position] = byte;
        assert_eq!(inspect(&broken), Err(Rejection::Malformed), "{rule}");
        assert_eq!(sides_from_prefix(&broken), None, "{rule}");
    }
}

/// A PNG of an IHDR with a right CRC and an empty IDAT.
fn png_with_header(header: [u8; 13]) -> Vec<u8> {
    let chunk = |name: &[u8], data: &[u8]| {
        let crc = crc32(&[name, data].concat()).to_be_bytes();
        let length = u32::try_from(data.len()).expect("short").to_be_bytes();
        [&length, name, data, &crc].concat()
    };
    [b"\x89PNG\r\n\x1A\n".as_slice(), &chunk(b"IHDR", &header), &chunk(b"IDAT", b""), &chunk(b"IEND", b"")].concat()
}

/// CRC-32 by its definition as the remainder of a polynomial division.
fn crc32(bytes: &[u8]) -> u32 {
    let mut remainder = 0xFFFF_FFFF_u32;
    for byte in bytes {
        for bit in 0..8 {
            let is_set = (remainder ^ u32::from(byte >> bit)) & 1 == 1;
            remainder >>= 1;
            if is_set {
                remainder ^= 0xEDB8_8320;
            }
        }
    }
    !remainder
}

#[test]
fn png_fields_must_be_allowed_together() {
    let header = |width: u32, height: u32, rest: [u8; 5]| {
        let mut header = [0; 13];
        header[..4].copy_from_slice(&width.to_be_bytes());
        header[4..8].copy_from_slice(&height.to_be_bytes());
        header[8..].copy_from_slice(&rest);
        inspect(&png_with_header(header))
    };
    assert_eq!(header(3, 2, [8, 6, 0, 0, 1]), Ok(Some((3, 2))));
    assert_eq!(header(0x7FFF_FFFF, 1, [1, 0, 0, 0, 0]), Ok(Some((0x7FFF_FFFF, 1))));
    for (width, height, rest) in [
        (0, 2, [8, 6, 0, 0, 0]),
        (3, 0, [8, 6, 0, 0, 0]),
        (0x8000_0000, 1, [8, 6, 0, 0, 0]),
        (3, 2, [4, 2, 0, 0, 0]),
        (3, 2, [16, 3, 0, 0, 0]),
        (3, 2, [8, 5, 0, 0, 0]),
        (3, 2, [8, 6, 1, 0, 0]),
        (3, 2, [8, 6, 0, 1, 0]),
        (3, 2, [8, 6, 0, 0, 2]),
    ] {
        assert_eq!(header(width, height, rest), Err(Rejection::Malformed), "{width} x {height} {rest:?}");
    }
}

#[test]
fn png_chunks_must_be_sound() {
    let png = bytes("rgb.png");
    assert_eq!(inspect(&replace(&png, b"IDAT", b"IDAx")), Err(Rejection::Malformed), "no pixels");
    assert_eq!(inspect(&replace(&png, b"IDAT", b"ID\0T")), Err(Rejection::Malformed), "name");
    let second_header = [&png[..33], &png[8..33], &png[33..]].concat();
    assert_eq!(inspect(&second_header), Err(Rejection::Malformed), "second header");
    let data_length = png.windows(4).position(|name| name == b"IDAT").expect("IDAT") - 4;
    let mut huge = png.clone();
    huge[data_length..data_length + 4].copy_from_slice(&0x7FFF_FFFF_u32.to_be_bytes());
    assert_eq!(inspect(&huge), Err(Rejection::Truncated));
    huge[data_length] = 0x80;
    assert_eq!(inspect(&huge), Err(Rejection::Malformed));
}

#[test]
fn padding_behind_the_end_is_allowed_within_reason() {
    for name in ["baseline.jpg", "rgb.png", "still.gif", "lossy.webp", "still.avif", "still.heic"] {
        let image = bytes(name);
        let dimensions = inspect(&image).expect("whole");
        for padding in [vec![0; 3], vec![0xFF; 500], b"\r\n".to_vec(), vec![0; 64 * 1024]] {
            assert_eq!(inspect(&[image.clone(), padding].concat()), Ok(dimensions), "{name}");
        }
        for appended in [vec![0; 64 * 1024 + 1], b"\0\0more".to_vec(), b"\0\xFFx".to_vec()] {
            assert!(inspect(&[image.clone(), appended].concat()).is_err(), "{name}");
        }
    }
    for name in ["rgb.png", "still.gif", "lossy.webp"] {
        let image = bytes(name);
        assert_eq!(inspect(&[image.clone(), image].concat()), Err(Rejection::Malformed), "{name} twice");
    }
}

#[test]
fn jpeg_takes_what_cameras_append() {
    let jpeg = bytes("baseline.jpg");
    let movie = [iso_box(*b"ftyp", b"mp42\0\0\0\0isommp42"), iso_box(*b"mdat", &[7; 50])].concat();
    let appended = |trailer: &[u8]| inspect(&[&jpeg, trailer].concat());

    assert_eq!(appended(&jpeg), Ok(Some((40, 24))));
    assert_eq!(appended(&[&[0; 100], jpeg.as_slice(), &[0; 9]].concat()), Ok(Some((40, 24))));
    assert_eq!(appended(&jpeg[..jpeg.len() - 1]), Err(Rejection::Truncated));
    assert_eq!(appended(&movie), Ok(Some((40, 24))));
    assert_eq!(appended(&[&[0; 5], movie.as_slice()].concat()), Ok(Some((40, 24))));
    assert_eq!(appended(&[jpeg.as_slice(), &movie].concat()), Ok(Some((40, 24))));
    assert_eq!(appended(&movie[..movie.len() - 1]), Err(Rejection::Truncated));
    assert_eq!(appended(b"\0\0\x01\x0A\x0E\0\0\0Image_UTC_DataSEFHk\0\0\0SEFT"), Ok(Some((40, 24))));
    assert_eq!(appended(b"\0\0\x01\x0A\x0E\0\0\0Image_UTC_DataSEFHk\0\0\0"), Err(Rejection::Malformed));
}

#[test]
fn jpeg_markers_must_be_in_order() {
    let jpeg = bytes("baseline.jpg");
    let frame = jpeg.windows(2).position(|marker| marker == b"\xFF\xC0").expect("SOF0");
    let scan = jpeg.windows(2).position(|marker| marker == b"\xFF\xDA").expect("SOS");
    let inserted = |position: usize, segment: &[u8]| inspect(&[&jpeg[..position], segment, &jpeg[position..]].concat());
    assert_eq!(inserted(frame, b"\xFF\xFE\0\x04ok"), Ok(Some((40, 24))), "comment");
    for (segment, rule) in [
        (b"\xFF\xD8".as_slice(), "second SOI"),
        (b"\xFF\x40\0\x02", "reserved marker"),
        (b"\xFF\xE0\0\x01", "length under 2"),
        (&jpeg[frame..frame + 19], "second frame"),
        (&jpeg[scan..scan + 14], "scan without frame"),
    ] {
        assert_eq!(inserted(frame, segment), Err(Rejection::Malformed), "{rule}");
    }
    for (position, byte, rule) in [
        (frame + 9, 4, "component count"),
        (frame + 6, 0, "height 0"),
        (frame + 8, 0, "width 0"),
        (frame + 1, 0xEF, "no frame"),
        (scan + 1, 0xE1, "no scan"),
    ] {
        let mut changed = jpeg.clone();
        changed[position] = byte;
        assert_eq!(inspect(&changed), Err(Rejection::Malformed), "{rule}");
    }
    // Decoders pass over fill bytes, and over stray bytes between segments.
    let filled = [&jpeg[..frame], b"stray\xFF\xFF", &jpeg[frame..]].concat();
    assert_eq!(inspect(&filled), Ok(Some((40, 24))));
}

#[test]
fn gif_blocks_must_be_known() {
    assert_eq!(inspect(b"GIF89a\x02\0\x03\0\0\0\0;"), Err(Rejection::Malformed), "no picture");
    let pixel = b"GIF87a\x02\0\x03\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    assert_eq!(inspect(pixel), Ok(Some((2, 3))));
    assert_eq!(inspect(&replace(pixel, b"\0;", b"\0\x3A")), Err(Rejection::Malformed), "unknown block");
    assert_eq!(inspect(&replace(pixel, b"87a\x02", b"87a\0")), Ok(None), "screen without a width");
    assert_eq!(inspect(&replace(pixel, b"87a\x02\0\x03\0\0", b"87a\x02\0\x03\0\x80")), Err(Rejection::Malformed));
}

#[test]
fn webp_chunks_must_fit_the_riff_length() {
    let webp = bytes("lossy.webp");
    for (position, byte, rule) in [
        (4, webp[4] - 2, "RIFF length cuts the chunk"),
        (16, webp[16] + 2, "chunk longer than RIFF"),
        (20, webp[20] | 1, "no key frame"),
        (23, 0, "no start code"),
        (26, 0, "width 0"),
    ] {
        let mut broken = webp.clone();
        broken[position] = byte;
        assert_eq!(inspect(&broken), Err(Rejection::Malformed), "{rule}");
    }
    let mut scaled = webp.clone();
    scaled[27] |= 0xC0;
    assert_eq!(inspect(&scaled), Ok(Some((40, 24))), "a scale for display is no size");
    for (position, byte, rule) in [(20, 0x2E, "signature"), (24, 0x20, "version")] {
        let mut broken = bytes("lossless.webp");
        broken[position] = byte;
        assert_eq!(inspect(&broken), Err(Rejection::Malformed), "{rule}");
    }
    let without_pixels = b"RIFF\x16\0\0\0WEBPVP8X\x0A\0\0\0\0\0\0\0\x01\0\0\x02\0\0";
    assert_eq!(sides_from_prefix(without_pixels), Some((2, 3)));
    assert_eq!(inspect(without_pixels), Err(Rejection::Malformed));
    // The last chunk's padding may be left out.
    let odd = b"RIFF\x11\0\0\0WEBPVP8L\x05\0\0\0\x2F\x01\x80\0\0";
    assert_eq!(inspect(odd), Ok(Some((2, 3))));
    assert_eq!(inspect(&[odd.as_slice(), b"\0"].concat()), Ok(Some((2, 3))));
}

#[test]
fn svg_must_be_one_closed_root() {
    const OPEN: &str = "<svg xmlns='http://www.w3.org/2000/svg'>";
    let document = |rest: &str| inspect(format!("{OPEN}{rest}").as_bytes());
    assert_eq!(document("<a><b/></a></svg> <?done?> <!-- end --> \n"), Ok(None));
    for (rest, rejection) in [
        ("", Rejection::Truncated),
        ("<a></a>", Rejection::Truncated),
        ("<!-- </svg>", Rejection::Truncated),
        ("<![CDATA[ </svg>", Rejection::Truncated),
        ("<a b='</svg>", Rejection::Truncated),
        ("<a></svg>", Rejection::Malformed),
        ("</svg></svg>", Rejection::Malformed),
        ("</svg><svg/>", Rejection::Malformed),
        ("</svg><p>html</p>", Rejection::Malformed),
        ("</svg>text", Rejection::Malformed),
        ("</svg>&amp;", Rejection::Malformed),
        ("</svg><![CDATA[ ]]>", Rejection::Malformed),
        ("<!DOCTYPE html></svg>", Rejection::Malformed),
        ("<?xml version='1.0'?></svg>", Rejection::Malformed),
        ("\0</svg>", Rejection::Malformed),
        ("\u{1B}</svg>", Rejection::Malformed),
        ("<!x></svg>", Rejection::Malformed),
    ] {
        assert_eq!(document(rest), Err(rejection), "{rest}");
    }
    assert_eq!(inspect(b"<svg>\xFF</svg>"), Err(Rejection::Malformed));
    assert_eq!(inspect(b"<!DOCTYPE svg SYSTEM 'a>b' \"c>'d\" [<!ENTITY e '>]'>]><svg/>"), Ok(None));
}

#[test]
fn svg_nesting_is_limited() {
    let nested = |depth: usize| inspect((["<svg>".repeat(depth), "</svg>".repeat(depth)].concat()).as_bytes());
    assert_eq!(nested(256), Ok(None));
    assert_eq!(nested(257), Err(Rejection::Malformed));
}

#[test]
fn svg_namespace_must_be_its_own() {
    assert_eq!(inspect(b"<svg/>"), Ok(None));
    assert_eq!(inspect(b"<svg xmlns='http://www.w3.org/1999/xhtml'/>"), Err(Rejection::NotAnImage));
    assert_eq!(inspect(b"<s:svg/>"), Err(Rejection::Malformed));
    assert_eq!(inspect(b"<s:svg xmlns='http://www.w3.org/2000/svg'/>"), Err(Rejection::Malformed));
    assert_eq!(inspect(b"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>"), Ok(None));
    assert_eq!(inspect(b"<s:svg xmlns:s='urn:other'/>"), Err(Rejection::NotAnImage));
}

#[test]
fn svg_sizes_are_plain_pixels_or_the_view_box() {
    for (attributes, expected) in [
        ("width='3' height='4'", Some((3, 4))),
        ("width=' 3px ' height='4.0'", Some((3, 4))),
        ("width='3.1' height='4.' viewBox='0 0 9 9'", Some((4, 4))),
        ("viewBox='0 0 9 8'", Some((9, 8))),
        ("viewBox='-1,-2, 9.5 ,8'", Some((10, 8))),
        ("width='100%' height='50%' viewBox='0 0 9 8'", Some((9, 8))),
        ("width='100%' viewBox='0 0 9 8'", Some((9, 8))),
        ("width='3' viewBox='0 0 9 8'", None),
        ("width='3em' height='4em' viewBox='0 0 9 8'", None),
        ("width='0' height='4'", None),
        ("width='-3' height='4'", None),
        ("width='+3' height='4'", None),
        ("width='1e3' height='4'", None),
        ("width='.' height='4'", None),
        ("width='4294967296' height='4'", None),
        ("width='4294967295.5' height='4'", None),
        ("viewBox='0 0 9'", None),
        ("viewBox='0 0 9 8 7'", None),
    ] {
        let svg = format!("<svg {attributes}></svg>");
        assert_eq!(inspect(svg.as_bytes()), Ok(expected), "{attributes}");
        assert_eq!(sides_from_prefix(svg.as_bytes()), expected, "{attributes}");
    }
}
