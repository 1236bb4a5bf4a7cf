//! The value of a data column, on its way between the database and here.
//!
//! D1 refuses texts of over 2,000,000 bytes, also those that an expression makes, so that a longer BLOB comes and goes in pieces.

use super::sql::{PIECE_BYTES, Sql, whole};
use super::value::{Decoded, StoredText, ValueForm, ValueProblem, decode};
use crate::bytes::{Blob, Encoding, Text, TextEncoding};
use crate::sql::{DatabaseError, DatabaseErrorKind, QueryResult};
use crate::store::EMBEDDED_MAX_BYTES;

/// The longest value that is read: 4 characters a byte at most, see [`ValueProblem::TooLarge`].
pub(in crate::migrate::source) const MAX_DATA_BYTES: u64 = EMBEDDED_MAX_BYTES * 4;

/// A value.
#[derive(Debug, Clone)]
pub(in crate::migrate::source) enum Datum {
    Text(Text),
    /// A BLOB, or the UTF-8 of a text.
    Bytes {
        bytes: Blob,
        is_blob: bool,
    },
}

impl Datum {
    /// The value that came with its row: a text, or a BLOB in hexadecimal digits.
    pub fn from_inline(is_blob: bool, text: Text) -> Result<Self, DatabaseError> {
        if is_blob { Ok(Self::Bytes { bytes: bytes_of(&text)?, is_blob }) } else { Ok(Self::Text(text)) }
    }

    /// The value of which [`crate::migrate::source::table::Table::load_pieces`] read the pieces, `None` when the row has changed.
    pub fn from_pieces(answers: &[QueryResult], is_blob: bool) -> Result<Option<Self>, DatabaseError> {
        let mut pieces = Vec::with_capacity(answers.len());
        for answer in answers {
            let Some(Some(text)) = answer.texts.first() else { return Ok(None) };
            pieces.push(bytes_of(text)?);
        }
        let bytes = match <[Blob; 1]>::try_from(pieces) {
            Ok([only]) => only,
            Err(pieces) => pieces.iter().flat_map(Blob::to_vec).collect::<Vec<u8>>().into(),
        };
        Ok(Some(Self::Bytes { bytes, is_blob }))
    }

    /// The image that the value stands for.
    pub fn decode(&self) -> Result<Decoded, ValueProblem> {
        match self {
            Self::Text(text) => decode(&StoredText { is_blob: false, text: text.clone() }),
            Self::Bytes { bytes, .. } if bytes.is_empty() => Err(ValueProblem::Empty),
            Self::Bytes { bytes, .. } if bytes.size_bytes() as u64 > EMBEDDED_MAX_BYTES => {
                Err(ValueProblem::TooLarge { limit_bytes: EMBEDDED_MAX_BYTES })
            }
            Self::Bytes { bytes, .. } => Ok(Decoded { bytes: bytes.clone(), form: ValueForm::Blob }),
        }
    }

    /// The value that `form` makes of `bytes`, when it makes one.
    pub fn rebuild(form: &ValueForm, bytes: &Blob) -> Option<Self> {
        if form.is_blob() {
            return Some(Self::Bytes { bytes: bytes.clone(), is_blob: true });
        }
        form.encode(bytes).map(Self::Text)
    }

    /// Whether both are the same value; false is no proof that they differ.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(text), Self::Text(other)) => text.is_same(other),
            // The bytes of both have the same digest: whoever asks has compared it.
            (Self::Bytes { is_blob, .. }, Self::Bytes { is_blob: other, .. }) => is_blob == other,
            (Self::Text(_), Self::Bytes { .. }) | (Self::Bytes { .. }, Self::Text(_)) => false,
        }
    }

    /// Adds the condition that `column` holds exactly this value.
    pub fn compare(&self, sql: &mut Sql, column: &str) {
        match self {
            Self::Text(text) => {
                // A column's own collation may take different texts for equal.
                sql.push(column).push(" IS ").bind(text.clone()).push(" COLLATE BINARY");
            }
            Self::Bytes { bytes, is_blob } => {
                sql.push("typeof(").push(column).push(if *is_blob { ") = 'blob'" } else { ") = 'text'" });
                sql.push(" AND octet_length(").push(column).push(") = ").bind(whole(bytes.size_bytes() as u64));
                for (offset, piece) in pieces(bytes) {
                    // Numbers as literals: D1 takes 100 parameters a statement, and 25 MB are 50 pieces.
                    let (from, length) = ((offset + 1).to_string(), piece.size_bytes().to_string());
                    sql.push(" AND substr(CAST(").push(column).push(" AS BLOB), ").push(&from).push(", ").push(&length);
                    sql.push(") IS unhex(").bind(hex_of(&piece)).push(")");
                }
            }
        }
    }

    /// Adds an expression of the value.
    pub fn express(&self, sql: &mut Sql) {
        match self {
            Self::Text(text) => {
                sql.bind(text.clone());
            }
            Self::Bytes { bytes, is_blob } => {
                sql.push("CAST(x''");
                for (_, piece) in pieces(bytes) {
                    sql.push(" || unhex(").bind(hex_of(&piece)).push(")");
                }
                sql.push(if *is_blob { " AS BLOB)" } else { " AS TEXT)" });
            }
        }
    }
}

fn pieces(bytes: &Blob) -> impl Iterator<Item = (u64, Blob)> {
    let size_bytes = bytes.size_bytes() as u64;
    (0..size_bytes.div_ceil(PIECE_BYTES)).map(move |index| {
        let offset = index * PIECE_BYTES;
        let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
        (offset, bytes.slice(at(offset)..at(offset + PIECE_BYTES)))
    })
}

fn hex_of(bytes: &Blob) -> Text {
    Text::encode("", bytes, TextEncoding::Hex, "")
}

fn bytes_of(hex: &Text) -> Result<Blob, DatabaseError> {
    let corrupt = |_| DatabaseError::new(DatabaseErrorKind::Corrupt, "hex() answered with something else");
    hex.decode(0, Encoding::Hex).map_err(corrupt)
}
