//! Names of an application's tables and columns, as they go into SQL.

/// What a name must be, in words that follow the field that holds it.
pub(super) const RULE: &str = "must be a name of 1 to 64 bytes without NUL";

const MAX_BYTES: usize = 64;
const RESERVED_PREFIXES: [&str; 3] = ["stillstore_", "sqlite_", "_cf_"];

/// The name of a table or a column: 1 to 64 bytes without NUL. It goes into SQL quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier(String);

impl Identifier {
    /// `name`, when it can be one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let is_valid = (1..=MAX_BYTES).contains(&name.len()) && !name.contains('\0');
        is_valid.then(|| Self(name.to_owned()))
    }

    pub(super) fn of_ours(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// A name that the database's own schema has, however long.
    pub(super) fn of_schema(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in quotes, for SQL.
    #[must_use]
    pub fn quoted(&self) -> String {
        ["\"", &self.0.replace('"', "\"\""), "\""].concat()
    }

    /// The name as a text literal, for SQL.
    pub(super) fn literal(&self) -> String {
        ["'", &self.0.replace('\'', "''"), "'"].concat()
    }

    /// Whether both name the same column: SQLite takes ASCII letters of either case for equal.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// Whether the name can be part of an HTTP header's.
    pub(super) fn is_plain(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    }

    /// Whether such a table is Stillstore's, SQLite's or D1's own.
    pub(super) fn is_reserved(&self) -> bool {
        let lower = self.0.to_ascii_lowercase();
        RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    }
}
