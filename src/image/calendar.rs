//! Months of the UTC calendar, for keys that people browse.

use std::fmt;

use crate::runtime::Timestamp;

/// A month of the years 1970 to 9999 in UTC. Its text form is `yyyy/mm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CalendarMonth {
    year: u32,
    month: u32,
}

impl CalendarMonth {
    /// The month written as `yyyy` and `mm`.
    pub(super) fn parse(year: &str, month: &str) -> Option<Self> {
        let number = |digits: &str, length: usize| {
            let is_plain = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u32>().ok().filter(|_| is_plain)
        };
        let (year, month) = (number(year, 4)?, number(month, 2)?);
        (year >= 1970 && (1..=12).contains(&month)).then_some(Self { year, month })
    }
}

impl From<Timestamp> for CalendarMonth {
    /// A moment outside the years counts as the nearest one within.
    fn from(moment: Timestamp) -> Self {
        let (year, month, _) = moment.utc_date();
        match (u32::try_from(year), u32::try_from(month)) {
            (Ok(year @ 1970..=9999), Ok(month)) => Self { year, month },
            (Ok(10_000..), _) => Self { year: 9999, month: 12 },
            _ => Self { year: 1970, month: 1 },
        }
    }
}

impl fmt::Display for CalendarMonth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}/{:02}", self.year, self.month)
    }
}
