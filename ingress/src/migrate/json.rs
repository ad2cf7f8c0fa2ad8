//! The report as JSON.

use std::io::{self, Write};

use super::report::Report;

/// Prints it.
pub(super) fn print(report: &Report, output: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *output, report)?;
    writeln!(output)
}
