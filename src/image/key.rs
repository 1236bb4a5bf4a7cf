//! Where an object lies in a store: paths that depend on the record only.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::{Deserialize, Serialize};

use super::key_secret::KeySecret;
use super::owner_segment::{owner_of_segment, segment_of_owner};
use super::{
    CalendarMonth, Context, Format, FrameId, FrameNumber, ImageId, JobId, SessionId, ShootId, ShortId, UserId,
};
use crate::runtime::Timestamp;

/// The `Cache-Control` of a public object, in the store and in answers: the bytes under a key never change.
pub const PUBLIC_CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

/// The first segment of generated images' keys; reserved, so that no upload's context is the same.
const GENERATED_ROOT: &str = "generated";
/// The file name of an asset in its key, without the extension.
const ORIGINAL: &str = "original";
/// What the keys of frames begin with; reserved as well.
const FRAMES_PREFIX: &str = "frames/";
/// The folder of what jobs made.
const OUTPUTS: &str = "outputs";

/// A key in a store: 1 to 1,024 bytes of UTF-8 (R2's limit) without U+0000, where SQLite ends a text of JSON. Keys of our own making are
/// printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(String);

/// The text cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidObjectKey;

/// A file name made safe for keys: 1 to 64 characters of `a-z 0-9 . _ -` without `..`, starting and ending with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeName(String);

/// The folder of an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetPlace {
    pub owner: Option<UserId>,
    pub shoot: ShootId,
    pub asset: ImageId,
}

/// The keys that Stillstore writes. The path is a function of the record, so that storing twice makes one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageKey {
    /// `generated/{yyyy}/{mm}/{id}.{ext}`, or `{id}_{secret}.{ext}` of a private image
    Generated { id: ImageId, secret: Option<KeySecret>, created_at: Timestamp, format: Format },
    /// `{context}/{yyyy}/{mm}/{id8}_{safe_name}.{ext}`, or `{id8}-{secret}_{safe_name}.{ext}` of a private image
    Uploaded {
        context: Context,
        id: ImageId,
        secret: Option<KeySecret>,
        created_at: Timestamp,
        name: SafeName,
        format: Format,
    },
    /// `{userId}/{shootId}/{assetId}/original.{ext}`
    Asset { owner: Option<UserId>, shoot: ShootId, id: ImageId, format: Format },
    /// `frames/{session_id}/{frame_number:04}.{ext}`
    Frame { frame: FrameId, format: Format },
    /// `{userId}/{shootId}/{assetId}/outputs/{jobId}.{ext}`, or `outputs/{jobId}.{ext}` of an image that is no asset of a shoot
    Output { place: Option<AssetPlace>, job: JobId, format: Format },
}

/// What the path of an [`ImageKey`] tells: everything in it, and nothing that it leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParsedKey {
    /// The path of [`ImageKey::Generated`].
    Generated { month: CalendarMonth, id: ImageId, secret: Option<KeySecret>, format: Format },
    /// The path of [`ImageKey::Uploaded`].
    Uploaded {
        context: Context,
        month: CalendarMonth,
        short_id: ShortId,
        secret: Option<KeySecret>,
        name: SafeName,
        format: Format,
    },
    /// The path of [`ImageKey::Asset`].
    Asset { owner: Option<UserId>, shoot: ShootId, id: ImageId, format: Format },
    /// The path of [`ImageKey::Frame`].
    Frame { frame: FrameId, format: Format },
    /// The path of [`ImageKey::Output`].
    Output { place: Option<AssetPlace>, job: JobId, format: Format },
}

/// What stands for itself in the path of a URL, beside letters and digits.
const IN_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'=').remove(b'@');

impl ObjectKey {
    /// The key as the path of a URL, without a slash in front.
    #[must_use]
    pub fn as_path(&self) -> String {
        percent_encode(self.0.as_bytes(), IN_PATH).to_string()
    }

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

    /// What the keys of a session's frames begin with.
    #[must_use]
    pub fn prefix_of_frames(session: &SessionId) -> String {
        format!("{FRAMES_PREFIX}{session}/")
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
        let valid = (1..=1024).contains(&text.len()) && !text.contains('\0');
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
        formatter.write_str("a key is 1 to 1,024 bytes of text without U+0000")
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
            ImageKey::Generated { id, secret, created_at, format } => {
                Self::Generated { month: (*created_at).into(), id: *id, secret: *secret, format: *format }
            }
            ImageKey::Uploaded { context, id, secret, created_at, name, format } => Self::Uploaded {
                context: context.clone(),
                month: (*created_at).into(),
                short_id: id.short(),
                secret: *secret,
                name: name.clone(),
                format: *format,
            },
            ImageKey::Asset { owner, shoot, id, format } => {
                Self::Asset { owner: owner.clone(), shoot: *shoot, id: *id, format: *format }
            }
            ImageKey::Frame { frame, format } => Self::Frame { frame: frame.clone(), format: *format },
            ImageKey::Output { place, job, format } => {
                Self::Output { place: place.clone(), job: *job, format: *format }
            }
        }
    }
}

impl ParsedKey {
    /// Takes a path apart; `None` when no [`ImageKey`] has it.
    #[must_use]
    pub fn parse(key: &ObjectKey) -> Option<Self> {
        if let Some(path) = key.as_str().strip_prefix(FRAMES_PREFIX) {
            return Self::parse_frame(path);
        }
        if let Some(output) = Self::parse_output(key.as_str()) {
            return Some(output);
        }
        let mut segments = key.as_str().split('/');
        let (root, second, third, file) = (segments.next()?, segments.next()?, segments.next()?, segments.next()?);
        if segments.next().is_some() {
            return None;
        }
        let (stem, extension) = file.rsplit_once('.')?;
        let format = Format::from_extension(extension)?;
        if stem == ORIGINAL
            && let (Ok(shoot), Ok(id)) = (second.parse(), third.parse())
        {
            return Some(Self::Asset { owner: owner_of_segment(root).ok()?, shoot, id, format });
        }
        let month = CalendarMonth::parse(second, third)?;
        if root == GENERATED_ROOT {
            let (id, secret) = KeySecret::split(stem, '_')?;
            return Some(Self::Generated { month, id: id.parse().ok()?, secret, format });
        }
        let context = Context::try_from(root.to_owned()).ok()?;
        let (ids, name) = stem.split_once('_')?;
        let (short_id, secret) = KeySecret::split(ids, '-')?;
        let (short_id, name) = (ShortId::parse(short_id)?, SafeName::parse(name)?);
        Some(Self::Uploaded { context, month, short_id, secret, name, format })
    }

    /// Whether the paths are those of one private image, whose secret was drawn twice.
    #[must_use]
    pub fn differs_in_secret_only(&self, other: &Self) -> bool {
        let mut same = other.clone();
        match (&mut same, self) {
            (Self::Generated { secret, .. }, Self::Generated { secret: own @ Some(_), .. })
            | (Self::Uploaded { secret, .. }, Self::Uploaded { secret: own @ Some(_), .. })
                if secret.is_some() =>
            {
                *secret = *own;
            }
            _ => return false,
        }
        same == *self
    }

    /// Takes the path of a frame after its prefix apart.
    fn parse_frame(path: &str) -> Option<Self> {
        let (session, file) = path.split_once('/')?;
        let (digits, extension) = file.rsplit_once('.')?;
        let number = FrameNumber::try_from(digits.parse::<u32>().ok()?).ok()?;
        let frame = FrameId { session: session.parse().ok()?, number };
        let is_plain = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then_some(Self::Frame { frame, format: Format::from_extension(extension)? })
    }

    /// Takes the path of an output apart.
    fn parse_output(path: &str) -> Option<Self> {
        let (folder, file) = path.rsplit_once('/')?;
        let (job, extension) = file.rsplit_once('.')?;
        let place = match folder.strip_suffix(OUTPUTS)? {
            "" => None,
            parent => {
                let mut segments = parent.strip_suffix('/')?.split('/');
                let (user, shoot, asset) = (segments.next()?, segments.next()?, segments.next()?);
                let owner = owner_of_segment(user).ok()?;
                let place = AssetPlace { owner, shoot: shoot.parse().ok()?, asset: asset.parse().ok()? };
                Some(place).filter(|_| segments.next().is_none())
            }
        };
        if place.is_none() && folder != OUTPUTS {
            return None;
        }
        Some(Self::Output { place, job: job.parse().ok()?, format: Format::from_extension(extension)? })
    }

    /// The image that the path names in full.
    #[must_use]
    pub const fn image_id(&self) -> Option<ImageId> {
        match self {
            Self::Generated { id, .. } | Self::Asset { id, .. } => Some(*id),
            Self::Uploaded { .. } | Self::Frame { .. } | Self::Output { .. } => None,
        }
    }

    /// The folder of the asset that an image is, or was made from.
    #[must_use]
    pub fn asset_place(&self) -> Option<AssetPlace> {
        match self {
            Self::Asset { owner, shoot, id, format: _ } => {
                Some(AssetPlace { owner: owner.clone(), shoot: *shoot, asset: *id })
            }
            Self::Output { place, .. } => place.clone(),
            Self::Generated { .. } | Self::Uploaded { .. } | Self::Frame { .. } => None,
        }
    }

    /// The path in the store.
    ///
    /// At most 184 bytes for an upload: 64 of context, 7 of month, 8 of id, 33 of a secret with its dash, 64 of name, 5 of the extension with
    /// its dot, 3 separators. At most 688 for an asset: 600 of user, twice 36 of id, 8 of name, 5 of the extension, 3 separators; 724 for
    /// what was made from one: 7 of folder, 36 of id and a separator in place of the name.
    #[must_use]
    pub fn object_key(&self) -> ObjectKey {
        ObjectKey(match self {
            Self::Generated { month, id, secret, format } => {
                let secret = KeySecret::with_separator(*secret, '_');
                format!("{GENERATED_ROOT}/{month}/{id}{secret}.{}", format.extension())
            }
            Self::Uploaded { context, month, short_id, secret, name, format } => {
                let secret = KeySecret::with_separator(*secret, '-');
                format!("{context}/{month}/{short_id}{secret}_{}.{}", name.as_str(), format.extension())
            }
            Self::Asset { owner, shoot, id, format } => {
                format!("{}/{shoot}/{id}/{ORIGINAL}.{}", segment_of_owner(owner.as_ref()), format.extension())
            }
            Self::Output { place: None, job, format } => format!("{OUTPUTS}/{job}.{}", format.extension()),
            Self::Output { place: Some(AssetPlace { owner, shoot, asset }), job, format } => {
                let user = segment_of_owner(owner.as_ref());
                format!("{user}/{shoot}/{asset}/{OUTPUTS}/{job}.{}", format.extension())
            }
            Self::Frame { frame: FrameId { session, number }, format } => {
                format!("{FRAMES_PREFIX}{session}/{:04}.{}", number.get(), format.extension())
            }
        })
    }
}
