//! What a generate request asks for, checked.

use serde::Deserialize;

use crate::api::Problem;
#[cfg(test)]
use crate::api::field::MAX_ASSOCIATION_BYTES;
use crate::api::field::{Association, Parsed, Whole};
use crate::catalog::Associations;
use crate::generate::{
    Background, GenerateRequest, InvalidParameter, Output, OutputFormat, Prompt, Quality, Size, Style,
};
use crate::image::{Sha256Digest, Visibility};

/// The most images that one request makes: they are made one after the other, each within the provider's time.
pub const MAX_IMAGES: u8 = 4;

/// Lengths count bytes of UTF-8; fields of other names are ignored; `null` means absent.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "GenerateRequest"))]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Not blank, without control characters other than line feed and tab; counted in characters.
    #[cfg_attr(test, schemars(with = "String", length(min = 1, max = Prompt::MAX_CHARACTERS), regex(pattern = r"\S")))]
    prompt: Parsed<Prompt>,
    #[cfg_attr(test, schemars(with = "String", length(min = 1, max = MAX_ASSOCIATION_BYTES), regex(pattern = r"\S")))]
    persona_id: Parsed<Association>,
    size: Option<Parsed<Size>>,
    quality: Option<Parsed<Quality>>,
    style: Option<Parsed<Style>>,
    /// `transparent` is not for `outputFormat` `jpeg`.
    background: Option<Parsed<Background>>,
    output_format: Option<Parsed<OutputFormat>>,
    /// For `outputFormat` `jpeg` and `webp` only.
    #[cfg_attr(test, schemars(with = "Option<u8>", range(min = 0, max = Output::MAX_COMPRESSION)))]
    output_compression: Option<Whole<0, { Output::MAX_COMPRESSION as u64 }>>,
    /// How many images.
    #[cfg_attr(test, schemars(with = "Option<u8>", range(min = 1, max = MAX_IMAGES)))]
    n: Option<Whole<1, { MAX_IMAGES as u64 }>>,
    #[cfg_attr(test, schemars(with = "Option<String>", length(min = 1, max = MAX_ASSOCIATION_BYTES), regex(pattern = r"\S")))]
    session_id: Option<Parsed<Association>>,
    #[cfg_attr(test, schemars(with = "Option<String>", length(min = 1, max = MAX_ASSOCIATION_BYTES), regex(pattern = r"\S")))]
    participant_id: Option<Parsed<Association>>,
    #[cfg_attr(test, schemars(with = "Option<String>", length(min = 1, max = MAX_ASSOCIATION_BYTES), regex(pattern = r"\S")))]
    table_id: Option<Parsed<Association>>,
    visibility: Option<Parsed<Visibility>>,
}

/// A generate request.
#[derive(Debug)]
pub struct GenerateInput {
    pub request: GenerateRequest,
    /// How many images, 1 to [`MAX_IMAGES`].
    pub count: u8,
    pub associations: Associations,
    pub visibility: Visibility,
}

impl GenerateInput {
    /// A digest of everything that the request asks for, to tell whether a key is used for the same request again.
    pub fn digest(&self) -> Sha256Digest {
        let GenerateRequest { prompt, size, quality, style, output, variation: _ } = &self.request;
        let associations = &self.associations;
        let size = size.text();
        let mut parts = vec![
            Some(prompt.as_str()),
            Some(&*size),
            quality.map(Quality::as_str),
            style.map(Style::as_str),
            Some(self.visibility.as_str()),
            associations.persona_id.as_deref(),
            associations.session_id.as_deref(),
            associations.participant_id.as_deref(),
            associations.table_id.as_deref(),
        ];
        // Only where they are asked for: a request without them keeps the digest that earlier versions gave it.
        let compression = output.compression().map(|percent| percent.to_string());
        let count = self.count.to_string();
        if self.count > 1 || *output != Output::default() {
            parts.extend([
                output.background().map(Background::as_str),
                output.format().map(OutputFormat::as_str),
                compression.as_deref(),
                Some(&*count),
            ]);
        }
        // Serialising strings cannot fail; JSON keeps the parts apart.
        Sha256Digest::of(&serde_json::to_vec(&parts).unwrap_or_default())
    }
}

impl TryFrom<Input> for GenerateInput {
    type Error = Problem;

    fn try_from(input: Input) -> Result<Self, Problem> {
        let optional = |id: Option<Parsed<Association>>| id.map(|Parsed(Association(id))| id);
        let output = Output::new(
            value(input.background),
            value(input.output_format),
            input.output_compression.and_then(Whole::small),
        )
        .map_err(|(field, InvalidParameter(rule))| Problem::field(field.as_str(), rule))?;
        Ok(Self {
            request: GenerateRequest {
                prompt: input.prompt.0,
                size: value(input.size).unwrap_or_default(),
                quality: value(input.quality),
                style: value(input.style),
                output,
                variation: 0,
            },
            count: input.n.and_then(Whole::small).unwrap_or(1),
            associations: Associations {
                persona_id: Some(input.persona_id.0.0),
                session_id: optional(input.session_id),
                participant_id: optional(input.participant_id),
                table_id: optional(input.table_id),
            },
            visibility: value(input.visibility).unwrap_or(Visibility::Public),
        })
    }
}

fn value<T>(field: Option<Parsed<T>>) -> Option<T> {
    field.map(|Parsed(value)| value)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::api::Request;

    fn digest(body: &str) -> Sha256Digest {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let mut request = Request::new("POST", "http://a/", headers, Some(body.as_bytes().to_vec().into()));
        let fields = request.json_object().now_or_never().unwrap().unwrap();
        GenerateInput::try_from(fields.read::<Input>().unwrap()).unwrap().digest()
    }

    #[test]
    fn a_request_keeps_the_digest_that_earlier_versions_gave_it() {
        // What was hashed before there were several images, and outputs to choose.
        let parts = r#"["a fox","1024x1024",null,null,"public","p1",null,null,null]"#;
        for body in [
            r#"{"prompt": "a fox", "personaId": "p1"}"#,
            r#"{"prompt": " a fox", "personaId": "p1", "size": "1024x1024", "n": 1, "background": null}"#,
        ] {
            assert_eq!(digest(body), Sha256Digest::of(parts.as_bytes()), "{body}");
        }
    }

    #[test]
    fn every_field_changes_the_digest() {
        let bodies = [
            r#"{"prompt": "a fox", "personaId": "p1"}"#,
            r#"{"prompt": "a fox", "personaId": "p1", "size": "1040x1024"}"#,
            r#"{"prompt": "a fox", "personaId": "p1", "n": 2}"#,
            r#"{"prompt": "a fox", "personaId": "p1", "n": 3}"#,
            r#"{"prompt": "a fox", "personaId": "p1", "background": "opaque"}"#,
            r#"{"prompt": "a fox", "personaId": "p1", "background": "auto"}"#,
            r#"{"prompt": "a fox", "personaId": "p1", "outputFormat": "webp"}"#,
            r#"{"prompt": "a fox", "personaId": "p1", "outputFormat": "jpeg"}"#,
            r#"{"prompt": "a fox", "personaId": "p1", "outputFormat": "jpeg", "outputCompression": 2}"#,
        ];
        let digests: std::collections::BTreeSet<_> = bodies.iter().map(|body| digest(body).to_string()).collect();
        assert_eq!(digests.len(), bodies.len());
    }
}
