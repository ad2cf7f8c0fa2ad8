//! The deadline of a gRPC client: read from `grpc-timeout`, passed on with the time that is left.

use std::time::{Duration, Instant};

use super::{exchange::Exchange, grpc::is_grpc, respond::Failure};
use crate::message::{Fields, Known};

/// Most digits of a value ("TimeoutValue" of gRPC over HTTP/2).
const MOST_DIGITS: usize = 8;
/// Message for the client whose deadline passes while it reads the answer.
const MESSAGE: &[u8] = b"deadline exceeded";

/// When the client of a gRPC request stops waiting; `None` if it did not say so, or not in a form that can be read.
pub fn deadline(x: &Exchange<'_>) -> Option<Instant> {
    let value = x.head.fields.get(Known::GrpcTimeout)?;
    if !is_grpc(&x.head) {
        return None;
    }
    x.start().checked_add(parse(value)?)
}

/// Tells the backend how much of the time is left.
///
/// # Errors
/// When none is.
pub fn pass_on(x: &mut Exchange<'_>, deadline: Instant) -> Result<(), Failure> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Failure::Deadline);
    }
    x.head.fields.remove(Known::GrpcTimeout);
    x.head.fields.push_with(b"grpc-timeout", |out| write(out, left));
    Ok(())
}

/// Trailers that tell a client in the middle of an answer that its time is over.
pub fn trailers() -> Fields {
    let mut fields = Fields::default();
    fields.push(b"grpc-status", b"4");
    fields.push(b"grpc-message", MESSAGE);
    fields
}

/// Reads a number and a unit. 0 is what clients send whose time is over already.
fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let is_number =
        !digits.is_empty() && digits.len() <= MOST_DIGITS && digits.iter().all(u8::is_ascii_digit);
    let number: u64 = is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())??;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Writes a time in the finest unit that its digits leave room for.
fn write(out: &mut Vec<u8>, time: Duration) {
    let room = 10_u128.pow(MOST_DIGITS as u32);
    let units = [(time.as_nanos(), b'n'), (time.as_micros(), b'u'), (time.as_millis(), b'm')];
    let seconds = (u128::from(time.as_secs()).min(room - 1), b'S');
    let (number, unit) = units.into_iter().find(|(number, _)| *number < room).unwrap_or(seconds);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.push(unit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_number_and_a_unit() {
        let rows = [
            ("1H", Some(3_600_000_000_000)),
            ("2M", Some(120_000_000_000)),
            ("99999999S", Some(99_999_999_000_000_000)),
            ("250m", Some(250_000_000)),
            ("7u", Some(7000)),
            ("1n", Some(1)),
            ("0n", Some(0)),
            ("100000000n", None),
            ("", None),
            ("m", None),
            ("5", None),
            ("5s", None),
            ("-5S", None),
            ("+5S", None),
            ("1.5S", None),
        ];
        for (text, nanos) in rows {
            assert_eq!(parse(text.as_bytes()), nanos.map(Duration::from_nanos), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_fits_eight_digits() {
        let rows = [
            (Duration::from_nanos(5), "5n"),
            (Duration::from_millis(50), "50000000n"),
            (Duration::from_secs(5), "5000000u"),
            (Duration::from_secs(300), "300000m"),
            (Duration::from_secs(200_000), "200000S"),
            (Duration::MAX, "99999999S"),
        ];
        for (time, text) in rows {
            let mut out = Vec::new();
            write(&mut out, time);
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }
}
