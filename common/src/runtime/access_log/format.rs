//! The two forms of a line: text and JSON.
//!
//! A text line has these columns, parted by one space; what is missing is `-`:
//!
//! ```text
//! client - - [day/month/year:hour:minute:second.millisecond +0000] "method target version" status sent_bytes
//! "referer" "user agent" host= duration= received= route= backend= endpoint= tries= generation= reason= id= tls=
//! ```
//!
//! A JSON line is an object whose members are `time` (RFC 3339), `client`, `method`, `target`, `version`,
//! `status`, `sent_bytes`, `referer`, `user_agent`, `host`, `duration_seconds`, `received_bytes`, `route`,
//! `backend`, `endpoint`, `tries`, `generation`, `reason`, `request_id`, `tls`; what is missing is `null`.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use super::{
    AccessRecord,
    escape::{bare, json as json_string, quoted},
};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The written form of the second that was logged last, so that a busy worker makes it once a second.
#[derive(Default)]
pub(super) struct Stamp {
    second: Option<u64>,
    text: String,
    json: String,
}

impl Stamp {
    /// Makes the stamp of this moment current and returns its milliseconds.
    fn turn_to(&mut self, time: SystemTime) -> u32 {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.second = Some(since.as_secs());
            let (year, month, day) = civil_date(since.as_secs() / 86_400);
            let second = since.as_secs() % 86_400;
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            let name = MONTHS[month as usize - 1];
            self.text = format!("{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{second:02}");
            self.json = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        }
        since.subsec_millis()
    }
}

/// Year, month (1 to 12) and day of the month of the day this many days after 1970-01-01.
///
/// It counts in eras of 400 years whose years begin in March, so that the leap day comes last.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Appends a text line.
pub(super) fn text(out: &mut Vec<u8>, stamp: &mut Stamp, record: &AccessRecord<'_>) {
    let millis = stamp.turn_to(record.time);
    address(out, record.client);
    put(out, " - - [");
    put(out, &stamp.text);
    fraction(out, millis, 3);
    put(out, " +0000] \"");
    bare(out, record.method);
    out.push(b' ');
    bare(out, record.target);
    out.push(b' ');
    put(out, record.version.as_str());
    put(out, "\" ");
    number(out, record.status);
    out.push(b' ');
    number(out, record.sent_bytes);
    for value in [record.referer, record.user_agent] {
        put(out, " \"");
        quoted(out, value.unwrap_or(b"-"));
        out.push(b'"');
    }
    put(out, " host=");
    bare(out, record.host);
    put(out, " duration=");
    seconds(out, record.duration);
    put(out, " received=");
    number(out, record.received_bytes);
    text_outcome(out, record);
    out.push(b'\n');
}

fn text_outcome(out: &mut Vec<u8>, record: &AccessRecord<'_>) {
    for (key, value) in [(" route=", record.route), (" backend=", record.backend)] {
        put(out, key);
        bare(out, value.unwrap_or_default().as_bytes());
    }
    put(out, " endpoint=");
    match record.endpoint {
        Some(endpoint) => socket(out, endpoint),
        None => out.push(b'-'),
    }
    put(out, " tries=");
    number(out, record.tries);
    put(out, " generation=");
    number(out, record.generation);
    put(out, " reason=");
    bare(out, record.reason.unwrap_or_default().as_bytes());
    put(out, " id=");
    bare(out, record.request_id);
    put(out, " tls=");
    bare(out, record.tls.unwrap_or_default().as_bytes());
}

/// Appends a JSON line.
pub(super) fn json(out: &mut Vec<u8>, stamp: &mut Stamp, record: &AccessRecord<'_>) {
    let millis = stamp.turn_to(record.time);
    put(out, "{\"time\":\"");
    put(out, &stamp.json);
    fraction(out, millis, 3);
    put(out, "Z\",\"client\":\"");
    address(out, record.client);
    put(out, "\",\"method\":");
    json_string(out, record.method);
    put(out, ",\"target\":");
    json_string(out, record.target);
    put(out, ",\"version\":\"");
    put(out, record.version.as_str());
    put(out, "\",\"status\":");
    number(out, record.status);
    put(out, ",\"sent_bytes\":");
    number(out, record.sent_bytes);
    json_member(out, ",\"referer\":", record.referer);
    json_member(out, ",\"user_agent\":", record.user_agent);
    put(out, ",\"host\":");
    json_string(out, record.host);
    put(out, ",\"duration_seconds\":");
    seconds(out, record.duration);
    put(out, ",\"received_bytes\":");
    number(out, record.received_bytes);
    json_outcome(out, record);
    put(out, "}\n");
}

fn json_outcome(out: &mut Vec<u8>, record: &AccessRecord<'_>) {
    json_member(out, ",\"route\":", record.route.map(str::as_bytes));
    json_member(out, ",\"backend\":", record.backend.map(str::as_bytes));
    put(out, ",\"endpoint\":");
    match record.endpoint {
        Some(endpoint) => {
            out.push(b'"');
            socket(out, endpoint);
            out.push(b'"');
        }
        None => put(out, "null"),
    }
    put(out, ",\"tries\":");
    number(out, record.tries);
    put(out, ",\"generation\":");
    number(out, record.generation);
    json_member(out, ",\"reason\":", record.reason.map(str::as_bytes));
    put(out, ",\"request_id\":");
    json_string(out, record.request_id);
    json_member(out, ",\"tls\":", record.tls.map(str::as_bytes));
}

fn json_member(out: &mut Vec<u8>, key: &str, value: Option<&[u8]>) {
    put(out, key);
    match value {
        Some(value) => json_string(out, value),
        None => put(out, "null"),
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    put(out, itoa::Buffer::new().format(number));
}

/// Seconds with six digits after the point.
fn seconds(out: &mut Vec<u8>, duration: Duration) {
    number(out, duration.as_secs());
    fraction(out, duration.subsec_micros(), 6);
}

/// A point and this many digits.
fn fraction(out: &mut Vec<u8>, value: u32, digits: usize) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value);
    out.push(b'.');
    out.extend(std::iter::repeat_n(b'0', digits.saturating_sub(text.len())));
    put(out, text);
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                number(out, octet);
            }
        }
        // Writing to a vector does not fail. The scope of a link-local address is no part of `IpAddr`.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

fn socket(out: &mut Vec<u8>, socket: SocketAddr) {
    let is_v6 = socket.ip().to_canonical().is_ipv6();
    if is_v6 {
        out.push(b'[');
    }
    address(out, socket.ip());
    if is_v6 {
        out.push(b']');
    }
    out.push(b':');
    number(out, socket.port());
}
