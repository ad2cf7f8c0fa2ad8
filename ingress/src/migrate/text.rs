//! The report as text for a terminal.

use std::io::{self, Write};

use super::{
    compare::Comparison,
    report::{Entry, Finding, Ingress, Move, Report, Settings, Subject, Summary, counted},
    subjects::short,
    verdicts::PROBLEM,
};

/// Most objects that are named where many are concerned; the others are found at their own places.
const MOST_NAMES: usize = 5;

/// Verdicts that are told even where they need no change.
const SAID: [&str; 2] = [PROBLEM, "unknown"];

/// Prints it.
pub(super) fn print(report: &Report, output: &mut dyn Write) -> io::Result<()> {
    summary(&report.summary, output)?;
    writeln!(output, "\nRun Selvedge with: {}", report.flags.join(" "))?;
    for notice in &report.notices {
        writeln!(output, "{}: {}", notice.severity, notice.message)?;
    }
    subjects(&report.subjects, output)?;
    if let Some(settings) = &report.settings {
        self::settings(settings, output)?;
    }
    if !report.others.is_empty() {
        writeln!(output, "\nOther objects")?;
        for Finding { object, field, message, moves, .. } in &report.others {
            writeln!(output, "  {} {object}: {field}: {message}", mark(*moves))?;
        }
    }
    for ingress in worst_first(&report.ingresses) {
        one(ingress, output)?;
    }
    match &report.comparison {
        Some(comparison) => compared(comparison, output),
        None => Ok(()),
    }
}

/// Ingresses in the order in which somebody looks at them.
pub(super) fn worst_first(ingresses: &[Ingress]) -> Vec<&Ingress> {
    let mut ingresses: Vec<_> = ingresses.iter().collect();
    ingresses.sort_by_key(|ingress| std::cmp::Reverse(ingress.moves));
    ingresses
}

/// The first of these names, and how many more there are.
pub(super) fn names(names: &[String]) -> String {
    let first = names.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn summary(summary: &Summary, output: &mut dyn Write) -> io::Result<()> {
    writeln!(output, "From ingress-nginx to Selvedge\n\n{}\n", summary.result)?;
    let ingresses = counted(summary.ingresses, "Ingress", "Ingresses");
    writeln!(output, "{ingresses} of ingress-nginx for {}", counted(summary.hosts, "host", "hosts"))?;
    for (count, moves) in [
        (summary.unchanged, Move::Unchanged),
        (summary.small_differences, Move::SmallDifferences),
        (summary.change_before, Move::ChangeBefore),
    ] {
        writeln!(output, "  {count:>5} {} {}", mark(moves), moves.of(count))?;
    }
    for (count, what) in beside(summary) {
        writeln!(output, "  {count:>5}   {what}")?;
    }
    Ok(())
}

/// What there is beside the Ingresses that move: how many, and what of them.
pub(super) fn beside(summary: &Summary) -> impl Iterator<Item = (usize, &'static str)> {
    let all = [
        (summary.settings_change_before, "settings of ingress-nginx to look at before"),
        (summary.others_change_before, "findings of other objects to look at before"),
        (summary.tcp_ports, "ports of TCP, which the Service of Selvedge must have, too"),
        (summary.already_ours, "more Ingresses are of classes of Selvedge already"),
        (summary.left_out, "more Ingresses are of other classes or none, and stay as they are"),
    ];
    all.into_iter().filter(|(count, _)| *count > 0)
}

fn subjects(subjects: &[Subject], output: &mut dyn Write) -> io::Result<()> {
    for (moves, title) in TITLES {
        let mut of_it = subjects.iter().filter(|subject| subject.moves == moves).peekable();
        if of_it.peek().is_some() {
            writeln!(output, "\n{title}")?;
        }
        for Subject { name, verdict, explanation, ingresses, .. } in of_it {
            let count = counted(ingresses.len(), "Ingress", "Ingresses");
            writeln!(output, "  {} {name}: {verdict} ({count})", mark(moves))?;
            // What does the same needs no more words.
            if moves > Move::Unchanged {
                writeln!(output, "      {explanation}")?;
                writeln!(output, "      {}", names(ingresses))?;
            }
        }
    }
    Ok(())
}

/// What is told of subjects, by what they mean.
pub(super) const TITLES: [(Move, &str); 3] = [
    (Move::ChangeBefore, "To change before the move"),
    (Move::SmallDifferences, "Small differences"),
    (Move::Unchanged, "Annotations that need no change"),
];

fn settings(settings: &Settings, output: &mut dyn Write) -> io::Result<()> {
    writeln!(output, "\n{}", settings.object)?;
    for entry in &settings.entries {
        writeln!(output, "  {} {}: {} ({})", mark(entry.moves), entry.key, entry.value, entry.verdict)?;
        if entry.moves > Move::Unchanged {
            writeln!(output, "      {}", entry.explanation)?;
        }
    }
    Ok(())
}

fn one(ingress: &Ingress, output: &mut dyn Write) -> io::Result<()> {
    let Ingress { namespace, name, moves, .. } = ingress;
    let place = ingress.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
    writeln!(output, "\nIngress {namespace}/{name}{place}: {}", moves.text())?;
    for path in &ingress.paths {
        writeln!(output, "    {}{} ({}): {}", path.host, path.path, path.path_type, path.answers)?;
        for note in &path.notes {
            writeln!(output, "        {note}")?;
        }
    }
    let (plain, told): (Vec<_>, Vec<_>) = ingress.annotations.iter().partition(|one| is_plain(one));
    for Entry { key, value, verdict, explanation, moves } in told {
        writeln!(output, "  {} {}: {value} ({verdict})", mark(*moves), short(key))?;
        // The others are explained above, once for all.
        if *moves == Move::ChangeBefore || SAID.contains(verdict) {
            writeln!(output, "        {explanation}")?;
        }
    }
    for Finding { field, message, moves, reason, .. } in &ingress.findings {
        writeln!(output, "  {} {field}: {message} ({reason})", mark(*moves))?;
    }
    if !plain.is_empty() {
        let keys: Vec<_> = plain.iter().map(|one| short(&one.key)).collect();
        writeln!(output, "  = without change: {}", keys.join(", "))?;
    }
    Ok(())
}

/// Whether there is nothing to say of an annotation.
fn is_plain(annotation: &Entry) -> bool {
    annotation.moves == Move::Unchanged && !SAID.contains(&annotation.verdict)
}

/// A sign for the eye.
fn mark(moves: Move) -> char {
    match moves {
        Move::Unchanged => '=',
        Move::SmallDifferences => '~',
        Move::ChangeBefore => '!',
    }
}

fn compared(comparison: &Comparison, output: &mut dyn Write) -> io::Result<()> {
    let Comparison { a, b, asked, groups, .. } = comparison;
    writeln!(output, "\nComparison of answers\n  A is {a}, B is {b}")?;
    let different = comparison.different.len();
    writeln!(output, "  {}, {different} answered otherwise", counted(*asked, "request", "requests"))?;
    for note in &comparison.notes {
        writeln!(output, "  {note}")?;
    }
    for group in groups {
        writeln!(output)?;
        for difference in &group.differences {
            writeln!(output, "  ! {}: A {}, B {}", difference.what, difference.a, difference.b)?;
        }
        writeln!(output, "      {}", names(&group.requests))?;
    }
    Ok(())
}
