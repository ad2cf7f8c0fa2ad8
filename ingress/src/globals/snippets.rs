//! Settings group: code of nginx.

use super::{Effect, setting::setting};
use crate::annotations::form::Forgiving;

/// Why it is not taken.
const WHY: &str =
    "snippets are code, which nobody reads here; look for the setting or annotation that says the same";

super::settings! {
    /// Snippets
    Snippets {
        /// Code beside all others.
        main: Forgiving = setting("main-snippet").example("`load_module x;`").refused(WHY);
        /// Code for HTTP.
        http: Forgiving = setting("http-snippet").example("`map $a $b {}`").refused(WHY);
        /// Code for each host.
        server: Forgiving = setting("server-snippet").example("`add_header X-A b;`").refused(WHY);
        /// Code for each path.
        location: Forgiving = setting("location-snippet").example("`add_header X-A b;`").refused(WHY);
        /// Code for TCP and UDP.
        stream: Forgiving = setting("stream-snippet").example("`server {}`").refused(WHY);
    }
}

impl Effect for Snippets {}
