//! What a server answers when it is asked for the objects of a bucket (`ListObjectsV2`).

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
                        ["ListBucketResult", "Contents"] => {
                            listing.objects.push(std::mem::take(&mut object).object().ok_or(NoListing)?);
                        }
                        ["ListBucketResult", "Contents", field] => object.set(field, std::mem::take(&mut text)),
                        _ => {}
                    }
                    path.pop();
                    text.clear();
                }
                Event::Eof if has_root && path.is_empty() => return Ok(listing),
                Event::Eof => return Err(NoListing),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }
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
