//! What strangers' bytes are taken for.

use std::io::Cursor;

use stillstore::bytes::Blob;
use stillstore::image::{Format, Geometry, HeaderWalk, SNIFF_BYTES};

/// What is believed to be a whole image starts like one, says one size however its bytes come, and cannot be cut into another image.
/// A PNG has the size that a decoder reads, turned if its EXIF data asks for it.
pub fn image_format(bytes: &[u8]) {
    let prefix = bytes.get(..SNIFF_BYTES).unwrap_or(bytes);
    let sniffed = Format::sniff(prefix);
    let passing = sniffed.map(|format| in_passing(format, bytes, bytes.len(), bytes.len().max(1)));
    if let Some(format) = sniffed {
        for run_bytes in [61, 600] {
            let in_runs = in_passing(format, bytes, bytes.len(), run_bytes);
            assert_eq!(Some(in_runs), passing, "runs of {run_bytes} bytes change the size");
        }
        for cut in cuts(bytes) {
            let of_less = in_passing(format, cut, bytes.len(), 600);
            assert!(of_less.is_none() || Some(of_less) == passing, "more bytes change the size: {of_less:?}");
        }
    }

    let Ok((format, geometry)) = Format::inspect(bytes) else { return };
    assert_eq!(sniffed, Some(format));
    let dimensions = geometry.map(|geometry| geometry.dimensions);
    assert!(dimensions.is_none_or(|sides| sides.width > 0 && sides.height > 0));
    assert_eq!(passing, Some(geometry), "another size in passing");
    assert_eq!(Format::from_content_type(format.content_type()), Some(format));
    assert_eq!(Format::from_extension(format.extension()), Some(format));
    for cut in cuts(bytes) {
        if let Ok(of_less) = Format::inspect(cut) {
            assert_eq!(of_less, (format, geometry), "{} of {} bytes are another image", cut.len(), bytes.len());
        }
    }
    let twice = Format::inspect(&[bytes, bytes].concat());
    if format == Format::Svg {
        assert!(twice.is_err(), "two files are one image");
    }
    if let (Format::Png, Ok(decoder)) = (format, png::Decoder::new(Cursor::new(bytes)).read_info()) {
        let info = decoder.info();
        let sides = dimensions.map(|sides| (sides.width, sides.height));
        let has_exif = bytes.windows(4).any(|name| name == b"eXIf");
        let is_turned = has_exif && sides == Some((info.height, info.width));
        assert!(is_turned || sides == Some((info.width, info.height)), "{sides:?}");
    }
}

/// What is found when the first bytes of a file pass by in runs.
fn in_passing(format: Format, start: &[u8], file_bytes: usize, run_bytes: usize) -> Option<Geometry> {
    let mut walk = HeaderWalk::new(format, file_bytes as u64);
    start.chunks(run_bytes).for_each(|run| walk.pass(&Blob::from(run.to_vec())));
    walk.settle();
    walk.geometry()
}

/// Starts of `bytes`, shorter than it.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let length = bytes.len();
    let lengths =
        [16, 33, 64, length / 4, length / 2, length * 3 / 4, length.saturating_sub(9), length.saturating_sub(1)];
    lengths.into_iter().filter(move |cut| *cut < length).filter_map(|cut| bytes.get(..cut))
}
