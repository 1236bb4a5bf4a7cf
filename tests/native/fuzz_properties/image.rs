//! What strangers' bytes are taken for.

use std::io::Cursor;

use stillstore::image::{Format, SNIFF_BYTES};

/// What is believed to be a whole image starts like one, says one size in every place that tells it, cannot be cut into another
/// image, and is not taken for one image when it is two. A PNG has the size that a decoder reads.
pub fn image_format(bytes: &[u8]) {
    let prefix = bytes.get(..SNIFF_BYTES).unwrap_or(bytes);
    let sniffed = Format::sniff(prefix);
    let early_dimensions = Format::dimensions_from_prefix(prefix);
    assert!(sniffed.is_some() || early_dimensions.is_none(), "a size of no image");
    for cut in cuts(prefix) {
        let of_less = Format::dimensions_from_prefix(cut);
        assert!(of_less.is_none() || of_less == early_dimensions, "more bytes change the size: {of_less:?}");
    }

    let Ok((format, dimensions)) = Format::inspect(bytes) else { return };
    assert_eq!(sniffed, Some(format));
    assert!(dimensions.is_none_or(|sides| sides.width > 0 && sides.height > 0));
    assert!(early_dimensions.is_none() || early_dimensions == dimensions, "{early_dimensions:?}, then {dimensions:?}");
    assert_eq!(Format::from_content_type(format.content_type()), Some(format));
    assert_eq!(Format::from_extension(format.extension()), Some(format));
    for cut in cuts(bytes) {
        if let Ok(of_less) = Format::inspect(cut) {
            assert_eq!(of_less, (format, dimensions), "{} of {} bytes are another image", cut.len(), bytes.len());
        }
    }
    if matches!(format, Format::Png | Format::Gif | Format::Webp | Format::Svg) {
        assert!(Format::inspect(&[bytes, bytes].concat()).is_err(), "two files are one image");
    }
    if let (Format::Png, Ok(decoder)) = (format, png::Decoder::new(Cursor::new(bytes)).read_info()) {
        let info = decoder.info();
        assert_eq!(dimensions.map(|sides| (sides.width, sides.height)), Some((info.width, info.height)));
    }
}

/// Starts of `bytes`, shorter than it.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let length = bytes.len();
    let lengths =
        [16, 33, 64, length / 4, length / 2, length * 3 / 4, length.saturating_sub(9), length.saturating_sub(1)];
    lengths.into_iter().filter(move |cut| *cut < length).filter_map(|cut| bytes.get(..cut))
}
