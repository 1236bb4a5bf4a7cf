//! Tokens that name nobody.

/// Why a token names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// It does not hold. The words say why, and nothing of the token; what it says of itself only once its signature was found to be good.
    Invalid(&'static str),
    /// The keys could not be fetched, so that nobody knows.
    KeysUnavailable,
}
