//! Reading variables: each value checked, each problem kept.

use super::secret::{GivenSecret, MIN_SECRET_CHARACTERS, Secret};
use crate::generate::InvalidParameter;
use crate::telemetry::ConfigProblem;

/// Reads variables and gathers what is wrong with them.
pub(super) struct Reader<Lookup> {
    pub lookup: Lookup,
    pub problems: Vec<ConfigProblem>,
}

impl<Lookup: Fn(&str) -> Option<String>> Reader<Lookup> {
    pub fn text(&self, variable: &str) -> Option<String> {
        (self.lookup)(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A secret of our own, which must not be guessable.
    pub fn secret(&mut self, variable: &'static str) -> GivenSecret {
        match self.text(variable) {
            None => GivenSecret::Unset,
            Some(value) if value.chars().count() < MIN_SECRET_CHARACTERS => {
                self.problem(variable, format!("must have at least {MIN_SECRET_CHARACTERS} characters"));
                GivenSecret::TooShort
            }
            Some(value) => GivenSecret::Usable(Secret::new(value)),
        }
    }

    pub fn problem(&mut self, variable: &'static str, rule: impl Into<String>) {
        self.problems.push(ConfigProblem { variable, rule: rule.into(), given: None });
    }

    pub fn number(&mut self, variable: &'static str, default: u64, range: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(text) = self.text(variable) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.problem(variable, format!("must be a whole number from {} to {}", range.start(), range.end()));
                default
            }
        }
    }

    pub fn small_number(&mut self, variable: &'static str, default: u16, max: u16) -> u16 {
        u16::try_from(self.number(variable, u64::from(default), 1..=u64::from(max))).unwrap_or(default)
    }

    /// A value of a type that says itself what is wrong with a text.
    pub fn parsed<T>(
        &mut self,
        variable: &'static str,
        parse: impl FnOnce(&str) -> Result<T, InvalidParameter>,
    ) -> Option<T> {
        match parse(&self.text(variable)?) {
            Ok(value) => Some(value),
            Err(InvalidParameter(rule)) => {
                self.problem(variable, rule);
                None
            }
        }
    }
}
