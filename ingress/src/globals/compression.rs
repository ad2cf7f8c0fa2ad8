//! Settings group: smaller answers.

use std::sync::Arc;

use selvedge_common::{
    filter::{self, Compressible},
    message::pattern::SearchPattern,
};

use super::{
    Effect, Globals,
    form::{BrotliLevel, ClientPattern, GzipLevel, MediaTypes},
    given::Given,
    setting::setting,
};
use crate::annotations::form::Count;

/// ingress-nginx: how much effort it is worth.
const GZIP_LEVEL: u8 = 1;
const BROTLI_LEVEL: u8 = 4;
/// ingress-nginx: smallest answers.
const GZIP_BYTES: u32 = 256;
const BROTLI_BYTES: u32 = 20;
/// nginx: answers of this type are compressed, whichever others are.
const ALWAYS: &str = "text/html";
/// ingress-nginx: types of answers that are compressed beside that.
const TYPES: [&str; 16] = [
    "application/atom+xml",
    "application/javascript",
    "application/json",
    "application/rss+xml",
    "application/vnd.ms-fontobject",
    "application/x-font-ttf",
    "application/x-javascript",
    "application/x-web-app-manifest+json",
    "application/xhtml+xml",
    "application/xml",
    "font/opentype",
    "image/svg+xml",
    "image/x-icon",
    "text/css",
    "text/javascript",
    "text/plain",
];
/// ingress-nginx: a further one, and one for Brotli alone.
const COMPONENT: &str = "text/x-component";
const FEED: &str = "application/xml+rss";

super::settings! {
    /// Compression
    Compression {
        /// Compress answers of backends with gzip for clients that take it. Those with status 200, 403 or 404 are, if they say their type and are not compressed already; `Cache-Control: no-transform` leaves them as they are.
        gzip: bool = setting("use-gzip").default("`false`").example("`true`");
        /// How much effort that is worth.
        gzip_level: GzipLevel = setting("gzip-level").default("`1`").example("`5`");
        /// Smallest answer, in bytes; one whose length is not known beforehand is large enough.
        gzip_length: Count = setting("gzip-min-length").default("`256`").example("`1024`");
        /// Types of answers beside `text/html`; without it those of texts, scripts, feeds and fonts that ingress-nginx has.
        gzip_types: MediaTypes = setting("gzip-types").example("`text/css application/json`");
        /// What stands in `User-Agent` of clients that get none, in either case.
        gzip_disable: ClientPattern = setting("gzip-disable").example("`msie6`");
        /// Compress answers with Brotli for clients that take it; it comes before gzip for those that take both alike.
        brotli: bool = setting("enable-brotli").default("`false`").example("`true`");
        /// How much effort that is worth; what is above 6 counts as 6.
        brotli_level: BrotliLevel = setting("brotli-level").default("`4`").example("`6`");
        /// Smallest answer, in bytes; one whose length is not known beforehand is large enough.
        brotli_length: Count = setting("brotli-min-length").default("`20`").example("`1024`");
        /// Types of answers beside `text/html`; without it as with gzip.
        brotli_types: MediaTypes = setting("brotli-types").example("`text/css application/json`");
    }
}

impl Effect for Compression {
    fn apply(&self, globals: &mut Globals, _: &mut Given<'_>) {
        let gzip = (self.gzip == Some(true)).then(|| Compressible {
            level: self.gzip_level.map_or(GZIP_LEVEL, |level| level.0),
            min_bytes: self.gzip_length.map_or(GZIP_BYTES, |length| length.0).into(),
            types: types(self.gzip_types.as_ref(), &[]),
        });
        let brotli = (self.brotli == Some(true)).then(|| Compressible {
            level: self.brotli_level.map_or(BROTLI_LEVEL, |level| level.0),
            min_bytes: self.brotli_length.map_or(BROTLI_BYTES, |length| length.0).into(),
            types: types(self.brotli_types.as_ref(), &[FEED]),
        });
        if gzip.is_none() && brotli.is_none() {
            return;
        }
        let no_gzip_for = self.gzip_disable.as_ref().filter(|_| gzip.is_some());
        let no_gzip_for: Option<SearchPattern> = no_gzip_for.map(|pattern| pattern.0.clone());
        globals.compression = Some(Arc::new(filter::Compression { gzip, brotli, no_gzip_for }));
    }
}

/// The types of answers that are compressed; `further` are usual ones of one way alone.
fn types(given: Option<&MediaTypes>, further: &[&str]) -> Vec<Arc<str>> {
    let mut types: Vec<Arc<str>> = match given {
        Some(given) => given.0.to_vec(),
        None => TYPES.iter().chain(&[COMPONENT]).chain(further).map(|&one| one.into()).collect(),
    };
    types.push(ALWAYS.into());
    types.sort();
    types.dedup();
    types
}
