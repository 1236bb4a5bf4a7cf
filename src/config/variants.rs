//! Other sizes and formats of images.

use super::reader::Reader;
use crate::generate::InvalidParameter;
use crate::image::VariantForm;
use crate::variants::{AspectRatio, MAX_SIDE, NamedVariants, VariantMaker, VariantPolicy};

/// Widths in pixels, unless `VARIANT_WIDTHS` says otherwise: those that Next.js asks for (`imageSizes` and `deviceSizes`).
const DEFAULT_WIDTHS: [u32; 15] = [32, 48, 64, 96, 128, 256, 384, 640, 750, 828, 1_080, 1_200, 1_920, 2_048, 3_840];
/// Qualities of JPEG, unless `VARIANT_QUALITIES` says otherwise: the one that Next.js asks for.
const DEFAULT_QUALITIES: [u8; 1] = [75];
/// Shapes, unless `VARIANT_ASPECT_RATIOS` says otherwise.
const DEFAULT_RATIOS: [(u32, u32); 7] = [(1, 1), (4, 3), (3, 2), (16, 9), (3, 4), (2, 3), (9, 16)];
/// Most values of a list.
const MAX_VALUES: usize = 100;
/// Most pixels that are decoded, unless `VARIANT_MAX_PIXELS` says otherwise: docs/variants.md says what they take.
const DEFAULT_MAX_PIXELS: u64 = 24_000_000;
/// A JPEG has 65,535 a side; of so many, no more than an eighth along each side is decoded.
const MOST_PIXELS: u64 = 100_000_000;
/// Most variants of one image, unless `VARIANT_MAX_PER_IMAGE` says otherwise: each of the default widths in six formats and shapes.
const DEFAULT_MOST: u16 = 100;
const MOST_PER_IMAGE: u16 = 1_000;

/// What the configuration says about variants.
#[derive(Debug, Clone)]
pub struct VariantSettings {
    /// `VARIANT_MAKER`.
    pub maker: VariantMaker,
    /// `VARIANT_WIDTHS`, `VARIANT_QUALITIES`, `VARIANT_ASPECT_RATIOS` and `VARIANTS`.
    pub policy: VariantPolicy,
    /// `VARIANT_MAX_PIXELS`.
    pub max_pixels: u32,
    /// `VARIANT_MAX_PER_IMAGE`.
    pub most: u16,
    /// `THUMBNAIL_VARIANTS`: what is made of each asset when it is registered.
    pub at_registration: Vec<VariantForm>,
}

impl VariantSettings {
    pub(super) fn read<Lookup: Fn(&str) -> Option<String>>(reader: &mut Reader<Lookup>) -> Self {
        let widths = reader.parsed("VARIANT_WIDTHS", |text| numbers(text, MAX_SIDE));
        let qualities = reader.parsed("VARIANT_QUALITIES", |text| numbers(text, 100));
        let qualities =
            qualities.map(|numbers| numbers.into_iter().filter_map(|number| u8::try_from(number).ok()).collect());
        let ratios = reader.parsed("VARIANT_ASPECT_RATIOS", ratios);
        let default_ratios = || DEFAULT_RATIOS.map(|(width, height)| AspectRatio { width, height }).to_vec();
        let policy = VariantPolicy {
            widths: widths.unwrap_or_else(|| DEFAULT_WIDTHS.to_vec()),
            qualities: qualities.unwrap_or_else(|| DEFAULT_QUALITIES.to_vec()),
            ratios: ratios.unwrap_or_else(default_ratios),
            named: reader.parsed("VARIANTS", named).unwrap_or_default(),
        };
        let at_registration = reader.parsed("THUMBNAIL_VARIANTS", |text| forms(&policy, text)).unwrap_or_default();
        let max_pixels = reader.number("VARIANT_MAX_PIXELS", DEFAULT_MAX_PIXELS, 1..=MOST_PIXELS);
        Self {
            maker: reader.parsed("VARIANT_MAKER", maker).unwrap_or(VariantMaker::Codecs),
            policy,
            max_pixels: u32::try_from(max_pixels).unwrap_or(u32::MAX),
            most: reader.small_number("VARIANT_MAX_PER_IMAGE", DEFAULT_MOST, MOST_PER_IMAGE),
            at_registration,
        }
    }
}

fn maker(text: &str) -> Result<VariantMaker, InvalidParameter> {
    VariantMaker::ALL.into_iter().find(|maker| maker.as_str() == text).ok_or_else(|| {
        let accepted = VariantMaker::ALL.map(VariantMaker::as_str).join(", ");
        InvalidParameter(format!("must be one of {accepted}"))
    })
}

/// The forms of named variants, with commas between their names.
fn forms(policy: &VariantPolicy, text: &str) -> Result<Vec<VariantForm>, InvalidParameter> {
    let forms = text.split(',').map(|name| {
        let rule = || InvalidParameter("must be names of VARIANTS with commas between".to_owned());
        policy.forms_of(name.trim()).ok_or_else(rule)
    });
    Ok(forms.collect::<Result<Vec<_>, _>>()?.concat())
}

/// Whole numbers with commas between, in rising order.
fn numbers(text: &str, max: u32) -> Result<Vec<u32>, InvalidParameter> {
    let rule =
        || InvalidParameter(format!("must be 1 to {MAX_VALUES} whole numbers from 1 to {max} with commas between"));
    let number = |part: &str| part.trim().parse().ok().filter(|number| (1..=max).contains(number)).ok_or_else(rule);
    let mut numbers = text.split(',').map(number).collect::<Result<Vec<u32>, _>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() > MAX_VALUES { Err(rule()) } else { Ok(numbers) }
}

/// Ratios as `16:9`, with commas between.
fn ratios(text: &str) -> Result<Vec<AspectRatio>, InvalidParameter> {
    const MAX_PART: u32 = 100;
    let rule = || {
        InvalidParameter(format!(
            "must be up to {MAX_VALUES} ratios such as 16:9 with commas between, of numbers from 1 to {MAX_PART}"
        ))
    };
    let part = |text: &str| text.trim().parse().ok().filter(|number| (1..=MAX_PART).contains(number)).ok_or_else(rule);
    let ratio = |text: &str| {
        let (width, height) = text.split_once(':').ok_or_else(rule)?;
        Ok(AspectRatio { width: part(width)?, height: part(height)? })
    };
    let ratios = text.split(',').map(ratio).collect::<Result<Vec<_>, _>>()?;
    if ratios.len() > MAX_VALUES { Err(rule()) } else { Ok(ratios) }
}

fn named(text: &str) -> Result<NamedVariants, InvalidParameter> {
    VariantPolicy::parse_named(text).map_err(InvalidParameter)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn lists_are_sorted_and_what_is_no_list_is_a_problem() {
        let parse = |pairs: &[(&str, &str)]| {
            Config::parse(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        let (config, problems) = parse(&[("VARIANT_WIDTHS", "640, 320,640"), ("VARIANT_ASPECT_RATIOS", "4:3")]);
        assert!(problems.is_empty());
        assert_eq!(config.variants.policy.widths, [320, 640]);
        assert_eq!(config.variants.policy.qualities, [75]);
        let named = ("VARIANTS", r#"{"card": {"w": 600, "fm": "auto"}, "thumbnail": {"w": 200}}"#);
        let (config, problems) = parse(&[named, ("THUMBNAIL_VARIANTS", "thumbnail, card")]);
        let forms: Vec<_> = config.variants.at_registration.iter().map(ToString::to_string).collect();
        assert_eq!((forms.len(), problems.len()), (3, 0), "{forms:?}: one for each format that the card may have");
        for (variable, value) in [
            ("THUMBNAIL_VARIANTS", "thumbnail"),
            ("VARIANT_WIDTHS", "320,,640"),
            ("VARIANT_WIDTHS", "0"),
            ("VARIANT_WIDTHS", "8193"),
            ("VARIANT_QUALITIES", "75;80"),
            ("VARIANT_ASPECT_RATIOS", "16/9"),
            ("VARIANT_ASPECT_RATIOS", "0:1"),
            ("VARIANTS", "{\"card\": {\"w\": \"wide\"}}"),
            ("VARIANT_MAX_PIXELS", "0"),
            ("VARIANT_MAKER", "sharp"),
            ("VARIANT_MAX_PER_IMAGE", "1001"),
        ] {
            let (_, problems) = parse(&[(variable, value)]);
            assert_eq!(problems.iter().map(|problem| problem.variable).collect::<Vec<_>>(), [variable], "{value}");
        }
    }
}
