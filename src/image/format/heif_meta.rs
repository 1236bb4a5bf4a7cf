//! The `meta` box of a HEIF file: which item is the picture, how large it is, where its bytes are.

use super::byte_cursor::ByteCursor;
use super::iso_box::{IsoBox, next_box};
use super::{Dimensions, Format, Rejection};

/// A whole `meta` box with the parts that matter here.
pub(super) struct Meta<'bytes> {
    /// Absent from some image sequences, which have a single item.
    primary_item: Option<u32>,
    properties: &'bytes [u8],
    locations: &'bytes [u8],
}

impl<'bytes> Meta<'bytes> {
    pub(super) fn parse(body: &'bytes [u8]) -> Result<Self, Rejection> {
        // Everything in here lies within a length that the file gives: what is missing contradicts it.
        Self::parse_children(body).map_err(|_| Rejection::Malformed)
    }

    fn parse_children(body: &'bytes [u8]) -> Result<Self, Rejection> {
        let mut cursor = ByteCursor::new(body);
        let _version_and_flags = cursor.u32_be()?;
        let children = cursor.rest();
        Ok(Self {
            primary_item: child(children, *b"pitm").ok().map(primary_item).transpose()?,
            properties: child(children, *b"iprp")?,
            locations: child(children, *b"iloc")?,
        })
    }

    /// The size of the primary item, the one that decoders show, not that of a tile, a thumbnail or a mask: its `ispe` property,
    /// cut by `clap` and turned by `irot`.
    pub(super) fn dimensions(&self, format: Format) -> Result<Dimensions, Rejection> {
        let dimensions = self.shown_dimensions(format).map_err(|_| Rejection::Malformed)?;
        if dimensions.width == 0 || dimensions.height == 0 {
            return Err(Rejection::Malformed);
        }
        Ok(dimensions)
    }

    fn shown_dimensions(&self, format: Format) -> Result<Dimensions, Rejection> {
        let associated = self.primary_properties()?;
        let mut coded = None;
        let mut aperture = None;
        let mut is_quarter_turn = false;
        for (position, property) in children(child(self.properties, *b"ipco")?).enumerate() {
            let property = property?;
            if !associated.contains(position + 1) {
                continue;
            }
            let mut cursor = ByteCursor::new(property.body);
            match &property.kind {
                b"ispe" if coded.is_none() => {
                    let _version_and_flags = cursor.u32_be()?;
                    coded = Some(Dimensions { width: cursor.u32_be()?, height: cursor.u32_be()? });
                }
                b"clap" => aperture = Some(Aperture::parse(&mut cursor)?),
                b"irot" => is_quarter_turn = cursor.u8()? & 1 == 1,
                _ => {}
            }
        }
        let coded = coded.ok_or(Rejection::Malformed)?;
        let shown = aperture.and_then(|aperture| aperture.cut(coded, format)).unwrap_or(coded);
        Ok(if is_quarter_turn { Dimensions { width: shown.height, height: shown.width } } else { shown })
    }

    /// The properties of the primary item, from whichever `ipma` names it.
    fn primary_properties(&self) -> Result<Associations<'bytes>, Rejection> {
        for found in children(self.properties) {
            let found = found?;
            if &found.kind != b"ipma" {
                continue;
            }
            let mut cursor = ByteCursor::new(found.body);
            let [version, _, _, flags] = cursor.array()?;
            let bytes_each = if flags & 1 == 0 { 1 } else { 2 };
            for _ in 0..cursor.u32_be()? {
                let item = item_id(&mut cursor, version == 0)?;
                let count = cursor.u8()?;
                let indices = cursor.take(u64::from(count) * bytes_each)?;
                if self.primary_item.is_none_or(|primary| item == primary) {
                    return Ok(Associations { indices, bytes_each });
                }
            }
        }
        Err(Rejection::Malformed)
    }

    /// Whether it says which item is the picture.
    pub(super) const fn names_picture(&self) -> bool {
        self.primary_item.is_some()
    }

    /// Checks that every item's bytes lie within a file of `file_bytes`.
    pub(super) fn check_extents(&self, file_bytes: u64) -> Result<(), Rejection> {
        let end_bytes = self.last_extent_end().map_err(|_| Rejection::Malformed)?;
        if end_bytes <= file_bytes { Ok(()) } else { Err(Rejection::Truncated) }
    }

    /// The end of the item data that lies furthest behind in the file.
    fn last_extent_end(&self) -> Result<u64, Rejection> {
        let mut cursor = ByteCursor::new(self.locations);
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
            let mut extents = ByteCursor::new(cursor.take(u64::from(extent_count) * extent_bytes)?);
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

/// `clap`: a part of the picture, of which each side and how far its centre is from the picture's is a fraction.
struct Aperture {
    /// Of width and height: the numerator and denominator of the length, and of the distance of the centres.
    sides: [[u32; 4]; 2],
}

impl Aperture {
    fn parse(cursor: &mut ByteCursor) -> Result<Self, Rejection> {
        let mut fraction = || Ok([cursor.u32_be()?, cursor.u32_be()?]);
        let ([width, width_divisor], [height, height_divisor]) = (fraction()?, fraction()?);
        let ([x, x_divisor], [y, y_divisor]) = (fraction()?, fraction()?);
        Ok(Self { sides: [[width, width_divisor, x, x_divisor], [height, height_divisor, y, y_divisor]] })
    }

    /// The part's size. Browsers heed that of an AVIF only when the part begins at the picture's first pixel; what shows a HEIC heeds
    /// it always.
    fn cut(&self, coded: Dimensions, format: Format) -> Option<Dimensions> {
        let [width, height] = &self.sides;
        let is_anywhere = format == Format::Heic;
        Some(Dimensions {
            width: cut_side(coded.width, width, is_anywhere)?,
            height: cut_side(coded.height, height, is_anywhere)?,
        })
    }
}

fn cut_side(coded: u32, [length, divisor, distance, distance_divisor]: &[u32; 4], is_anywhere: bool) -> Option<u32> {
    let cut = length.checked_div(*divisor).filter(|cut| length % divisor == 0 && (1..=coded).contains(cut))?;
    // The distance is a signed number: half of what is cut off, to the left, when nothing is cut off there.
    let distance = i64::from(distance.cast_signed()) * 2;
    let starts_at_first = distance == -i64::from(coded - cut) * i64::from(*distance_divisor);
    (is_anywhere || starts_at_first).then_some(cut)
}

fn children(bytes: &[u8]) -> impl Iterator<Item = Result<IsoBox<'_>, Rejection>> {
    let mut cursor = ByteCursor::new(bytes);
    std::iter::from_fn(move || {
        let child = (!cursor.is_empty()).then(|| next_box(&mut cursor))?;
        if child.is_err() {
            cursor = ByteCursor::new(&[]);
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

fn primary_item(body: &[u8]) -> Result<u32, Rejection> {
    let mut cursor = ByteCursor::new(body);
    let [version, ..] = cursor.array::<4>()?;
    item_id(&mut cursor, version == 0)
}

fn item_id(cursor: &mut ByteCursor, is_short: bool) -> Result<u32, Rejection> {
    if is_short { cursor.u16_be().map(u32::from) } else { cursor.u32_be() }
}

/// A big-endian integer of 0, 4 or 8 bytes, the sizes that `iloc` allows.
fn sized_integer(cursor: &mut ByteCursor, size_bytes: u8) -> Result<u64, Rejection> {
    match size_bytes {
        0 => Ok(0),
        4 => cursor.u32_be().map(u64::from),
        8 => cursor.u64_be(),
        _ => Err(Rejection::Malformed),
    }
}
