//! The parameters of listings that come in pages.

use std::str::FromStr;

use super::{Problem, Request};
use crate::catalog::PageSize;

/// Where a page starts and how much it holds.
pub(super) struct PageQuery<PageCursor> {
    pub cursor: Option<PageCursor>,
    pub size: PageSize,
}

impl<PageCursor: FromStr> PageQuery<PageCursor> {
    /// The query of a listing whose only parameters are `limit` and `cursor`; `next` names the field of its answers that holds a cursor.
    ///
    /// # Errors
    /// 400 for other parameters, and for values that are no page's.
    pub fn read(request: &Request, next: &str) -> Result<Self, Problem> {
        let mut query = Self { cursor: None, size: PageSize::default() };
        for (name, value) in request.query_pairs()? {
            match name.as_str() {
                "limit" => query.size = page_size(&value)?,
                "cursor" => {
                    let cursor = value.parse().map_err(|_| no_such_cursor(next))?;
                    query.cursor = Some(cursor);
                }
                _ => return Err(Problem::field(name, "is not a parameter; the parameters are limit and cursor")),
            }
        }
        Ok(query)
    }
}

/// The value of `limit`.
pub(super) fn page_size(value: &str) -> Result<PageSize, Problem> {
    let size = value.parse::<u64>().ok().and_then(|limit| PageSize::try_from(limit).ok());
    size.ok_or_else(|| Problem::field("limit", "must be a whole number from 1 to 100"))
}

/// The problem of a text that is no cursor.
pub(super) fn no_such_cursor(next: &str) -> Problem {
    Problem::field("cursor", format!("must be a {next} of an earlier page"))
}
