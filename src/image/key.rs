//! Where an object lies in a store: paths that depend on the record only.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CalendarMonth, Context, Format, ImageId, ShortId};
use crate::runtime::Timestamp;

/// The `Cache-Control` of a public object, in the store and in answers: the bytes under a key never change.
pub const PUBLIC_CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

/// The first segment of generated images' keys; reserved, so that no upload's context is the same.
const GENERATED_ROOT: &str = "generated";

/// A key in a store: 1 to 1,024 bytes (R2's limit), printable ASCII without spaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(String);

/// The text cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidObjectKey;

/// A file name made safe for keys: 1 to 64 characters of `a-z 0-9 . _ -` without `..`, starting and ending with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeName(String);

/// The keys that Stillstore writes. The path is a function of the record, so that storing twice makes one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageKey {
    /// `generated/{yyyy}/{mm}/{id}.{ext}`
    Generated { id: ImageId, created_at: Timestamp, format: Format },
    /// `{context}/{yyyy}/{mm}/{id8}_{safe_name}.{ext}`
    Uploaded { context: Context, id: ImageId, created_at: Timestamp, name: SafeName, format: Format },
}

/// What the path of an [`ImageKey`] tells: everything in it, and nothing that it leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParsedKey {
    /// The path of [`ImageKey::Generated`].
    Generated { month: CalendarMonth, id: ImageId, format: Format },
    /// The path of [`ImageKey::Uploaded`].
    Uploaded { context: Context, month: CalendarMonth, short_id: ShortId, name: SafeName, format: Format },
}

impl ObjectKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ObjectKey {
    /// The key of a record that is kept beside the images: `stillstore/{kind}/{name}.ndjson`, which no image has. `name` is one of
    /// ours: hexadecimal digits, and a slash between two groups of them.
    #[must_use]
    pub(crate) fn of_record(kind: &'static str, name: &str) -> Self {
        Self(format!("stillstore/{kind}/{name}.ndjson"))
    }

    /// A key made of parts that are all ours: at most 1,024 printable ASCII characters.
    #[must_use]
    pub(crate) const fn of_ours(key: String) -> Self {
        Self(key)
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = InvalidObjectKey;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let valid = (1..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if valid { Ok(Self(text)) } else { Err(InvalidObjectKey) }
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for InvalidObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key is 1 to 1,024 printable ASCII characters without spaces")
    }
}

impl SafeName {
    const MAX_CHARACTERS: usize = 64;

    /// Makes a name out of whatever a client called its file: the last path segment (`/` or `\`) up to its last dot, in lower
    /// case. A run of other characters than `a-z 0-9 . _` becomes one `-`, a run of dots one dot; what is left empty becomes `image`.
    #[must_use]
    pub fn from_filename(filename: &str) -> Self {
        let base = filename.rsplit(['/', '\\']).next().unwrap_or(filename);
        let stem = base.rsplit_once('.').map_or(base, |(stem, _extension)| stem);
        let mut name = String::with_capacity(Self::MAX_CHARACTERS);
        for character in stem.chars() {
            let folded = match character.to_ascii_lowercase() {
                safe @ ('a'..='z' | '0'..='9' | '.' | '_') => safe,
                _ => '-',
            };
            let leads = name.is_empty() && !folded.is_ascii_alphanumeric();
            let repeats = matches!(folded, '-' | '.') && name.ends_with(folded);
            if !leads && !repeats {
                name.push(folded);
            }
            if name.len() == Self::MAX_CHARACTERS {
                break;
            }
        }
        name.truncate(name.trim_end_matches(['-', '.', '_']).len());
        Self(if name.is_empty() { "image".to_owned() } else { name })
    }

    fn parse(text: &str) -> Option<Self> {
        let is_edge = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
        let is_safe = (1..=Self::MAX_CHARACTERS).contains(&text.len())
            && text.starts_with(is_edge)
            && text.ends_with(is_edge)
            && text.chars().all(|character| is_edge(character) || matches!(character, '.' | '_' | '-'))
            && !text.contains("..");
        is_safe.then(|| Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ImageKey {
    /// The path in the store.
    #[must_use]
    pub fn object_key(&self) -> ObjectKey {
        ParsedKey::from(self).object_key()
    }
}

impl From<&ImageKey> for ParsedKey {
    fn from(key: &ImageKey) -> Self {
        match key {
            ImageKey::Generated { id, created_at, format } => {
                Self::Generated { month: (*created_at).into(), id: *id, format: *format }
            }
            ImageKey::Uploaded { context, id, created_at, name, format } => Self::Uploaded {
                context: context.clone(),
                month: (*created_at).into(),
                short_id: id.short(),
                name: name.clone(),
                format: *format,
            },
        }
    }
}

impl ParsedKey {
    /// Takes a path apart; `None` when no [`ImageKey`] has it.
    #[must_use]
    pub fn parse(key: &ObjectKey) -> Option<Self> {
        let mut segments = key.as_str().split('/');
        let (root, year, month, file) = (segments.next()?, segments.next()?, segments.next()?, segments.next()?);
        if segments.next().is_some() {
            return None;
        }
        let month = CalendarMonth::parse(year, month)?;
        let (stem, extension) = file.rsplit_once('.')?;
        let format = Format::from_extension(extension)?;
        if root == GENERATED_ROOT {
            return Some(Self::Generated { month, id: stem.parse().ok()?, format });
        }
        let context = Context::try_from(root.to_owned()).ok()?;
        let (short_id, name) = stem.split_once('_')?;
        let (short_id, name) = (ShortId::parse(short_id)?, SafeName::parse(name)?);
        Some(Self::Uploaded { context, month, short_id, name, format })
    }

    /// The path in the store.
    ///
    /// At most 151 bytes: 64 of context, 7 of month, 8 of id, 64 of name, 5 of the extension with its dot, 3 separators.
    #[must_use]
    pub fn object_key(&self) -> ObjectKey {
        ObjectKey(match self {
            Self::Generated { month, id, format } => format!("{GENERATED_ROOT}/{month}/{id}.{}", format.extension()),
            Self::Uploaded { context, month, short_id, name, format } => {
                format!("{context}/{month}/{short_id}_{}.{}", name.as_str(), format.extension())
            }
        })
    }
}
