//! What is kept of what was seen, as versioned JSON.

use base64_simd::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Seen, Vision};
use crate::catalog::ImageRecord;
use crate::image::ImageId;
use crate::variants::Measures;

/// The version of [`Analysis`].
const VERSION: u8 = 1;
/// The longest analysis, as JSON: a row of D1 has 2,000,000 bytes.
const MAX_JSON_BYTES: usize = 1_900_000;
/// Pictures whose hashes differ in at most so many of 64 bits are near-duplicates.
const NEAR_DUPLICATE_BITS: u32 = 6;

/// What a provider said of an image, or of a session's frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    pub version: u8,
    pub provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the pictures of each call show together; none without a model.
    pub summaries: Vec<String>,
    /// By number.
    pub pictures: Vec<PictureAnalysis>,
}

/// What was found on one picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PictureAnalysis {
    pub image_id: ImageId,
    /// Its number in the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_number: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// One or two sentences of a model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A model's words for search.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// At most five, the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dominant_colors: Vec<ColourShare>,
    /// In base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbhash: Option<String>,
    /// The variance of the brightness's Laplacian at 512 pixels: below about 100 a picture looks blurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharpness: Option<u32>,
    /// A difference hash of 64 bits, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perceptual_hash: Option<String>,
    /// The number of the first frame that looks like it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near_duplicate_of: Option<u32>,
    /// Why nothing was found, as a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A colour of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ColourShare {
    /// `#rrggbb`
    pub color: String,
    /// Hundredths of the visible pixels.
    pub percent: u8,
}

/// An analysis has more bytes than are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnalysisTooLarge;

impl Analysis {
    /// One in which nothing is said yet.
    #[must_use]
    pub fn new(vision: &dyn Vision) -> Self {
        Self {
            version: VERSION,
            provider: vision.name().to_owned(),
            model: vision.model().map(str::to_owned),
            summaries: Vec::new(),
            pictures: Vec::new(),
        }
    }

    /// The analysis in JSON that was kept; `None` of another version.
    #[must_use]
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().filter(|analysis: &Self| analysis.version == VERSION)
    }

    /// Whether this provider and model made it.
    #[must_use]
    pub fn is_of(&self, vision: &dyn Vision) -> bool {
        (self.provider.as_str(), self.model.as_deref()) == (vision.name(), vision.model())
    }

    /// Adds what was found on a picture.
    pub fn add(&mut self, image: &ImageRecord, seen: Seen) {
        let dimensions = image.content.as_ref().and_then(|content| content.dimensions);
        let measures = seen.measures.as_ref();
        let frame_number = image.description.frame.as_ref().map(|place| place.ordinal);
        let near_duplicate_of = frame_number.and(measures).and_then(|measures| self.near_duplicate(measures));
        self.pictures.push(PictureAnalysis {
            image_id: image.description.id,
            frame_number,
            width: dimensions.map(|dimensions| dimensions.width),
            height: dimensions.map(|dimensions| dimensions.height),
            text: seen.text,
            tags: seen.tags,
            dominant_colors: measures
                .map(|measures| measures.colours.iter().map(ColourShare::of).collect())
                .unwrap_or_default(),
            thumbhash: measures.map(|measures| STANDARD.encode_to_string(&measures.thumbhash)),
            sharpness: measures.map(|measures| measures.sharpness),
            perceptual_hash: measures.map(|measures| format!("{:016x}", measures.difference_hash)),
            near_duplicate_of,
            error: seen.error.map(str::to_owned),
        });
    }

    /// The first frame so far that looks like what was measured and is no near-duplicate itself.
    fn near_duplicate(&self, measures: &Measures) -> Option<u32> {
        let is_near = |picture: &&PictureAnalysis| {
            let hash = picture.perceptual_hash.as_deref().and_then(|hash| u64::from_str_radix(hash, 16).ok());
            picture.near_duplicate_of.is_none()
                && hash.is_some_and(|hash| (hash ^ measures.difference_hash).count_ones() <= NEAR_DUPLICATE_BITS)
        };
        self.pictures.iter().find(is_near).and_then(|picture| picture.frame_number)
    }

    /// The JSON that is kept.
    ///
    /// # Errors
    /// [`AnalysisTooLarge`].
    pub fn to_json(&self) -> Result<String, AnalysisTooLarge> {
        // Texts and numbers always serialise.
        let json = serde_json::to_string(self).map_err(|_| AnalysisTooLarge)?;
        if json.len() > MAX_JSON_BYTES { Err(AnalysisTooLarge) } else { Ok(json) }
    }
}

impl ColourShare {
    /// A colour that was measured.
    #[must_use]
    pub fn of(colour: &crate::variants::DominantColour) -> Self {
        Self { color: format!("#{}", hex::encode(colour.rgb)), percent: colour.per_cent }
    }
}
