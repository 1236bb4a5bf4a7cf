//! A PNG written row by row: memory is two rows and the compressed file.

use std::io;

use fdeflate::Compressor;

use super::colour::Rgb;
use crate::image::Dimensions;

/// Filter types of PNG (W3C PNG, section 9.2).
const FILTER_SUB: u8 = 1;
const FILTER_UP: u8 = 2;

/// Writes an 8-bit RGB PNG.
pub struct PngWriter {
    header: Vec<u8>,
    /// Writes the IDAT chunk's type and data.
    idat: Compressor<Vec<u8>>,
    previous: Vec<Rgb>,
    filtered: Vec<Rgb>,
}

impl PngWriter {
    /// An empty picture of `dimensions`.
    pub fn new(dimensions: Dimensions) -> io::Result<Self> {
        let mut ihdr = b"IHDR".to_vec();
        ihdr.extend(dimensions.width.to_be_bytes());
        ihdr.extend(dimensions.height.to_be_bytes());
        // 8 bits a channel, RGB, deflate, adaptive filters, not interlaced.
        ihdr.extend([8, 2, 0, 0, 0]);
        let mut header = b"\x89PNG\r\n\x1a\n".to_vec();
        append_chunk(&mut header, &ihdr);

        let blank = vec![[0; 3]; dimensions.width as usize];
        Ok(Self { header, idat: Compressor::new(b"IDAT".to_vec())?, previous: blank.clone(), filtered: blank })
    }

    /// Adds the next row, as long as the picture is wide.
    ///
    /// The compressor knows runs of zeros only. A row like the one above is all zeros with the filter Up; any other has zeros with
    /// the filter Sub wherever neighbours are equal, which is nearly everywhere in pictures of flat spans.
    pub fn row(&mut self, row: &[Rgb]) -> io::Result<()> {
        if row == self.previous {
            self.filtered.fill([0; 3]);
            self.idat.write_data(&[FILTER_UP])?;
        } else {
            let mut left = [0; 3];
            for (target, pixel) in self.filtered.iter_mut().zip(row) {
                let difference = |channel: usize| pixel[channel].wrapping_sub(left[channel]);
                // Unwrap safety: a pixel has three channels.
                *target = [difference(0), difference(1), difference(2)];
                left = *pixel;
            }
            self.previous.clear();
            self.previous.extend_from_slice(row);
            self.idat.write_data(&[FILTER_SUB])?;
        }
        self.idat.write_data(self.filtered.as_flattened())
    }

    /// The file.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        let idat = self.idat.finish()?;
        let mut file = self.header;
        // Two chunks, each with 12 bytes around its data.
        file.reserve_exact(idat.len() + 2 * 12);
        append_chunk(&mut file, &idat);
        append_chunk(&mut file, b"IEND");
        Ok(file)
    }
}

/// Adds a chunk, given as its type and data, with its length and checksum.
fn append_chunk(file: &mut Vec<u8>, chunk: &[u8]) {
    let data_bytes = u32::try_from(chunk.len().saturating_sub(4)).unwrap_or(u32::MAX);
    file.extend(data_bytes.to_be_bytes());
    file.extend(chunk);
    file.extend(crc32(chunk).to_be_bytes());
}

/// The CRC of PNG chunks (ISO 3309), a byte at a time: a file has about a tenth of a megabyte.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    // Unwrap safety: a byte is an index below 256.
    !bytes.iter().fold(!0, |crc, byte| TABLE[usize::from((crc as u8) ^ byte)] ^ (crc >> 8))
}
