//! The trace context of a request (W3C Trace Context, level 1): read strictly, and written.

/// Length of `traceparent` in version 00.
const LENGTH: usize = 55;
/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;
/// Members of `tracestate` at most.
const MOST_MEMBERS: usize = 32;
/// Longest `tracestate` that is passed on; at least so much has to be.
const MOST_STATE_BYTES: usize = 512;

/// Where a request stands in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; not 0.
    pub trace_id: u128,
    /// The span that the request was made in; not 0.
    pub span_id: u64,
    /// Whether the trace is recorded.
    pub is_sampled: bool,
}

impl TraceContext {
    /// Reads `traceparent`; `None` if it does not have its form, so that a new trace is to begin.
    ///
    /// Versions to come may add something at the end and are read as far as version 00 goes (section 4.1 there).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(LENGTH)?;
        let [version, trace_id, span_id, flags] = fields(known)?;
        let is_known = match version {
            0 => more.is_empty(),
            255 => false,
            _ => more.is_empty() || more[0] == b'-',
        };
        if !is_known || trace_id == 0 || span_id == 0 {
            return None;
        }
        let span_id = u64::try_from(span_id).ok()?;
        Some(Self { trace_id, span_id, is_sampled: flags as u8 & SAMPLED != 0 })
    }

    /// The text of `traceparent`.
    pub fn text(&self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write(&mut text[3..35], self.trace_id);
        write(&mut text[36..52], self.span_id.into());
        write(&mut text[53..], u128::from(self.is_sampled));
        text
    }
}

/// The four numbers of version 00, whose lengths are fixed.
fn fields(text: &[u8]) -> Option<[u128; 4]> {
    let dashes = [2, 35, 52];
    if dashes.iter().any(|at| text.get(*at) != Some(&b'-')) {
        return None;
    }
    Some([number(&text[..2])?, number(&text[3..35])?, number(&text[36..52])?, number(&text[53..])?])
}

/// A number in hexadecimal digits of lower case, the only ones that are allowed.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// Writes a number in as many hexadecimal digits as there is room for.
fn write(out: &mut [u8], number: u128) {
    for (place, digit) in out.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * place)) as usize & 15];
    }
}

/// Whether the lines of `tracestate` together have its form, so that they may be passed on.
pub fn is_state<'v>(lines: impl Iterator<Item = &'v [u8]>) -> bool {
    let (mut members, mut bytes) = (0, 0);
    for line in lines {
        bytes += line.len() + 1;
        // Empty members are allowed.
        for member in line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|one| !one.is_empty()) {
            members += 1;
            if members > MOST_MEMBERS || !is_member(member) {
                return false;
            }
        }
    }
    bytes <= MOST_STATE_BYTES + 1
}

/// `key=value`, the key with the name of a tenant or without.
fn is_member(member: &[u8]) -> bool {
    let Some(at) = member.iter().position(|byte| *byte == b'=') else { return false };
    let (key, value) = (&member[..at], &member[at + 1..]);
    let is_value = (1..=256).contains(&value.len())
        && value.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='));
    let of_key = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    let is_part = |part: &[u8], most: usize| {
        let begins = part.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        begins && part.len() <= most && part.iter().all(of_key)
    };
    let is_key = match key.iter().position(|byte| *byte == b'@') {
        Some(at) => is_part(&key[..at], 241) && is_part(&key[at + 1..], 14),
        None => is_part(key, 256),
    };
    is_key && is_value
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_read_and_written_as_it_came() {
        let context = TraceContext::parse(SOUND.as_bytes()).unwrap();
        let (trace_id, span_id) = (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7);
        assert_eq!(context, TraceContext { trace_id, span_id, is_sampled: true });
        assert_eq!(context.text(), SOUND.as_bytes());
        let quiet = TraceContext { is_sampled: false, ..context };
        assert!(quiet.text().ends_with(b"-00"));
        assert_eq!(TraceContext::parse(&quiet.text()), Some(quiet));
    }

    #[test]
    fn other_flags_and_later_versions_are_read_as_far_as_they_are_known() {
        let sampled = |text: &str| TraceContext::parse(text.as_bytes()).map(|context| context.is_sampled);
        let with = |version: &str, flags: &str| format!("{version}{}{flags}", &SOUND[2..53]);
        assert_eq!(sampled(&with("00", "ff")), Some(true));
        assert_eq!(sampled(&with("00", "fe")), Some(false));
        assert_eq!(sampled(&with("cc", "01")), Some(true));
        assert_eq!(sampled(&with("cc", "01-what-comes")), Some(true));
        assert_eq!(sampled(&with("cc", "01x")), None);
        assert_eq!(sampled(&with("00", "01-more")), None);
        assert_eq!(sampled(&with("ff", "01")), None);
    }

    #[test]
    fn what_is_malformed_is_no_context() {
        let zeros = |from: usize, to: usize| {
            let mut text = SOUND.to_owned();
            text.replace_range(from..to, &"0".repeat(to - from));
            text
        };
        let mut rows = vec![zeros(3, 35), zeros(36, 52), SOUND.to_uppercase(), SOUND[..54].to_owned()];
        rows.extend([format!(" {SOUND}"), format!("{SOUND} "), format!("{SOUND},{SOUND}"), String::new()]);
        rows.extend([SOUND.replace('-', "_"), SOUND.replace('4', "g"), SOUND.replace("01", "+1")]);
        for text in rows {
            assert_eq!(TraceContext::parse(text.as_bytes()), None, "{text:?}");
        }
        // Any byte in the place of any other.
        for at in 0..LENGTH {
            for byte in [b'\0', b'\r', b'\n', b' ', b'-', b'G', 0x80, 0xff] {
                let mut text = SOUND.as_bytes().to_vec();
                text[at] = byte;
                let is_same = text == SOUND.as_bytes();
                assert!(is_same || TraceContext::parse(&text).is_none(), "{at} {byte}");
            }
        }
    }

    #[test]
    fn a_state_has_its_form_or_is_none() {
        let state = |lines: &[&str]| is_state(lines.iter().map(|line| line.as_bytes()));
        let many = |count: usize| (0..count).map(|at| format!("k{at}=v")).collect::<Vec<_>>().join(",");
        for lines in [
            &["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"][..],
            &["a=1", "b=2"],
            &["a=1, ,\tb=2,"],
            &["fw529a3039@dt=FfAz~x !", "0a=1"],
            &[&many(32)],
            &[],
        ] {
            assert!(state(lines), "{lines:?}");
        }
        let long = format!("a={}", "x".repeat(257));
        let (one, other) = (format!("a={}", "x".repeat(256)), format!("b={}", "x".repeat(256)));
        for lines in [
            &["a"][..],
            &["=1"],
            &["a="],
            &["A=1"],
            &["a=1=2"],
            &["a@=1"],
            &["@b=1"],
            &["a@b@c=1"],
            &["a=\u{e9}"],
            &["a=1\0"],
            &["a b=1"],
            &[&long],
            &[&one, &other],
            &[&many(33)],
        ] {
            assert!(!state(lines), "{lines:?}");
        }
    }
}
