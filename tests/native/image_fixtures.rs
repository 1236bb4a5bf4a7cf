//! Real images of every format, described in tests/fixtures/README.md.

use std::path::PathBuf;

use stillstore::image::{Dimensions, Format};

pub struct Fixture {
    pub name: &'static str,
    pub format: Format,
    /// As a browser shows it; of a HEIC, as Pillow does.
    pub dimensions: Option<Dimensions>,
}

const fn fixture(name: &'static str, format: Format, width: u32, height: u32) -> Fixture {
    Fixture { name, format, dimensions: Some(Dimensions { width, height }) }
}

pub const FIXTURES: [Fixture; 33] = [
    fixture("alpha.avif", Format::Avif, 40, 24),
    fixture("alpha.heic", Format::Heic, 72, 64),
    fixture("animated.gif", Format::Gif, 16, 12),
    fixture("animated.png", Format::Png, 16, 12),
    fixture("animated.webp", Format::Webp, 16, 12),
    fixture("baseline.jpg", Format::Jpeg, 40, 24),
    fixture("cmyk.jpg", Format::Jpeg, 40, 24),
    fixture("entities.svg", Format::Svg, 106, 150),
    fixture("extended-alpha-exif.webp", Format::Webp, 40, 24),
    fixture("gray16.png", Format::Png, 9, 7),
    fixture("grayscale-restart.jpg", Format::Jpeg, 40, 24),
    fixture("interlaced.png", Format::Png, 40, 24),
    fixture("larger-than-screen.gif", Format::Gif, 40, 24),
    fixture("lossless.webp", Format::Webp, 40, 24),
    fixture("lossy.webp", Format::Webp, 40, 24),
    fixture("multi-picture.jpg", Format::Jpeg, 24, 16),
    fixture("millimetres.svg", Format::Svg, 38, 76),
    fixture("palette-transparent.png", Format::Png, 40, 24),
    fixture("plain.svg", Format::Svg, 40, 24),
    fixture("prefixed.svg", Format::Svg, 200, 150),
    fixture("progressive-exif-thumbnail.jpg", Format::Jpeg, 24, 40),
    fixture("prolog.svg", Format::Svg, 41, 24),
    fixture("pixel.png", Format::Png, 1, 1),
    fixture("rgb.png", Format::Png, 40, 24),
    fixture("rotated.avif", Format::Avif, 24, 40),
    fixture("rotated.heic", Format::Heic, 32, 64),
    fixture("rotated.jpg", Format::Jpeg, 24, 40),
    fixture("rotated.png", Format::Png, 24, 40),
    fixture("sequence.avif", Format::Avif, 16, 12),
    fixture("still.avif", Format::Avif, 40, 24),
    fixture("still.gif", Format::Gif, 40, 24),
    fixture("still.heic", Format::Heic, 128, 96),
    fixture("two-pictures.heic", Format::Heic, 64, 64),
];

impl Fixture {
    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(directory().join("images").join(self.name)).expect("fixture")
    }
}

/// The bytes of the fixture called `name`.
pub fn bytes(name: &str) -> Vec<u8> {
    FIXTURES.iter().find(|fixture| fixture.name == name).expect("known fixture").bytes()
}

pub fn directory() -> PathBuf {
    [crate::PROJECT_DIR, "tests", "fixtures"].iter().collect()
}
