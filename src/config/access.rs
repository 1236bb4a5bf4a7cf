//! Who may do what: the API token, what signs URLs, and the switch of local work.

use super::reader::Reader;
use super::secret::{GivenSecret, Secret};

/// The API token, what signs URLs, and the switch of local work.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// `API_TOKEN`.
    pub api_token: GivenSecret,
    /// `API_TOKEN_PREVIOUS`: still accepted while clients move to a new token.
    pub api_token_previous: Option<Secret>,
    /// Those that keys for signatures are derived from, the one that signs first: `SIGNING_KEY` and `SIGNING_KEY_PREVIOUS`, or the API tokens
    /// when there is no `SIGNING_KEY`.
    pub signing_secrets: Vec<Secret>,
    /// `ALLOW_UNAUTHENTICATED`: no token needed on a loopback host; set by `npm start` only.
    pub allow_unauthenticated: bool,
}

impl AccessSettings {
    pub(super) fn read<Lookup: Fn(&str) -> Option<String>>(reader: &mut Reader<Lookup>) -> Self {
        let api_token = reader.secret("API_TOKEN");
        let api_token_previous = reader.secret("API_TOKEN_PREVIOUS");
        if api_token == GivenSecret::Unset && api_token_previous != GivenSecret::Unset {
            reader.problem("API_TOKEN", "must be set when API_TOKEN_PREVIOUS is");
        }
        let signing_key = reader.secret("SIGNING_KEY");
        let signing_key_previous = reader.secret("SIGNING_KEY_PREVIOUS");
        if signing_key == GivenSecret::Unset && signing_key_previous != GivenSecret::Unset {
            reader.problem("SIGNING_KEY", "must be set when SIGNING_KEY_PREVIOUS is");
        }
        let signing = match &signing_key {
            GivenSecret::Unset => [&api_token, &api_token_previous],
            GivenSecret::TooShort | GivenSecret::Usable(_) => [&signing_key, &signing_key_previous],
        };
        Self {
            signing_secrets: signing.into_iter().filter_map(GivenSecret::usable).cloned().collect(),
            api_token_previous: api_token_previous.usable().cloned(),
            api_token,
            allow_unauthenticated: reader.text("ALLOW_UNAUTHENTICATED").as_deref() == Some("true"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigProblem};

    const LONG: &str = "long enough to be kept as secret";
    const OTHER: &str = "another one that can be a secret";

    fn parse(pairs: &[(&str, &str)]) -> (AccessSettings, Vec<ConfigProblem>) {
        let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let (config, problems) = Config::parse(lookup);
        (config.access, problems)
    }

    fn signing(pairs: &[(&str, &str)]) -> Vec<String> {
        parse(pairs).0.signing_secrets.iter().map(|secret| secret.expose().to_owned()).collect()
    }

    #[test]
    fn a_short_secret_is_refused_by_name_and_without_its_value() {
        assert_eq!(LONG.len(), 32);
        for variable in ["API_TOKEN", "API_TOKEN_PREVIOUS", "SIGNING_KEY", "SIGNING_KEY_PREVIOUS"] {
            let with = |value: &str| {
                let others = [("API_TOKEN", OTHER), ("SIGNING_KEY", OTHER)];
                let others = others.into_iter().filter(|(name, _)| *name != variable);
                parse(&others.chain([(variable, value)]).collect::<Vec<_>>())
            };
            assert_eq!(with(LONG).1, [], "{variable}");
            let short = &LONG[1..];
            let (settings, problems) = with(short);
            assert_eq!(problems.iter().map(|problem| problem.variable).collect::<Vec<_>>(), [variable]);
            assert!(!format!("{problems:?} {settings:?}").contains(short), "{problems:?}");
            let usable = [settings.api_token.usable(), settings.api_token_previous.as_ref()];
            let mut usable = usable.into_iter().flatten().chain(&settings.signing_secrets);
            assert!(usable.all(|secret| secret.expose() == OTHER), "{variable}");
        }
        assert_eq!(parse(&[("API_TOKEN", "short")]).0.api_token, GivenSecret::TooShort);
    }

    #[test]
    fn the_tokens_sign_only_where_there_is_no_signing_key() {
        let tokens = [("API_TOKEN", LONG), ("API_TOKEN_PREVIOUS", OTHER)];
        assert_eq!(signing(&tokens), [LONG, OTHER]);
        assert_eq!(signing(&[tokens[0], ("SIGNING_KEY", OTHER)]), [OTHER]);
        assert_eq!(signing(&[tokens[0], ("SIGNING_KEY", "short")]), [""; 0]);
        assert_eq!(signing(&[tokens[0], ("SIGNING_KEY", OTHER), ("SIGNING_KEY_PREVIOUS", LONG)]), [OTHER, LONG]);
        assert_eq!(signing(&[]), [""; 0]);
    }

    #[test]
    fn a_predecessor_alone_is_a_problem() {
        for (previous, current) in [("API_TOKEN_PREVIOUS", "API_TOKEN"), ("SIGNING_KEY_PREVIOUS", "SIGNING_KEY")] {
            let problems = parse(&[(previous, LONG)]).1;
            assert_eq!(problems.iter().map(|problem| problem.variable).collect::<Vec<_>>(), [current]);
        }
    }
}
