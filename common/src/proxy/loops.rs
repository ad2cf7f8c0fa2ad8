//! Loops: requests that went in a circle through us are told by our name in `Via` and end here.

use super::{exchange::Exchange, respond::Failure};
use crate::{
    message::{Fields, Known, Version},
    model::LoopProtection,
};

/// Refuses a request that has gone through us too often.
///
/// # Errors
/// If it has.
pub fn check(fields: &Fields, protection: &LoopProtection) -> Result<(), Failure> {
    match hops(fields, protection.id.as_bytes()) >= usize::from(protection.hops) {
        true => Err(Failure::Loop),
        false => Ok(()),
    }
}

/// Adds our name to those that a request came through (RFC 9110 §7.6.3).
pub fn leave_trace(x: &mut Exchange<'_>, protection: &LoopProtection) {
    let version: &[u8] = match x.head.version {
        Version::Http10 => b"1.0 ",
        Version::Http11 | Version::None => b"1.1 ",
        Version::Http2 => b"2 ",
    };
    x.head.fields.push_with(b"via", |out| {
        out.extend_from_slice(version);
        out.extend_from_slice(protection.id.as_bytes());
    });
}

/// How often a name stands in `Via`: each element is a protocol, who received it, and maybe a comment.
fn hops(fields: &Fields, id: &[u8]) -> usize {
    let elements = fields.all(Known::Via).flat_map(|value| value.split(|byte| *byte == b','));
    let received_by = elements.filter_map(|element| {
        let words = element.split(|byte| matches!(byte, b' ' | b'\t'));
        words.filter(|word| !word.is_empty()).nth(1)
    });
    received_by.filter(|name| name.eq_ignore_ascii_case(id)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_name_is_counted_wherever_it_received_a_request() {
        let rows: [(&[&str], usize); 8] = [
            (&[], 0),
            (&["1.1 tier"], 1),
            (&["1.1 other, 2 tier (comment)", "HTTP/1.1 TIER"], 2),
            (&["1.1  tier,1.1\ttier , 1.1 tier"], 3),
            (&["tier"], 0),
            (&["1.1 tier-2, 1.1 a.tier"], 0),
            (&["1.1 other (tier)"], 0),
            (&[",,", "1.1"], 0),
        ];
        for (values, wanted) in rows {
            let mut fields = Fields::default();
            values.iter().for_each(|value| fields.push(b"Via", value.as_bytes()));
            assert_eq!(hops(&fields, b"tier"), wanted, "{values:?}");
        }
    }
}
