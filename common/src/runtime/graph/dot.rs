//! Dot: the service graph for drawing, in the language of Graphviz.

use std::{collections::BTreeMap, fmt::Write};

use super::{Edge, Graph};

/// The graph in DOT. Edges that differ in their route alone are one.
pub fn dot(graph: &Graph) -> String {
    let mut out = String::from("digraph services {\n  rankdir=LR;\n  node [shape=box];\n");
    for node in &graph.nodes {
        let shape = if node.called { "" } else { " [style=dashed]" };
        line(&mut out, format_args!("  {}{shape};", quoted(&node.name)));
    }
    let mut edges: BTreeMap<(&str, &str), Vec<&Edge>> = BTreeMap::new();
    for edge in graph.edges.iter().filter(|edge| !edge.destination.is_empty()) {
        edges.entry((&edge.source, &edge.destination)).or_default().push(edge);
    }
    for ((source, destination), edges) in edges {
        let rate: f64 = edges.iter().map(|edge| edge.rate).sum();
        let requests: u64 = edges.iter().map(|edge| edge.requests).sum();
        let errors: u64 = edges.iter().map(|edge| edge.errors).sum();
        let part = 100.0 * errors as f64 / requests.max(1) as f64;
        let colour = if errors > 0 { ", color=red" } else { "" };
        let (source, destination) = (quoted(source), quoted(destination));
        let label = quoted(&format!("{rate:.1}/s, {part:.1}% errors"));
        line(&mut out, format_args!("  {source} -> {destination} [label={label}{colour}];"));
    }
    out.push_str("}\n");
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a string does not fail");
}

/// A name as a string of DOT, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"").replace(char::is_control, " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::graph::table::tests::graph;

    #[test]
    fn an_edge_leads_from_who_calls_to_what_is_called() {
        let wanted = "\
digraph services {
  rankdir=LR;
  node [shape=box];
  \"shop/orders\";
  \"shop/web\" [style=dashed];
  \"unknown\" [style=dashed];
  \"shop/web\" -> \"shop/orders\" [label=\"2.0/s, 2.5% errors\", color=red];
}
";
        assert_eq!(dot(&graph()), wanted);
    }

    #[test]
    fn no_name_ends_its_string() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c d""#);
    }
}
