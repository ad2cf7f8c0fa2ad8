//! The program's own log: levels and form of what goes to standard error.
//!
//! Standard output belongs to the access log. Lines are written by the thread that logs; that is no burden, as
//! nothing is logged for a request unless an operator asks for `trace` or `debug`.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt,
};

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level, module and message for people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object in a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("log filter {filter:?}: {source}; write for example \"info\" or \"warn,selvedge_common=debug\"")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something in the process logs already.
    #[error("logging is set up already: {0}")]
    Already(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up logging for the process, to standard error; to be called once, at start.
///
/// `filter` is as in `RUST_LOG`: a level, or levels by module, parted by commas. Fails if it is malformed or if
/// logging is set up already.
pub fn start(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    subscriber(format, filter, io::stderr().is_terminal(), io::stderr)?.try_init()?;
    Ok(())
}

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    colours: bool,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => fmt::layer().with_ansi(colours).with_writer(writer).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    };
    Ok(tracing_subscriber::registry().with(lines.with_filter(filter)))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, colours: bool) -> String {
        let output = Output::default();
        let writer = output.clone();
        let subscriber = subscriber(format, filter, colours, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(generation = 7, "applied");
            tracing::debug!("a detail with \x1b[31m colour");
        });
        String::from_utf8(output.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn the_filter_decides_what_is_logged() {
        let info = logged(LogFormat::Text, "info", false);
        assert!(info.contains("applied generation=7") && !info.contains("detail"), "{info}");
        let of_module = logged(LogFormat::Text, "warn,selvedge_common::runtime=debug", false);
        assert!(of_module.contains("detail"), "{of_module}");
        assert_eq!(logged(LogFormat::Text, "off", false), "");
    }

    #[test]
    fn a_json_line_parses_and_has_the_fields() {
        let text = logged(LogFormat::Json, "info", true);
        let value: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(
            (&value["message"], &value["generation"], &value["level"]),
            (&"applied".into(), &7.into(), &"INFO".into())
        );
    }

    #[test]
    fn colours_are_for_terminals() {
        assert!(logged(LogFormat::Text, "info", true).contains('\x1b'));
        assert!(!logged(LogFormat::Text, "trace", false).contains('\x1b'), "not even from a message");
    }

    #[test]
    fn a_malformed_filter_is_named() {
        let Err(error) = subscriber(LogFormat::Text, "selvedge=loud", false, io::sink) else {
            panic!("a level that does not exist was accepted");
        };
        assert!(error.to_string().starts_with("log filter \"selvedge=loud\": "), "{error}");
    }
}
