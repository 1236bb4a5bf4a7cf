//! AVIF and HEIC: boxes of the ISO base media file format, with the picture described in `meta`.

use super::byte_cursor::ByteCursor;
use super::heif_meta::Meta;
use super::iso_box::box_kind;
use super::reader::Reader;
use super::{Dimensions, Format, Rejection};

/// The longest `meta` box that is read: a 12-megapixel picture of 48 tiles has one of 4 KiB, some keep small pictures in it.
const MAX_META_BYTES: u64 = 512 * 1024;

/// AVIF or HEIC, by the brands in `ftyp`: the first that names a codec decides, the major one before the compatible ones. The
/// brands that name only the container (`mif1`, `msf1`) count as HEIC, whose readers take any HEIF.
pub(super) fn sniff(prefix: &[u8]) -> Option<Format> {
    let mut brands = brands(prefix)?;
    brands.clone().find_map(codec).or_else(|| {
        let names_container = brands.any(|brand| matches!(brand, b"mif1" | b"msf1"));
        names_container.then_some(Format::Heic)
    })
}

fn codec(brand: &[u8]) -> Option<Format> {
    match brand {
        b"avif" | b"avis" => Some(Format::Avif),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => Some(Format::Heic),
        _ => None,
    }
}

/// The major brand, then the compatible ones, as far as the prefix goes.
fn brands(prefix: &[u8]) -> Option<impl Iterator<Item = &[u8]> + Clone> {
    let mut cursor = ByteCursor::new(prefix);
    let length_bytes = cursor.u32_be().ok()?;
    // A box of brands alone is neither 64 bits long nor runs to the end of the file.
    let listed_bytes = usize::try_from(length_bytes).ok()?.checked_sub(16)?;
    let (kind, major) = (cursor.array::<4>().ok()?, cursor.take(4).ok()?);
    let _minor_version = cursor.u32_be().ok()?;
    let compatible = cursor.rest();
    let listed = compatible.get(..listed_bytes).unwrap_or(compatible);
    (&kind == b"ftyp").then(|| std::iter::once(major).chain(listed.chunks_exact(4)))
}

/// The first `meta` box, which may lie after the data of the pictures; of a longer one than [`MAX_META_BYTES`] there are no dimensions.
pub(super) fn header(reader: &mut Reader, format: Format) -> Result<Option<Dimensions>, Rejection> {
    loop {
        let head = box_head(reader)?;
        if &head.kind == b"meta" {
            return Meta::parse(&read_meta(reader, head.body_bytes)?)?.dimensions(format).map(Some);
        }
        reader.skip(head.body_bytes)?;
        if reader.rest_bytes() == 0 {
            return Ok(None);
        }
    }
}

/// A described picture with its bytes in the file, or a sequence. Bytes that are no box may follow.
///
/// What cannot be seen: a file cut exactly between two boxes after everything that its picture needs.
pub(super) fn inspect(reader: &mut Reader, format: Format) -> Result<Option<Dimensions>, Rejection> {
    let is_sequence = is_sequence(reader.peek(12)?);
    let mut dimensions = None;
    let (mut has_movie, mut has_data) = (false, false);
    let end = loop {
        if reader.rest_bytes() == 0 {
            break Ok(());
        }
        let head = match box_head(reader) {
            Ok(head) => head,
            Err(rejection) => break Err(rejection),
        };
        if &head.kind == b"meta" && dimensions.is_none() {
            let body = read_meta(reader, head.body_bytes)?;
            let meta = Meta::parse(&body)?;
            if !is_sequence && !meta.names_picture() {
                return Err(Rejection::Malformed);
            }
            dimensions = Some(meta.dimensions(format)?);
            meta.check_extents(reader.size_bytes())?;
            continue;
        }
        // Of a sequence with a cover picture, which readers show, later pictures may be cut off.
        has_data |= &head.kind == b"mdat" && dimensions.is_some();
        if let Err(rejection) = reader.skip(head.body_bytes) {
            break Err(rejection);
        }
        has_movie |= &head.kind == b"moov";
        has_data |= &head.kind == b"mdat";
    };
    // A picture may keep its bytes inside `meta`; the samples of a sequence are always in `mdat`.
    let is_whole = if is_sequence || dimensions.is_none() { has_movie && has_data } else { true };
    match end {
        _ if is_whole => Ok(dimensions),
        Err(rejection) => Err(rejection),
        Ok(()) => Err(Rejection::Truncated),
    }
}

/// Whether the major brand is that of image sequences.
fn is_sequence(start: &[u8]) -> bool {
    matches!(start.get(8..12), Some(b"avis" | b"msf1" | b"hevc" | b"hevx" | b"hevm" | b"hevs"))
}

fn read_meta(reader: &mut Reader, body_bytes: u64) -> Result<Vec<u8>, Rejection> {
    if body_bytes > MAX_META_BYTES { Err(Rejection::Malformed) } else { reader.take(body_bytes) }
}

/// A box whose content has not been read.
struct BoxHead {
    kind: [u8; 4],
    body_bytes: u64,
}

/// The next box's length and type. A length of zero means all that is left.
fn box_head(reader: &mut Reader) -> Result<BoxHead, Rejection> {
    let short_length = reader.u32_be()?;
    let kind = box_kind(reader.array()?)?;
    let body_bytes = match short_length {
        0 => reader.rest_bytes(),
        1 => reader.u64_be()?.checked_sub(16).ok_or(Rejection::Malformed)?,
        _ => u64::from(short_length).checked_sub(8).ok_or(Rejection::Malformed)?,
    };
    Ok(BoxHead { kind, body_bytes })
}
