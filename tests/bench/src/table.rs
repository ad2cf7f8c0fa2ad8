//! Tables in Markdown: what scenarios came to.

use crate::{
    rounds::{Row, Sample},
    scenario::{Measure, Scenario},
    statistics::{median, ratio},
};

/// The table of a scenario; ratios are to the first row.
pub fn table(scenario: Scenario, rows: &[Row]) -> String {
    let heading = format!("### {}\n\n{}\n\n", scenario.name, scenario.about);
    let (names, figures): (&[&str], Figures) = match scenario.measure {
        Measure::Load(_) => (
            &["CPU/request", "ratio", "requests/s", "ratio", "p50", "p99", "ratio", "memory", "CPU used"],
            under_load,
        ),
        Measure::Idle => (&["memory/connection", "ratio", "memory"], idle),
    };
    let head = format!("| proxy | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(names.len()));
    let first = rows.first();
    let lines = rows
        .iter()
        .map(|row| format!("| {} | {} |\n", row.contestant, figures(row, first.unwrap_or(row)).join(" | ")));
    heading + &head + &lines.collect::<String>()
}

type Figures = fn(&Row, &Row) -> Vec<String>;

fn under_load(row: &Row, first: &Row) -> Vec<String> {
    let middle = |figure: fn(&Sample) -> f64| median(column(row, figure));
    let to_first =
        |figure: fn(&Sample) -> f64| format!("{:.2}", ratio(&column(row, figure), &column(first, figure)));
    vec![
        format!("{:.1} µs", middle(|sample| sample.processor)),
        to_first(|sample| sample.processor),
        grouped(middle(|sample| sample.rate)),
        to_first(|sample| sample.rate),
        format!("{} µs", grouped(middle(|sample| sample.half))),
        format!("{} µs", grouped(middle(|sample| sample.slowest))),
        to_first(|sample| sample.slowest),
        format!("{:.1} MB", middle(|sample| sample.memory) / 1e6),
        format!("{:.0} %", middle(|sample| sample.busy) * 100.0),
    ]
}

fn idle(row: &Row, first: &Row) -> Vec<String> {
    let connection = |row| column(row, |sample| sample.connection);
    vec![
        format!("{:.1} KB", median(connection(row)) / 1e3),
        format!("{:.2}", ratio(&connection(row), &connection(first))),
        format!("{:.1} MB", median(column(row, |sample| sample.memory)) / 1e6),
    ]
}

fn column(row: &Row, figure: fn(&Sample) -> f64) -> Vec<f64> {
    row.samples.iter().map(figure).collect()
}

/// A whole number with commas between thousands.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        let is_group = at > 0 && (digits.len() - at).is_multiple_of(3) && !text.ends_with('-');
        text.extend(is_group.then_some(','));
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let cases =
            [(0.0, "0"), (999.4, "999"), (1000.0, "1,000"), (1_234_567.0, "1,234,567"), (-100.0, "-100")];
        for (value, text) in cases {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn a_table_has_medians_and_ratios_to_the_first_row() {
        let row = |name: &str, times: [f64; 3]| Row {
            contestant: name.parse().unwrap(),
            samples: times
                .map(|processor| Sample { processor, rate: 1e6 / processor, ..Sample::default() })
                .into(),
        };
        let scenario = "keep-alive".parse().unwrap();
        let text = table(scenario, &[row("nginx", [20.0, 20.0, 40.0]), row("edge", [10.0, 16.0, 20.0])]);
        assert!(text.starts_with("### keep-alive\n\nHTTP/1.1, 64 connections"), "{text}");
        assert!(text.contains("| nginx | 20.0 µs | 1.00 | 50,000 | 1.00 |"), "{text}");
        assert!(text.contains("| edge | 16.0 µs | 0.50 | 62,500 | 2.00 |"), "{text}");
    }
}
