//! AVIF and HEIC: boxes of the ISO base media file format, with the picture described in `meta`.

use super::cursor::Cursor;
use super::heif_meta::Meta;
use super::{Dimensions, Format, Rejection, trailing};

/// A box: its type, and its content cut to what there is of it.
#[derive(Clone, Copy)]
pub(super) struct IsoBox<'bytes> {
    pub kind: [u8; 4],
    pub body: &'bytes [u8],
}

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
    let mut cursor = Cursor::new(prefix);
    let length_bytes = cursor.u32_be().ok()?;
    // A box of brands alone is neither 64 bits long nor runs to the end of the file.
    let listed_bytes = usize::try_from(length_bytes).ok()?.checked_sub(16)?;
    let (kind, major) = (cursor.array::<4>().ok()?, cursor.take(4).ok()?);
    let _minor_version = cursor.u32_be().ok()?;
    let compatible = cursor.rest();
    let listed = compatible.get(..listed_bytes).unwrap_or(compatible);
    (&kind == b"ftyp").then(|| std::iter::once(major).chain(listed.chunks_exact(4)))
}

/// Whether the bytes start like any file of this family, a movie for instance.
pub(super) fn is_file(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"ftyp")
}

pub(super) fn dimensions(prefix: &[u8]) -> Option<Dimensions> {
    let mut cursor = Cursor::new(prefix);
    loop {
        let found = next_box(&mut cursor).ok()?;
        if &found.kind == b"meta" {
            return Meta::parse(found.body).ok()?.dimensions().ok();
        }
    }
}

/// Whole boxes up to the end; a described picture with its bytes in the file, or a sequence.
///
/// What cannot be seen: a file cut exactly between two boxes behind everything that its picture needs.
pub(super) fn inspect(bytes: &[u8]) -> Result<Option<Dimensions>, Rejection> {
    let mut cursor = Cursor::new(bytes);
    let mut dimensions = None;
    let (mut has_picture, mut has_movie, mut has_data) = (false, false, false);
    while !at_end(cursor)? {
        let found = next_box(&mut cursor)?;
        match &found.kind {
            b"meta" if !has_picture => {
                let meta = Meta::parse(found.body)?;
                dimensions = Some(meta.dimensions()?);
                meta.check_extents(bytes.len() as u64)?;
                has_picture = true;
            }
            b"moov" => has_movie = true,
            b"mdat" => has_data = true,
            _ => {}
        }
    }
    let is_sequence = matches!(bytes.get(8..12), Some(b"avis" | b"msf1" | b"hevc" | b"hevx" | b"hevm" | b"hevs"));
    // A picture may keep its bytes inside `meta`; the samples of a sequence are always in `mdat`.
    let is_whole = if is_sequence || !has_picture { has_movie && has_data } else { true };
    if is_whole { Ok(dimensions) } else { Err(Rejection::Truncated) }
}

/// Checks that the bytes are whole boxes up to the end.
pub(super) fn check_boxes(bytes: &[u8]) -> Result<(), Rejection> {
    let mut cursor = Cursor::new(bytes);
    while !at_end(cursor)? {
        next_box(&mut cursor)?;
    }
    Ok(())
}

/// Padding has no box type, which is four printable characters.
fn at_end(cursor: Cursor) -> Result<bool, Rejection> {
    let rest = cursor.rest();
    let is_padding = trailing::padding_bytes(rest) == rest.len();
    if is_padding {
        trailing::expect_padding(rest)?;
    }
    Ok(is_padding)
}

/// The next box. A length of zero means all that is left.
pub(super) fn next_box<'bytes>(cursor: &mut Cursor<'bytes>) -> Result<IsoBox<'bytes>, Rejection> {
    let short_length = cursor.u32_be()?;
    let kind = cursor.array::<4>()?;
    if !kind.iter().all(|byte| matches!(byte, b' '..=b'~' | 0xA9)) {
        return Err(Rejection::Malformed);
    }
    let body = match short_length {
        0 => cursor.take(cursor.rest().len() as u64)?,
        1 => {
            let length_bytes = cursor.u64_be()?;
            cursor.take(length_bytes.checked_sub(16).ok_or(Rejection::Malformed)?)?
        }
        _ => cursor.take(u64::from(short_length).checked_sub(8).ok_or(Rejection::Malformed)?)?,
    };
    Ok(IsoBox { kind, body })
}
