//! URLs in texts: where those of the old bucket are, and which objects they may be of.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// The longest part of a URL behind its base that is looked at.
const MAX_KEY_TEXT_BYTES: usize = 4_096;
/// The most ends that a URL may have: a text does not say where one ends.
const MAX_ENDS: usize = 16;

/// The most punctuation behind a URL.
const MOST_CLOSING: usize = 8;

/// How a URL is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Plain,
    /// As some writers of JSON have it, with `\/` for each slash.
    Escaped,
}

/// A URL that begins with a base of the old bucket's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// Where it begins, in bytes.
    pub at: usize,
    spelling: Spelling,
    /// Where it may end, and the key that it then names: the longest first.
    ends: Vec<(usize, String)>,
}

/// A URL that is replaced by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Where the one that is replaced is, in bytes.
    pub at: usize,
    pub old: String,
    pub new: String,
}

impl Occurrence {
    /// The keys that it may name, the longest first.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.ends.iter().map(|(_, key)| key.as_str())
    }

    /// What it becomes when it names the first of its keys that `url_of` has a URL for. A query goes with the old URL unless `keeps_query`.
    pub fn replaced<'url>(
        &self,
        text: &str,
        url_of: impl Fn(&str) -> Option<&'url str>,
        keeps_query: bool,
    ) -> Option<(Replacement, String)> {
        let (end, key, url) = self.ends.iter().find_map(|(end, key)| Some((*end, key, url_of(key)?)))?;
        let end = if keeps_query { end } else { query_end(text, end, self.spelling) };
        let old = text.get(self.at..end)?.to_owned();
        let new = match self.spelling {
            Spelling::Plain => url.to_owned(),
            Spelling::Escaped => url.replace('/', "\\/"),
        };
        Some((Replacement { at: self.at, old, new }, key.clone()))
    }
}

/// Where the query ends that begins at `from`, or `from` where none does.
fn query_end(text: &str, from: usize, spelling: Spelling) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    if !rest.starts_with('?') {
        return from;
    }
    let ends = rest.char_indices().skip(1).map(|(at, _)| at).chain([rest.len()]);
    let end = ends.into_iter().find(|at| may_end(rest.get(*at..).unwrap_or_default(), spelling));
    from + end.unwrap_or(0)
}

/// What to look for: both spellings of each base, which ends in a slash. The longest first.
pub fn needles(bases: &[String]) -> Vec<String> {
    let mut needles: Vec<_> = bases.iter().flat_map(|base| [base.clone(), base.replace('/', "\\/")]).collect();
    needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
    needles
}

/// The URLs in a text that begin with one of the [`needles`], in their order; at most `limit`.
pub fn find(text: &str, needles: &[String], limit: usize) -> Vec<Occurrence> {
    let mut found = Vec::new();
    let mut from = 0;
    while found.len() < limit {
        let rest = text.get(from..).unwrap_or_default();
        let first = needles.iter().filter_map(|needle| Some((rest.find(needle.as_str())?, needle)));
        let Some((at, needle)) = first.min_by_key(|(at, needle)| (*at, std::cmp::Reverse(needle.len()))) else {
            break;
        };
        let (at, behind) = (from + at, from + at + needle.len());
        let spelling = if needle.contains('\\') { Spelling::Escaped } else { Spelling::Plain };
        found.push(Occurrence { at, spelling, ends: ends(text, behind, spelling) });
        from = behind;
    }
    found
}

/// Where a URL may end whose key begins at `from`.
fn ends(text: &str, from: usize, spelling: Spelling) -> Vec<(usize, String)> {
    let rest = text.get(from..).unwrap_or_default();
    let mut ends = Vec::new();
    let mut at = 0;
    loop {
        let tail = rest.get(at..).unwrap_or_default();
        if at > 0 && may_end(tail, spelling) {
            ends.push(at);
        }
        match tail.chars().next() {
            Some('\\') if spelling == Spelling::Escaped && tail.starts_with("\\/") => at += 2,
            Some(character) if !stops(character) && at < MAX_KEY_TEXT_BYTES => at += character.len_utf8(),
            _ => break,
        }
    }
    ends.reverse();
    ends.truncate(MAX_ENDS);
    let key = |end: usize| {
        let written = rest.get(..end).unwrap_or_default();
        let written = if spelling == Spelling::Escaped { written.replace("\\/", "/") } else { written.to_owned() };
        percent_decode_str(&written.replace("&amp;", "&")).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    ends.into_iter().filter_map(|end| Some((from + end, key(end)?))).collect()
}

/// Whether no URL goes on over a character.
fn stops(character: char) -> bool {
    character.is_whitespace() || character.is_control() || matches!(character, '"' | '<' | '>' | '`' | '\\' | '^')
}

/// Whether a URL may end in front of `tail`. What could be more of a key never follows: `a.png` is not in `a.png.webp`.
fn may_end(tail: &str, spelling: Spelling) -> bool {
    const ENTITIES: [&str; 10] =
        ["&quot;", "&#34;", "&#39;", "&#x22;", "&#x27;", "&apos;", "&lt;", "&gt;", "&nbsp;", "&#10;"];
    const CLOSING: [char; 11] = ['.', ',', ';', ':', '!', ')', ']', '}', '\'', '|', '?'];
    let Some(first) = tail.chars().next() else { return true };
    match first {
        // `\u` may be a letter.
        '\\' => !(tail.starts_with("\\u") || spelling == Spelling::Escaped && tail.starts_with("\\/")),
        '&' => ENTITIES.iter().any(|entity| tail.starts_with(entity)),
        '?' | '#' | '«' | '»' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3011}' => true,
        first if stops(first) => true,
        first if CLOSING.contains(&first) => {
            let closing = tail.chars().take_while(|character| CLOSING.contains(character)).take(MOST_CLOSING).count();
            // All of them are ASCII.
            let (closing, behind) = tail.split_at_checked(closing).unwrap_or((tail, ""));
            let next = behind.chars().next();
            let is_list = closing.contains([',', ';', '|']) && behind.starts_with("http");
            next.is_none_or(|next| next == '(' || stops(next) && may_end(behind, spelling))
                || is_list
                || ENTITIES.iter().any(|entity| behind.starts_with(entity))
        }
        _ => false,
    }
}

/// The text with its replacements, which are in their order, and where each new URL is in it.
pub fn replace(text: &str, replacements: &[Replacement]) -> Option<(String, Vec<usize>)> {
    let mut result = String::with_capacity(text.len());
    let mut places = Vec::with_capacity(replacements.len());
    let mut from = 0;
    for Replacement { at, old, new } in replacements {
        let end = at + old.len();
        if text.get(*at..end)? != old {
            return None;
        }
        result.push_str(text.get(from..*at)?);
        places.push(result.len());
        result.push_str(new);
        from = end;
    }
    result.push_str(text.get(from..)?);
    Some((result, places))
}

/// Where any of `urls` is in a text, and which it is, in their order. None is found in a longer one.
pub fn locate<'url>(text: &str, urls: impl IntoIterator<Item = &'url str>) -> Vec<(usize, &'url str)> {
    let mut found = BTreeMap::new();
    for url in urls {
        for (at, _) in text.match_indices(url) {
            let tail = text.get(at + url.len()..).unwrap_or_default();
            let spelling = if url.contains('\\') { Spelling::Escaped } else { Spelling::Plain };
            if may_end(tail, spelling) {
                found.insert(at, url);
            }
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://old.example.com/pics/";

    fn needles_of_base() -> Vec<String> {
        needles(&[BASE.to_owned()])
    }

    /// The text when exactly these keys have a new URL.
    fn rewritten(text: &str, keys: &[&str]) -> String {
        rewritten_with(text, keys, true)
    }

    fn rewritten_with(text: &str, keys: &[&str], keeps_query: bool) -> String {
        let urls: BTreeMap<_, _> = keys.iter().map(|key| (*key, format!("https://new/{}", key.len()))).collect();
        let found = find(text, &needles_of_base(), 1_000);
        let replaced =
            found.iter().filter_map(|url| url.replaced(text, |key| urls.get(key).map(String::as_str), keeps_query));
        let replacements: Vec<_> = replaced.map(|(replacement, _)| replacement).collect();
        let (new, places) = replace(text, &replacements).unwrap();
        let back: Vec<_> = replacements
            .iter()
            .zip(places)
            .map(|(replacement, at)| Replacement { at, old: replacement.new.clone(), new: replacement.old.clone() })
            .collect();
        assert_eq!(replace(&new, &back).unwrap().0, text, "it goes back");
        new
    }

    #[test]
    fn a_url_is_found_in_all_kinds_of_text() {
        for (text, expected) in [
            ("https://old.example.com/pics/a.png", "https://new/5"),
            ("see https://old.example.com/pics/a.png.", "see https://new/5."),
            ("see (https://old.example.com/pics/a.png), and", "see (https://new/5), and"),
            ("![x](https://old.example.com/pics/a.png)", "![x](https://new/5)"),
            ("[![x](https://old.example.com/pics/a.png)](https://b)", "[![x](https://new/5)](https://b)"),
            ("<img src='https://old.example.com/pics/a.png'>", "<img src='https://new/5'>"),
            ("<img src=https://old.example.com/pics/a.png>", "<img src=https://new/5>"),
            (r#"{"u":"https://old.example.com/pics/a.png"}"#, r#"{"u":"https://new/5"}"#),
            (r#"{"u":"https:\/\/old.example.com\/pics\/a.png"}"#, r#"{"u":"https:\/\/new\/5"}"#),
            (r#""<a href=\"https://old.example.com/pics/a.png\">""#, r#""<a href=\"https://new/5\">""#),
            (r"https://old.example.com/pics/a.png\nnext", r"https://new/5\nnext"),
            ("https://old.example.com/pics/a.png?w=2#x", "https://new/5?w=2#x"),
            ("&quot;https://old.example.com/pics/a.png&quot;", "&quot;https://new/5&quot;"),
            ("https://old.example.com/pics/a.png,https://old.example.com/pics/a.png", "https://new/5,https://new/5"),
            (
                "https://old.example.com/pics/a.png 1x, https://old.example.com/pics/b/c.png 2x",
                "https://new/5 1x, https://new/7 2x",
            ),
            ("https://old.example.com/pics/a.png\u{3002}", "https://new/5\u{3002}"),
        ] {
            assert_eq!(rewritten(text, &["a.png", "b/c.png"]), expected);
        }
    }

    #[test]
    fn a_url_that_begins_another_is_not_hit() {
        for text in [
            "https://old.example.com/pics/a.png.webp",
            "https://old.example.com/pics/a.png/b",
            "https://old.example.com/pics/a.png%20b",
            "https://old.example.com/pics/a.png~",
            "https://old.example.com/pics/a.png-2",
            "https://old.example.com/pics/a.png&b",
            "https://old.example.com/pics/a.png,b.png",
            r"https://old.example.com/pics/a.png\u00fc",
            r"https://old.example.com/pics/a.png,\u00fc.png",
            r"https:\/\/old.example.com\/pics\/a.png\/b",
            "https://old.example.com/pics/a.pngü",
            "https://old.example.com/pics/",
            "https://old.example.com/picsa.png",
        ] {
            assert_eq!(rewritten(text, &["a.png"]), text);
        }
        assert_eq!(rewritten("https://old.example.com/pics/a.png.webp", &["a.png", "a.png.webp"]), "https://new/10");
    }

    #[test]
    fn a_query_goes_where_nobody_would_know_it() {
        for (text, expected) in [
            ("(https://old.example.com/pics/a.png?w=2&amp;h=3#x)", "(https://new/5#x)"),
            ("(https://old.example.com/pics/a.png?w=2,3).", "(https://new/5)."),
            ("https://old.example.com/pics/a.png?", "https://new/5"),
            ("https://old.example.com/pics/a.png#x?", "https://new/5#x?"),
        ] {
            assert_eq!(rewritten_with(text, &["a.png"], false), expected);
        }
    }

    #[test]
    fn keys_are_read_as_urls_write_them() {
        for (text, key) in [
            ("https://old.example.com/pics/%C3%BC%20b.png", "ü b.png"),
            ("https://old.example.com/pics/ü%20b.png", "ü b.png"),
            ("https://old.example.com/pics/a(1).png", "a(1).png"),
            ("https://old.example.com/pics/a,b;c'd.png", "a,b;c'd.png"),
            ("https://old.example.com/pics/a&amp;b.png", "a&b.png"),
            ("https://old.example.com/pics/a&b.png", "a&b.png"),
            ("https://old.example.com/pics/dots...", "dots..."),
        ] {
            let new = format!("https://new/{}", key.len());
            assert_eq!(rewritten(text, &[key]), new, "{text}");
        }
    }

    #[test]
    fn a_new_url_is_found_again_and_not_in_a_longer_one() {
        let text = "https://new/a.png https://new/a.png.webp https://new/a.png?x";
        let urls = ["https://new/a.png", "https://new/a.png.webp"];
        assert_eq!(locate(text, urls), [(0, urls[0]), (18, urls[1]), (41, urls[0])]);
    }

    #[test]
    fn a_replacement_of_what_is_not_there_replaces_nothing() {
        let other = Replacement { at: 1, old: "b".to_owned(), new: "c".to_owned() };
        assert_eq!(replace("aab", std::slice::from_ref(&other)), None);
        assert_eq!(replace("ü", &[other]), None);
    }
}
