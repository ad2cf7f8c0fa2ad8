//! Settings group: smaller answers.

use super::{Effect, setting::setting};
use crate::annotations::form::{Count, Forgiving};

/// What happens until it is honoured.
const MEANWHILE: &str = "answers reach clients as backends send them; let backends compress them";
/// Why nothing has to be set.
const NONE: &str = "answers reach clients as backends send them";

super::settings! {
    /// Compression
    Compression {
        /// Compress answers with gzip.
        gzip: bool = setting("use-gzip").default("`false`").example("`true`").not_yet(MEANWHILE);
        /// How much effort that is worth.
        gzip_level: Count = setting("gzip-level").default("`1`").example("`5`").no_effect(NONE);
        /// Smallest answer.
        gzip_length: Count = setting("gzip-min-length").default("`256`").example("`1024`").no_effect(NONE);
        /// Types of answers.
        gzip_types: Forgiving = setting("gzip-types").example("`text/html`").no_effect(NONE);
        /// Clients that get them as they are.
        gzip_disable: Forgiving = setting("gzip-disable").example("`msie6`").no_effect(NONE);
        /// Compress answers with Brotli.
        brotli: bool = setting("enable-brotli").default("`false`").example("`true`").not_yet(MEANWHILE);
        /// How much effort that is worth.
        brotli_level: Count = setting("brotli-level").default("`4`").example("`6`").no_effect(NONE);
        /// Smallest answer.
        brotli_length: Count = setting("brotli-min-length").default("`20`").example("`1024`").no_effect(NONE);
        /// Types of answers.
        brotli_types: Forgiving = setting("brotli-types").example("`text/html`").no_effect(NONE);
    }
}

impl Effect for Compression {}
