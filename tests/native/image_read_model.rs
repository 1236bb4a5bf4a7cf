//! A model of RFC 9110, sections 13 and 14, as plainly as the text reads: fields become tokens, bytes are picked one by one.

/// White space around the members of a list: section 5.6.3.
const OWS: [char; 2] = [' ', '\t'];

/// The fields of a request.
#[derive(Debug)]
pub struct Fields {
    pub is_get: bool,
    pub if_match: Option<String>,
    pub if_unmodified_since: Option<String>,
    pub if_none_match: Option<String>,
    pub if_modified_since: Option<String>,
    pub if_range: Option<String>,
    pub range: Option<String>,
}

/// What is sent: the status, which bytes, and `Content-Range`.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub bytes: Vec<u64>,
    pub content_range: Option<String>,
}

/// Section 13.2.2, step by step.
pub fn answer(fields: &Fields, tag: &str, modified_second: i64, size_bytes: u64) -> Answer {
    let without_bytes = |status| Answer { status, bytes: Vec::new(), content_range: None };
    let full = || Answer { status: 200, bytes: (0..size_bytes).collect(), content_range: None };
    let unmodified_since = |text: &str| date_second(text).map(|date| modified_second <= date);

    // 1. If-Match, strong comparison. 2. If-Unmodified-Since when there is no If-Match and the date is valid.
    if let Some(list) = &fields.if_match {
        if list.trim_matches(OWS) != "*" && !tags(list).contains(&(false, tag.to_owned())) {
            return without_bytes(412);
        }
    } else if fields.if_unmodified_since.as_deref().and_then(unmodified_since) == Some(false) {
        return without_bytes(412);
    }
    // 3. If-None-Match, weak comparison. 4. If-Modified-Since when there is no If-None-Match and the date is valid.
    if let Some(list) = &fields.if_none_match {
        if list.trim_matches(OWS) == "*" || tags(list).iter().any(|(_, opaque)| opaque == tag) {
            return without_bytes(304);
        }
    } else if fields.if_modified_since.as_deref().and_then(unmodified_since) == Some(true) {
        return without_bytes(304);
    }
    // 5. Range, with If-Range, for GET only.
    let Some(range) = fields.range.as_ref().filter(|_| fields.is_get) else { return full() };
    if let Some(validator) = &fields.if_range {
        let is_this_tag = *validator == format!("\"{tag}\"");
        let is_this_date = date_second(validator) == Some(modified_second);
        if !is_this_tag && !is_this_date {
            return full();
        }
    }
    match wanted_bytes(range, size_bytes) {
        None => full(),
        Some(bytes) => match (bytes.first(), bytes.last()) {
            (Some(first), Some(last)) => {
                let content_range = Some(format!("bytes {first}-{last}/{size_bytes}"));
                Answer { status: 206, bytes, content_range }
            }
            _ => Answer { status: 416, bytes, content_range: Some(format!("bytes */{size_bytes}")) },
        },
    }
}

/// The tags of a list as (is weak, content), read character by character; reading stops at what is no tag.
fn tags(list: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut characters = list.chars().peekable();
    loop {
        while characters.next_if(|character| " \t,".contains(*character)).is_some() {}
        let is_weak = characters.next_if_eq(&'W').is_some();
        if is_weak && characters.next() != Some('/') || characters.next() != Some('"') {
            return found;
        }
        let mut content = String::new();
        loop {
            match characters.next() {
                Some('"') => break,
                Some(character) if character > ' ' && character != '\u{7F}' => content.push(character),
                _ => return found,
            }
        }
        // A tag with something other than a comma behind it is no element of a list.
        while characters.next_if(|character| " \t".contains(*character)).is_some() {}
        if !matches!(characters.peek(), None | Some(',')) {
            return found;
        }
        found.push((is_weak, content));
    }
}

/// The second that an IMF-fixdate names, by counting the days of every year and month before it.
fn date_second(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<_> = text.split(' ').collect();
    let [weekday, day, month, year, time, "GMT"] = words.as_slice() else { return None };
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    let month = MONTHS.iter().position(|name| name == month)?;
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years: i64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let days = years + lengths[..month].iter().sum::<i64>() + day - 1;
    let weekdays = ["Thu,", "Fri,", "Sat,", "Sun,", "Mon,", "Tue,", "Wed,"];
    let time: Vec<i64> = time.split(':').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let is_right_weekday = weekdays[usize::try_from(days % 7).expect("day")] == *weekday;
    is_right_weekday.then(|| days * 86_400 + time[0] * 3600 + time[1] * 60 + time[2])
}

/// The bytes that a `Range` field asks for, none when it cannot be satisfied; `None` when the field is to be ignored.
fn wanted_bytes(field: &str, size_bytes: u64) -> Option<Vec<u64>> {
    let (unit, set) = field.split_once('=')?;
    if unit.to_lowercase() != "bytes" {
        return None;
    }
    let specs: Vec<_> = set.split(',').map(|spec| spec.trim_matches(OWS)).filter(|spec| !spec.is_empty()).collect();
    let [spec] = specs.as_slice() else { return None };
    let sides: Vec<_> = spec.split('-').collect();
    let [first, last] = sides.as_slice() else { return None };
    if format!("{first}{last}").chars().any(|character| !character.is_ascii_digit()) {
        return None;
    }
    // The test's numbers all fit.
    let number = |digits: &str| digits.parse::<u128>().expect("number");
    let (size, all) = (u128::from(size_bytes), 0..size_bytes);
    match (first.is_empty(), last.is_empty()) {
        (true, true) => None,
        (true, false) if size == 0 && number(last) > 0 => None,
        (true, false) => Some(all.filter(|byte| u128::from(*byte) + number(last) >= size).collect()),
        (false, true) => Some(all.filter(|byte| u128::from(*byte) >= number(first)).collect()),
        (false, false) if number(last) < number(first) => None,
        (false, false) => {
            Some(all.filter(|byte| (number(first)..=number(last)).contains(&u128::from(*byte))).collect())
        }
    }
}
