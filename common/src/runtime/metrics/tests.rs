//! Tests of the metrics' text form and of counting from many threads.

use std::{thread, time::Duration};

use super::*;

fn labels(route: &str) -> RouteLabels {
    RouteLabels { namespace: "shop".into(), route: route.into(), service: "web".into() }
}

#[track_caller]
fn assert_line(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
}

#[test]
fn the_text_form_has_each_count_under_its_name() {
    let metrics = Metrics::new();
    let route = metrics.route(&labels("front"));
    route.begin();
    route.end(204, Duration::from_millis(30), 5, 7);
    route.begin();
    let listener = metrics.listener(&"https".into());
    listener.accepted();
    listener.accepted();
    listener.closed("idle");
    listener.handshake();
    listener.handshake_failed("timeout");
    metrics.own_responses.add("no_route");
    let (_open, closed) = (metrics.upstream.open(), metrics.upstream.open());
    drop(closed);
    metrics.upstream.ejections.inc();
    metrics.upstream.failed.add("connect_refused");
    metrics.access_log.dropped_lines.inc_by(3);
    metrics.configuration.generation.set(12);
    metrics.configuration.errors.set(2);
    metrics.configuration.hosts_translated.inc();
    metrics.configuration.translation.observe(Duration::from_millis(2));
    metrics.configuration.set_denied("secrets", true);
    let text = metrics.encode();
    let of_route = "namespace=\"shop\",route=\"front\",service=\"web\"";
    for line in [
        &format!("selvedge_requests_total{{{of_route},status=\"2xx\"}} 1"),
        &format!("selvedge_request_duration_seconds_bucket{{le=\"0.025\",{of_route}}} 0"),
        &format!("selvedge_request_duration_seconds_bucket{{le=\"0.05\",{of_route}}} 1"),
        &format!("selvedge_request_duration_seconds_bucket{{le=\"+Inf\",{of_route}}} 1"),
        &format!("selvedge_request_duration_seconds_sum{{{of_route}}} 0.03"),
        &format!("selvedge_request_duration_seconds_count{{{of_route}}} 1"),
        &format!("selvedge_requests_in_flight{{{of_route}}} 1"),
        &format!("selvedge_request_received_bytes_total{{{of_route}}} 5"),
        &format!("selvedge_response_sent_bytes_total{{{of_route}}} 7"),
        "selvedge_connections_accepted_total{listener=\"https\"} 2",
        "selvedge_connections_open{listener=\"https\"} 1",
        "selvedge_connections_closed_total{listener=\"https\",reason=\"idle\"} 1",
        "selvedge_tls_handshakes_total{listener=\"https\"} 1",
        "selvedge_tls_handshakes_failed_total{listener=\"https\",reason=\"timeout\"} 1",
        "selvedge_own_responses_total{reason=\"no_route\"} 1",
        "selvedge_upstream_connections_opened_total 2",
        "selvedge_upstream_connections_closed_total 1",
        "selvedge_upstream_ejections_total 1",
        "selvedge_upstream_failures_total{reason=\"connect_refused\"} 1",
        "selvedge_access_log_dropped_lines_total 3",
        "selvedge_snapshot_generation 12",
        "selvedge_problems{severity=\"error\"} 2",
        "selvedge_problems{severity=\"warning\"} 0",
        "selvedge_hosts_translated_total 1",
        "selvedge_translation_duration_seconds_count 1",
        "selvedge_kind_denied{kind=\"secrets\"} 1",
        "selvedge_panics_total 0",
        "# EOF",
    ] {
        assert_line(&text, line);
    }
}

#[test]
fn a_kind_is_denied_as_long_as_one_of_its_namespaces_is() {
    let metrics = Metrics::new();
    for (denied, parts) in [(true, 1), (true, 2), (false, 1), (false, 0)] {
        metrics.configuration.set_denied("secrets", denied);
        assert_line(&metrics.encode(), &format!("selvedge_kind_denied{{kind=\"secrets\"}} {parts}"));
    }
}

#[test]
fn label_values_cannot_break_the_text_form() {
    let metrics = Metrics::new();
    let route = metrics.route(&labels("a\"} 1\nfake 2\\"));
    route.begin();
    let text = metrics.encode();
    assert!(!text.lines().any(|line| line.starts_with("fake")), "{text}");
    assert!(text.contains("route=\"a\\\"} 1\\nfake 2\\\\\""), "{text}");
}

#[test]
fn routes_without_requests_are_not_written() {
    let metrics = Metrics::new();
    let _route = metrics.route(&labels("quiet"));
    let text = metrics.encode();
    assert!(!text.contains("quiet"));
    assert_line(&text, "selvedge_route_series 1");
}

#[test]
fn routes_beyond_the_cap_are_written_as_overflow() {
    let metrics = Metrics::with_most_routes(1);
    let first = metrics.route(&labels("first"));
    let second = metrics.route(&labels("second"));
    first.begin();
    second.begin();
    let text = metrics.encode();
    assert!(!text.contains("route=\"second\""));
    assert_line(
        &text,
        "selvedge_requests_in_flight{namespace=\"overflow\",route=\"overflow\",service=\"overflow\"} 1",
    );
    assert_line(&text, "selvedge_routes_overflowed_total 1");
}

#[test]
fn statuses_fall_into_their_class() {
    let metrics = Metrics::new();
    let route = metrics.route(&labels("front"));
    let cases =
        [(0, "none"), (101, "1xx"), (204, "2xx"), (308, "3xx"), (499, "4xx"), (503, "5xx"), (999, "5xx")];
    for (status, _) in cases {
        route.begin();
        route.end(status, Duration::ZERO, 0, 0);
    }
    let text = metrics.encode();
    for (_, class) in cases {
        let count = if class == "5xx" { 2 } else { 1 };
        let labels = "namespace=\"shop\",route=\"front\",service=\"web\"";
        assert_line(&text, &format!("selvedge_requests_total{{{labels},status=\"{class}\"}} {count}"));
    }
}

#[test]
fn no_count_is_lost_between_threads() {
    let metrics = Metrics::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let route = metrics.route(&labels("front"));
                for number in 0..1000 {
                    route.begin();
                    route.end(200, Duration::from_millis(number % 7), 1, 1);
                    metrics.own_responses.add(if number % 2 == 0 { "even" } else { "odd" });
                }
            });
        }
    });
    let text = metrics.encode();
    let labels = "namespace=\"shop\",route=\"front\",service=\"web\"";
    assert_line(&text, &format!("selvedge_requests_total{{{labels},status=\"2xx\"}} 4000"));
    assert_line(&text, &format!("selvedge_request_received_bytes_total{{{labels}}} 4000"));
    assert_line(&text, "selvedge_own_responses_total{reason=\"even\"} 2000");
    assert_line(&text, "selvedge_own_responses_total{reason=\"odd\"} 2000");
}

#[test]
fn too_many_reasons_are_counted_as_other() {
    let reasons = Reasons::default();
    for number in 0..102 {
        reasons.add(Box::leak(format!("reason {number}").into_boxed_str()));
    }
    assert_eq!(reasons.counts().count(), 97);
    assert_eq!(reasons.counts().last(), Some(("other", 6)));
    assert_eq!(reasons.total(), 102);
}

#[test]
fn a_duration_on_a_bound_belongs_to_the_lower_bucket() {
    let metrics = Metrics::new();
    let cases = [(Duration::from_millis(1), "0.001"), (Duration::from_secs(30), "30.0")];
    for (duration, _) in cases {
        metrics.configuration.translation.observe(duration);
    }
    metrics.configuration.translation.observe(Duration::MAX);
    let text = metrics.encode();
    assert_line(&text, "selvedge_translation_duration_seconds_bucket{le=\"0.001\"} 1");
    assert_line(&text, "selvedge_translation_duration_seconds_bucket{le=\"10.0\"} 1");
    assert_line(&text, "selvedge_translation_duration_seconds_bucket{le=\"30.0\"} 2");
    assert_line(&text, "selvedge_translation_duration_seconds_bucket{le=\"+Inf\"} 3");
}
