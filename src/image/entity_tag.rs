//! Entity tags: the validators that `ETag` carries and that conditional requests list.

use std::fmt;

use super::Sha256Digest;

/// A strong entity tag. Its text form is the field value, quotes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag {
    opaque: String,
}

/// An entity tag that a request names.
#[derive(Clone, Copy)]
struct NamedTag<'header> {
    is_weak: bool,
    opaque: &'header str,
}

impl EntityTag {
    /// The tag with this content between its quotes; `None` when it holds what a tag cannot: blanks, control characters, quotes.
    #[must_use]
    pub fn strong(opaque: impl Into<String>) -> Option<Self> {
        let opaque = opaque.into();
        opaque.chars().all(is_tag_character).then_some(Self { opaque })
    }

    /// Whether `If-Match` holds: `*`, or this tag in the list. Weak tags never match.
    pub(super) fn is_matched_strongly(&self, list: &str) -> bool {
        is_any(list) || named_tags(list).any(|named| self.equals_strongly(named))
    }

    /// Whether `If-None-Match` names this image: `*`, or this tag in the list, weak or strong.
    pub(super) fn is_matched_weakly(&self, list: &str) -> bool {
        is_any(list) || named_tags(list).any(|named| named.opaque == self.opaque)
    }

    /// Whether `text` is one tag, and whether it is this one by strong comparison. `None` when it is no tag.
    pub(super) fn is_strongly(&self, text: &str) -> Option<bool> {
        match next_tag(text) {
            Some((named, "")) => Some(self.equals_strongly(named)),
            _ => None,
        }
    }

    fn equals_strongly(&self, named: NamedTag) -> bool {
        !named.is_weak && named.opaque == self.opaque
    }
}

impl From<&Sha256Digest> for EntityTag {
    fn from(digest: &Sha256Digest) -> Self {
        Self { opaque: digest.to_string() }
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.opaque)
    }
}

fn is_any(list: &str) -> bool {
    list.trim_matches([' ', '\t']) == "*"
}

/// The tags of a list, up to the first element that is none: what follows it cannot be told apart.
fn named_tags(list: &str) -> impl Iterator<Item = NamedTag<'_>> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let (named, after) = next_tag(rest.trim_start_matches([' ', '\t', ',']))?;
        let after = after.trim_start_matches([' ', '\t']);
        rest = if after.is_empty() { after } else { after.strip_prefix(',')? };
        Some(named)
    })
}

/// The tag that `text` starts with, and what follows it.
fn next_tag(text: &str) -> Option<(NamedTag<'_>, &str)> {
    let quoted = text.strip_prefix("W/");
    let (opaque, after) = quoted.unwrap_or(text).strip_prefix('"')?.split_once('"')?;
    opaque.chars().all(is_tag_character).then_some((NamedTag { is_weak: quoted.is_some(), opaque }, after))
}

/// `etagc` of RFC 9110, section 8.8.3. Commas are among them, blanks are not.
const fn is_tag_character(character: char) -> bool {
    matches!(character, '!' | '#'..='~' | '\u{80}'..)
}
