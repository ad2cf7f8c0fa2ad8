//! Settings group: header fields of requests and answers.

use super::{Effect, Globals, given::Given, setting::setting};
use crate::annotations::form::{Names, ObjectName};

super::settings! {
    /// Header fields
    Fields {
        /// ConfigMap whose entries are fields of requests to backends, in place of those that clients send; an empty value takes one away. Values may hold variables, also `$namespace`, `$ingress_name`, `$service_name`, `$service_port` and `$location_path`.
        request: ObjectName = setting("proxy-set-headers").example("`ingress-nginx/request-headers`")
            .approximated("fields by which the proxy itself says who asks are not taken");
        /// ConfigMap whose entries are fields of answers.
        answer: ObjectName = setting("add-headers").example("`ingress-nginx/answer-headers`")
            .approximated("answers that the proxy itself makes, such as errors, do not have them");
        /// Fields of answers of backends that clients do not get.
        hidden: Names = setting("hide-headers").example("`X-Powered-By`");
        /// Whether clients get the `Server` of backends.
        backend_server: bool = setting("allow-backend-server-header").default("`false`").example("`true`")
            .no_effect("clients get it in any case; hide-headers: Server takes it away");
        /// Whether answers tell the version of nginx.
        server_tokens: bool = setting("server-tokens").default("`false`").example("`true`")
            .no_effect("there is no nginx, and no answer tells a version");
    }
}

impl Effect for Fields {
    fn apply(&self, globals: &mut Globals, _: &mut Given<'_>) {
        globals.request_fields.clone_from(&self.request);
        globals.answer_fields.clone_from(&self.answer);
        globals.hidden_fields = self.hidden.as_ref().map(|names| names.0.to_vec()).unwrap_or_default();
    }
}
