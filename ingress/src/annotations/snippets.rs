//! Annotation group: pieces of nginx configuration.

use super::{Effect, form::Forgiving, given::Given, key::key};

/// Why it is not taken.
const WHY: &str =
    "snippets are code for nginx, which nobody reads here; use the annotation that does what it does";

/// Words by which a snippet keeps somebody out.
const PROTECTING: [&str; 9] =
    ["deny", "allow ", "auth_", "satisfy", "return 4", "ssl_verify", "secure_link", "limit_", "internal;"];

super::group! {
    /// Snippets
    Snippets {
        /// Code of nginx for the paths of the Ingress.
        configuration: Forgiving = key("configuration-snippet").example("`add_header X-A b;`").refused(WHY)
            .limits("Where it seems to keep somebody out (`deny`, `allow`, `auth_…`, `return 4…`) the paths answer 503.");
        /// Code of nginx for the hosts of the Ingress.
        server: Forgiving = key("server-snippet").example("`add_header X-A b;`").refused(WHY)
            .limits("As for `configuration-snippet`.");
        /// Code of nginx for ports of TCP.
        stream: Forgiving = key("stream-snippet").example("`server { listen 9000; }`").refused(WHY);
    }
}

impl Effect for Snippets {
    fn judge(&self, given: &mut Given<'_>) {
        for (key, text) in [("configuration-snippet", &self.configuration), ("server-snippet", &self.server)]
        {
            let Some(Forgiving(text)) = text else { continue };
            if let Some(word) = PROTECTING.iter().find(|word| text.contains(**word)) {
                let message = format!(
                    "it seems to keep somebody out ({:?}), which would be lost, so the paths of the Ingress answer 503",
                    word.trim()
                );
                given.tell(key, "UnreadableProtection", message);
                given.close();
            }
        }
    }
}
