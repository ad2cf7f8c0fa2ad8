//! Table: the service graph for people, one line for each edge.

use super::{Edge, Graph};

const COLUMNS: [&str; 8] = ["SOURCE", "DESTINATION", "ROUTE", "REQUESTS", "ERRORS", "RATE", "P50", "P99"];
/// Columns of text; the others are numbers.
const TEXTS: usize = 3;

/// The edges as a table, those with the most requests first.
pub fn table(graph: &Graph) -> String {
    let mut edges: Vec<&Edge> = graph.edges.iter().collect();
    edges.sort_by_key(|edge| std::cmp::Reverse(edge.requests));
    let rows: Vec<[String; COLUMNS.len()]> =
        std::iter::once(COLUMNS.map(str::to_owned)).chain(edges.into_iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; COLUMNS.len()] = std::array::from_fn(width);
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            ..TEXTS => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        out.push_str(&cells.collect::<Vec<_>>().join("  "));
        out.push('\n');
    }
    out
}

fn row(edge: &Edge) -> [String; COLUMNS.len()] {
    let errors = match edge.errors {
        0 => "0".to_owned(),
        errors => format!("{errors} ({:.1}%)", 100.0 * errors as f64 / edge.requests.max(1) as f64),
    };
    [
        edge.source.clone(),
        if edge.destination.is_empty() { "-".into() } else { edge.destination.clone() },
        edge.route.clone(),
        edge.requests.to_string(),
        errors,
        format!("{:.1}/s", edge.rate),
        time(edge.latency.p50),
        time(edge.latency.p99),
    ]
}

/// Milliseconds with as many digits as matter.
fn time(milliseconds: Option<f64>) -> String {
    match milliseconds {
        None => "-".into(),
        Some(long) if long >= 1000.0 => format!("{:.1}s", long / 1000.0),
        Some(middle) if middle >= 10.0 => format!("{middle:.0}ms"),
        Some(short) => format!("{short:.2}ms"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::runtime::graph::{Latency, Node};

    pub(in crate::runtime::graph) fn graph() -> Graph {
        let edge = |source: &str, destination: &str, requests, errors| Edge {
            source: source.into(),
            destination: destination.into(),
            route: "shop/orders".into(),
            requests,
            errors,
            rate: requests as f64 / 60.0,
            latency: Latency { p50: Some(0.5), p90: Some(12.0), p99: Some(1500.0) },
        };
        let node = |name: &str, calls, called| Node { name: name.into(), calls, called };
        Graph {
            generation: 3,
            since: 1_700_000_000,
            nodes: vec![
                node("shop/orders", false, true),
                node("shop/web", true, false),
                node("unknown", true, false),
            ],
            edges: vec![edge("shop/web", "shop/orders", 120, 3), edge("unknown", "", 600, 0)],
        }
    }

    #[test]
    fn the_busiest_edge_comes_first_and_columns_are_aligned() {
        let wanted = "\
SOURCE    DESTINATION  ROUTE        REQUESTS    ERRORS    RATE     P50   P99
unknown   -            shop/orders       600         0  10.0/s  0.50ms  1.5s
shop/web  shop/orders  shop/orders       120  3 (2.5%)   2.0/s  0.50ms  1.5s
";
        assert_eq!(table(&graph()), wanted);
    }
}
