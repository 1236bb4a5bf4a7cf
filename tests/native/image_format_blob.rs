//! Inspection of bytes outside wasm memory.

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use stillstore::bytes::{Blob, ForeignBytes};
use stillstore::image::{Dimensions, Format, INSPECT_WHOLE_BYTES, Rejection};

use crate::image_fixtures::{FIXTURES, bytes};

type Inspected = Result<(Format, Option<Dimensions>), Rejection>;

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

/// `image` with more than may be copied put in at `position`.
fn grown(image: &[u8], position: usize, with: &[u8]) -> Vec<u8> {
    let filling: Vec<u8> =
        with.iter().copied().cycle().take(with.len() * INSPECT_WHOLE_BYTES.div_ceil(with.len())).collect();
    [&image[..position], &filling, &image[position..]].concat()
}

fn position(image: &[u8], wanted: &[u8]) -> usize {
    image.windows(wanted.len()).position(|window| window == wanted).expect("there")
}

/// Each format at a size that is not copied: whole by its own structure, and its dimensions.
fn large_images() -> [(Vec<u8>, Format); 4] {
    let png = bytes("rgb.png");
    let empty_chunk = b"\0\0\0\0teSt\0\0\0\0";
    let jpeg = bytes("baseline.jpg");
    let scan = position(&jpeg, b"\xFF\xDA") + 14;
    let gif = bytes("still.gif");
    let comment = b"!\xFE\x01a\0";
    let webp = bytes("lossy.webp");
    let mut large_webp = grown(&webp, webp.len(), b"teSt\0\0\0\0");
    let content_bytes = u32::try_from(large_webp.len() - 8).expect("small");
    large_webp[4..8].copy_from_slice(&content_bytes.to_le_bytes());
    [
        (grown(&png, position(&png, b"IEND") - 4, empty_chunk), Format::Png),
        (grown(&jpeg, scan, b"a"), Format::Jpeg),
        (grown(&gif, gif.len() - 1, comment), Format::Gif),
        (large_webp, Format::Webp),
    ]
}

#[test]
fn images_up_to_the_limit_are_inspected_whole() {
    for fixture in FIXTURES {
        let image = fixture.bytes();
        assert_eq!(inspect(image.clone()), (Format::inspect(&image), image.len()), "{}", fixture.name);
        let cut = image[..image.len() / 2].to_vec();
        assert_eq!(inspect(cut.clone()).0, Format::inspect(&cut), "{} cut", fixture.name);
        assert_eq!(Format::inspect_blob(&cut.clone().into()), Format::inspect(&cut), "{} cut, local", fixture.name);
    }
    assert_eq!(inspect(vec![7; INSPECT_WHOLE_BYTES]).0, Err(Rejection::NotAnImage));
}

#[test]
fn larger_images_are_judged_by_their_ends() {
    for (image, format) in large_images() {
        let whole = Format::inspect(&image).expect("whole");
        assert_eq!(whole.0, format);
        let (inspected, copied_bytes) = inspect(image.clone());
        assert_eq!(inspected, Ok(whole), "{format:?}");
        assert!(copied_bytes < 512 * 1024, "{format:?}: {copied_bytes} bytes copied");

        let padded = [image.clone(), vec![0; 64 * 1024]].concat();
        assert_eq!(inspect(padded).0, Ok(whole), "{format:?} padded");
        let too_much = [image.clone(), vec![0; 1024 * 1024]].concat();
        let (inspected, copied_bytes) = inspect(too_much);
        assert!(inspected.is_err() && copied_bytes < 512 * 1024, "{format:?} with too much padding");
        for cut_bytes in [1, 100] {
            let cut = image[..image.len() - cut_bytes].to_vec();
            assert_eq!(inspect(cut).0, Err(Rejection::Truncated), "{format:?} without its last {cut_bytes} bytes");
        }
        assert!(inspect([image.as_slice(), b"more"].concat()).0.is_err(), "{format:?} with more behind");
    }
    assert_eq!(inspect(vec![7; INSPECT_WHOLE_BYTES + 1]).0, Err(Rejection::NotAnImage));
}

#[test]
fn a_large_image_must_have_its_header() {
    let mut png = vec![0; INSPECT_WHOLE_BYTES];
    png.splice(..8, *b"\x89PNG\r\n\x1A\n");
    png.extend(b"\0\0\0\0IEND\xAE\x42\x60\x82");
    assert_eq!(inspect(png).0, Err(Rejection::Malformed));
}
