//! The rules that inspection holds AVIF, HEIC and their boxes to.

use stillstore::image::Rejection;

use crate::image_fixtures::bytes;
use crate::image_format::dimensions_in_passing;
use crate::image_format_rules::{inspect, iso_box, replace};

#[test]
fn heif_picture_data_must_lie_in_the_file() {
    let avif = bytes("still.avif");
    let data = avif.windows(4).position(|kind| kind == b"mdat").expect("mdat") - 4;
    assert_eq!(inspect(&avif[..data]), Err(Rejection::Truncated), "no mdat");
    let sequence = bytes("sequence.avif");
    let movie = sequence.windows(4).position(|kind| kind == b"moov").expect("moov") - 4;
    assert_eq!(inspect(&replace(&sequence, b"moov", b"free")), Err(Rejection::Truncated), "no moov");
    assert_eq!(inspect(&sequence[..movie]), Err(Rejection::Truncated), "cut before moov");
}

#[test]
fn heif_sequence_needs_movie_and_samples() {
    let file = |boxes: &[Vec<u8>]| inspect(&[iso_box(*b"ftyp", b"msf1\0\0\0\0hevc"), boxes.concat()].concat());
    let (movie, samples) = (iso_box(*b"moov", b"tracks"), iso_box(*b"mdat", b"samples"));
    assert_eq!(file(&[movie.clone(), samples.clone()]), Ok(None));
    assert_eq!(file(&[samples.clone(), movie.clone()]), Ok(None));
    assert_eq!(file(&[movie]), Err(Rejection::Truncated));
    assert_eq!(file(&[samples]), Err(Rejection::Truncated));
}

#[test]
fn heif_boxes_must_describe_the_primary_picture() {
    let heic = bytes("two-pictures.heic");
    for (old, rule) in [
        (b"pitm", "no primary item"),
        (b"iloc", "no locations"),
        (b"iprp", "no properties"),
        (b"ipco", "no property container"),
        (b"ipma", "no associations"),
    ] {
        assert_eq!(inspect(&replace(&heic, old, b"free")), Err(Rejection::Malformed), "{rule}");
    }
    let other_box = replace(&heic, b"mdat", b"\x01\x02\x03\x04");
    assert_eq!(inspect(&other_box), Ok(Some((64, 64))), "only the place of the data counts");
    assert_eq!(inspect(&replace(&heic, b"meta", b"free")), Err(Rejection::Truncated), "nothing described");
}

/// A HEIC of one item of 5 by 7 pixels with this `iloc` content.
fn heic(locations: &[u8]) -> Vec<u8> {
    heic_with(locations, b"\0\0\0\x01\0\0\0\x01\0\x01\x01\x80\x01", 5)
}

/// A HEIC of one item, as high as 7 pixels, with these `iloc` and `ipma` contents and this width.
fn heic_with(locations: &[u8], associations: &[u8], width: u32) -> Vec<u8> {
    let extent = [[0; 4], width.to_be_bytes(), 7_u32.to_be_bytes()].concat();
    let container = iso_box(*b"ipco", &iso_box(*b"ispe", &extent));
    let properties = [container, iso_box(*b"ipma", associations)].concat();
    let meta = [
        b"\0\0\0\0".to_vec(),
        iso_box(*b"pitm", b"\0\0\0\0\0\x01"),
        iso_box(*b"iloc", locations),
        iso_box(*b"iprp", &properties),
    ];
    [iso_box(*b"ftyp", b"heic\0\0\0\0"), iso_box(*b"meta", &meta.concat())].concat()
}

/// An `iloc` of one item whose bytes are the first of the file.
const LOCATIONS: &[u8] = b"\0\0\0\0\x44\0\0\x01\0\x01\0\0\0\x01\0\0\0\x08\0\0\0\x08";

#[test]
fn heif_associations_are_read_in_every_form() {
    for (associations, expected) in [
        (b"\0\0\0\0\0\0\0\x01\0\x01\x01\x01".as_slice(), Ok(Some((5, 7)))),
        (b"\0\0\0\0\0\0\0\x01\0\x01\x01\x81", Ok(Some((5, 7)))),
        (b"\0\0\0\x01\0\0\0\x01\0\x01\x01\x80\x01", Ok(Some((5, 7)))),
        (b"\x01\0\0\0\0\0\0\x01\0\0\0\x01\x02\x09\x01", Ok(Some((5, 7)))),
        (b"\0\0\0\0\0\0\0\x02\0\x02\x01\x09\0\x01\x01\x01", Ok(Some((5, 7)))),
        (b"\0\0\0\0\0\0\0\x01\0\x01\x01\x02", Err(Rejection::Malformed)),
        (b"\0\0\0\0\0\0\0\x01\0\x02\x01\x01", Err(Rejection::Malformed)),
        (b"\0\0\0\0\0\0\0\x09\0\x02\x01\x01", Err(Rejection::Malformed)),
        (b"\0\0\0\0\0\0\0\x01\0\x01\xFF\x01", Err(Rejection::Malformed)),
    ] {
        assert_eq!(inspect(&heic_with(LOCATIONS, associations, 5)), expected, "{}", associations.escape_ascii());
    }
    let without_width = heic_with(LOCATIONS, b"\0\0\0\0\0\0\0\x01\0\x01\x01\x01", 0);
    assert_eq!(inspect(&without_width), Err(Rejection::Malformed));
}

#[test]
fn heif_locations_are_read_in_every_version() {
    let one_item = |head: &[u8], extent: &[u8]| [head, extent].concat();
    // Version 0, offset and length of 4 bytes, item 1, data reference 0, one extent.
    let version_0 = b"\0\0\0\0\x44\0\0\x01\0\x01\0\0\0\x01";
    assert_eq!(inspect(&heic(&one_item(version_0, b"\0\0\0\x08\0\0\0\x08"))), Ok(Some((5, 7))));
    assert_eq!(inspect(&heic(&one_item(version_0, b"\0\0\x08\0\0\0\0\x08"))), Err(Rejection::Truncated));
    assert_eq!(inspect(&heic(&one_item(version_0, b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"))), Err(Rejection::Truncated));
    assert_eq!(inspect(&heic(&one_item(version_0, b"\0\0\0\x08\0\0\0"))), Err(Rejection::Malformed));
    // Version 1 with an 8-byte base and index; in the file, then inside `idat`, then in another file.
    let index = b"\0\0\0\0\0\0\0\x09";
    for (method, reference, expected) in
        [(0, 0, Err(Rejection::Truncated)), (1, 0, Ok(Some((5, 7)))), (0, 1, Ok(Some((5, 7))))]
    {
        let head = [b"\x01\0\0\0\x04\x88\0\x01\0\x01\0".as_slice(), &[method, 0, reference]].concat();
        let base_and_count = b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\x01";
        let locations = [&head, base_and_count.as_slice(), index, b"\0\0\0\x09"].concat();
        assert_eq!(inspect(&heic(&locations)), expected, "method {method}, reference {reference}");
    }
    let passed_over = [b"\x01\0\0\0\x04\x08\0\x01\0\x01\0\0\0\0\0\x01".as_slice(), &[0xFF; 8], b"\0\0\0\x09"].concat();
    assert_eq!(inspect(&heic(&passed_over)), Ok(Some((5, 7))), "an index is no length");
    // Version 2 has long ids and counts.
    let version_2 = b"\x02\0\0\0\x44\0\0\0\0\x01\0\0\0\x01\0\0\0\0\0\x01\0\0\x08\0\0\0\0\x01";
    assert_eq!(inspect(&heic(version_2)), Err(Rejection::Truncated));
    // The item whose bytes end last may be any.
    let two_items = b"\0\0\0\0\x44\0\0\x02\0\x01\0\0\0\x01\0\0\x08\0\0\0\0\x08\0\x02\0\0\0\x01\0\0\0\x08\0\0\0\x08";
    assert_eq!(inspect(&heic(two_items)), Err(Rejection::Truncated));
    // An integer size that the format does not have.
    assert_eq!(inspect(&heic(b"\0\0\0\0\x33\0\0\x01\0\x01\0\0\0\x01\0\0\0\0\0\0")), Err(Rejection::Malformed));
}

#[test]
fn heif_counts_of_nothing_are_not_counted() {
    // Every item claims 65,535 extents of no bytes: counted one by one, two thousand million steps.
    let locations =
        [b"\x02\0\0\0\0\0".as_slice(), &40_000_u32.to_be_bytes(), &b"\0\0\0\x01\0\0\0\0\xFF\xFF".repeat(40_000)];
    assert_eq!(inspect(&heic(&locations.concat())), Ok(Some((5, 7))));
}

#[test]
fn iso_boxes_may_be_long_or_open_ended() {
    let heic = heic(LOCATIONS);
    let with = |tail: &[u8]| inspect(&[&heic, tail].concat());
    assert_eq!(with(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x12xx"), Ok(Some((5, 7))));
    assert_eq!(with(b"\0\0\0\0mdatxx"), Ok(Some((5, 7))));
    // Before the description, boxes must be sound.
    let before = |head: &[u8]| inspect(&[&heic[..16], head, &heic[16..]].concat());
    assert_eq!(before(b"\0\0\0\x01free\0\0\0\0\0\0\0\x12xx"), Ok(Some((5, 7))));
    assert_eq!(before(b"\0\0\0\x01free\0\0\0\0\0\0\0\x0Fxx"), Err(Rejection::Malformed));
    assert_eq!(before(b"\0\0\0\x01free\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFxx"), Err(Rejection::Truncated));
    assert_eq!(before(b"\0\0\0\x07freexx"), Err(Rejection::Malformed));
    assert_eq!(before(b"\0\0\0\x08\x01\x02\x03\x04"), Err(Rejection::Malformed));
    // Only the first description counts.
    assert_eq!(with(&iso_box(*b"meta", b"\0\0\0\0")), Ok(Some((5, 7))));
}

/// A picture of 320 by 280 with this `clap` and, if asked for, a quarter turn.
fn cut_and_turned(brand: [u8; 4], aperture: [i32; 8], is_turned: bool) -> Vec<u8> {
    let extent = [[0; 4], 320_u32.to_be_bytes(), 280_u32.to_be_bytes()].concat();
    let boxes = [
        iso_box(*b"ispe", &extent),
        iso_box(*b"clap", &aperture.map(i32::to_be_bytes).concat()),
        iso_box(*b"irot", &[u8::from(is_turned)]),
    ];
    let associations = iso_box(*b"ipma", b"\0\0\0\0\0\0\0\x01\0\x01\x03\x01\x82\x83");
    let properties = [iso_box(*b"ipco", &boxes.concat()), associations].concat();
    let meta = [
        b"\0\0\0\0".to_vec(),
        iso_box(*b"pitm", b"\0\0\0\0\0\x01"),
        iso_box(*b"iloc", LOCATIONS),
        iso_box(*b"iprp", &properties),
    ];
    [iso_box(*b"ftyp", &[brand.as_slice(), &[0; 4]].concat()), iso_box(*b"meta", &meta.concat())].concat()
}

#[test]
fn heif_pictures_are_cut_and_turned_as_they_are_shown() {
    // The first three of `blue-and-magenta-crop.avif` of libavif with other places, as Chromium shows them.
    for (aperture, avif, heic) in [
        ([180, 1, 100, 1, -70, 1, -90, 1], (180, 100), (180, 100)),
        ([180, 1, 100, 1, -140, 2, -180, 2], (180, 100), (180, 100)),
        ([180, 1, 100, 1, -30, 1, -10, 1], (320, 280), (180, 100)),
        ([180, 1, 100, 1, -70, 1, -10, 1], (320, 280), (180, 100)),
        ([181, 2, 100, 1, -70, 1, -90, 1], (320, 280), (320, 280)),
        ([180, 0, 100, 1, -70, 1, -90, 1], (320, 280), (320, 280)),
        ([400, 1, 100, 1, 40, 1, -90, 1], (320, 280), (320, 280)),
        ([0, 1, 100, 1, -160, 1, -90, 1], (320, 280), (320, 280)),
    ] {
        for (brand, (width, height)) in [(*b"avif", avif), (*b"heic", heic)] {
            assert_eq!(inspect(&cut_and_turned(brand, aperture, false)), Ok(Some((width, height))), "{aperture:?}");
            assert_eq!(
                inspect(&cut_and_turned(brand, aperture, true)),
                Ok(Some((height, width))),
                "{aperture:?} turned"
            );
        }
    }
}

#[test]
fn heif_descriptions_may_come_after_the_data() {
    let heic = heic(b"\0\0\0\0\x44\0\0\x01\0\x01\0\0\0\x01\0\0\0\x18\0\0\x10\0");
    let data = iso_box(*b"mdat", &vec![0; 100_000]);
    let file = [&heic[..16], &data, &heic[16..]].concat();
    assert_eq!(inspect(&file), Ok(Some((5, 7))));
    let sides = |file: &[u8], file_bytes| {
        dimensions_in_passing(file, file_bytes, 4096).map(|found| (found.width, found.height))
    };
    assert_eq!(sides(&file, file.len()), Some((5, 7)));
    assert_eq!(sides(&file[..file.len() - 1], file.len()), None);
    let longest = [&heic[..16], &iso_box(*b"meta", &vec![0; 512 * 1024 + 1])].concat();
    assert_eq!(inspect(&longest), Err(Rejection::Malformed));
    assert_eq!(sides(&longest, longest.len()), None);
}

#[test]
fn heif_sequences_may_name_no_picture_and_lose_later_ones() {
    let sequence = bytes("sequence.avif");
    let unnamed = replace(&sequence, b"pitm", b"free");
    assert_eq!(inspect(&unnamed), Ok(Some((16, 12))));
    let samples = sequence.windows(4).position(|kind| kind == b"mdat").expect("mdat");
    assert_eq!(inspect(&sequence[..samples]), Err(Rejection::Truncated));
}
