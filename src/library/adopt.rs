//! Making an image of an object in the bucket that no row names.

use std::collections::BTreeMap;

use super::examine::{ExamineError, Examined};
use super::metadata::IMAGE_ID;
use super::{Library, RemoveError};
use crate::catalog::{
    Associations, CatalogError, CollectionKind, Commit, Committed, Description, Frame, GenerationRecord, MovedImages,
    OwnerFilter, require_alone, require_open,
};
use crate::image::{Context, ImageId, Labels, ParsedKey, UserId, Visibility};
use crate::sql::DatabaseErrorKind;
use crate::store::{ObjectInfo, ObjectMetadata, StorageKind, StoreError};

/// The longest value of an association on an object that is taken over, in bytes.
const MAX_ASSOCIATION_BYTES: usize = 200;

/// What became of an object that was to become an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// It is the image with this id.
    Image(ImageId),
    /// It stays an object without a row.
    Not(NotAdopted),
}

/// Why an object became no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdopted {
    /// It is not there any more.
    Gone,
    /// Its bytes are no whole image.
    NotAnImage,
    /// It is the object of an image that was deleted.
    Deleted,
    /// Its image is readable, and its bytes are elsewhere.
    ImageElsewhere,
    /// A row names the object now.
    Named,
    /// Its shoot or session is gone, takes no images now, or has another frame of the number.
    CollectionRefuses,
    /// Its owner may not have it.
    LimitReached,
}

impl NotAdopted {
    /// The reason as a short kebab-case word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::NotAnImage => "not-an-image",
            Self::Deleted => "image-deleted",
            Self::ImageElsewhere => "image-elsewhere",
            Self::Named => "named-meanwhile",
            Self::CollectionRefuses => "collection-refuses",
            Self::LimitReached => "limit-reached",
        }
    }
}

/// Why it is not known what becomes of an object. Nothing was removed.
#[derive(Debug)]
pub enum AdoptError {
    Store(StoreError),
    Catalog(CatalogError),
    /// The bytes could not be read to their end.
    Unread(String),
    /// The object went while it was adopted, and its row could not be removed.
    Remove(RemoveError),
}

impl From<CatalogError> for AdoptError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl Library {
    /// Makes an image of an object that no row names, where it is, by what its key and its metadata say; `id` is the image that its key
    /// names, if it does. `key` is what its key says where it has the form of an image's.
    ///
    /// 1. read the bytes once: they must be an image;
    /// 2. commit the row, without a reservation: what is left of an interrupted one is removed, and these may be the last bytes;
    /// 3. look at the object again: if it was removed meanwhile, the image goes too.
    ///
    /// No bytes are ever put or removed. Doing it again is fine.
    ///
    /// # Errors
    /// [`AdoptError`].
    pub async fn adopt(
        &self,
        info: &ObjectInfo,
        key: Option<&ParsedKey>,
        id: Option<ImageId>,
    ) -> Result<Adopted, AdoptError> {
        let named = info.metadata.get(IMAGE_ID).and_then(|id| id.parse().ok());
        let id = named.or(id).unwrap_or_else(|| ImageId::from_random_bytes(self.runtime.random_bytes()));
        let Some(bucket) = self.stores.at(StorageKind::R2, id) else {
            return Err(AdoptError::Store(super::stores::not_bound()));
        };
        let Some(object) = bucket.get(&info.key, None).await.map_err(AdoptError::Store)? else {
            return Ok(Adopted::Not(NotAdopted::Gone));
        };
        let examined = match self.examine(object, None).await {
            Ok(examined) => examined,
            Err(ExamineError::Rejected(_) | ExamineError::OtherFormat) => {
                return Ok(Adopted::Not(NotAdopted::NotAnImage));
            }
            Err(ExamineError::Unread(error)) => return Err(AdoptError::Unread(error.to_string())),
            Err(ExamineError::NoDigest) => return Err(AdoptError::Unread("no digest was computed".to_owned())),
        };
        let owner_id = self.owner_of(key).await?;
        let (description, generation) = describe(info, key, id, owner_id, &examined);
        let adopted = self.commit_adopted(&description, generation.as_ref(), &examined).await?;
        if adopted == Adopted::Image(id) && bucket.head(&info.key).await.map_err(AdoptError::Store)?.is_none() {
            self.remove(id, &OwnerFilter::Any, MovedImages::Go).await.map_err(AdoptError::Remove)?;
            return Ok(Adopted::Not(NotAdopted::Gone));
        }
        Ok(adopted)
    }

    async fn commit_adopted(
        &self,
        description: &Description,
        generation: Option<&GenerationRecord>,
        examined: &Examined,
    ) -> Result<Adopted, AdoptError> {
        let now = self.runtime.now();
        let is_open = description.frame.as_ref().map(|frame| require_open(&frame.collection_id, now));
        let is_numbered = matches!(ParsedKey::parse(&description.key), Some(ParsedKey::Frame { .. }));
        let is_alone = description.frame.as_ref().filter(|_| is_numbered);
        let commit = Commit {
            description,
            storage: StorageKind::R2,
            content: &examined.content,
            generation,
            fallback_reason: None,
            idempotency: None,
            extra: is_open.into_iter().chain(is_alone.map(|frame| require_alone(description.id, frame))).collect(),
            now,
        };
        // Once more after a failure: the first may have taken effect, and committing twice is committing once.
        let committed = match self.catalog.commit(commit.clone()).await {
            Err(error) if error.source.kind != DatabaseErrorKind::Constraint => self.catalog.commit(commit).await,
            committed => committed,
        };
        Ok(match committed {
            Ok(Committed::Done(record)) => Adopted::Image(record.description.id),
            Ok(Committed::AlreadyStored(record)) if record.description.key == description.key => {
                Adopted::Image(record.description.id)
            }
            Ok(Committed::AlreadyStored(_)) => Adopted::Not(NotAdopted::ImageElsewhere),
            Ok(Committed::Lost) => Adopted::Not(NotAdopted::Deleted),
            Ok(Committed::KeyTaken) => Adopted::Not(NotAdopted::Named),
            Ok(Committed::LimitReached(_)) => Adopted::Not(NotAdopted::LimitReached),
            Err(error) if error.source.kind == DatabaseErrorKind::Constraint => {
                Adopted::Not(NotAdopted::CollectionRefuses)
            }
            Err(error) => return Err(error.into()),
        })
    }

    /// Whose the image is: a key of a shoot says so, and a session has an owner. Other objects do not tell.
    async fn owner_of(&self, key: Option<&ParsedKey>) -> Result<Option<UserId>, CatalogError> {
        match key {
            Some(ParsedKey::Asset { owner, .. }) => Ok(owner.clone()),
            Some(ParsedKey::Output { place, .. }) => Ok(place.as_ref().and_then(|place| place.owner.clone())),
            Some(ParsedKey::Frame { frame, .. }) => {
                let kind = CollectionKind::Session;
                let session =
                    self.catalog.find_collection(&frame.session.collection(), kind, &OwnerFilter::Any).await?;
                Ok(session.and_then(|session| session.owner_id))
            }
            Some(ParsedKey::Generated { .. } | ParsedKey::Uploaded { .. }) | None => Ok(None),
        }
    }
}

fn describe(
    info: &ObjectInfo,
    key: Option<&ParsedKey>,
    id: ImageId,
    owner_id: Option<UserId>,
    examined: &Examined,
) -> (Description, Option<GenerationRecord>) {
    let created_at = info.stored_at;
    let mut context: Option<Context> = None;
    let mut filename = None;
    let mut frame = None;
    let mut parent_id = None;
    // Only the keys of public images of these two kinds are a function of what everybody sees.
    let mut visibility = Visibility::Private;
    match key {
        Some(ParsedKey::Generated { secret: None, .. }) => visibility = Visibility::Public,
        Some(ParsedKey::Uploaded { context: of_key, secret, name, format, .. }) => {
            context = Some(of_key.clone());
            filename = Some(format!("{}.{}", name.as_str(), format.extension()));
            if secret.is_none() {
                visibility = Visibility::Public;
            }
        }
        Some(ParsedKey::Asset { shoot, .. }) => frame = Some(Frame::of_shoot(shoot, created_at)),
        Some(ParsedKey::Output { place, .. }) => {
            frame = place.as_ref().map(|place| Frame::of_shoot(&place.shoot, created_at));
            parent_id = place.as_ref().map(|place| place.asset);
        }
        Some(ParsedKey::Frame { frame: of_key, .. }) => {
            let collection_id = of_key.session.collection();
            frame = Some(Frame { collection_id, ordinal: u32::from(of_key.number.get()) });
        }
        Some(ParsedKey::Generated { .. }) | None => {}
    }
    let description = Description {
        id,
        key: info.key.clone(),
        format: examined.format,
        visibility,
        filename,
        context,
        associations: Associations {
            persona_id: association(&info.metadata, "persona-id"),
            session_id: association(&info.metadata, "session-id"),
            ..Associations::default()
        },
        labels: labels(&info.metadata),
        owner_id,
        frame,
        parent_id,
        moved_from: None,
        created_at,
    };
    (description, generation(info, examined))
}

fn association(metadata: &ObjectMetadata, name: &str) -> Option<String> {
    metadata
        .get(name)
        .filter(|value| {
            !value.trim().is_empty() && value.len() <= MAX_ASSOCIATION_BYTES && !value.chars().any(char::is_control)
        })
        .cloned()
}

/// The labels on the object; none where another program has put something else there.
fn labels(metadata: &ObjectMetadata) -> Labels {
    let pairs: BTreeMap<_, _> = metadata
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("meta-")?.to_owned(), value.clone())))
        .collect();
    Labels::try_new(pairs).unwrap_or_default()
}

/// How it was generated, as far as the object tells: usually not with which prompt.
fn generation(info: &ObjectInfo, examined: &Examined) -> Option<GenerationRecord> {
    let provider = info.metadata.get("provider")?.clone();
    let size = examined.content.dimensions.map(|dimensions| format!("{}x{}", dimensions.width, dimensions.height));
    Some(GenerationRecord {
        provider,
        model: None,
        prompt: info.metadata.get("prompt").cloned().unwrap_or_default(),
        prompt_cut: false,
        size: size.unwrap_or_default(),
        quality: None,
        style: None,
        background: None,
        output_format: None,
        output_compression: None,
        revised_prompt: None,
        total_tokens: None,
        failed_providers: Vec::new(),
        original_url: None,
    })
}
