//! Which part of an image becomes a variant of which size.

use crate::Request;

/// How an image is brought to a width and a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// As large as possible within both, larger than the image if need be.
    Contain,
    /// As `Contain`, and never larger than the image.
    ScaleDown,
    /// Exactly both, what is over is cut off at both sides.
    Cover,
    /// As `Cover`, and never larger than the image.
    Crop,
}

/// What to make of the pixels as they are stored, before the orientation is applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Of the variant, as stored.
    pub width: u32,
    pub height: u32,
    /// The part of the image that it shows.
    pub left: f64,
    pub top: f64,
    pub shown_width: f64,
    pub shown_height: f64,
}

impl Plan {
    /// For an image with sides of at least 1.
    pub fn new(width: u32, height: u32, request: &Request) -> Self {
        let is_turned = request.orientation >= 5;
        let (wanted_width, wanted_height) =
            if is_turned { (request.height, request.width) } else { (request.width, request.height) };
        let (from_width, from_height) = (f64::from(width), f64::from(height));
        let ratio = |wanted: u32, from: f64| (wanted > 0).then(|| f64::from(wanted) / from);
        let ratios = (ratio(wanted_width, from_width), ratio(wanted_height, from_height));
        let whole = |scale: f64| Self {
            width: rounded(from_width * scale),
            height: rounded(from_height * scale),
            left: 0.0,
            top: 0.0,
            shown_width: from_width,
            shown_height: from_height,
        };
        let largest = 1.0 / f64::from(request.coarseness.max(1));
        let ((horizontal, vertical), fit) = match (ratios, request.fit) {
            ((None, None), _) => return whole(largest),
            ((Some(one), None) | (None, Some(one)), Fit::Contain | Fit::Cover) => return whole(one),
            ((Some(one), None) | (None, Some(one)), Fit::ScaleDown | Fit::Crop) => return whole(one.min(largest)),
            ((Some(horizontal), Some(vertical)), fit) => ((horizontal, vertical), fit),
        };
        match fit {
            Fit::Contain => whole(horizontal.min(vertical)),
            Fit::ScaleDown => whole(horizontal.min(vertical).min(largest)),
            Fit::Cover => Self::filled(width, height, wanted_width, wanted_height),
            Fit::Crop => {
                let least = |wanted: u32, side: u32| wanted.min(side.div_ceil(request.coarseness.max(1).into()));
                Self::filled(width, height, least(wanted_width, width), least(wanted_height, height))
            }
        }
    }

    /// The middle of the image in the shape of the variant.
    fn filled(width: u32, height: u32, to_width: u32, to_height: u32) -> Self {
        let (from_width, from_height) = (f64::from(width), f64::from(height));
        let scale = (f64::from(to_width) / from_width).max(f64::from(to_height) / from_height);
        let shown_width = (f64::from(to_width) / scale).min(from_width);
        let shown_height = (f64::from(to_height) / scale).min(from_height);
        Self {
            width: to_width,
            height: to_height,
            left: (from_width - shown_width) / 2.0,
            top: (from_height - shown_height) / 2.0,
            shown_width,
            shown_height,
        }
    }

    /// How many pixels of the image become one, along the side where they are fewest.
    pub fn reduction(&self) -> f64 {
        (self.shown_width / f64::from(self.width)).min(self.shown_height / f64::from(self.height))
    }
}

/// At least one pixel. Too many become as many as there are numbers, which is over every limit.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn rounded(side: f64) -> u32 {
    side.round().max(1.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;

    fn plan(from: (u32, u32), to: (u32, u32), fit: Fit, orientation: u8) -> ((u32, u32), (f64, f64, f64, f64)) {
        let (width, height) = to;
        let request = Request {
            width,
            height,
            fit,
            orientation,
            target: Target::Jpeg,
            quality: 75,
            max_pixels: 1_000_000,
            coarseness: 1,
            enhances: false,
            with_placeholder: false,
        };
        let plan = Plan::new(from.0, from.1, &request);
        ((plan.width, plan.height), (plan.left, plan.top, plan.shown_width, plan.shown_height))
    }

    #[test]
    fn sizes_follow_the_fit() {
        use Fit::{Contain, Cover, Crop, ScaleDown};
        for (from, to, fit, size) in [
            ((400, 200), (100, 0), ScaleDown, (100, 50)),
            ((400, 200), (0, 100), ScaleDown, (200, 100)),
            ((400, 200), (800, 0), ScaleDown, (400, 200)),
            ((400, 200), (800, 0), Contain, (800, 400)),
            ((400, 200), (100, 100), ScaleDown, (100, 50)),
            ((400, 200), (100, 100), Contain, (100, 50)),
            ((400, 200), (100, 100), Cover, (100, 100)),
            ((400, 200), (1000, 1000), Cover, (1000, 1000)),
            ((400, 200), (1000, 1000), Crop, (400, 200)),
            ((400, 200), (300, 1000), Crop, (300, 200)),
            ((400, 200), (0, 0), Cover, (400, 200)),
            ((4000, 1), (100, 0), ScaleDown, (100, 1)),
        ] {
            assert_eq!(plan(from, to, fit, 1).0, size, "{from:?} {to:?} {fit:?}");
        }
    }

    #[test]
    fn the_middle_is_shown() {
        assert_eq!(plan((400, 200), (100, 100), Fit::Cover, 1).1, (100.0, 0.0, 200.0, 200.0));
        assert_eq!(plan((200, 400), (100, 100), Fit::Cover, 1).1, (0.0, 100.0, 200.0, 200.0));
    }

    #[test]
    fn a_turned_image_is_measured_as_it_is_seen() {
        assert_eq!(plan((400, 200), (100, 0), Fit::ScaleDown, 6).0, (200, 100));
        assert_eq!(plan((400, 200), (100, 50), Fit::Cover, 8).0, (50, 100));
    }
}
