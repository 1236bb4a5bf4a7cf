//! What a URL's query asks for.

use std::collections::BTreeSet;

use crate::image::Fit;

/// The longest side of a variant, in pixels.
pub const MAX_SIDE: u32 = 8_192;
/// The most device pixels that stand for one.
const MAX_DEVICE_PIXELS: u32 = 5;
/// Longest value of a parameter, in bytes.
const MAX_VALUE_BYTES: usize = 64;

/// Every name of a parameter. The second of two on a line says the same as the first.
pub const NAMES: [&str; 13] = [
    "w", "width", //
    "h", "height", //
    "fit", "resize", //
    "q", "quality", //
    "fm", "format", //
    "dpr", "auto", "variant",
];
/// Goes with one of them.
pub const FALLBACK: &str = "fallback";

/// A query that asks for a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub choice: Choice,
    /// The image itself is wanted where it cannot become that.
    pub falls_back: bool,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// A variant that the operator has a name for.
    Named(String),
    Free(Dimensions),
}

/// A variant as it is asked for. What is `None` was not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dimensions {
    /// In device pixels.
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub fit: Option<Fit>,
    pub quality: Option<u8>,
    pub format: Option<Wanted>,
}

/// A format as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Jpeg,
    Png,
    Webp,
    /// Whatever the client takes, and is small.
    Auto,
}

/// A parameter that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidQuery {
    pub field: String,
    pub rule: String,
}

impl InvalidQuery {
    pub(super) fn new(field: &str, rule: impl Into<String>) -> Self {
        Self { field: field.to_owned(), rule: rule.into() }
    }
}

impl Asked {
    /// What a query asks for; `None` when it asks for no variant. Parameters of other names are left to the caller.
    ///
    /// # Errors
    /// [`InvalidQuery`] for the first parameter that is given twice, under whatever name, or whose value has no meaning.
    pub fn parse(pairs: &[(String, String)]) -> Result<Option<Self>, InvalidQuery> {
        let mut dimensions = Dimensions::default();
        let (mut name, mut density, mut is_auto, mut falls_back) = (None, None, false, None);
        let mut seen = BTreeSet::new();
        for (given, value) in pairs {
            let canonical = canonical(given);
            if canonical.is_some_and(|canonical| !seen.insert(canonical)) {
                return Err(InvalidQuery::new(given, "may be given once"));
            }
            if canonical.is_some() && value.len() > MAX_VALUE_BYTES {
                return Err(InvalidQuery::new(given, "is too long"));
            }
            match canonical {
                Some("w") => dimensions.width = Some(side(given, value)?),
                Some("h") => dimensions.height = Some(side(given, value)?),
                Some("fit") => dimensions.fit = Some(fit(given, value)?),
                Some("q") => dimensions.quality = Some(quality(given, value)?),
                Some("fm") => dimensions.format = Some(format(given, value)?),
                Some("dpr") => density = Some(number(given, value, MAX_DEVICE_PIXELS)?),
                Some("auto") => {
                    // What imgix calls so: compression it is, whether one asks for it or not.
                    is_auto = value.split(',').any(|word| word == "format");
                    if !value.split(',').all(|word| word == "format" || word == "compress") {
                        return Err(InvalidQuery::new(given, "must be format, compress, or both with a comma"));
                    }
                }
                Some("variant") => name = Some(value.clone()),
                Some(FALLBACK) if value == "original" => falls_back = Some(given),
                Some(FALLBACK) => return Err(InvalidQuery::new(given, "must be original")),
                _ => {}
            }
        }
        if is_auto && dimensions.format.is_none() {
            dimensions.format = Some(Wanted::Auto);
        }
        let is_empty = dimensions == Dimensions::default() && !seen.contains("auto");
        if let Some(density) = density {
            if dimensions.width.is_none() && dimensions.height.is_none() {
                return Err(InvalidQuery::new("dpr", "goes with w or h"));
            }
            dimensions.width = dimensions.width.map(|width| width * density);
            dimensions.height = dimensions.height.map(|height| height * density);
        }
        let choice = match name {
            Some(_) if !is_empty => {
                return Err(InvalidQuery::new("variant", "goes with no other parameter of a variant"));
            }
            Some(name) => Choice::Named(name),
            None if is_empty => {
                return match falls_back {
                    Some(given) => Err(InvalidQuery::new(given, "goes with a parameter of a variant")),
                    None => Ok(None),
                };
            }
            None => Choice::Free(dimensions),
        };
        Ok(Some(Self { choice, falls_back: falls_back.is_some() }))
    }
}

/// The one name of a parameter; `None` when it is none of a variant's.
fn canonical(name: &str) -> Option<&'static str> {
    Some(match name {
        "w" | "width" => "w",
        "h" | "height" => "h",
        "fit" | "resize" => "fit",
        "q" | "quality" => "q",
        "fm" | "format" => "fm",
        "dpr" => "dpr",
        "auto" => "auto",
        "variant" => "variant",
        FALLBACK => FALLBACK,
        _ => return None,
    })
}

/// A whole number in its one spelling: no zero in front, no sign.
fn number(field: &str, value: &str, max: u32) -> Result<u32, InvalidQuery> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    let number = value.parse().ok().filter(|number| is_plain && (1..=max).contains(number));
    number.ok_or_else(|| {
        InvalidQuery::new(field, format!("must be a whole number from 1 to {max}, without a zero in front"))
    })
}

fn side(field: &str, value: &str) -> Result<u32, InvalidQuery> {
    number(field, value, MAX_SIDE)
}

fn quality(field: &str, value: &str) -> Result<u8, InvalidQuery> {
    // At most 100.
    number(field, value, 100).map(|number| u8::try_from(number).unwrap_or(100))
}

fn fit(field: &str, value: &str) -> Result<Fit, InvalidQuery> {
    match value {
        // In imgix's words `fill` adds bars beside the image; here it has none.
        "contain" | "clip" | "fill" => Ok(Fit::Contain),
        "scale-down" | "max" => Ok(Fit::ScaleDown),
        "cover" => Ok(Fit::Cover),
        "crop" | "min" => Ok(Fit::Crop),
        _ => Err(InvalidQuery::new(
            field,
            "must be contain, scale-down, cover or crop; or in imgix's words clip, max, fill or min",
        )),
    }
}

fn format(field: &str, value: &str) -> Result<Wanted, InvalidQuery> {
    match value {
        "jpeg" | "jpg" => Ok(Wanted::Jpeg),
        "png" => Ok(Wanted::Png),
        "webp" => Ok(Wanted::Webp),
        "auto" => Ok(Wanted::Auto),
        _ => Err(InvalidQuery::new(field, "must be jpeg, png, webp or auto")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Option<Asked>, (String, String)> {
        let pairs =
            query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Asked::parse(&pairs).map_err(|InvalidQuery { field, rule }| (field, rule))
    }

    fn free(query: &str) -> Dimensions {
        match parse(query).unwrap().unwrap().choice {
            Choice::Free(dimensions) => dimensions,
            Choice::Named(name) => panic!("{name}"),
        }
    }

    #[test]
    fn the_loaders_of_frameworks_are_understood() {
        let size = |width, height| Dimensions { width, height, ..Dimensions::default() };
        for (query, expected) in [
            ("w=640", size(Some(640), None)),
            ("width=640&quality=75", Dimensions { quality: Some(75), ..size(Some(640), None) }),
            ("q=75&w=640", Dimensions { quality: Some(75), ..size(Some(640), None) }),
            (
                "w=640&h=360&fit=min&auto=format",
                Dimensions { fit: Some(Fit::Crop), format: Some(Wanted::Auto), ..size(Some(640), Some(360)) },
            ),
            (
                "auto=format&fit=max&w=640",
                Dimensions { fit: Some(Fit::ScaleDown), format: Some(Wanted::Auto), ..size(Some(640), None) },
            ),
            ("w=320&dpr=2&h=100", size(Some(640), Some(200))),
            ("fm=webp&auto=format", Dimensions { format: Some(Wanted::Webp), ..Dimensions::default() }),
            (
                "resize=cover&height=9&format=jpg",
                Dimensions { fit: Some(Fit::Cover), format: Some(Wanted::Jpeg), ..size(None, Some(9)) },
            ),
            ("auto=compress", Dimensions::default()),
        ] {
            assert_eq!(free(query), expected, "{query}");
        }
        let named = parse("variant=card&fallback=original").unwrap().unwrap();
        assert_eq!(named, Asked { choice: Choice::Named("card".to_owned()), falls_back: true });
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("expires=1&signature=2"), Ok(None));
    }

    #[test]
    fn a_value_has_one_spelling_and_is_given_once() {
        for (query, field) in [
            ("w=0640", "w"),
            ("w=640junk", "w"),
            ("w=+640", "w"),
            ("w=", "w"),
            ("w=0", "w"),
            ("w=8193", "w"),
            ("w=99999999999", "w"),
            ("w=6.4", "w"),
            ("w=640&w=640", "w"),
            ("w=640&width=640", "width"),
            ("h=-1", "h"),
            ("q=0", "q"),
            ("q=101", "q"),
            ("fit=scale", "fit"),
            ("fit=Cover", "fit"),
            ("resize=fill2", "resize"),
            ("fm=avif", "fm"),
            ("format=JPEG", "format"),
            ("auto=enhance", "auto"),
            ("dpr=2", "dpr"),
            ("dpr=6&w=1", "dpr"),
            ("dpr=1.5&w=1", "dpr"),
            ("variant=card&w=1", "variant"),
            ("variant=card&auto=compress", "variant"),
            ("variant=a&variant=b", "variant"),
            ("fallback=other&w=1", "fallback"),
            ("fallback=original", "fallback"),
        ] {
            assert_eq!(parse(query).unwrap_err().0, field, "{query}");
        }
        assert_eq!(parse(&format!("variant={}", "a".repeat(65))).unwrap_err().0, "variant");
    }
}
