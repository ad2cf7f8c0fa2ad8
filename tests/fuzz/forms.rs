//! Forms of ingress-nginx that have arithmetic in them, against models that count in wider numbers.

use std::time::Duration;

use selvedge_ingress::annotations::form::{
    AbsoluteUrl, Cidrs, Codes, Count, Form, Hosts, Names, ObjectName, Path, Pattern, Seconds, Size, Target,
    Text, Time,
};

/// A year in seconds.
const YEAR: u128 = 365 * 24 * 3600;

/// Reads a text in all forms.
pub fn check(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    let nanoseconds = |time: Duration| time.as_nanos();
    assert_eq!(Time::parse(text).map(|time| nanoseconds(time.0)), time(text), "{text:?} as a time");
    assert_eq!(Duration::parse(text).map(nanoseconds), own_time(text), "{text:?} as a time of ours");
    assert_eq!(Size::parse(text).map(|size| size.0.into()), size(text), "{text:?} as a size");
    let count = digits(text).filter(|count| *count <= u32::MAX.into());
    assert_eq!(Count::parse(text).map(|count| count.0.into()), count, "{text:?} as a count");
    let seconds = digits(text).filter(|count| *count <= 10 * YEAR);
    assert_eq!(Seconds::parse(text).map(|time| time.0.as_secs().into()), seconds, "{text:?} as seconds");
    check_texts(text);
}

/// What is taken holds nothing that could end a line or a name.
fn check_texts(text: &str) {
    let lists = [
        Cidrs::parse(text).map(|ranges| ranges.0.iter().count()),
        Codes::parse(text).map(|codes| codes.0.len()),
        Hosts::parse(text).map(|hosts| hosts.hosts.len() + hosts.wrong.len()),
        Names::parse(text).map(|names| names.0.len()),
    ];
    for length in lists.into_iter().flatten() {
        assert!(length <= text.split(',').count(), "{text:?}");
    }
    let names = Names::parse(text).map(|names| names.0.to_vec()).unwrap_or_default();
    let object = ObjectName::parse(text);
    let words = names.into_iter().chain(object.into_iter().flat_map(|name| {
        assert!(!name.name.contains('/'), "{text:?}");
        name.namespace.into_iter().chain([name.name])
    }));
    for word in words {
        assert!(!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    }
    let lines = [
        Text::parse(text).map(|text| text.0),
        Path::parse(text).map(|path| path.0),
        Target::parse(text).map(|target| target.0),
        AbsoluteUrl::parse(text).map(|url| url.0),
    ];
    for line in lines.into_iter().flatten() {
        assert!(!line.contains(char::is_control), "{text:?}");
    }
    if let Some(pattern) = Pattern::parse(text) {
        assert!(pattern.0.len() <= 1024, "{text:?}");
    }
}

fn digits(text: &str) -> Option<u128> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.trim_start_matches('0')).filter(|text| text.len() < 30)?.parse().ok().or(Some(0))
}

/// Nanoseconds of a time; only the last number of a word may lack its unit.
fn time(text: &str) -> Option<u128> {
    const UNITS: [(&str, u128); 6] =
        [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
    let mut sum = 0;
    let mut words = 0;
    for word in text.split_ascii_whitespace() {
        let word =
            if word.ends_with(|last: char| last.is_ascii_digit()) { format!("{word}s") } else { word.into() };
        sum += pairs(&word, &UNITS)?;
        words += 1;
    }
    (words > 0 && sum <= YEAR * 1000).then_some(sum * 1_000_000)
}

/// Nanoseconds of a time as annotations of our own have it.
fn own_time(text: &str) -> Option<u128> {
    const UNITS: [(&str, u128); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    pairs(text, &UNITS).filter(|sum| (1..=86_400_000).contains(sum)).map(|sum| sum * 1_000_000)
}

/// The sum of numbers, each with its unit; none of them is more than any limit would allow.
fn pairs(text: &str, units: &[(&str, u128)]) -> Option<u128> {
    let (mut sum, mut number, mut unit) = (0, String::new(), String::new());
    let mut add = |number: &mut String, unit: &mut String| {
        let each = units.iter().find(|(name, _)| *name == unit.as_str())?.1;
        let count = digits(number)?;
        sum += count.min(1 << 64) * each;
        number.clear();
        unit.clear();
        Some(())
    };
    for letter in text.chars() {
        match letter.is_ascii_digit() {
            true if !unit.is_empty() => {
                add(&mut number, &mut unit)?;
                number.push(letter);
            }
            true => number.push(letter),
            false => unit.push(letter),
        }
    }
    if !number.is_empty() || !unit.is_empty() {
        add(&mut number, &mut unit)?;
    }
    Some(sum)
}

/// Bytes of a size.
fn size(text: &str) -> Option<u128> {
    let text = text.trim();
    let last = text.chars().last()?;
    let shift = match last.to_ascii_lowercase() {
        'b' => Some(0),
        'k' => Some(10),
        'm' => Some(20),
        'g' => Some(30),
        _ => None,
    };
    let number = if shift.is_some() { &text[..text.len() - 1] } else { text };
    let count = digits(number).filter(|count| *count <= u64::MAX.into())?;
    Some(count << shift.unwrap_or(0)).filter(|bytes| *bytes <= u64::MAX.into())
}
