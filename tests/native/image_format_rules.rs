//! The rules that inspection holds each format to, one broken at a time.

use stillstore::image::{Dimensions, Format, Rejection};

use crate::image_fixtures::bytes;
use crate::image_format::dimensions_of_start;

pub type Sides = Option<(u32, u32)>;

pub fn sides(dimensions: Option<Dimensions>) -> Sides {
    dimensions.map(|sides| (sides.width, sides.height))
}

pub fn inspect(bytes: &[u8]) -> Result<Sides, Rejection> {
    Format::inspect(bytes).map(|(_, geometry)| sides(geometry.map(|geometry| geometry.dimensions)))
}

fn sides_from_prefix(bytes: &[u8]) -> Sides {
    sides(dimensions_of_start(bytes))
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
    let second_header = [&png[..33], &png[8..33], &png[33..]].concat();
    assert_eq!(inspect(&second_header), Err(Rejection::Malformed), "second header");
    let data_length = png.windows(4).position(|name| name == b"IDAT").expect("IDAT") - 4;
    let mut huge = png.clone();
    huge[data_length..data_length + 4].copy_from_slice(&0x7FFF_FFFF_u32.to_be_bytes());
    assert_eq!(inspect(&huge), Err(Rejection::Truncated));
    huge[data_length] = 0x80;
    assert_eq!(inspect(&huge), Err(Rejection::Malformed));
}

/// A chunk of a PNG with a right checksum.
pub fn png_chunk(name: &[u8], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("short").to_be_bytes();
    [&length, name, data, &crc32(&[name, data].concat()).to_be_bytes()].concat()
}

#[test]
fn png_needs_its_pixels_only() {
    let png = bytes("rgb.png");
    let pixels = png.windows(4).position(|name| name == b"IDAT").expect("IDAT");
    let end = png.len() - 12;
    let data = &png[pixels + 4..end - 4];
    let start = &png[..pixels - 4];
    let followed = |tail: &[u8]| inspect(&[&png[..end], tail].concat());
    for tail in
        [b"".as_slice(), b"\0\0\0\0IEN", b"\0\0\xFF\xFFtEXtcut", b"\0\0\0\0\x01\x02\x03\x04", b"not a chunk at all"]
    {
        assert_eq!(followed(tail), Ok(Some((40, 24))), "{}", tail.escape_ascii());
    }
    // Checksum of the chunk, checksum of the compressed data, the mark of their end: ten bytes.
    assert_eq!(inspect(&png[..end - 10]), Ok(Some((40, 24))));
    assert_eq!(inspect(&png[..end - 11]), Err(Rejection::Truncated));

    let split = |lengths: &[usize]| {
        let mut rest = data;
        let chunks = lengths.iter().flat_map(|length| {
            let (chunk, following) = rest.split_at(*length);
            rest = following;
            png_chunk(b"IDAT", chunk)
        });
        [start.to_vec(), chunks.collect()].concat()
    };
    let last = data.len() - 2 * 100;
    assert_eq!(
        inspect(&split(&[100, 100, last])),
        if last < 100 { Ok(Some((40, 24))) } else { Err(Rejection::Truncated) }
    );
    assert_eq!(inspect(&split(&[200, data.len() - 200])), Ok(Some((40, 24))), "a shorter chunk is the last");
    assert_eq!(
        inspect(&split(&[100, 100])),
        Err(Rejection::Truncated),
        "one as long as the one before may be followed"
    );
    let broken_crc = [&png[..end - 1], &[png[end - 1] ^ 1], &png[end..]].concat();
    assert_eq!(inspect(&broken_crc), Ok(Some((40, 24))), "Pillow shows it");
}

/// A segment of a JPEG.
pub fn segment(code: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 2).expect("short").to_be_bytes();
    [&[0xFF, code], length.as_slice(), data].concat()
}

/// `baseline.jpg`, 40 by 24, with these segments before its frame.
pub fn jpeg_with(segments: &[Vec<u8>]) -> Vec<u8> {
    let jpeg = bytes("baseline.jpg");
    [&jpeg[..20], &segments.concat(), &jpeg[20..]].concat()
}

#[test]
fn what_follows_a_whole_image_is_not_looked_at() {
    for name in ["baseline.jpg", "rgb.png", "still.gif", "lossy.webp", "still.avif", "still.heic"] {
        let image = bytes(name);
        let dimensions = inspect(&image).expect("whole");
        for appended in
            [vec![0; 3], vec![0xFF; 500], b"\r\n".to_vec(), vec![0; 70_000], b"\0\0more".to_vec(), image.clone()]
        {
            assert_eq!(inspect(&[image.clone(), appended].concat()), Ok(dimensions), "{name}");
        }
    }
}

#[test]
fn jpeg_takes_what_cameras_append() {
    let jpeg = bytes("baseline.jpg");
    let movie = [iso_box(*b"ftyp", b"mp42\0\0\0\0isommp42"), iso_box(*b"mdat", &[7; 50])].concat();
    for trailer in [&movie, &movie[..30], &jpeg, &jpeg[..100], b"\0\0\x01\x0A\x0E\0\0\0Image_UTC_DataSEFHk\0\0\0SEFT"] {
        assert_eq!(inspect(&[&jpeg, trailer].concat()), Ok(Some((40, 24))));
    }
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
        (scan + 1, 0xD9, "no scan"),
    ] {
        let mut changed = jpeg.clone();
        changed[position] = byte;
        assert_eq!(inspect(&changed), Err(Rejection::Malformed), "{rule}");
    }
    let in_scan = [&jpeg[..jpeg.len() - 2], b"\xFF\x9F\xFF\xD8", &jpeg[jpeg.len() - 2..]].concat();
    assert_eq!(inspect(&in_scan), Ok(Some((40, 24))), "decoders pass over what they do not know in a scan");
    assert_eq!(inspect(&jpeg[..jpeg.len() - 1]), Err(Rejection::Truncated), "half an end");
    // Decoders pass over fill bytes, and over stray bytes between segments.
    let filled = [&jpeg[..frame], b"stray\xFF\xFF", &jpeg[frame..]].concat();
    assert_eq!(inspect(&filled), Ok(Some((40, 24))));
}

/// A GIF with a screen of these sides and pictures at these places, as far as inspection looks at them.
fn gif(screen: (u8, u8), pictures: &[[u8; 4]]) -> Vec<u8> {
    let mut gif = [b"GIF89a".as_slice(), &[screen.0, 0, screen.1, 0, 0, 0, 0]].concat();
    for [left, top, width, height] in pictures {
        gif.extend([b',', *left, 0, *top, 0, *width, 0, *height, 0, 0, 2, 2, b'D', 1, 0]);
    }
    gif.push(b';');
    gif
}

#[test]
fn gif_screens_grow_to_the_first_picture_as_in_chromium() {
    for (screen, pictures, expected) in [
        ((20, 10), vec![[0, 0, 20, 10]], Some((20, 10))),
        ((20, 10), vec![[0, 0, 30, 15]], Some((30, 15))),
        ((20, 10), vec![[15, 5, 20, 10]], Some((35, 15))),
        ((20, 10), vec![[30, 30, 5, 5]], Some((35, 35))),
        ((20, 10), vec![[0, 0, 30, 5]], Some((30, 10))),
        ((20, 10), vec![[0, 0, 5, 15]], Some((20, 15))),
        ((20, 10), vec![[3, 3, 5, 5]], Some((20, 10))),
        ((20, 10), vec![[0, 0, 20, 10], [0, 0, 30, 15]], Some((20, 10))),
        ((20, 10), vec![[0, 0, 25, 12], [0, 0, 30, 15]], Some((25, 12))),
        ((0, 0), vec![[0, 0, 20, 10]], Some((20, 10))),
        ((0, 10), vec![[0, 0, 5, 20]], Some((5, 20))),
        ((0, 0), vec![[5, 5, 20, 10]], Some((25, 15))),
        ((0, 0), vec![[0, 0, 0, 0]], None),
    ] {
        assert_eq!(inspect(&gif(screen, &pictures)), Ok(expected), "{screen:?} {pictures:?}");
        assert_eq!(sides_from_prefix(&gif(screen, &pictures)), expected, "{screen:?} {pictures:?} in passing");
    }
}

#[test]
fn gif_needs_its_first_picture_only() {
    assert_eq!(inspect(b"GIF89a\x02\0\x03\0\0\0\0;"), Err(Rejection::Malformed), "no picture");
    assert_eq!(inspect(b"GIF89a\x02\0\x03\0\0\0\0"), Err(Rejection::Truncated), "nothing at all");
    let pixel = b"GIF87a\x02\0\x03\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0";
    for (tail, rule) in [
        (b"".as_slice(), "no trailer"),
        (b";", "a trailer"),
        (b"\x3A\x3A", "unknown blocks"),
        (b",\0\0", "a second picture that is cut off"),
        (b"!\xFE\x09cut", "a comment that is cut off"),
    ] {
        assert_eq!(inspect(&[pixel, tail].concat()), Ok(Some((2, 3))), "{rule}");
    }
    let unknown_first = replace(pixel, b",\0\0\0\0\x01", b"\0\0,\0\0\0\0\x01");
    assert_eq!(inspect(&unknown_first), Ok(Some((2, 3))), "unknown blocks before the picture");
    assert_eq!(inspect(&pixel[..pixel.len() - 1]), Ok(Some((2, 3))), "no end of the pixels");
    assert_eq!(inspect(&pixel[..pixel.len() - 2]), Err(Rejection::Truncated), "a byte of the pixels missing");
    let full = [&pixel[..pixel.len() - 4], &[255], [7; 255].as_slice()].concat();
    assert_eq!(inspect(&full), Err(Rejection::Truncated), "after a full block, more must come");
    let with_table = replace(pixel, b"87a\x02\0\x03\0\0", b"87a\x02\0\x03\0\x80");
    assert_eq!(inspect(&with_table), Err(Rejection::Truncated), "a colour table takes bytes");
}

#[test]
fn webp_chunks_must_fit_the_riff_length() {
    let webp = bytes("lossy.webp");
    let mut longer = webp.clone();
    longer[4] += 2;
    assert_eq!(inspect(&longer), Err(Rejection::Truncated), "RIFF length over the file's");
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
