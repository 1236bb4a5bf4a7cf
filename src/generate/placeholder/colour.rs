//! Colours as lightness, chroma and hue (Oklch), where equal steps look equal, and their way to sRGB.
//!
//! Only additions, multiplications and square roots: they give the same bits on every machine, and so the same picture.

/// A colour. Hues are in turns: red 0.08, orange 0.16, yellow 0.3, green 0.4, cyan 0.54, blue 0.73, purple 0.84, pink 0.97.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour {
    /// 0 is black, 1 is white.
    pub lightness: f32,
    /// 0 is grey; sRGB ends between 0.1 and 0.3.
    pub chroma: f32,
    pub hue: f32,
}

/// A pixel in 8-bit sRGB.
pub type Rgb = [u8; 3];

impl Colour {
    pub const fn new(lightness: f32, chroma: f32, hue: f32) -> Self {
        Self { lightness, chroma, hue }
    }

    /// The colour `share` of the way to `other`, around the hue circle on the shorter side.
    pub fn mix(self, other: Self, share: f32) -> Self {
        let mix = |from: f32, to: f32| from + (to - from) * share;
        Self {
            lightness: mix(self.lightness, other.lightness),
            chroma: mix(self.chroma, other.chroma),
            hue: self.hue + shorter_way(self.hue, other.hue) * share,
        }
    }

    /// The colour with `amount` more lightness.
    pub fn lighter(self, amount: f32) -> Self {
        Self { lightness: self.lightness + amount, ..self }
    }

    /// The nearest sRGB pixel, each channel cut off at its ends. Matrices: Ottosson, "A perceptual color space for image
    /// processing".
    pub fn to_rgb(self) -> Rgb {
        let a = self.chroma * sine(self.hue + 0.25);
        let b = self.chroma * sine(self.hue);
        let cube = |root: f32| root * root * root;
        let long = cube(self.lightness + 0.396_337_78 * a + 0.215_803_76 * b);
        let medium = cube(self.lightness - 0.105_561_346 * a - 0.063_854_17 * b);
        let short = cube(self.lightness - 0.089_484_18 * a - 1.291_485_5 * b);
        [
            encode(4.076_741_7 * long - 3.307_711_6 * medium + 0.230_969_94 * short),
            encode(-1.268_438 * long + 2.609_757_4 * medium - 0.341_319_38 * short),
            encode(-0.004_196_086_3 * long - 0.703_418_6 * medium + 1.707_614_7 * short),
        ]
    }
}

/// Turns from one hue to another, -0.5 to 0.5.
pub fn shorter_way(from: f32, to: f32) -> f32 {
    let turns = to - from;
    turns - (turns + 0.5).floor()
}

/// One turn of a sine to within 0.002 (Bhaskara's approximation).
pub fn sine(turns: f32) -> f32 {
    let half_turns = 2.0 * (turns - turns.floor());
    let (position, sign) = if half_turns < 1.0 { (half_turns, 1.0) } else { (half_turns - 1.0, -1.0) };
    let parabola = position * (1.0 - position);
    sign * 16.0 * parabola / (5.0 - 4.0 * parabola)
}

/// The sRGB transfer function in 8 bits, fitted with roots.
fn encode(linear: f32) -> u8 {
    let linear = linear.clamp(0.0, 1.0);
    let root2 = linear.sqrt();
    let root4 = root2.sqrt();
    let root8 = root4.sqrt();
    let encoded = 0.662_002_7 * root2 + 0.684_122_1 * root4 - 0.323_583_6 * root8 - 0.022_541_147 * linear;
    (encoded.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}
