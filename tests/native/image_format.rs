//! Sniffing and structural inspection on real images, on what is left of them, and on what is no image.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use stillstore::bytes::Blob;
use stillstore::image::{Dimensions, Format, HeaderWalk, Rejection, SNIFF_BYTES, Sha256Digest};

use crate::image_fixtures::{FIXTURES, bytes, directory};

/// Starts of files that are no images, or no images that are stored here.
const OTHER_FILES: [&[u8]; 37] = [
    b"",
    b"\0",
    b"GIF",
    b"GIF88a\x01\0\x01\0\0\0\0;",
    b"\xFF\xD8",
    b"\xFF\xD8\xFF\x00",
    b"\x89PNG\n\x1A\n",
    b"RIFF\x24\0\0\0WAVEfmt ",
    b"RIFF\x24\0\0\0AVI LIST",
    b"RIFF\x24\0\0\0WEBPJUNK",
    b"\0\0\0\x18ftypisom\0\0\x02\0isommp42",
    b"\0\0\0\x14ftypM4A \0\0\0\0M4A avif",
    b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom",
    b"\0\0\0\x20moovavif\0\0\0\0avifmif1",
    b"\0\0\0\x0Cftypavif",
    b"%PDF-1.7\n1 0 obj <</Type /Catalog>> endobj <svg/>",
    b"PK\x03\x04\x14\0\0\0\x08\0image.png\x89PNG\r\n\x1A\n",
    b"\x1F\x8B\x08\0<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
    b"BM\x46\0\0\0\0\0\0\0",
    b"II*\0\x08\0\0\0",
    b"8BPS\0\x01",
    b"\xFE\xFF\0<\0s\0v\0g\0/\0>",
    b"ID3\x04\0\0",
    b"plain text about <svg> and GIF89a",
    b"{\"svg\": \"<svg/>\"}",
    b"<html><body><svg xmlns=\"http://www.w3.org/2000/svg\"/></body></html>",
    b"<!DOCTYPE html><svg xmlns=\"http://www.w3.org/2000/svg\"></svg>",
    b"<!doctype html><title>svg</title>",
    b"<!DOCTYPE svghtml><svg/>",
    b"<!DOCTYPEsvg><svg/>",
    b"<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"><svg/></html>",
    b"<!-- <svg/> --><script>alert(1)</script>",
    b"<!-- <svg/>",
    b"<svgs/>",
    b"<svg",
    b"<:svg/>",
    b"<a b=\":svg>\"><svg/></a>",
];

/// What is found when the first bytes of a longer file pass by in runs of `run_bytes`.
pub fn dimensions_in_passing(start: &[u8], file_bytes: usize, run_bytes: usize) -> Option<Dimensions> {
    let format = Format::sniff(&start[..start.len().min(SNIFF_BYTES)])?;
    let mut walk = HeaderWalk::new(format, file_bytes as u64);
    start.chunks(run_bytes).for_each(|run| walk.pass(&Blob::from(run.to_vec())));
    walk.settle();
    walk.geometry().map(|geometry| geometry.dimensions)
}

/// The same for a file of these bytes, as far as they go.
pub fn dimensions_of_start(start: &[u8]) -> Option<Dimensions> {
    dimensions_in_passing(start, usize::MAX >> 1, SNIFF_BYTES)
}

#[test]
fn every_fixture_is_what_it_says() {
    for fixture in &FIXTURES {
        let bytes = fixture.bytes();
        assert_eq!(Format::sniff(&bytes), Some(fixture.format), "{}", fixture.name);
        let (format, geometry) = Format::inspect(&bytes).expect(fixture.name);
        let dimensions = geometry.map(|geometry| geometry.dimensions);
        assert_eq!((format, dimensions), (fixture.format, fixture.dimensions), "{}", fixture.name);
        for run_bytes in [1, 7, 600, 4096] {
            let found = dimensions_in_passing(&bytes, bytes.len(), run_bytes);
            assert_eq!(found, fixture.dimensions, "{} in runs of {run_bytes}", fixture.name);
        }
    }
}

#[test]
fn fixtures_are_small_and_their_digests_are_documented() {
    let readme = std::fs::read_to_string(directory().join("README.md")).expect("README");
    let mut names = BTreeSet::new();
    for fixture in &FIXTURES {
        let bytes = fixture.bytes();
        assert!(bytes.len() < 4096, "{} has {} bytes", fixture.name, bytes.len());
        let row_start = format!("| `{}` | {} | `{}` |", fixture.name, bytes.len(), Sha256Digest::of(&bytes));
        assert!(readme.contains(&row_start), "README.md lacks: {row_start}");
        names.insert(fixture.name.to_owned());
    }
    let files = std::fs::read_dir(directory().join("images")).expect("images");
    let files: BTreeSet<_> =
        files.map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8")).collect();
    assert_eq!(files, names);
}

/// How few bytes a fixture may be cut to without losing anything that its first picture needs; its length, when there are none.
fn least_bytes(name: &str, bytes: &[u8]) -> usize {
    let end_of = |tag: &[u8]| bytes.windows(tag.len()).rposition(|window| window == tag).expect("tag") + tag.len();
    match name {
        "plain.svg" | "entities.svg" | "prolog.svg" => end_of(b"</svg>"),
        "prefixed.svg" => end_of(b"</draw:svg>"),
        // To the end of the first of two pictures.
        "multi-picture.jpg" => end_of(b"\xFF\xD8\xFF") - 3,
        // To the pixels but for their checksums and the mark of their end.
        "animated.png" => bytes.windows(4).position(|name| name == b"fdAT").expect("fdAT") - 8 - 26 - 8 - 4 - 6,
        _ if Format::sniff(bytes) == Some(Format::Png) => end_of(b"IEND") - 8 - 4 - 6,
        // To the pixels but for the block of length zero.
        "animated.gif" => 175,
        "still.gif" | "larger-than-screen.gif" => bytes.len() - 2,
        // To the end of its cover picture.
        "sequence.avif" => 1080,
        _ => bytes.len(),
    }
}

#[test]
fn a_cut_that_loses_something_is_refused() {
    for fixture in &FIXTURES {
        let bytes = fixture.bytes();
        let least = (0..=bytes.len()).find(|cut| Format::inspect(&bytes[..*cut]).is_ok());
        assert_eq!(least, Some(least_bytes(fixture.name, &bytes)), "{} of {} bytes", fixture.name, bytes.len());
    }
}

#[test]
fn a_cut_in_the_pixels_is_called_truncation() {
    for fixture in &FIXTURES {
        let bytes = fixture.bytes();
        let cut = bytes.len() * 3 / 4;
        if cut < least_bytes(fixture.name, &bytes) {
            assert_eq!(Format::inspect(&bytes[..cut]), Err(Rejection::Truncated), "{}", fixture.name);
        }
    }
}

#[test]
fn dimensions_need_only_the_header() {
    for (name, header_bytes) in [("rgb.png", 41), ("lossy.webp", 30), ("lossless.webp", 30), ("animated.webp", 30)] {
        let bytes = bytes(name);
        let expected = FIXTURES.iter().find(|fixture| fixture.name == name).expect("fixture").dimensions;
        assert_eq!(dimensions_of_start(&bytes[..header_bytes]), expected, "{name}");
    }
    let jpeg = bytes("progressive-exif-thumbnail.jpg");
    let scan = jpeg.windows(2).rposition(|marker| marker == b"\xFF\xC2").expect("SOF2") + 200;
    assert_eq!(dimensions_of_start(&jpeg[..scan]), Some(Dimensions { width: 24, height: 40 }));
    assert_eq!(dimensions_of_start(&jpeg[..200]), None);
}

#[test]
fn other_files_are_no_images() {
    for file in OTHER_FILES {
        assert_eq!(Format::sniff(file), None, "{}", file.escape_ascii());
        assert_eq!(Format::inspect(file), Err(Rejection::NotAnImage), "{}", file.escape_ascii());
        assert_eq!(dimensions_of_start(file), None, "{}", file.escape_ascii());
    }
}

#[test]
fn heif_brands_decide_the_codec() {
    let file = |brands: &str| {
        let length = u32::try_from(8 + 4 + brands.len()).expect("short").to_be_bytes();
        let (major, compatible) = brands.split_at(4);
        [&length, b"ftyp".as_slice(), major.as_bytes(), &[0; 4], compatible.as_bytes()].concat()
    };
    for (brands, expected) in [
        ("avifmif1", Some(Format::Avif)),
        ("avis", Some(Format::Avif)),
        ("mif1miafavif", Some(Format::Avif)),
        ("heicmif1", Some(Format::Heic)),
        ("heix", Some(Format::Heic)),
        ("hevc", Some(Format::Heic)),
        ("mif1heic", Some(Format::Heic)),
        ("mif1", Some(Format::Heic)),
        ("msf1iso8", Some(Format::Heic)),
        ("isommp42", None),
    ] {
        assert_eq!(Format::sniff(&file(brands)), expected, "{brands}");
    }
    // A brand behind the end of its box is no brand.
    let mut cut = file("isommp42avif");
    cut[3] -= 4;
    assert_eq!(Format::sniff(&cut), None);
}

#[test]
fn only_svg_must_be_an_attachment() {
    for format in Format::ALL {
        let expected = (format == Format::Svg).then_some("attachment");
        assert_eq!(format.content_disposition(), expected);
    }
}

fn any_fixture() -> impl Strategy<Value = Vec<u8>> {
    select((0..FIXTURES.len()).collect::<Vec<_>>()).prop_map(|index| FIXTURES[index].bytes())
}

/// One way to damage bytes.
#[derive(Debug, Clone)]
enum Damage {
    Set(Index, u8),
    Fill(Index, Index, u8),
    Remove(Index, Index),
    Insert(Index, Vec<u8>),
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => (any::<Index>(), any::<Index>(), select(vec![0, 0x7F, 0x80, 0xFF]))
            .prop_map(|(from, to, byte)| Damage::Fill(from, to, byte)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Remove(from, to)),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

fn apply(damage: &Damage, bytes: &mut Vec<u8>) {
    let position = |index: &Index| index.index(bytes.len() + 1);
    let ordered = |a: &Index, b: &Index| position(a).min(position(b))..position(a).max(position(b));
    match damage {
        Damage::Set(at, byte) => {
            let at = position(at);
            if let Some(target) = bytes.get_mut(at) {
                *target = *byte;
            }
        }
        Damage::Fill(from, to, byte) => {
            let range = ordered(from, to);
            bytes[range].fill(*byte);
        }
        Damage::Remove(from, to) => drop(bytes.drain(ordered(from, to))),
        Damage::Insert(at, inserted) => {
            let at = position(at);
            bytes.splice(at..at, inserted.iter().copied());
        }
        Damage::Repeat(from, to) => {
            let range = ordered(from, to);
            let copy = bytes[range.clone()].to_vec();
            bytes.splice(range.start..range.start, copy);
        }
    }
}

/// White space, comments and instructions that may stand before the root of an XML document.
fn prolog() -> impl Strategy<Value = String> {
    let piece = select(vec![
        " ",
        "\r\n",
        "\t",
        "<!-- <svg> -->",
        "<!---->",
        "<!-- it's -> \"so\" -->",
        "<?xml-stylesheet href='<svg/>'?>",
    ]);
    let start =
        select(vec!["", "\u{FEFF}", "<?xml version=\"1.0\"?>", "\u{FEFF}<?xml version='1.0' encoding='utf-8'?>"]);
    (start, prop::collection::vec(piece, 0..6)).prop_map(|(start, pieces)| start.to_owned() + &pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_bytes_are_no_image(bytes in prop::collection::vec(any::<u8>(), 0..600), magic in select(vec![
        b"".as_slice(), b"\xFF\xD8\xFF\xE0", b"\x89PNG\r\n\x1A\n", b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR",
        b"RIFF\0\x01\0\0WEBPVP8X", b"RIFF\0\x01\0\0WEBPVP8 ", b"RIFF\0\x01\0\0WEBPVP8L", b"<svg ", b"<svg>",
        b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x80meta\0\0\0\0",
    ])) {
        let file = [magic, &bytes].concat();
        prop_assert!(Format::inspect(&file).is_err(), "{}", file.escape_ascii());
        let sniffed = Format::sniff(&bytes);
        prop_assert!(sniffed.is_none(), "{sniffed:?} for {}", bytes.escape_ascii());
        let _ = dimensions_of_start(&file);
    }

    #[test]
    fn damaged_images_never_panic(mut bytes in any_fixture(), damages in prop::collection::vec(damage(), 1..5)) {
        for damage in &damages {
            apply(damage, &mut bytes);
        }
        let sniffed = Format::sniff(&bytes);
        match Format::inspect(&bytes) {
            Ok((format, geometry)) => {
                let dimensions = geometry.map(|geometry| geometry.dimensions);
                prop_assert_eq!(Some(format), sniffed);
                prop_assert!(dimensions.is_none_or(|sides| sides.width > 0 && sides.height > 0));
            }
            Err(Rejection::NotAnImage) => {}
            Err(_) => prop_assert!(sniffed.is_some()),
        }
        let _ = dimensions_of_start(&bytes);
    }

    #[test]
    fn an_image_inside_another_file_does_not_make_it_an_image(
        image in any_fixture(), file in select(OTHER_FILES.into_iter().filter(|file| file.len() > 16).collect::<Vec<_>>()),
    ) {
        let joined = [file, &image].concat();
        prop_assert_eq!(Format::sniff(&joined), None);
        prop_assert_eq!(Format::inspect(&joined), Err(Rejection::NotAnImage));
    }

    #[test]
    fn what_follows_an_image_changes_nothing(
        image in any_fixture(), file in select(vec![
            b"%PDF-1.7\n%%EOF".as_slice(), b"PK\x03\x04\x14\0\0\0", b"<html><script>1</script></html>", b"\0\0text",
            b"GIF89a\x01\0\x01\0\0\0\0;", b"\x89PNG\r\n\x1A\n\0\0\0\0", &[0; 70_000], b"\xFF",
        ]),
    ) {
        let alone = Format::inspect(&image);
        let followed = Format::inspect(&[image.as_slice(), file].concat());
        let is_svg = Format::sniff(&image) == Some(Format::Svg);
        let is_right = if is_svg { followed.is_err() } else { followed == alone };
        prop_assert!(is_right, "{:?}", followed);
    }

    #[test]
    fn an_xml_document_is_an_svg_only_by_its_root(
        prolog in prolog(), prefix in select(vec!["", "svg:", "ns0:", "ä:"]),
        root in select(vec!["svg", "html", "svgx", "SVG", "xsvg", "g", "body", "xhtml:svg:x"]),
        end in select(vec![">", "/>", " width='1'>", "\n>"]),
    ) {
        let document = format!("{prolog}<{prefix}{root}{end}<svg xmlns='http://www.w3.org/2000/svg'/>");
        let expected = (root == "svg").then_some(Format::Svg);
        prop_assert_eq!(Format::sniff(document.as_bytes()), expected);
        let html = format!("{prolog}<!DOCTYPE html><{prefix}svg/>");
        prop_assert_eq!(Format::sniff(html.as_bytes()), None);
    }
}
