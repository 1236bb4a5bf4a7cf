//! The image that stands in for one that could not be stored.

use super::reader::Reader;
use crate::generate::InvalidParameter;

/// `DEFAULT_IMAGE_URL`, or the older name of it, `DEFAULT_PORTRAIT_URL`.
pub(super) fn read(reader: &mut Reader<impl Fn(&str) -> Option<String>>) -> Option<String> {
    let newer = reader.parsed("DEFAULT_IMAGE_URL", image_url);
    let older = reader.parsed("DEFAULT_PORTRAIT_URL", image_url);
    newer.or(older)
}

/// An `https` URL, or an `http` one for local work.
fn image_url(text: &str) -> Result<String, InvalidParameter> {
    let is_url =
        ["https://", "http://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if is_url && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(InvalidParameter("must be an http or https URL".to_owned()))
    }
}
