//! Schemas of the values that write themselves as JSON by hand.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::api::Code;
use crate::api::field::{EditPrompt, Filename, ImageType, MAX_ASSOCIATION_BYTES, MAX_FILENAME_BYTES, Name, Parsed};
use crate::api::field::{Filename, ImageType, MAX_ASSOCIATION_BYTES, MAX_FILENAME_BYTES, Name, Parsed, PartMethod};
use crate::api::{Code, Method};
use crate::edit::MAX_PROMPT_CHARACTERS;
use crate::generate::{Background, OutputFormat, Quality, Size, Style};
use crate::image::{BatchId, Context, Format, ImageId, JobId, Labels, ObjectKey, SessionId, Sha256Digest, ShootId};
use crate::migrate::RunId;
use crate::migrate::item::{ITEM_ID_MAX_BYTES, ITEM_ID_MAX_INTEGER, ItemId};

/// Implements `JsonSchema` for types: `inline` ones are repeated where they are used, `named` ones are components.
macro_rules! schemas {
    ($($(#[doc = $doc:literal])* $kind:ident $type:ident => $schema:tt;)+) => {
        $(impl JsonSchema for $type {
            fn inline_schema() -> bool {
                stringify!($kind) == "inline"
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })+
    };
}

schemas! {
    named ImageId => {
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
    };
    named JobId => {
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
    };
    named BatchId => {
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
    };
    inline EditPrompt => {
        "type": "string", "minLength": 1, "maxLength": (MAX_PROMPT_CHARACTERS), "pattern": r"\S",
        "description": "Not blank, without control characters other than line feed and tab; counted in characters."
    };
    named RunId => { "type": "string", "pattern": "^[0-9a-f]{32}$" };
    named ShootId => {
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
    };
    named SessionId => { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" };
    inline Name => {
        "type": "string", "minLength": 1, "maxLength": (MAX_ASSOCIATION_BYTES), "pattern": r"\S",
        "description": "Without control characters; its length counts bytes of UTF-8."
    };
    inline Filename => {
        "type": "string", "minLength": 1, "maxLength": (MAX_FILENAME_BYTES),
        "description": "Without control characters; its length counts bytes of UTF-8."
    };
    inline PartMethod => { "type": "string", "enum": (PartMethod::ALL.map(Method::as_str)) };
    inline ImageType => { "type": "string", "enum": (Format::ALL.map(Format::content_type)) };
    named Sha256Digest => { "type": "string", "description": "SHA-256, hexadecimal.", "pattern": "^[0-9a-f]{64}$" };
    named ObjectKey => { "type": "string", "description": "The key of an object in the bucket.", "minLength": 1 };
    named Context => {
        "type": "string",
        "description": "The first segment of an upload's key; `generated`, `frames` and `stillstore` are reserved.",
        "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"
    };
    named Labels => {
        "type": "object",
        "description": "Free string pairs.",
        "maxProperties": (Labels::MAX_PAIRS),
        "propertyNames": { "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$" },
        "additionalProperties": { "type": "string", "maxLength": (Labels::MAX_VALUE_BYTES) }
    };
    named ItemId => {
        "description": "The id of an item: an image's, or the value of a row's id column.",
        "anyOf": [
            { "type": "integer", "minimum": (-ITEM_ID_MAX_INTEGER), "maximum": (ITEM_ID_MAX_INTEGER) },
            { "type": "string", "maxLength": (ITEM_ID_MAX_BYTES) }
        ]
    };
    named Code => {
        "type": "string",
        "description": "Stable; branch on it.",
        "enum": (Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>())
    };
    named Size => {
        "description": "One of the names, or another size with both sides divisible by 16, no side longer than 3840 pixels, a ratio \
            between 1:3 and 3:1, and 655360 to 8294400 pixels in all.",
        "anyOf": [
            { "type": "string", "enum": (Size::FIXED.map(|size| size.text().into_owned())) },
            { "type": "string", "pattern": "^[1-9][0-9]{2,3}x[1-9][0-9]{2,3}$" }
        ]
    };
    named Quality => { "type": "string", "enum": (Quality::ALL.map(Quality::as_str)) };
    named Background => { "type": "string", "enum": (Background::ALL.map(Background::as_str)) };
    named OutputFormat => { "type": "string", "enum": (OutputFormat::ALL.map(OutputFormat::as_str)) };
    named Style => { "type": "string", "enum": (Style::ALL.map(Style::as_str)) };
}

impl<T: JsonSchema> JsonSchema for Parsed<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
