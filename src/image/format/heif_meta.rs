//! The `meta` box of a HEIF file: which item is the picture, how large it is, where its bytes are.

use super::cursor::Cursor;
use super::isobmff::{IsoBox, next_box};
use super::{Dimensions, Rejection};

/// A whole `meta` box with the parts that matter here.
pub(super) struct Meta<'bytes> {
    primary_item: u32,
    properties: &'bytes [u8],
    locations: &'bytes [u8],
}

impl<'bytes> Meta<'bytes> {
    pub(super) fn parse(body: &'bytes [u8]) -> Result<Self, Rejection> {
        // Everything in here lies within a length that the file gives: what is missing contradicts it.
        Self::parse_children(body).map_err(|_| Rejection::Malformed)
    }

    fn parse_children(body: &'bytes [u8]) -> Result<Self, Rejection> {
        let mut cursor = Cursor::new(body);
        let _version_and_flags = cursor.u32_be()?;
        let children = cursor.rest();
        let mut primary = Cursor::new(child(children, *b"pitm")?);
        let [version, ..] = primary.array::<4>()?;
        Ok(Self {
            primary_item: item_id(&mut primary, version == 0)?,
            properties: child(children, *b"iprp")?,
            locations: child(children, *b"iloc")?,
        })
    }

    /// The `ispe` property of the primary item, the one that decoders show: not that of a tile, a thumbnail or a mask.
    pub(super) fn dimensions(&self) -> Result<Dimensions, Rejection> {
        let find = || {
            let associated = self.primary_properties()?;
            for (position, property) in children(child(self.properties, *b"ipco")?).enumerate() {
                let property = property?;
                if &property.kind == b"ispe" && associated.contains(position + 1) {
                    let mut cursor = Cursor::new(property.body);
                    let _version_and_flags = cursor.u32_be()?;
                    let (width, height) = (cursor.u32_be()?, cursor.u32_be()?);
                    return Ok(Dimensions { width, height });
                }
            }
            Err(Rejection::Malformed)
        };
        let dimensions = find().map_err(|_| Rejection::Malformed)?;
        if dimensions.width == 0 || dimensions.height == 0 {
            return Err(Rejection::Malformed);
        }
        Ok(dimensions)
    }

    /// The properties of the primary item, from whichever `ipma` names it.
    fn primary_properties(&self) -> Result<Associations<'bytes>, Rejection> {
        for found in children(self.properties) {
            let found = found?;
            if &found.kind != b"ipma" {
                continue;
            }
            let mut cursor = Cursor::new(found.body);
            let [version, _, _, flags] = cursor.array()?;
            let bytes_each = if flags & 1 == 0 { 1 } else { 2 };
            for _ in 0..cursor.u32_be()? {
                let item = item_id(&mut cursor, version == 0)?;
                let count = cursor.u8()?;
                let indices = cursor.take(u64::from(count) * bytes_each)?;
                if item == self.primary_item {
                    return Ok(Associations { indices, bytes_each });
                }
            }
        }
        Err(Rejection::Malformed)
    }

    /// Checks that every item's bytes lie within a file of `file_bytes`.
    pub(super) fn check_extents(&self, file_bytes: u64) -> Result<(), Rejection> {
        let end_bytes = self.last_extent_end().map_err(|_| Rejection::Malformed)?;
        if end_bytes <= file_bytes { Ok(()) } else { Err(Rejection::Truncated) }
    }

    /// The end of the item data that lies furthest behind in the file.
    fn last_extent_end(&self) -> Result<u64, Rejection> {
        let mut cursor = Cursor::new(self.locations);
        let [version, _, _, _] = cursor.array()?;
        let [sizes, base_and_index_sizes] = cursor.array()?;
        let (offset_size, length_size) = (sizes >> 4, sizes & 15);
        let base_size = base_and_index_sizes >> 4;
        let index_size = if version == 0 { 0 } else { base_and_index_sizes & 15 };
        let extent_bytes = u64::from(offset_size + length_size + index_size);
        let item_count = if version < 2 { cursor.u16_be()?.into() } else { cursor.u32_be()? };

        let mut last_end = 0;
        for _ in 0..item_count {
            let _item = item_id(&mut cursor, version < 2)?;
            let construction_method = if version == 0 { 0 } else { cursor.u16_be()? & 15 };
            let data_reference = cursor.u16_be()?;
            let base = sized_integer(&mut cursor, base_size)?;
            let extent_count = cursor.u16_be()?;
            // Cut out first: the loop runs by bytes that are there. Extents of no bytes mean the whole file, and a count of 65,535
            // of them an item would keep it busy for minutes.
            let mut extents = Cursor::new(cursor.take(u64::from(extent_count) * extent_bytes)?);
            while !extents.is_empty() {
                let _index = sized_integer(&mut extents, index_size)?;
                let offset = sized_integer(&mut extents, offset_size)?;
                let length = sized_integer(&mut extents, length_size)?;
                let is_in_this_file = construction_method == 0 && data_reference == 0;
                if is_in_this_file {
                    last_end = last_end.max(base.saturating_add(offset).saturating_add(length));
                }
            }
        }
        Ok(last_end)
    }
}

/// One-based positions of properties, each behind a bit that says whether a reader must understand it.
struct Associations<'bytes> {
    indices: &'bytes [u8],
    bytes_each: u64,
}

impl Associations<'_> {
    fn contains(&self, wanted: usize) -> bool {
        if self.bytes_each == 1 {
            self.indices.iter().any(|index| usize::from(index & 0x7F) == wanted)
        } else {
            let (pairs, _) = self.indices.as_chunks();
            pairs.iter().any(|pair| usize::from(u16::from_be_bytes(*pair) & 0x7FFF) == wanted)
        }
    }
}

fn children(bytes: &[u8]) -> impl Iterator<Item = Result<IsoBox<'_>, Rejection>> {
    let mut cursor = Cursor::new(bytes);
    std::iter::from_fn(move || {
        let child = (!cursor.is_empty()).then(|| next_box(&mut cursor))?;
        if child.is_err() {
            cursor = Cursor::new(&[]);
        }
        Some(child)
    })
}

/// The content of the first child of this kind.
fn child(bytes: &[u8], kind: [u8; 4]) -> Result<&[u8], Rejection> {
    for found in children(bytes) {
        let found = found?;
        if found.kind == kind {
            return Ok(found.body);
        }
    }
    Err(Rejection::Malformed)
}

fn item_id(cursor: &mut Cursor, is_short: bool) -> Result<u32, Rejection> {
    if is_short { cursor.u16_be().map(u32::from) } else { cursor.u32_be() }
}

/// A big-endian integer of 0, 4 or 8 bytes, the sizes that `iloc` allows.
fn sized_integer(cursor: &mut Cursor, size_bytes: u8) -> Result<u64, Rejection> {
    match size_bytes {
        0 => Ok(0),
        4 => cursor.u32_be().map(u64::from),
        8 => cursor.u64_be(),
        _ => Err(Rejection::Malformed),
    }
}
