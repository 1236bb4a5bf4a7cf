//! What a generate request asks for, checked.

use super::Problem;
use super::request::JsonObject;
use crate::catalog::Associations;
use crate::generate::{
    Background, GenerateRequest, InvalidParameter, Output, OutputFormat, Prompt, Quality, Size, Style,
};
use crate::image::{Sha256Digest, Visibility};

/// Longest id of a persona, session, participant or table, in bytes: an id, not a text.
pub(super) const MAX_ASSOCIATION_BYTES: usize = 200;
/// The most images that one request makes: they are made one after the other, each within the provider's time.
pub(super) const MAX_IMAGES: u8 = 4;

/// A generate request.
#[derive(Debug)]
pub(super) struct GenerateInput {
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

    /// The request in `fields`.
    ///
    /// # Errors
    /// The field that is missing or breaks a rule.
    pub fn parse(fields: &JsonObject) -> Result<Self, Problem> {
        let required = |field: &'static str| fields.text(field)?.ok_or_else(|| Problem::field(field, "is required"));
        let refuse = |field: &'static str| move |InvalidParameter(rule): InvalidParameter| Problem::field(field, rule);
        let prompt = Prompt::parse(required("prompt")?).map_err(refuse("prompt"))?;
        let persona_id = association("personaId", required("personaId")?)?;
        let optional = |field: &'static str| fields.text(field)?.map(|value| association(field, value)).transpose();
        let request = GenerateRequest {
            prompt,
            size: fields.text("size")?.map_or(Ok(Size::default()), Size::parse).map_err(refuse("size"))?,
            quality: fields.text("quality")?.map(Quality::parse).transpose().map_err(refuse("quality"))?,
            style: fields.text("style")?.map(Style::parse).transpose().map_err(refuse("style"))?,
            output: parse_output(fields)?,
            variation: 0,
        };
        Ok(Self {
            request,
            count: fields.number("n", 1, MAX_IMAGES)?.unwrap_or(1),
            associations: Associations {
                persona_id: Some(persona_id),
                session_id: optional("sessionId")?,
                participant_id: optional("participantId")?,
                table_id: optional("tableId")?,
            },
            visibility: fields
                .text("visibility")?
                .map_or(Some(Visibility::Public), Visibility::from_text)
                .ok_or_else(|| Problem::field("visibility", "must be public or private"))?,
        })
    }
}

fn parse_output(fields: &JsonObject) -> Result<Output, Problem> {
    let refuse = |field: &'static str| move |InvalidParameter(rule): InvalidParameter| Problem::field(field, rule);
    let background = fields.text("background")?.map(Background::parse).transpose().map_err(refuse("background"))?;
    let format = fields.text("outputFormat")?.map(OutputFormat::parse).transpose().map_err(refuse("outputFormat"))?;
    let compression = fields.number("outputCompression", 0, Output::MAX_COMPRESSION)?;
    Output::new(background, format, compression)
        .map_err(|(field, InvalidParameter(rule))| Problem::field(field.as_str(), rule))
}

/// An id of the caller's own.
pub(super) fn association(field: &'static str, value: &str) -> Result<String, Problem> {
    if value.trim().is_empty() || value.len() > MAX_ASSOCIATION_BYTES || value.chars().any(char::is_control) {
        return Err(Problem::field(
            field,
            format!("must be 1 to {MAX_ASSOCIATION_BYTES} bytes, not blank, without control characters"),
        ));
    }
    Ok(value.to_owned())
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
        GenerateInput::parse(&fields).unwrap().digest()
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
