//! Variants that are made before anybody asks for them.

use super::App;
use crate::catalog::{CatalogError, OwnerFilter, Serving, VariantName};
use crate::image::ImageId;
use crate::variants::{Maker, VariantError};

impl App {
    /// Makes the variants of an asset that `THUMBNAIL_VARIANTS` names. What the image cannot become is left: whoever asks for it is told why.
    /// False when that failed and is worth another delivery.
    pub(super) async fn make_thumbnails(&self, id: ImageId) -> bool {
        match self.try_make_thumbnails(id).await {
            Ok(()) | Err(VariantError::Refused(_) | VariantError::LimitReached) => true,
            Err(
                VariantError::Busy | VariantError::Unavailable(_) | VariantError::Open(_) | VariantError::Catalog(_),
            ) => false,
        }
    }

    async fn try_make_thumbnails(&self, id: ImageId) -> Result<(), VariantError> {
        let services = &self.services;
        let settings = &services.config.variants;
        let library = services.library("queue");
        let maker = Maker {
            library: &library,
            codecs: &*services.codecs,
            max_pixels: settings.max_pixels,
            most: settings.most,
        };
        for form in &settings.at_registration {
            let name = VariantName { image_id: id, form };
            let found: Result<_, CatalogError> = library.catalog.find_variant(name, &OwnerFilter::Any, false).await;
            let (Serving::Found(image), state, _) = found? else { return Ok(()) };
            maker.variant(&image, form, state).await?;
        }
        Ok(())
    }
}
