//! Cloudflare Access in front of the Worker: whom it lets in is the operator.

use super::reader::Reader;
use super::users::{TokenKeys, TokenSettings};
use crate::generate::InvalidParameter;

const DOMAIN: &str = ".cloudflareaccess.com";

/// What the assertions must be that Access adds to requests; `None` without `CF_ACCESS_TEAM` and `CF_ACCESS_AUD`.
pub(super) fn read<Lookup: Fn(&str) -> Option<String>>(reader: &mut Reader<Lookup>) -> Option<TokenSettings> {
    let team = reader.parsed("CF_ACCESS_TEAM", team);
    let audience = reader.parsed("CF_ACCESS_AUD", audience);
    for (variable, other) in [("CF_ACCESS_TEAM", "CF_ACCESS_AUD"), ("CF_ACCESS_AUD", "CF_ACCESS_TEAM")] {
        if reader.text(variable).is_none() && reader.text(other).is_some() {
            reader.problem(variable, "must be set when the other variable of Cloudflare Access is");
        }
    }
    let (team, audience) = team.zip(audience)?;
    let issuer = format!("https://{team}{DOMAIN}");
    let keys = TokenKeys::Published { url: format!("{issuer}/cdn-cgi/access/certs") };
    // Without an audience, an assertion for another application of the team would do.
    Some(TokenSettings { keys, audience: Some(audience), issuer: Some(issuer) })
}

/// `example`, or `example.cloudflareaccess.com`.
fn team(text: &str) -> Result<String, InvalidParameter> {
    let name = text.strip_suffix(DOMAIN).unwrap_or(text);
    let is_label = (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_label {
        Ok(name.to_owned())
    } else {
        Err(InvalidParameter("must be the team's name, such as example of example.cloudflareaccess.com".to_owned()))
    }
}

fn audience(text: &str) -> Result<String, InvalidParameter> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_owned())
    } else {
        Err(InvalidParameter("must be the application's Audience tag: 64 hexadecimal digits".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const AUDIENCE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn parse(pairs: &[(&str, &str)]) -> (Option<TokenSettings>, Vec<&'static str>) {
        let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let (config, problems) = Config::parse(lookup);
        (config.cloudflare_access, problems.into_iter().map(|problem| problem.variable).collect())
    }

    #[test]
    fn a_team_and_an_audience_make_it_up_and_neither_does_alone() {
        for name in ["example", "example.cloudflareaccess.com"] {
            let (settings, problems) = parse(&[("CF_ACCESS_TEAM", name), ("CF_ACCESS_AUD", AUDIENCE)]);
            let TokenSettings { keys, audience, issuer } = settings.unwrap();
            assert!(problems.is_empty());
            assert_eq!(issuer.as_deref(), Some("https://example.cloudflareaccess.com"));
            assert_eq!(audience.as_deref(), Some(AUDIENCE));
            let url = "https://example.cloudflareaccess.com/cdn-cgi/access/certs";
            assert!(matches!(keys, TokenKeys::Published { url: of } if of == url));
        }
        for (pairs, expected) in [
            (vec![], vec![]),
            (vec![("CF_ACCESS_TEAM", "example")], vec!["CF_ACCESS_AUD"]),
            (vec![("CF_ACCESS_AUD", AUDIENCE)], vec!["CF_ACCESS_TEAM"]),
            (vec![("CF_ACCESS_TEAM", "evil.example/"), ("CF_ACCESS_AUD", AUDIENCE)], vec!["CF_ACCESS_TEAM"]),
            (vec![("CF_ACCESS_TEAM", "example"), ("CF_ACCESS_AUD", "short")], vec!["CF_ACCESS_AUD"]),
        ] {
            let (settings, problems) = parse(&pairs);
            assert!(settings.is_none(), "{pairs:?}");
            assert_eq!(problems, expected, "{pairs:?}");
        }
    }
}
