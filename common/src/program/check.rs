//! `check`: translates manifests or a cluster's objects and prints what is wrong.

use std::io::Write;

use super::{
    Role,
    args::{CheckedArgs, Format},
    gathering::{Gathered, Places, Unread, read, translate, word},
};
use crate::model::{Problem, Severity};

/// Prints what is wrong; `false` if any of it is an error. `secrets` are namespaces whose Secrets are read beside
/// those that the flags name.
///
/// # Errors
/// What is to be checked cannot be read.
pub async fn check<T: Role>(
    role: T,
    (args, format): (&CheckedArgs, Format),
    secrets: Vec<String>,
    output: &mut dyn Write,
) -> anyhow::Result<bool> {
    let read = read(&role, args, secrets).await?;
    let Gathered { problems, unread, places, .. } = translate(role, read);
    match format {
        Format::Text => print_text(&unread, (&problems, &places), output)?,
        Format::Json => print_json(&unread, (&problems, &places), output)?,
    }
    let sound = unread.iter().all(|problem| problem.severity() != Some(Severity::Error));
    Ok(sound && problems.iter().all(|problem| problem.severity != Severity::Error))
}

fn print_text(
    unread: &[Unread],
    (problems, places): (&[Problem], &Places),
    output: &mut dyn Write,
) -> std::io::Result<()> {
    for problem in unread {
        writeln!(output, "{}: {problem}", problem.word())?;
    }
    for problem in problems {
        let word = word(problem.severity);
        match places.get(&problem.object) {
            Some((file, line)) => writeln!(output, "{word}: {}:{line}: {problem}", file.display())?,
            None => writeln!(output, "{word}: {problem}")?,
        }
    }
    Ok(())
}

fn print_json(
    unread: &[Unread],
    (problems, places): (&[Problem], &Places),
    output: &mut dyn Write,
) -> std::io::Result<()> {
    let unread = unread.iter().map(|problem| match problem {
        Unread::Manifest(problem) => serde_json::json!({
            "file": problem.file, "line": problem.line, "severity": problem.severity, "message": problem.message}),
        Unread::Flag(message) | Unread::Notice(message) | Unread::Other(message) => {
            serde_json::json!({"severity": problem.word(), "message": message})
        }
    });
    let problems = problems.iter().map(|problem| {
        let mut value = serde_json::json!(problem);
        if let Some((file, line)) = places.get(&problem.object) {
            value["file"] = serde_json::json!(file);
            value["line"] = serde_json::json!(line);
        }
        value
    });
    let all: Vec<_> = unread.chain(problems).collect();
    writeln!(output, "{:#}", serde_json::json!({"problems": all}))
}
