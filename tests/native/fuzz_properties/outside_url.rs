//! URLs that strangers have us fetch.

use std::net::IpAddr;

use stillstore::fetch::{AllowedHosts, OwnHost, Rules};
use url::{Host, Url};

/// What is fetched is, to the URL parser of browsers, a URL of a public host without a user, at the port 443; what a redirect leads to,
/// too, and where that parser leads it.
///
/// The input is a URL, and after a line break a `Location`.
pub fn outside_url(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (url, location) = text.split_once('\n').unwrap_or((&text, ""));
    let rules = Rules { allowed: AllowedHosts::default(), own: OwnHost::of_origin("https://images.mysite.com") };
    let Ok(admitted) = rules.admit(url) else { return };
    let fetched = check(&String::from(&admitted));
    assert_same(&Url::parse(url).expect("what is admitted is a URL"), &fetched);

    if let Ok(redirected) = rules.admit(&admitted.redirected(location)) {
        let led_to = check(&String::from(&redirected));
        assert_same(&fetched.join(location).expect("a URL"), &led_to);
    }
}

/// The same but for a dot at the end of the host, which names the same one.
fn assert_same(named: &Url, fetched: &Url) {
    let host = |url: &Url| url.host_str().map(|host| host.trim_end_matches('.').to_owned());
    let rest = |url: &Url| (url.scheme().to_owned(), url.port(), url.path().to_owned(), url.query().map(str::to_owned));
    assert_eq!((host(named), rest(named)), (host(fetched), rest(fetched)));
}

fn check(url: &str) -> Url {
    let url = Url::parse(url).expect("what is fetched is a URL");
    assert_eq!((url.scheme(), url.port_or_known_default()), ("https", Some(443)), "{url}");
    assert_eq!((url.username(), url.password(), url.fragment()), ("", None, None), "{url}");
    match url.host().expect("a host") {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            assert!(name.contains('.') && name != "images.mysite.com", "{url}");
            let last = name.rsplit('.').next();
            assert!(!["internal", "local", "localhost"].map(Some).contains(&last), "{url}");
        }
        Host::Ipv4(address) => check_address(address.into(), &url),
        Host::Ipv6(address) => {
            assert_eq!(address.to_ipv4(), None, "{url}");
            assert_eq!(address.segments()[0] >> 13, 1, "{url}");
            check_address(address.into(), &url);
        }
    }
    url
}

fn check_address(address: IpAddr, url: &Url) {
    assert!(!address.is_loopback() && !address.is_unspecified() && !address.is_multicast(), "{url}");
    if let IpAddr::V4(address) = address {
        assert!(!address.is_private() && !address.is_link_local() && !address.is_broadcast(), "{url}");
        assert!(!address.is_documentation() && address.octets()[0] != 0 && address.octets()[0] < 224, "{url}");
    }
}
