//! Tests of the access log: its forms, hostile input, and outputs that fail.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{Condvar, Mutex},
};

use proptest::prelude::*;

use super::*;

/// An output that keeps what is written and fails as told.
#[derive(Clone, Default)]
struct Output(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    written: Vec<u8>,
    answers: VecDeque<io::ErrorKind>,
    /// Longest write taken at once; 0 is no limit.
    most: usize,
    /// Writes wait while it is set.
    stuck: bool,
    /// How many writes are waiting.
    waiting: usize,
}

impl Output {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn wait(&self, until: impl Fn(&State) -> bool) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |state| !until(state)).unwrap());
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().written.clone()).unwrap()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        state.waiting += 1;
        self.0.1.notify_all();
        let mut state = self.0.1.wait_while(state, |state| state.stuck).unwrap();
        state.waiting -= 1;
        if let Some(kind) = state.answers.pop_front() {
            return Err(kind.into());
        }
        let taken = if state.most == 0 { bytes.len() } else { bytes.len().min(state.most) };
        state.written.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const LONG: Duration = Duration::from_secs(60);

fn record() -> AccessRecord<'static> {
    AccessRecord {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(951_825_599_007),
        client: Ipv4Addr::new(203, 0, 113, 9).into(),
        method: b"GET",
        target: b"/a?b=c",
        host: b"shop.example:8080",
        version: Version::Http11,
        status: 200,
        received_bytes: 0,
        sent_bytes: 1024,
        duration: Duration::from_micros(12_345),
        route: Some("shop/web/0/1"),
        backend: Some("shop/web:80"),
        endpoint: Some("10.0.0.7:8080".parse().unwrap()),
        tries: 1,
        generation: 7,
        reason: None,
        request_id: b"4f2a",
        user_agent: Some(b"curl/8.5 (x)"),
        referer: None,
        tls: Some("TLSv1.3"),
    }
}

fn line(format: AccessLogFormat, record: &AccessRecord<'_>) -> String {
    let mut out = Vec::new();
    match format {
        AccessLogFormat::Json => format::json(&mut out, &mut Stamp::default(), record),
        _ => format::text(&mut out, &mut Stamp::default(), record),
    }
    String::from_utf8(out).unwrap()
}

/// Splits a text line as its readers do: at spaces that are not between quotes or brackets.
fn columns(line: &str) -> Vec<String> {
    let (mut columns, mut closing) = (vec![String::new()], None);
    for character in line.chars() {
        match (closing, character) {
            (None, ' ') => columns.push(String::new()),
            (None, '"') => closing = Some('"'),
            (None, '[') if columns.last().unwrap().is_empty() => closing = Some(']'),
            (Some(end), character) if end == character => closing = None,
            (_, character) => columns.last_mut().unwrap().push(character),
        }
    }
    assert_eq!(closing, None, "{line}");
    columns
}

#[test]
fn a_text_line_is_the_common_log_format_with_more_columns() {
    let expected = "203.0.113.9 - - [29/Feb/2000:11:59:59.007 +0000] \"GET /a?b=c HTTP/1.1\" 200 1024 \"-\" \
        \"curl/8.5 (x)\" host=shop.example:8080 duration=0.012345 received=0 route=shop/web/0/1 \
        backend=shop/web:80 endpoint=10.0.0.7:8080 tries=1 generation=7 reason=- id=4f2a tls=TLSv1.3\n";
    assert_eq!(line(AccessLogFormat::Text, &record()), expected);
}

#[test]
fn a_json_line_names_every_member() {
    let expected = "{\"time\":\"2000-02-29T11:59:59.007Z\",\"client\":\"203.0.113.9\",\"method\":\"GET\",\
        \"target\":\"/a?b=c\",\"version\":\"HTTP/1.1\",\"status\":200,\"sent_bytes\":1024,\"referer\":null,\
        \"user_agent\":\"curl/8.5 (x)\",\"host\":\"shop.example:8080\",\"duration_seconds\":0.012345,\
        \"received_bytes\":0,\"route\":\"shop/web/0/1\",\"backend\":\"shop/web:80\",\
        \"endpoint\":\"10.0.0.7:8080\",\"tries\":1,\"generation\":7,\"reason\":null,\"request_id\":\"4f2a\",\
        \"tls\":\"TLSv1.3\"}\n";
    assert_eq!(line(AccessLogFormat::Json, &record()), expected);
}

#[test]
fn hostile_bytes_are_escaped_in_text() {
    let cases: [(&[u8], &str); 6] = [
        (b"/a\" 200 0 \"x", "/a\\x22\\x20200\\x200\\x20\\x22x"),
        (b"/a\r\nb", "/a\\x0d\\x0ab"),
        (b"/\\", "/\\x5c"),
        (b"/\x1b[2J", "/\\x1b[2J"),
        ("/ü".as_bytes(), "/\\xc3\\xbc"),
        (b"", "-"),
    ];
    for (target, expected) in cases {
        let line = line(AccessLogFormat::Text, &AccessRecord { target, ..record() });
        assert!(line.contains(&format!("\"GET {expected} HTTP/1.1\"")), "{line}");
    }
}

#[test]
fn hostile_bytes_are_escaped_in_json() {
    let cases: [(&[u8], &str); 6] = [
        (b"a\"b", "a\"b"),
        (b"a\\b", "a\\b"),
        (b"a\nb\x00\x7f", "a\nb\0\x7f"),
        ("ü \u{85}\u{2028}".as_bytes(), "ü \u{85}\u{2028}"),
        (b"a\xffb", "a\\xffb"),
        (b"", ""),
    ];
    for (agent, expected) in cases {
        let line = line(AccessLogFormat::Json, &AccessRecord { user_agent: Some(agent), ..record() });
        assert!(!line.trim_end().chars().any(|c| c.is_control() || c == '\u{2028}'), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["user_agent"], expected);
    }
}

#[test]
fn addresses_of_ipv6_are_written_as_usual() {
    let with = |client: &str, endpoint: &str| AccessRecord {
        client: client.parse().unwrap(),
        endpoint: Some(endpoint.parse().unwrap()),
        ..record()
    };
    let text = line(AccessLogFormat::Text, &with("2001:db8::1", "[fd00::2]:80"));
    assert!(text.starts_with("2001:db8::1 ") && text.contains(" endpoint=[fd00::2]:80 "), "{text}");
    let text = line(AccessLogFormat::Text, &with("::ffff:192.0.2.1", "[::ffff:10.0.0.1]:80"));
    assert!(text.starts_with("192.0.2.1 ") && text.contains(" endpoint=10.0.0.1:80 "), "{text}");
}

#[test]
fn dates_are_those_of_the_calendar() {
    let cases = [
        (0, "1970-01-01T00:00:00"),
        (951_782_400, "2000-02-29T00:00:00"),
        (1_709_164_800, "2024-02-29T00:00:00"),
        (1_735_689_599, "2024-12-31T23:59:59"),
        (4_107_542_400, "2100-03-01T00:00:00"),
    ];
    for (second, expected) in cases {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let line = line(AccessLogFormat::Json, &AccessRecord { time, ..record() });
        assert!(line.contains(&format!("\"time\":\"{expected}.000Z\"")), "{line}");
    }
}

#[test]
fn one_stamp_serves_many_moments() {
    let (mut stamp, mut out) = (Stamp::default(), Vec::new());
    for millis in [999, 1000, 61_000, 500] {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        format::json(&mut out, &mut stamp, &AccessRecord { time, ..record() });
    }
    let text = String::from_utf8(out).unwrap();
    let times: Vec<_> = text.lines().map(|line| &line[20..32]).collect();
    assert_eq!(times, ["00:00:00.999", "00:00:01.000", "00:01:01.000", "00:00:00.500"]);
}

proptest! {
    #[test]
    fn no_request_can_break_a_line(
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..24), 6),
        words in proptest::collection::vec(proptest::option::of(".{0,12}"), 4),
        numbers in any::<(u16, u64, u64, u32, u64)>(),
    ) {
        let record = AccessRecord {
            method: &values[0],
            target: &values[1],
            host: &values[2],
            request_id: &values[3],
            user_agent: Some(&values[4]),
            referer: Some(&values[5]),
            route: words[0].as_deref(),
            backend: words[1].as_deref(),
            reason: words[2].as_deref(),
            tls: words[3].as_deref(),
            status: numbers.0,
            sent_bytes: numbers.1,
            received_bytes: numbers.2,
            tries: numbers.3,
            generation: numbers.4,
            ..record()
        };
        let text = line(AccessLogFormat::Text, &record);
        prop_assert_eq!(text.matches('\n').count(), 1);
        prop_assert!(text.trim_end_matches('\n').bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        prop_assert_eq!(columns(text.trim_end_matches('\n')).len(), 20);
        let json = line(AccessLogFormat::Json, &record);
        prop_assert_eq!(json.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(value.as_object().unwrap().len(), 20);
        if let Ok(agent) = std::str::from_utf8(&values[4]) {
            prop_assert_eq!(&value["user_agent"], agent);
        }
    }
}

fn log(output: &Output) -> (AccessLog, AccessLogCounts) {
    let counts = AccessLogCounts::default();
    let log = AccessLog::start(AccessLogFormat::Text, Box::new(output.clone()), counts.clone()).unwrap();
    (log, counts)
}

#[test]
fn lines_reach_the_output_at_a_flush_and_when_a_worker_ends() {
    let output = Output::default();
    let (log, counts) = log(&output);
    let (one, other) = (log.worker(), log.worker());
    one.record(&record());
    other.record(&AccessRecord { target: b"/other", ..record() });
    one.flush();
    assert!(log.finish(LONG));
    assert_eq!(output.text(), line(AccessLogFormat::Text, &record()), "the other has not flushed");
    drop(other);
    assert!(log.finish(LONG));
    assert!(
        output
            .text()
            .ends_with(&line(AccessLogFormat::Text, &AccessRecord { target: b"/other", ..record() }))
    );
    assert_eq!(counts.dropped_lines.get(), 0);
}

#[test]
fn a_full_buffer_is_handed_over_without_a_flush() {
    let output = Output::default();
    let (log, _) = log(&output);
    let worker = log.worker();
    let length = line(AccessLogFormat::Text, &record()).len();
    (0..HAND_OVER_BYTES / length + 1).for_each(|_| worker.record(&record()));
    assert!(log.finish(LONG));
    assert!(output.text().len() >= HAND_OVER_BYTES);
}

#[test]
fn failed_writes_are_counted_and_tried_again_without_a_torn_line() {
    let output = Output::default();
    output.set(|state| {
        state.most = 7;
        state.answers = [
            io::ErrorKind::StorageFull,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::Interrupted,
            io::ErrorKind::WouldBlock,
        ]
        .into();
    });
    let (log, counts) = log(&output);
    let worker = log.worker();
    worker.record(&record());
    worker.flush();
    assert!(log.finish(LONG));
    assert_eq!(output.text(), line(AccessLogFormat::Text, &record()));
    assert_eq!(counts.write_errors.get(), 2, "interruptions and a busy reader are no failures");
    assert_eq!(counts.dropped_lines.get(), 0);
}

#[test]
fn a_stuck_output_costs_lines_but_never_a_wait() {
    let output = Output::default();
    output.set(|state| state.stuck = true);
    let (log, counts) = log(&output);
    let worker = log.worker();
    worker.record(&record());
    worker.flush();
    output.wait(|state| state.waiting == 1);
    // This thread goes on while the writer cannot: one buffer is being written, the channel fills, then lines
    // are dropped.
    let mut recorded = 1;
    while counts.dropped_lines.get() == 0 {
        worker.record(&record());
        recorded += 1;
    }
    assert!(!log.finish(Duration::ZERO));
    output.set(|state| state.stuck = false);
    worker.flush();
    assert!(log.finish(LONG));
    drop(worker);
    assert!(log.finish(LONG));
    let written = output.text().lines().count() as u64;
    assert_eq!(written + counts.dropped_lines.get(), recorded, "every line is written or counted");
}

#[test]
fn a_closed_log_gives_up_an_output_that_keeps_failing() {
    let output = Output::default();
    output.set(|state| state.answers = vec![io::ErrorKind::BrokenPipe; 1_000_000].into());
    let (log, counts) = log(&output);
    let worker = log.worker();
    worker.record(&record());
    drop((worker, log));
    // The writer holds the last clone of the output and lets go of it when it ends.
    while Arc::strong_count(&output.0) > 1 {
        std::thread::yield_now();
    }
    assert_eq!(counts.dropped_lines.get(), 1);
    assert_eq!(output.text(), "");
}

#[test]
fn a_closed_pipe_and_a_full_disk_are_counted_and_survived() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let outputs: [Box<dyn Write + Send>; 2] = [Box::new(writer), Box::new(full)];
    for output in outputs {
        let counts = AccessLogCounts::default();
        let log = AccessLog::start(AccessLogFormat::Json, output, counts.clone()).unwrap();
        let worker = log.worker();
        worker.record(&record());
        worker.flush();
        while counts.write_errors.get() < 2 {
            std::thread::yield_now();
        }
        worker.record(&record());
        assert!(!log.finish(Duration::ZERO));
    }
}

#[test]
fn a_slow_pipe_gets_every_line_whole() {
    let (mut reader, writer) = io::pipe().unwrap();
    let counts = AccessLogCounts::default();
    let log = AccessLog::start(AccessLogFormat::Text, Box::new(writer), counts.clone()).unwrap();
    let worker = log.worker();
    // More than a pipe holds, so that the writer has to wait for the reader.
    (0..2000).for_each(|_| worker.record(&record()));
    drop((worker, log));
    let mut text = String::new();
    io::Read::read_to_string(&mut reader, &mut text).unwrap();
    assert_eq!(text, line(AccessLogFormat::Text, &record()).repeat(2000));
    assert_eq!(counts.dropped_lines.get(), 0);
}

#[test]
fn a_log_that_is_off_takes_records_and_does_nothing() {
    let counts = AccessLogCounts::default();
    let output = Output::default();
    let log = AccessLog::start(AccessLogFormat::Off, Box::new(output.clone()), counts).unwrap();
    let worker = log.worker();
    assert!(!worker.is_on());
    worker.record(&record());
    drop(worker);
    assert!(log.finish(Duration::ZERO));
    assert_eq!(output.text(), "");
}
