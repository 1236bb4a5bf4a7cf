//! What a server answers when it is asked for the objects of a bucket (`ListObjectsV2`).

use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

/// An object, as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    pub size_bytes: u64,
    /// Without its quotes.
    pub etag: String,
    /// As the server writes it.
    pub modified: String,
}

/// A page of a listing, in the order of keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    pub objects: Vec<ListedObject>,
    pub is_truncated: bool,
    /// What the server wants to hear for the next page.
    pub next: Option<String>,
}

/// The answer is not a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoListing;

impl Listing {
    /// Reads an answer.
    ///
    /// # Errors
    /// When it is not a listing, or lacks a field of an object.
    pub fn parse(xml: &str) -> Result<Self, NoListing> {
        let mut reader = Reader::from_str(xml);
        let mut path: Vec<String> = Vec::new();
        let mut text = String::new();
        let mut listing = Self::default();
        let mut object = Fields::default();
        let mut has_root = false;
        let mut says_encoded = false;
        loop {
            match reader.read_event().map_err(|_| NoListing)? {
                Event::Start(tag) => {
                    path.push(tag.local_name().as_ref().to_owned());
                    text.clear();
                    has_root |= path == ["ListBucketResult"];
                }
                Event::Text(part) => text.push_str(&part),
                Event::CData(part) => text.push_str(&part),
                Event::GeneralRef(reference) => text.push(resolved(&reference).ok_or(NoListing)?),
                Event::End(_) => {
                    let names: Vec<_> = path.iter().map(String::as_str).collect();
                    match names[..] {
                        ["ListBucketResult", "IsTruncated"] => listing.is_truncated = text.trim() == "true",
                        ["ListBucketResult", "EncodingType"] => says_encoded = text.trim() == "url",
                        ["ListBucketResult", "NextContinuationToken"] => {
                            listing.next = Some(std::mem::take(&mut text)).filter(|token| !token.is_empty());
                        }
                        ["ListBucketResult", "Contents"] => {
                            listing.objects.push(std::mem::take(&mut object).object().ok_or(NoListing)?);
                        }
                        ["ListBucketResult", "Contents", field] => object.set(field, std::mem::take(&mut text)),
                        _ => {}
                    }
                    path.pop();
                    text.clear();
                }
                Event::Eof if has_root && path.is_empty() => {
                    if says_encoded {
                        listing.decode();
                    }
                    return Ok(listing);
                }
                Event::Eof => return Err(NoListing),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    /// Whether a key may be another one in truth: what XML 1.0 cannot hold, many servers write as U+FFFD.
    pub(super) fn may_have_lost_characters(&self) -> bool {
        self.objects.iter().any(|object| object.key.contains(char::REPLACEMENT_CHARACTER))
    }

    /// Decodes the keys, unless one of them is not encoded: some servers repeat `EncodingType` and encode nothing.
    fn decode(&mut self) {
        let decoded: Option<Vec<_>> = self.objects.iter().map(|object| decoded(&object.key)).collect();
        for (object, key) in self.objects.iter_mut().zip(decoded.into_iter().flatten()) {
            object.key = key;
        }
    }
}

/// What an encoded key stands for; `None` when it is not encoded. A space is `+` at some servers and `%20` at others, a plus `%2B` at all.
fn decoded(key: &str) -> Option<String> {
    let mut parts = key.split('%');
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic());
    let is_escape = |part: &str| part.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if !parts.next().is_none_or(is_plain) || !parts.all(|part| is_escape(part) && is_plain(part)) {
        return None;
    }
    Some(percent_decode_str(&key.replace('+', " ")).decode_utf8().ok()?.into_owned())
}

#[derive(Default)]
struct Fields {
    key: Option<String>,
    size_bytes: Option<u64>,
    etag: Option<String>,
    modified: Option<String>,
}

impl Fields {
    fn set(&mut self, field: &str, text: String) {
        match field {
            "Key" => self.key = Some(text),
            "Size" => self.size_bytes = text.trim().parse().ok(),
            "ETag" => self.etag = Some(text.trim().trim_matches('"').to_owned()),
            "LastModified" => self.modified = Some(text.trim().to_owned()),
            _ => {}
        }
    }

    fn object(self) -> Option<ListedObject> {
        Some(ListedObject {
            key: self.key?,
            size_bytes: self.size_bytes?,
            etag: self.etag.unwrap_or_default(),
            modified: self.modified.unwrap_or_default(),
        })
    }
}

fn resolved(reference: &BytesRef<'_>) -> Option<char> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Some(character);
    }
    match &**reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_whatever_its_keys_are() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>a/</Prefix><KeyCount>2</KeyCount>
<IsTruncated>true</IsTruncated><Contents><Key>a/x &amp; y &lt;&#252;&#x1F600;&gt;.png</Key><LastModified>2026-11-21T09:30:00.000Z</LastModified>
<ETag>&quot;9b2cf535f27731c974343645a3985328&quot;</ETag><Size>67</Size><Owner><ID>1</ID></Owner></Contents>
<Contents><Key>a/ b</Key><Size>0</Size></Contents></ListBucketResult>"#;
        let listing = Listing::parse(xml).unwrap();
        assert!(listing.is_truncated);
        assert_eq!(
            listing.objects[0],
            ListedObject {
                key: "a/x & y <ü😀>.png".to_owned(),
                size_bytes: 67,
                etag: "9b2cf535f27731c974343645a3985328".to_owned(),
                modified: "2026-11-21T09:30:00.000Z".to_owned(),
            }
        );
        assert_eq!((listing.objects[1].key.as_str(), listing.objects[1].etag.as_str()), ("a/ b", ""));
        assert_eq!(Listing::parse("<ListBucketResult></ListBucketResult>"), Ok(Listing::default()));
    }

    fn page(keys: &[&str], end: &str) -> Listing {
        let contents = keys.iter().map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>"));
        let contents = contents.collect::<Vec<_>>().concat();
        Listing::parse(&format!("<ListBucketResult>{contents}{end}</ListBucketResult>")).unwrap()
    }

    fn keys(listing: &Listing) -> Vec<&str> {
        listing.objects.iter().map(|object| object.key.as_str()).collect()
    }

    #[test]
    fn control_characters_and_line_ends_are_read_as_they_are_written() {
        let listing = page(&["a\u{1}b", "&#x1;&#0013;&#xD;&#10;", "a\r\nb\tc", " "], "");
        assert_eq!(keys(&listing), ["a\u{1}b", "\u{1}\r\r\n", "a\r\nb\tc", " "]);
        assert!(!listing.may_have_lost_characters());
        assert!(page(&["a", "b\u{fffd}"], "").may_have_lost_characters());
    }

    #[test]
    fn keys_are_decoded_where_the_server_says_that_it_encoded_them() {
        let encoded =
            ["a+b%2Bc%2520", "a%20b", "%01%0D%00/x", "p%2F%C3%BC%F0%9F%98%80", "~*!'(),:@&amp;=$;%7e", "%EF%BF%BD"];
        let listing = page(&encoded, "<EncodingType>url</EncodingType>");
        let expected = ["a b+c%20", "a b", "\u{1}\r\0/x", "p/ü😀", "~*!'(),:@&=$;~", "\u{fffd}"];
        assert_eq!(keys(&listing), expected);
        assert_eq!(keys(&page(&["a+b", "a%20b"], "")), ["a+b", "a%20b"]);
    }

    #[test]
    fn keys_stay_as_they_are_where_one_of_them_cannot_be_encoded() {
        for odd in ["a b", "ü", "\u{1}", "100%", "%zz", "%4", "%ff", "%C3%", "%+1"] {
            let listing = page(&["a+b", odd, "a%20b"], "<EncodingType>url</EncodingType>");
            assert_eq!(keys(&listing), ["a+b", odd, "a%20b"]);
        }
    }

    #[test]
    fn what_the_server_wants_to_hear_next_is_kept() {
        let end = "<IsTruncated>true</IsTruncated><NextContinuationToken>1+/x=&amp;%20</NextContinuationToken>";
        let listing = page(&[], &format!("{end}<EncodingType>url</EncodingType>"));
        assert_eq!((listing.is_truncated, listing.next.as_deref()), (true, Some("1+/x=&%20")));
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        for xml in [
            "",
            "<Error><Code>AccessDenied</Code></Error>",
            "<ListBucketResult>",
            "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
            "<ListBucketResult><Contents><Key>&nbsp;</Key><Size>1</Size></Contents></ListBucketResult>",
            "not xml",
        ] {
            assert_eq!(Listing::parse(xml), Err(NoListing), "{xml}");
        }
    }
}
