//! The report as a page of its own: one file without scripts, in which all text of others is escaped.

use std::fmt::Write;

use super::{
    compare::{Comparison, Difference, Group},
    report::{Entry, Finding, Ingress, Move, Path, Report, Subject, noun},
    text::{TITLES, beside, names, worst_first},
};

/// Most Ingresses that are shown unfolded because they need a change.
const MOST_OPEN: usize = 10;

/// How it looks, by day and by night.
const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1d2329;--faint:#5d6872;--back:#fff;--card:#f5f7f9;--line:#d5dce2;\
--good:#1a7f45;--fair:#946200;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--text:#e4e8ec;--faint:#9aa6b1;--back:#15191d;--card:#1e242a;--line:#36404a;\
--good:#5cc98a;--fair:#e0b04a;--bad:#ff8a80}}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:68rem;padding:2rem 1rem;background:var(--back);color:var(--text);\
font:16px/1.5 system-ui,sans-serif}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem}h3{font-size:1rem;margin:1rem 0 .3rem}\
.sums{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.8rem}\
.sums div,details{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem}\
.sums b{display:block;font-size:1.9rem;line-height:1.2}\
details{margin:.6rem 0}summary{cursor:pointer;font-weight:600;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%;font-size:.92rem}\
th,td{text-align:left;vertical-align:top;padding:.35rem .9rem .35rem 0;border-top:1px solid var(--line);\
overflow-wrap:break-word}\
th{color:var(--faint);font-weight:500;border:0;white-space:nowrap}\
.wide{overflow-x:auto}.wide table{min-width:34rem}\
.result{font-size:1.15rem;font-weight:600}:focus-visible{outline:2px solid var(--fair)}\
code{font:.88em ui-monospace,monospace;overflow-wrap:anywhere}ul{margin:.2rem 0;padding-left:1.2rem}\
.unchanged{color:var(--good)}.differs{color:var(--fair)}.change{color:var(--bad)}.faint{color:var(--faint)}";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::new();
    page += "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
    page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    // Should anything be overlooked, a browser still fetches and runs nothing.
    page += "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";
    page += "<title>From ingress-nginx to Selvedge</title>\n<style>";
    page += STYLE;
    page += "</style>\n</head>\n<body>\n<main>\n<h1>From ingress-nginx to Selvedge</h1>\n";
    sums(report, &mut page);
    notices(report, &mut page);
    subjects(&report.subjects, &mut page);
    settings(report, &mut page);
    if !report.others.is_empty() {
        page += "<h2>Other objects</h2>\n";
        findings(&report.others, true, &mut page);
    }
    if let Some(comparison) = &report.comparison {
        compared(comparison, &mut page);
    }
    ingresses(report, &mut page);
    behaviours(report, &mut page);
    page += "</main>\n</body>\n</html>\n";
    page
}

/// Text of others as text of a page, also within quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

fn class(moves: Move) -> &'static str {
    match moves {
        Move::Unchanged => "unchanged",
        Move::SmallDifferences => "differs",
        Move::ChangeBefore => "change",
    }
}

/// Adds formatted text to a page; writing into memory cannot fail.
macro_rules! add {
    ($page:expr, $($text:tt)*) => { let _ = writeln!($page, $($text)*); };
}

/// The class of cells with sentences of ours, in which code stands between backticks.
const PROSE: &str = "prose";

/// A row of a table; each cell with its class.
fn row(cells: &[(&str, &str)], page: &mut String) {
    page.push_str("<tr>");
    for (class, cell) in cells {
        match *class {
            "" => page.extend(["<td>", &escaped(cell), "</td>"]),
            PROSE => page.extend(["<td>", &prose(cell), "</td>"]),
            class => page.extend(["<td class=\"", class, "\">", &escaped(cell), "</td>"]),
        }
    }
    page.push_str("</tr>\n");
}

/// A sentence with its code marked; one whose backticks are no pairs stays as it is.
fn prose(text: &str) -> String {
    let escaped = escaped(text);
    let parts: Vec<_> = escaped.split('`').collect();
    if parts.len() % 2 == 0 {
        return escaped;
    }
    let mark = |(place, part): (usize, &&str)| match place % 2 {
        0 => (*part).to_owned(),
        _ => format!("<code>{part}</code>"),
    };
    parts.iter().enumerate().map(mark).collect()
}

/// The begin of a table, of which a narrow window shows a part.
fn head(names: &[&str], page: &mut String) {
    page.push_str("<div class=\"wide\"><table><thead><tr>");
    names.iter().for_each(|name| page.extend(["<th scope=\"col\">", name, "</th>"]));
    page.push_str("</tr></thead><tbody>\n");
}

fn foot(page: &mut String) {
    page.push_str("</tbody></table></div>\n");
}

fn sums(report: &Report, page: &mut String) {
    let summary = &report.summary;
    let class = if report.is_unread() || report.needs_change() { "change" } else { "unchanged" };
    add!(page, "<p class=\"result {class}\">{}</p>", escaped(&summary.result));
    page.push_str("<div class=\"sums\">\n");
    add!(
        page,
        "<div><b>{}</b>{} of ingress-nginx</div>",
        summary.ingresses,
        noun(summary.ingresses, "Ingress", "Ingresses")
    );
    add!(page, "<div><b>{}</b>{}</div>", summary.hosts, noun(summary.hosts, "host", "hosts"));
    for (count, moves) in [
        (summary.unchanged, Move::Unchanged),
        (summary.small_differences, Move::SmallDifferences),
        (summary.change_before, Move::ChangeBefore),
    ] {
        add!(page, "<div><b class=\"{}\">{count}</b>{}</div>", self::class(moves), moves.of(count));
    }
    for (count, what) in beside(summary) {
        add!(page, "<div><b>{count}</b>{what}</div>");
    }
    page.push_str("</div>\n");
    let flags = escaped(&report.flags.join(" "));
    add!(page, "<p>Run Selvedge with <code>{flags}</code></p>");
}

fn notices(report: &Report, page: &mut String) {
    if report.notices.is_empty() {
        return;
    }
    page.push_str("<ul>\n");
    for notice in &report.notices {
        let class = if notice.severity == "error" { "change" } else { "faint" };
        add!(page, "<li class=\"{class}\">{}: {}</li>", notice.severity, escaped(&notice.message));
    }
    page.push_str("</ul>\n");
}

fn subjects(subjects: &[Subject], page: &mut String) {
    for (moves, title) in TITLES {
        let of_it: Vec<_> = subjects.iter().filter(|subject| subject.moves == moves).collect();
        if of_it.is_empty() {
            continue;
        }
        add!(page, "<h2>{title}</h2>");
        head(&["what", "verdict", "explanation", "used", "by"], page);
        for Subject { name, verdict, explanation, ingresses, .. } in of_it {
            let (count, names) = (ingresses.len().to_string(), names(ingresses));
            row(
                &[("", name), (class(moves), verdict), (PROSE, explanation), ("", &count), ("", &names)],
                page,
            );
        }
        foot(page);
    }
}

fn settings(report: &Report, page: &mut String) {
    let Some(settings) = &report.settings else { return };
    add!(page, "<h2>{}</h2>", escaped(&settings.object));
    head(&["setting", "value", "verdict", "explanation"], page);
    for Entry { key, value, verdict, explanation, moves } in &settings.entries {
        row(&[("", key), ("", value), (class(*moves), verdict), (PROSE, explanation)], page);
    }
    foot(page);
}

/// Each Ingress, folded up where there are too many to read at once.
fn ingresses(report: &Report, page: &mut String) {
    if report.ingresses.is_empty() {
        return;
    }
    page.push_str("<h2>Ingresses</h2>\n");
    let opens = report.summary.change_before <= MOST_OPEN;
    for ingress in worst_first(&report.ingresses) {
        one(ingress, opens && ingress.moves == Move::ChangeBefore, page);
    }
}

fn one(ingress: &Ingress, opens: bool, page: &mut String) {
    let Ingress { namespace, name, moves, .. } = ingress;
    let open = if opens { " open" } else { "" };
    let (name, moves, class) = (escaped(&format!("{namespace}/{name}")), moves.text(), class(*moves));
    add!(page, "<details{open}><summary>{name} <span class=\"{class}\">{moves}</span></summary>");
    let place = ingress.place.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
    add!(page, "<p class=\"faint\">class {}{}</p>", escaped(&ingress.class), escaped(&place));
    paths(&ingress.paths, page);
    if !ingress.annotations.is_empty() {
        page.push_str("<h3>Annotations</h3>\n");
        head(&["annotation", "value", "verdict", "explanation"], page);
        for Entry { key, value, verdict, explanation, moves } in &ingress.annotations {
            row(&[("", key), ("", value), (self::class(*moves), verdict), (PROSE, explanation)], page);
        }
        foot(page);
    }
    if !ingress.findings.is_empty() {
        page.push_str("<h3>Problems</h3>\n");
        findings(&ingress.findings, false, page);
    }
    page.push_str("</details>\n");
}

fn paths(paths: &[Path], page: &mut String) {
    if paths.is_empty() {
        return;
    }
    page.push_str("<h3>Paths</h3>\n");
    head(&["host", "path", "type", "answers"], page);
    for path in paths {
        let answers = std::iter::once(&path.answers).chain(&path.notes).cloned().collect::<Vec<_>>();
        let cells: [(&str, &str); 4] =
            [("", &*path.host), ("", &path.path), ("", &path.path_type), ("", &answers.join("; "))];
        row(&cells, page);
    }
    foot(page);
}

fn findings(findings: &[Finding], with_object: bool, page: &mut String) {
    head(if with_object { &["object", "field", "what is wrong"] } else { &["field", "what is wrong"] }, page);
    for Finding { object, field, message, moves, .. } in findings {
        let cells: [(&str, &str); 3] = [("", object.as_str()), ("", field), (class(*moves), message)];
        row(if with_object { &cells } else { &cells[1..] }, page);
    }
    foot(page);
}

fn compared(comparison: &Comparison, page: &mut String) {
    let Comparison { a, b, asked, different, groups, notes, .. } = comparison;
    page.push_str("<h2>Comparison of answers</h2>\n");
    let (a, b, different) = (escaped(a), escaped(b), different.len());
    add!(page, "<p>A is {a}, B is {b}: {asked} requests, {different} answered otherwise.</p>");
    for note in notes {
        add!(page, "<p class=\"faint\">{}</p>", escaped(note));
    }
    if groups.is_empty() {
        return;
    }
    head(&["what", "A", "B", "requests"], page);
    for Group { differences, requests } in groups {
        let requests = names(requests);
        for (place, Difference { what, a, b }) in differences.iter().enumerate() {
            let requests = if place == 0 { requests.as_str() } else { "the same" };
            row(&[("", what), ("", a), ("", b), ("", requests)], page);
        }
    }
    foot(page);
}

fn behaviours(report: &Report, page: &mut String) {
    page.push_str("<h2>What differs for everyone</h2>\n");
    head(&["ingress-nginx", "Selvedge"], page);
    for behaviour in &report.behaviours {
        row(&[(PROSE, behaviour.there), (PROSE, behaviour.here)], page);
    }
    foot(page);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::report::{Notice, Settings, Summary};

    /// A text that is markup, a script, an end of an attribute and of a comment.
    const HOSTILE: &str = "\"'></td><script>alert(1)</script><img src=x onerror=alert(1)><!-- & ]]>";

    fn hostile() -> Report {
        let text = || HOSTILE.to_owned();
        let moves = Move::ChangeBefore;
        let finding = Finding { object: text(), field: text(), reason: text(), message: text(), moves };
        let annotation = Entry { key: text(), value: text(), verdict: "refused", explanation: text(), moves };
        let path =
            Path { host: text(), path: text(), path_type: text(), answers: text(), notes: vec![text()] };
        let ingress = Ingress {
            namespace: text(),
            name: text(),
            class: text(),
            place: Some(text()),
            moves,
            annotations: vec![annotation],
            paths: vec![path],
            findings: vec![finding.clone()],
        };
        let setting = Entry { key: text(), value: text(), verdict: "refused", explanation: text(), moves };
        let difference = Difference { what: text(), a: text(), b: text() };
        let (verdict, ingresses) = (text(), vec![text()]);
        let subject = Subject { name: text(), verdict, explanation: text(), moves, ingresses };
        Report {
            summary: Summary { result: text(), ..Summary::default() },
            flags: vec![text()],
            subjects: vec![subject],
            notices: vec![Notice { severity: "error", message: text() }],
            settings: Some(Settings { object: text(), entries: vec![setting] }),
            ingresses: vec![ingress],
            others: vec![finding],
            behaviours: Vec::new(),
            comparison: Some(Comparison {
                a: text(),
                b: text(),
                notes: vec![text()],
                groups: vec![Group { differences: vec![difference], requests: vec![text()] }],
                ..Comparison::default()
            }),
        }
    }

    #[test]
    fn text_of_others_is_never_markup() {
        let page = page(&hostile());
        let body = page.split_once("<body>").unwrap().1;
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<!--"));
        // Every tag and attribute is one of ours, so taking the text away leaves none of theirs.
        let ours = body.replace(&escaped(HOSTILE), "");
        assert!(!ours.contains("alert") && !ours.contains("onerror"), "{ours}");
        assert!(body.matches(&escaped(HOSTILE)).count() >= 25);
    }

    #[test]
    fn code_in_sentences_is_marked() {
        assert_eq!(prose("`a<b` or `c`"), "<code>a&lt;b</code> or <code>c</code>");
        assert_eq!(prose("one ` alone"), "one ` alone");
    }

    #[test]
    fn the_page_is_whole_in_itself() {
        let page = page(&hostile());
        for outside in ["http://", "https://", "<link", "@import", "url(", "src="] {
            assert!(!page.replace(&escaped(HOSTILE), "").contains(outside), "{outside}");
        }
        assert!(page.contains("prefers-color-scheme:dark") && page.ends_with("</html>\n"));
        assert_eq!(page.matches("<details").count(), page.matches("</details>").count());
        assert_eq!(page.matches("<table").count(), page.matches("</table>").count());
    }
}
