//! Texts of manifest files to their documents, with as many threads as there is work for.

use std::{
    num::NonZero,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use super::{
    Make,
    documents::{self, Known, LineError, Parsed},
};

/// Bytes that are worth a thread of their own.
const WORTHWHILE: usize = 64 << 10;

/// A file whose text is to be read.
pub(super) struct Text<T> {
    /// The file, spelled as the user gave it or its folder.
    pub(super) file: Arc<Path>,
    /// Its text, or why there is none.
    pub(super) text: Result<String, String>,
    /// What was made of it before.
    pub(super) known: Known<T>,
}

/// Reads texts, in their order.
pub(super) fn read_all<T: Clone + Send + Sync>(texts: Vec<Text<T>>, make: &Make<T>) -> Vec<Parsed<T>> {
    let bytes: usize = texts.iter().map(|text| text.text.as_ref().map_or(0, String::len)).sum();
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let helpers = cores.min(texts.len()).min(bytes / WORTHWHILE).saturating_sub(1);
    let queue = Mutex::new(texts.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let work = || {
        // Each is taken out under the lock and read without it.
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some((index, text)) = next() {
            let parsed = read(text, make);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, parsed));
        }
    };
    thread::scope(|scope| {
        for _ in 0..helpers {
            // Without it the others do its work.
            let _ = thread::Builder::new().name("manifests-read".into()).spawn_scoped(scope, work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, parsed)| parsed).collect()
}

fn read<T: Clone>(text: Text<T>, make: &Make<T>) -> Parsed<T> {
    let Text { file, text, known } = text;
    match text {
        Ok(text) => documents::parse(&file, &text, &**make, known),
        Err(message) => {
            let errors = vec![LineError { line: 0, message }];
            Parsed { documents: Vec::new(), errors, known }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn texts_are_read_in_their_order_whoever_reads_them() {
        let text = |number: usize| {
            let text = format!("{number}\n---\n# {}\n{number}\n", "x".repeat(number % 7 * WORTHWHILE));
            Text { file: Path::new("a.yaml").into(), text: Ok(text), known: Known::default() }
        };
        let make: Make<u64> = Arc::new(|value: Value| value.as_u64().unwrap());
        let parsed = read_all((0..100).map(text).collect(), &make);
        let found = parsed.iter().map(|parsed| parsed.documents.iter().map(|document| document.value));
        let found: Vec<Vec<u64>> = found.map(Iterator::collect).collect();
        assert_eq!(found, (0..100).map(|number| vec![number, number]).collect::<Vec<_>>());
    }
}
