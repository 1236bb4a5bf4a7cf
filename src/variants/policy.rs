//! Which variants may be asked for: what the operator lists, so that nobody runs up a bill with others.

use std::collections::BTreeMap;

use super::query::{Asked, Choice, Dimensions, InvalidQuery, Wanted};
use crate::image::{Fit, VariantForm, VariantFormat};

/// Quality of JPEG where neither the URL nor the list says one.
const DEFAULT_QUALITY: u8 = 75;
/// Most names that there may be.
const MAX_NAMES: usize = 100;
/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 32;

/// Variants that the operator has names for.
pub type NamedVariants = BTreeMap<String, Dimensions>;

/// A width to a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AspectRatio {
    pub width: u32,
    pub height: u32,
}

/// What may be asked for.
#[derive(Debug, Clone)]
pub struct VariantPolicy {
    /// `VARIANT_WIDTHS`, rising; heights that stand alone are of these too.
    pub widths: Vec<u32>,
    /// `VARIANT_QUALITIES`, rising.
    pub qualities: Vec<u8>,
    /// `VARIANT_ASPECT_RATIOS`: heights beside a width.
    pub ratios: Vec<AspectRatio>,
    /// `VARIANTS`.
    pub named: NamedVariants,
}

impl AspectRatio {
    /// The height that goes with a width, rounded.
    const fn height_of(self, width: u32) -> u32 {
        let height = (2 * width * self.height + self.width) / (2 * self.width);
        if height == 0 { 1 } else { height }
    }
}

impl VariantPolicy {
    /// The form of what is asked for, by a client that takes WebP or not. With `is_signed`, the operator or a user has signed a URL for
    /// just that, which may be any size and quality.
    ///
    /// # Errors
    /// [`InvalidQuery`] that names the nearest value that may be asked for.
    pub fn admit(&self, asked: &Asked, takes_webp: bool, is_signed: bool) -> Result<VariantForm, InvalidQuery> {
        let dimensions = match &asked.choice {
            Choice::Named(name) => *self.named.get(name).ok_or_else(|| self.unknown_name())?,
            Choice::Free(dimensions) if is_signed => *dimensions,
            Choice::Free(dimensions) => self.listed(*dimensions)?,
        };
        let quality = dimensions.quality.unwrap_or_else(|| self.default_quality());
        let format = match dimensions.format {
            None => VariantFormat::Original,
            Some(Wanted::Jpeg) => VariantFormat::Jpeg,
            Some(Wanted::Png) => VariantFormat::Png,
            Some(Wanted::Webp) => VariantFormat::Webp,
            Some(Wanted::Auto) if takes_webp => VariantFormat::JpegOrWebp,
            Some(Wanted::Auto) => VariantFormat::JpegOrPng,
        };
        let fit = dimensions.fit.unwrap_or(Fit::ScaleDown);
        Ok(VariantForm::new(dimensions.width, dimensions.height, fit, format, quality))
    }

    /// The forms that the variant of this name may have; `None` when no variant has it.
    #[must_use]
    pub fn forms_of(&self, name: &str) -> Option<Vec<VariantForm>> {
        let asked = Asked { choice: Choice::Named(name.to_owned()), falls_back: false };
        let mut forms = vec![self.admit(&asked, true, false).ok()?, self.admit(&asked, false, false).ok()?];
        forms.dedup();
        Some(forms)
    }

    /// Whether the answer depends on what the client takes.
    #[must_use]
    pub fn varies(&self, asked: &Asked) -> bool {
        let format = match &asked.choice {
            Choice::Named(name) => self.named.get(name).and_then(|dimensions| dimensions.format),
            Choice::Free(dimensions) => dimensions.format,
        };
        format == Some(Wanted::Auto)
    }

    /// The dimensions, when all of them are listed. A height that a listed ratio gives is the one that it gives when rounded.
    fn listed(&self, dimensions: Dimensions) -> Result<Dimensions, InvalidQuery> {
        let Dimensions { width, height, quality, .. } = dimensions;
        if let Some(width) = width {
            require("w", "VARIANT_WIDTHS", width, &self.widths)?;
        }
        if let Some(quality) = quality {
            require("q", "VARIANT_QUALITIES", quality, &self.qualities)?;
        }
        let height = match (width, height) {
            (_, None) => None,
            (None, Some(height)) => Some(require("h", "VARIANT_WIDTHS", height, &self.widths)?),
            (Some(width), Some(height)) => Some(self.height_beside(width, height)?),
        };
        Ok(Dimensions { height, ..dimensions })
    }

    fn height_beside(&self, width: u32, height: u32) -> Result<u32, InvalidQuery> {
        if self.widths.contains(&height) {
            return Ok(height);
        }
        let of_ratios: Vec<u32> = self.ratios.iter().map(|ratio| ratio.height_of(width)).collect();
        // Loaders round down, up, or to the nearest.
        if let Some(rounded) = of_ratios.iter().find(|rounded| rounded.abs_diff(height) <= 1) {
            return Ok(*rounded);
        }
        let mut listed: Vec<u32> = of_ratios.into_iter().chain(self.widths.iter().copied()).collect();
        listed.sort_unstable();
        let nearest = nearest(height, &listed);
        let rule = format!(
            "must be one of VARIANT_WIDTHS, or what one of VARIANT_ASPECT_RATIOS makes of w; the nearest is {nearest}"
        );
        Err(InvalidQuery::new("h", rule))
    }

    fn default_quality(&self) -> u8 {
        if self.qualities.contains(&DEFAULT_QUALITY) {
            DEFAULT_QUALITY
        } else {
            nearest(DEFAULT_QUALITY, &self.qualities)
        }
    }

    fn unknown_name(&self) -> InvalidQuery {
        let names: Vec<&str> = self.named.keys().map(String::as_str).collect();
        let rule = if names.is_empty() {
            "names no variant, since VARIANTS is empty".to_owned()
        } else {
            format!("must be one of {}", names.join(", "))
        };
        InvalidQuery::new("variant", rule)
    }

    /// Named variants from JSON: `{"card": {"w": 640, "h": 360, "fit": "cover"}}`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_named(json: &str) -> Result<NamedVariants, String> {
        let names: BTreeMap<String, BTreeMap<String, serde_json::Value>> =
            serde_json::from_str(json).map_err(|error| {
                format!(
                    "must be a JSON object of objects; it is not at line {}, column {}",
                    error.line(),
                    error.column()
                )
            })?;
        if names.len() > MAX_NAMES {
            return Err(format!("may have {MAX_NAMES} names"));
        }
        names
            .into_iter()
            .map(|(name, parameters)| named(&name, parameters).map(|dimensions| (name, dimensions)))
            .collect()
    }
}

fn named(name: &str, parameters: BTreeMap<String, serde_json::Value>) -> Result<Dimensions, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_plain) {
        return Err(format!("names are 1 to {MAX_NAME_BYTES} of a-z, 0-9 and -"));
    }
    let pairs: Vec<(String, String)> = parameters
        .into_iter()
        .map(|(parameter, value)| match value {
            serde_json::Value::String(text) => (parameter, text),
            other => (parameter, other.to_string()),
        })
        .collect();
    let is_known =
        |(parameter, _): &(String, String)| super::NAMES.contains(&parameter.as_str()) && parameter != "variant";
    if let Some((parameter, _)) = pairs.iter().find(|pair| !is_known(pair)) {
        return Err(format!("{name}: {parameter} is no parameter of a variant"));
    }
    match Asked::parse(&pairs) {
        Ok(Some(Asked { choice: Choice::Free(dimensions), .. })) => Ok(dimensions),
        Ok(_) => Err(format!("{name} says nothing")),
        Err(InvalidQuery { field, rule }) => Err(format!("{name}: {field} {rule}")),
    }
}

/// The value, when it is one of the list.
fn require<Number>(field: &str, variable: &str, value: Number, listed: &[Number]) -> Result<Number, InvalidQuery>
where
    Number: Copy + Into<i64> + PartialEq + std::fmt::Display,
{
    if listed.contains(&value) {
        return Ok(value);
    }
    Err(InvalidQuery::new(field, format!("must be one of {variable}; the nearest is {}", nearest(value, listed))))
}

/// The value of the list that differs least; the value itself when the list is empty.
fn nearest<Number: Copy + Into<i64>>(value: Number, listed: &[Number]) -> Number {
    let wanted: i64 = value.into();
    listed.iter().copied().min_by_key(|candidate| (wanted - (*candidate).into()).abs()).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> VariantPolicy {
        VariantPolicy {
            widths: vec![320, 640, 1080],
            qualities: vec![60, 75],
            ratios: vec![AspectRatio { width: 16, height: 9 }, AspectRatio { width: 1, height: 1 }],
            named: VariantPolicy::parse_named(r#"{"card": {"w": 600, "h": 401, "fit": "cover", "fm": "auto"}}"#)
                .unwrap(),
        }
    }

    fn asked(query: &str) -> Asked {
        let pairs: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Asked::parse(&pairs).unwrap().unwrap()
    }

    fn admitted(query: &str) -> Result<String, (String, String)> {
        let form = policy().admit(&asked(query), false, false);
        form.map(|form| form.to_string()).map_err(|InvalidQuery { field, rule }| (field, rule))
    }

    #[test]
    fn what_is_listed_or_named_has_a_form() {
        for (query, form) in [
            ("w=640", "w=640,fit=scale-down,q=75,fm=original"),
            ("w=320&dpr=2", "w=640,fit=scale-down,q=75,fm=original"),
            ("q=60&w=640&fm=auto", "w=640,fit=scale-down,q=60,fm=jpeg-or-png"),
            ("h=640", "h=640,fit=scale-down,q=75,fm=original"),
            ("w=1080&h=607&fit=crop", "w=1080,h=608,fit=crop,q=75,fm=original"),
            ("w=1080&h=608&fit=crop", "w=1080,h=608,fit=crop,q=75,fm=original"),
            ("w=640&h=320&fit=cover", "w=640,h=320,fit=cover,q=75,fm=original"),
            ("fm=png", "fit=scale-down,fm=png"),
            ("variant=card", "w=600,h=401,fit=cover,q=75,fm=jpeg-or-png"),
        ] {
            assert_eq!(admitted(query).as_deref(), Ok(form), "{query}");
        }
        let for_webp = policy().admit(&asked("variant=card"), true, false).unwrap();
        assert_eq!(for_webp.to_string(), "w=600,h=401,fit=cover,q=75,fm=jpeg-or-webp");
        assert!(policy().varies(&asked("variant=card")) && !policy().varies(&asked("w=640")));
    }

    #[test]
    fn the_nearest_is_named_for_the_rest() {
        for (query, field, nearest) in [
            ("w=641", "w", "640"),
            ("w=8192", "w", "1080"),
            ("w=1", "w", "320"),
            ("h=641", "h", "640"),
            ("w=640&h=345", "h", "360"),
            ("w=640&q=80", "q", "75"),
        ] {
            let (refused, rule) = admitted(query).unwrap_err();
            assert_eq!(refused, field, "{query}");
            assert!(rule.ends_with(&format!("the nearest is {nearest}")), "{query}: {rule}");
        }
        assert_eq!(admitted("variant=hero").unwrap_err(), ("variant".to_owned(), "must be one of card".to_owned()));
    }

    #[test]
    fn a_signature_lets_any_size_through() {
        let form = policy().admit(&asked("w=641&q=33"), false, true).unwrap();
        assert_eq!(form.to_string(), "w=641,fit=scale-down,q=33,fm=original");
    }

    #[test]
    fn names_that_say_nothing_or_too_much_are_refused() {
        for json in [
            "[]",
            "{\"a\": 1}",
            "{\"a\": {}}",
            "{\"A\": {\"w\": 1}}",
            "{\"\": {\"w\": 1}}",
            "{\"a\": {\"w\": 0}}",
            "{\"a\": {\"w\": 1, \"width\": 1}}",
            "{\"a\": {\"variant\": \"b\"}}",
            "{\"a\": {\"blur\": 3}}",
        ] {
            assert!(VariantPolicy::parse_named(json).is_err(), "{json}");
        }
    }
}
