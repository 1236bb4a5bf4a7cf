//! Inspection of bytes outside wasm memory.

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use stillstore::bytes::{Blob, ForeignBytes};
use stillstore::image::{Dimensions, Format, Geometry, Rejection};

use crate::image_fixtures::{FIXTURES, bytes};
use crate::image_format::dimensions_in_passing;

type Inspected = Result<(Format, Option<Geometry>), Rejection>;

/// Bytes elsewhere, which count what is copied out of them.
struct Elsewhere {
    bytes: Rc<Vec<u8>>,
    range: Range<usize>,
    copied_bytes: Rc<Cell<usize>>,
}

impl ForeignBytes for Elsewhere {
    fn size_bytes(&self) -> usize {
        self.range.len()
    }

    fn copy_to(&self, range: Range<usize>, target: &mut [u8]) {
        self.copied_bytes.set(self.copied_bytes.get() + range.len());
        target.copy_from_slice(&self.bytes[self.range.clone()][range]);
    }

    fn view(&self, range: Range<usize>) -> Rc<dyn ForeignBytes> {
        let range = self.range.start + range.start..self.range.start + range.end;
        Rc::new(Self { bytes: Rc::clone(&self.bytes), range, copied_bytes: Rc::clone(&self.copied_bytes) })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What is said of the bytes, and how many were copied to say it.
fn inspect(bytes: Vec<u8>) -> (Inspected, usize) {
    let copied_bytes = Rc::new(Cell::new(0));
    let range = 0..bytes.len();
    let bytes = Elsewhere { bytes: Rc::new(bytes), range, copied_bytes: Rc::clone(&copied_bytes) };
    (Format::inspect_blob(&Blob::foreign(Rc::new(bytes))), copied_bytes.get())
}

/// More than is copied at once.
const FILLING_BYTES: usize = 300_000;

/// `image` with a filling put in at `position`.
fn grown(image: &[u8], position: usize, with: &[u8]) -> Vec<u8> {
    let filling: Vec<u8> = with.iter().copied().cycle().take(with.len() * FILLING_BYTES.div_ceil(with.len())).collect();
    [&image[..position], &filling, &image[position..]].concat()
}

fn position(image: &[u8], wanted: &[u8]) -> usize {
    image.windows(wanted.len()).position(|window| window == wanted).expect("there")
}

/// Images of several pieces: whole by their own structure, with the least they may be cut to.
fn large_images() -> Vec<(Vec<u8>, Format, usize)> {
    let png = bytes("rgb.png");
    let mut long_chunk = png[..33].to_vec();
    let chunk = [b"teSt".as_slice(), &vec![7; FILLING_BYTES], b"\0\0\0\0"].concat();
    long_chunk.extend(u32::try_from(FILLING_BYTES).expect("small").to_be_bytes());
    long_chunk.extend(chunk);
    long_chunk.extend(&png[33..]);
    let jpeg = bytes("baseline.jpg");
    let scan = position(&jpeg, b"\xFF\xDA") + 14;
    let gif = bytes("still.gif");
    let webp = bytes("lossy.webp");
    let mut large_webp = grown(&webp, webp.len(), b"teSt\0\0\0\0");
    let content_bytes = u32::try_from(large_webp.len() - 8).expect("small");
    large_webp[4..8].copy_from_slice(&content_bytes.to_le_bytes());
    let of = |image: Vec<u8>, format, spare_bytes| {
        let least = image.len() - spare_bytes;
        (image, format, least)
    };
    vec![
        of(grown(&png, 33, b"\0\0\0\0teSt\0\0\0\0"), Format::Png, 22),
        of(long_chunk, Format::Png, 22),
        of(grown(&jpeg, scan, b"a"), Format::Jpeg, 0),
        of(
            grown(&jpeg, 2, b"\xFF\xFE\x10\0".iter().chain([7; 4094].iter()).copied().collect::<Vec<_>>().as_slice()),
            Format::Jpeg,
            0,
        ),
        of(grown(&gif, position(&gif, b",\0\0\0\0"), b"!\xFE\x01a\0"), Format::Gif, 2),
        of(large_webp, Format::Webp, 0),
    ]
}

#[test]
fn bytes_elsewhere_are_judged_like_bytes_here() {
    for fixture in FIXTURES {
        let image = fixture.bytes();
        for cut in [image.len(), image.len() - 1, image.len() / 2, 20] {
            let cut = &image[..cut];
            let (inspected, copied_bytes) = inspect(cut.to_vec());
            assert_eq!(inspected, Format::inspect(cut), "{} of {} bytes", fixture.name, cut.len());
            assert_eq!(copied_bytes, cut.len(), "{}: each byte is copied once", fixture.name);
            assert_eq!(Format::inspect_blob(&cut.to_vec().into()), inspected, "{}, local", fixture.name);
        }
    }
    assert_eq!(inspect(vec![7; FILLING_BYTES]).0, Err(Rejection::NotAnImage));
}

#[test]
fn images_of_several_pieces_are_judged_whole() {
    for (image, format, least) in large_images() {
        let whole = Format::inspect(&image).expect("whole");
        assert_eq!(whole.0, format);
        let (inspected, copied_bytes) = inspect(image.clone());
        assert_eq!(inspected, Ok(whole), "{format:?}");
        assert!(copied_bytes <= image.len(), "{format:?}: {copied_bytes} bytes of {} copied", image.len());
        assert_eq!(inspect(image[..least].to_vec()).0, Ok(whole), "{format:?} of {least} bytes");
        for cut in [least - 1, least - 100, image.len() / 2] {
            assert_eq!(inspect(image[..cut].to_vec()).0, Err(Rejection::Truncated), "{format:?} of {cut} bytes");
        }
        let found = dimensions_in_passing(&image, image.len(), 65_536);
        assert_eq!(found, whole.1.map(|geometry| geometry.dimensions), "{format:?} in passing");
    }
}

#[test]
fn long_data_that_tells_nothing_is_not_copied() {
    let (png, ..) = large_images().swap_remove(1);
    let (inspected, copied_bytes) = inspect(png);
    assert!(inspected.is_ok() && copied_bytes <= 2 * 128 * 1024, "{copied_bytes} bytes copied");
}

#[test]
fn a_long_svg_is_believed_by_its_header() {
    const PARSED_BYTES: usize = 8 * 1024 * 1024;
    let svg = |bytes: usize| [b"<svg width='3' height='4'>".as_slice(), &vec![b' '; bytes]].concat();
    assert_eq!(inspect(svg(1000)).0, Err(Rejection::Truncated));
    let (inspected, copied_bytes) = inspect(svg(PARSED_BYTES));
    assert_eq!(inspected, Ok((Format::Svg, Some(Dimensions { width: 3, height: 4 }.into()))));
    assert!(copied_bytes <= 128 * 1024, "{copied_bytes} bytes copied");
}

#[test]
fn metadata_of_any_length_is_followed_up_to_the_bound_of_what_is_kept() {
    let jpeg = bytes("rotated.jpg");
    let with_segments = |count: usize| {
        let segment = [b"\xFF\xE2\xFF\xFF".as_slice(), &vec![7; 65_533]].concat();
        [&jpeg[..2], &segment.repeat(count), &jpeg[2..]].concat()
    };
    let turned = Some(Dimensions { width: 24, height: 40 });
    // 26 MB of metadata: what is kept are 512 bytes a segment.
    let image = with_segments(400);
    assert_eq!(dimensions_in_passing(&image, 100_000_000, 262_144), turned);
    let (format, geometry) = inspect(image).0.expect("whole");
    assert_eq!((format, geometry.map(|geometry| geometry.dimensions)), (Format::Jpeg, turned));
    // Stray bytes are looked at one by one, and so kept.
    let stray = |count: usize| [&jpeg[..20], &vec![7; count], &jpeg[20..]].concat();
    assert_eq!(dimensions_in_passing(&stray(1_000_000), 100_000_000, 262_144), turned);
    assert_eq!(dimensions_in_passing(&stray(1_100_000), 100_000_000, 262_144), None);
}
