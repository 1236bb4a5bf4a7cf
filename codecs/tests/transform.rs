//! What becomes of images: sizes, orientation, alpha, profiles, animations, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod samples;

use samples::{gif_of_two_frames, gradient, jpeg, painted, png, progressive_jpeg, rgba_of, webp};
use stillstore_codecs::{Fit, Format, Output, Refusal, Request, Target, transform};

const REQUEST: Request = Request {
    width: 0,
    height: 0,
    fit: Fit::ScaleDown,
    orientation: 1,
    target: Target::Png,
    quality: 90,
    max_pixels: 4_000_000,
    coarseness: 1,
    enhances: false,
    with_placeholder: false,
};

fn made(bytes: &[u8], request: &Request) -> Output {
    transform(bytes, request).unwrap()
}

#[test]
fn every_format_becomes_every_format() {
    let image = gradient(320, 200);
    for (name, bytes) in [
        ("jpeg", jpeg(&image, None)),
        ("progressive jpeg", progressive_jpeg(&image)),
        ("png", png(&image, None)),
        ("webp", webp(&image)),
    ] {
        for (target, format) in [(Target::Jpeg, Format::Jpeg), (Target::Png, Format::Png), (Target::Webp, Format::Webp)]
        {
            let output = made(&bytes, &Request { width: 80, target, ..REQUEST });
            assert_eq!((output.format, output.width, output.height), (format, 80, 50), "{name}");
            let (width, height, rgba) = rgba_of(&output.bytes);
            assert_eq!((width, height), (80, 50), "{name} {format:?}");
            // Red rises from left to right, green from top to bottom, in what is made as in what it is made of.
            for (column, row) in [(4, 4), (40, 25), (75, 45)] {
                let pixel = &rgba[(row * 80 + column) * 4..][..4];
                let expected = [column * 255 / 80, row * 255 / 50, 128, 255];
                for (channel, expected) in pixel.iter().zip(expected) {
                    let difference = i32::from(*channel).abs_diff(i32::try_from(expected).unwrap());
                    assert!(difference <= 10, "{name} {format:?} at {column}, {row}: {pixel:?} for {expected}");
                }
            }
        }
    }
}

#[test]
fn sizes_are_reached_through_every_scale_of_the_decoder() {
    let image = gradient(1030, 517);
    for bytes in [jpeg(&image, None), png(&image, None)] {
        for width in [1, 10, 100, 128, 129, 200, 257, 258, 400, 515, 516, 800, 1030] {
            let output = made(&bytes, &Request { width, ..REQUEST });
            assert_eq!(output.width, width);
            let (_, height, rgba) = rgba_of(&output.bytes);
            // The last column is the reddest, at whatever scale: nothing is cut off or added at the edge.
            let pixel = &rgba[((height / 2) * width + width - 1) as usize * 4..][..4];
            let expected = if width == 1 { 127 } else { 255 - 128 / width };
            assert!(i64::from(pixel[0]).abs_diff(i64::from(expected)) <= 8, "{width}: {pixel:?} for {expected}");
        }
    }
}

#[test]
fn rows_that_are_scaled_in_strips_fit_together() {
    // 1,500 rows are three strips of a JPEG, and one of a PNG.
    let image = gradient(120, 1_500);
    let (strips, whole) = (jpeg(&image, None), png(&image, None));
    for (width, height, fit) in [(100, 0, Fit::ScaleDown), (119, 1_111, Fit::Cover), (240, 0, Fit::Contain)] {
        let request = Request { width, height, fit, ..REQUEST };
        let (one, other) = (rgba_of(&made(&strips, &request).bytes), rgba_of(&made(&whole, &request).bytes));
        assert_eq!((one.0, one.1), (other.0, other.1));
        let furthest = one.2.iter().zip(&other.2).map(|(one, other)| one.abs_diff(*other)).max();
        assert!(furthest <= Some(6), "{width} {height} {fit:?}: {furthest:?}");
    }
}

#[test]
fn a_jpeg_is_decoded_no_finer_than_there_is_memory_for() {
    let bytes = jpeg(&gradient(800, 400), None);
    for (coarseness, fit, width, expected) in [
        (1, Fit::ScaleDown, 600, (600, 300)),
        (2, Fit::ScaleDown, 600, (400, 200)),
        (2, Fit::ScaleDown, 300, (300, 150)),
        (8, Fit::ScaleDown, 600, (100, 50)),
        (2, Fit::Contain, 600, (600, 300)),
        (2, Fit::Crop, 600, (400, 200)),
    ] {
        let output = made(&bytes, &Request { width, fit, coarseness, ..REQUEST });
        assert_eq!((output.width, output.height), expected, "{coarseness} {fit:?} {width}");
    }
}

#[test]
fn the_orientation_is_applied() {
    // Red at the top left, green at the top right, blue at the bottom left, white at the bottom right.
    let corners = |column: u32, row: u32| match (column < 16, row < 8) {
        (true, true) => [255, 0, 0, 255],
        (false, true) => [0, 255, 0, 255],
        (true, false) => [0, 0, 255, 255],
        (false, false) => [255, 255, 255, 255],
    };
    let bytes = png(&samples::painted(32, 16, corners), None);
    let names = |rgba: &[u8], width: u32, height: u32| {
        let at = |column: u32, row: u32| match rgba[((row * width + column) * 4) as usize..][..3] {
            [255, 0, 0] => 'r',
            [0, 255, 0] => 'g',
            [0, 0, 255] => 'b',
            _ => 'w',
        };
        [at(1, 1), at(width - 2, 1), at(1, height - 2), at(width - 2, height - 2)].iter().collect::<String>()
    };
    // As EXIF defines them: where the stored picture's corners are in the upright one.
    for (orientation, expected) in
        [(1, "rgbw"), (2, "grwb"), (3, "wbgr"), (4, "bwrg"), (5, "rbgw"), (6, "brwg"), (7, "wgbr"), (8, "gwrb")]
    {
        let output = made(&bytes, &Request { orientation, ..REQUEST });
        let (width, height, rgba) = rgba_of(&output.bytes);
        assert_eq!((width, height), if orientation >= 5 { (16, 32) } else { (32, 16) });
        assert_eq!((output.width, output.height), (width, height));
        assert_eq!(names(&rgba, width, height), expected, "{orientation}");
    }
    let turned = made(&bytes, &Request { orientation: 6, width: 8, ..REQUEST });
    assert_eq!((turned.width, turned.height), (8, 16), "the width is that of the upright image");
}

#[test]
fn alpha_is_kept_where_the_format_has_it_and_becomes_white_in_jpeg() {
    let half = |column: u32, _: u32| if column < 32 { [255, 0, 0, 255] } else { [0, 255, 0, 0] };
    let bytes = png(&samples::painted(64, 64, half), None);
    for (target, format, see_through) in [
        (Target::Png, Format::Png, true),
        (Target::Webp, Format::Webp, true),
        (Target::JpegOrPng, Format::Png, true),
        (Target::JpegOrWebp, Format::Webp, true),
        (Target::Jpeg, Format::Jpeg, false),
    ] {
        for width in [64, 32, 8] {
            let output = made(&bytes, &Request { width, target, ..REQUEST });
            assert_eq!(output.format, format);
            let (_, _, rgba) = rgba_of(&output.bytes);
            let [left, right] = [0, width as usize - 1].map(|column| &rgba[column * 4..][..4]);
            assert!(left[0] > 240 && left[1] < 20 && left[3] == 255, "{target:?} {width}: {left:?}");
            if see_through {
                assert!(right[3] < 10, "{target:?} {width}: {right:?}");
            } else {
                assert!(right[..3].iter().all(|channel| *channel > 230), "{target:?} {width}: {right:?}");
            }
        }
    }
    let opaque = png(&gradient(64, 64), None);
    assert_eq!(made(&opaque, &Request { target: Target::JpegOrPng, ..REQUEST }).format, Format::Jpeg);
    assert_eq!(made(&opaque, &Request { target: Target::JpegOrWebp, ..REQUEST }).format, Format::Jpeg);
}

#[test]
fn edges_of_what_cannot_be_seen_have_no_halo() {
    // White on black that cannot be seen: a mean that ignores alpha would be grey.
    let disc = |column: u32, row: u32| {
        let (dx, dy) = (i64::from(column) - 200, i64::from(row) - 200);
        if dx * dx + dy * dy < 150 * 150 { [255, 255, 255, 255] } else { [0, 0, 0, 0] }
    };
    let bytes = png(&samples::painted(400, 400, disc), None);
    for width in [300, 150, 40] {
        let (_, _, rgba) = rgba_of(&made(&bytes, &Request { width, ..REQUEST }).bytes);
        for pixel in rgba.chunks(4).filter(|pixel| pixel[3] > 8) {
            assert!(pixel[..3].iter().all(|channel| *channel > 230), "{width}: {pixel:?}");
        }
    }
}

#[test]
fn profiles_of_rgb_are_kept_and_others_are_not() {
    let profile = |space: &[u8; 4]| {
        let mut profile = vec![0; 200];
        profile[16..20].copy_from_slice(space);
        profile
    };
    let rgb = profile(b"RGB ");
    for bytes in [jpeg(&gradient(64, 64), Some(&rgb)), png(&gradient(64, 64), Some(&rgb))] {
        for target in [Target::Jpeg, Target::Png, Target::Webp] {
            let output = made(&bytes, &Request { width: 16, target, ..REQUEST });
            assert_eq!(samples::profile_of(&output.bytes), Some(rgb.clone()), "{target:?}");
        }
    }
    let bytes = jpeg(&gradient(64, 64), Some(&profile(b"CMYK")));
    assert_eq!(samples::profile_of(&made(&bytes, &Request { target: Target::Jpeg, ..REQUEST }).bytes), None);
}

#[test]
fn of_an_animation_the_first_frame_is_shown_and_it_is_said() {
    let bytes = gif_of_two_frames();
    let output = made(&bytes, &REQUEST);
    assert!(output.is_of_animation);
    let (width, height, rgba) = rgba_of(&output.bytes);
    assert_eq!((width, height), (20, 10));
    // A frame of 10 by 5 at 5, 2: red, and nothing around it.
    assert_eq!(rgba[(4 * 20 + 8) * 4..][..4], [255, 0, 0, 255]);
    assert_eq!(rgba[0..4], [0, 0, 0, 0]);
    assert!(!made(&png(&gradient(8, 8), None), &REQUEST).is_of_animation);
}

#[test]
fn pixels_are_bounded_before_anything_is_decoded() {
    let request = Request { max_pixels: 1_000, ..REQUEST };
    let image = gradient(50, 50);
    for bytes in [jpeg(&image, None), png(&image, None), webp(&image), gif_of_two_frames()] {
        let limit = if bytes.starts_with(b"GIF8") { Request { max_pixels: 100, ..request } } else { request };
        assert_eq!(transform(&bytes, &limit).unwrap_err(), Refusal::TooManyPixels);
    }
    // A header that promises 30,000 by 30,000 pixels, and nothing behind it.
    let mut bomb = png(&gradient(8, 8), None);
    bomb[16..20].copy_from_slice(&30_000_u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&30_000_u32.to_be_bytes());
    let crc = samples::crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(transform(&bomb, &REQUEST).unwrap_err(), Refusal::TooManyPixels);
    // What is to be made is bounded, too.
    let thin = png(&gradient(1, 1_000), None);
    let larger = Request { width: 3_840, fit: Fit::Contain, ..REQUEST };
    assert_eq!(transform(&thin, &larger).unwrap_err(), Refusal::TooManyPixels);
}

#[test]
fn what_is_cut_off_or_no_image_is_refused() {
    let image = gradient(64, 64);
    for bytes in [png(&image, None), webp(&image)] {
        for length in [9, 20, 40, bytes.len() / 2] {
            assert!(transform(&bytes[..length], &REQUEST).is_err(), "{length} of {:?}", &bytes[..4]);
        }
    }
    let bytes = jpeg(&image, None);
    for length in [3, 20, 100] {
        assert!(transform(&bytes[..length], &REQUEST).is_err(), "{length}");
    }
    assert_eq!(transform(b"<svg xmlns='http://www.w3.org/2000/svg'/>", &REQUEST).unwrap_err(), Refusal::Unsupported);
    assert_eq!(transform(b"", &REQUEST).unwrap_err(), Refusal::Unsupported);
}

#[test]
fn a_jpeg_with_very_many_scans_is_refused() {
    let mut bytes = progressive_jpeg(&gradient(64, 64));
    let end = bytes.len() - 2;
    let scan: Vec<u8> = [0xFF, 0xDA, 0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x3F, 0x00].repeat(200);
    bytes.splice(end..end, scan);
    assert_eq!(transform(&bytes, &REQUEST).unwrap_err(), Refusal::Undecodable);
}

#[test]
fn inks_become_light() {
    for (inks, expected) in [
        // As Adobe stores them, inverted: no ink, cyan alone, black alone.
        ([255, 255, 255, 255], [255, 255, 255]),
        ([0, 255, 255, 255], [0, 255, 255]),
        ([255, 255, 255, 0], [0, 0, 0]),
    ] {
        let output = made(&samples::cmyk_jpeg(16, 16, inks), &REQUEST);
        let (_, _, rgba) = rgba_of(&output.bytes);
        let pixel = &rgba[..3];
        assert!(
            pixel.iter().zip(expected).all(|(one, other): (&u8, u8)| one.abs_diff(other) < 6),
            "{inks:?}: {pixel:?}"
        );
    }
}

#[test]
fn an_image_is_measured_the_same_in_every_format_and_orientation() {
    // Orange at the left, blue at the right, a little white.
    let paint = |column: u32, row: u32| match (column, row) {
        (0..20, 0..20) => [255, 255, 255, 255],
        (0..200, _) => [250, 120, 10, 255],
        _ => [10, 40, 200, 255],
    };
    let image = samples::painted(300, 200, paint);
    let measures = |bytes: &[u8], orientation| stillstore_codecs::measure(bytes, orientation, 4_000_000, 1).unwrap();
    let of_png = measures(&png(&image, None), 1);
    assert_eq!(of_png.colours.iter().map(|colour| colour.per_cent).collect::<Vec<_>>()[..2], [64, 32]);
    let near = |one: [u8; 3], other: [u8; 3]| one.iter().zip(other).all(|(one, other)| one.abs_diff(other) < 8);
    assert!(near(of_png.colours[0].rgb, [250, 120, 10]) && near(of_png.colours[1].rgb, [10, 40, 200]), "{of_png:?}");
    assert!((5..=25).contains(&of_png.thumbhash.len()));
    for bytes in [jpeg(&image, None), webp(&image)] {
        let other = measures(&bytes, 1);
        assert!((other.difference_hash ^ of_png.difference_hash).count_ones() < 6, "{other:?} {of_png:?}");
        assert!(near(other.colours[0].rgb, of_png.colours[0].rgb));
    }
    // Turned by a half, what was bright at the left is at the right.
    let turned = samples::painted(300, 200, |column, row| paint(299 - column, 199 - row));
    assert_eq!(measures(&png(&turned, None), 3), of_png);
    assert_ne!(measures(&png(&turned, None), 1).difference_hash, of_png.difference_hash);
}

#[test]
fn a_blurred_image_is_less_sharp_and_nothing_visible_has_no_colours() {
    let stripes = |width: u32| {
        let paint = move |column: u32, _: u32| {
            if (column / width).is_multiple_of(2) { [0, 0, 0, 255] } else { [255, 255, 255, 255] }
        };
        png(&samples::painted(256, 256, paint), None)
    };
    let soft = png(&gradient(256, 256), None);
    let sharpness = |bytes: &[u8]| stillstore_codecs::measure(bytes, 1, 100_000, 1).unwrap().sharpness;
    assert!(sharpness(&stripes(2)) > sharpness(&stripes(16)) && sharpness(&stripes(16)) > 1_000);
    assert!(sharpness(&soft) < 10, "{}", sharpness(&soft));
    let clear = png(&samples::painted(8, 8, |_, _| [9, 9, 9, 0]), None);
    assert_eq!(stillstore_codecs::measure(&clear, 1, 100_000, 1).unwrap().colours, []);
    let pixel = png(&samples::painted(1, 1, |_, _| [9, 9, 9, 255]), None);
    assert_eq!(stillstore_codecs::measure(&pixel, 1, 100_000, 1).unwrap().sharpness, 0);
    assert_eq!(stillstore_codecs::measure(&soft, 1, 100, 1).unwrap_err(), Refusal::TooManyPixels);
}

#[test]
fn a_placeholder_is_of_the_whole_image_whatever_the_variant_shows() {
    // Red on the left fifth, blue elsewhere, as it is stored.
    let image = painted(200, 40, |column, _| if column < 40 { [255, 0, 0, 255] } else { [0, 0, 255, 255] });
    let bytes = png(&image, None);
    let of = |request: Request| made(&bytes, &Request { with_placeholder: true, ..request }).placeholder.unwrap();
    let whole = of(Request { width: 200, ..REQUEST });
    assert_eq!(whole.colour, Some([0, 0, 255]));
    for request in [
        Request { width: 20, height: 20, fit: Fit::Cover, ..REQUEST },
        Request { width: 30, height: 40, fit: Fit::Crop, ..REQUEST },
        Request { width: 50, ..REQUEST },
    ] {
        let placeholder = of(request);
        assert_eq!(placeholder.colour, whole.colour, "{request:?}");
        let (width, height, rgba) = thumbhash::thumb_hash_to_rgba(&placeholder.thumbhash).unwrap();
        assert!(width > height * 3, "{width}x{height}");
        let pixel = |column: usize| &rgba[(height / 2 * width + column) * 4..][..3];
        assert!(pixel(1)[0] > pixel(1)[2] && pixel(width - 2)[2] > pixel(width - 2)[0], "{request:?}");
    }
    // Orientation 6: the left side is on top.
    let turned = of(Request { width: 20, orientation: 6, ..REQUEST });
    let (width, height, rgba) = thumbhash::thumb_hash_to_rgba(&turned.thumbhash).unwrap();
    assert!(height > width * 3 && rgba[width / 2 * 4] > rgba[width / 2 * 4 + 2], "{width}x{height}");
    assert_eq!(made(&bytes, &REQUEST).placeholder, None);
}
