//! Annotation group: how endpoints are chosen.

use selvedge_common::{
    filter::Template,
    model::{Balance, HashKey},
    quote::quote,
};

use super::{
    Effect, PREFIX,
    form::{Count, LoadBalance, Text},
    given::Given,
    key::{key, own},
};
use crate::translate::RouteDraft;

super::group! {
    /// Load balancing
    Balancing {
        /// How an endpoint is chosen: one after the other, or the less busy one of two drawn at random.
        balance: Balance = own("balance").default("`round-robin`").example("`least-requests`");
        /// How an endpoint is chosen: one after the other, or the one that is expected to answer sooner of two drawn at random. `balance` comes before it.
        load_balance: LoadBalance = key("load-balance").default("`round_robin`").example("`ewma`");
        /// What of a request decides its endpoint, so that requests with the same one go to the same one: text with variables such as `$request_uri`, `$http_NAME`, `$cookie_NAME`, `$arg_NAME`, `$host` and `$remote_addr`.
        hash_by: Text = key("upstream-hash-by").example("`$http_x_user`").limits("Where it is one field or one cookie alone, a request without it goes to any endpoint.");
        /// Spread the requests of one key over several endpoints.
        hash_by_subset: bool = key("upstream-hash-by-subset").default("`false`").example("`true`")
            .approximated("the requests of one key go to one endpoint, and to another one only while that fails");
        /// Over how many.
        hash_by_subset_size: Count = key("upstream-hash-by-subset-size").default("`3`").example("`2`")
            .no_effect("the requests of one key go to one endpoint");
    }
}

impl Balancing {
    /// What says how an endpoint is chosen; `None` leaves it to policies and flags.
    pub(crate) fn chosen(&self) -> Option<Balance> {
        let hash = self.hash_by.as_ref().and_then(|by| hash_key(&by.0)).map(Balance::Hash);
        let load_balance = self.load_balance.map(|load_balance| match load_balance {
            LoadBalance::RoundRobin => Balance::RoundRobin,
            LoadBalance::Ewma => Balance::Ewma,
        });
        // ingress-nginx: a hash comes before load-balance.
        self.balance.clone().or(hash).or(load_balance)
    }
}

/// What a text with variables stands for; `None` if it is none.
fn hash_key(text: &str) -> Option<HashKey> {
    single(text).or_else(|| {
        let template = Template::parse(&text.replace("$binary_remote_addr", "$remote_addr")).ok()?;
        (!template.is_plain()).then_some(HashKey::Text(template))
    })
}

/// The one variable that a text is.
fn single(text: &str) -> Option<HashKey> {
    let variable = text.strip_prefix('$')?;
    let variable = variable.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(variable);
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    Some(match variable {
        "remote_addr" | "binary_remote_addr" => HashKey::Source,
        "host" | "http_host" => HashKey::Header("host".into()),
        _ => match (variable.strip_prefix("http_"), variable.strip_prefix("cookie_")) {
            (Some(name), _) if is_name(name) => {
                HashKey::Header(name.to_ascii_lowercase().replace('_', "-").into())
            }
            (_, Some(name)) if is_name(name) => HashKey::Cookie(name.into()),
            _ => return None,
        },
    })
}

impl Effect for Balancing {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        route.balance = self.chosen();
    }

    fn judge(&self, given: &mut Given<'_>) {
        if self.balance.is_some() {
            for key in ["load-balance", "upstream-hash-by"] {
                let message = format!("{PREFIX}balance comes before it; it has no effect");
                given.warn(key, "DuplicateAnnotation", message);
            }
        }
        if let Some(by) = self.hash_by.as_ref().filter(|by| hash_key(&by.0).is_none()) {
            let message = format!(
                "{} is no text with variables such as `$request_uri` or `$http_x_user`; endpoints are chosen as without it",
                quote(&by.0)
            );
            given.tell("upstream-hash-by", "InvalidAnnotation", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_or_a_text_with_some_decides() {
        let header = |name: &str| Some(HashKey::Header(name.into()));
        let text = |text: &str| Some(HashKey::Text(Template::parse(text).unwrap()));
        let table = [
            ("$http_x_user", header("x-user")),
            ("${http_x_user}", header("x-user")),
            ("$host", header("host")),
            ("$cookie_session", Some(HashKey::Cookie("session".into()))),
            ("$binary_remote_addr", Some(HashKey::Source)),
            ("$request_uri", text("$request_uri")),
            ("$host-$binary_remote_addr", text("$host-$remote_addr")),
            ("$no_such_thing", None),
            ("$http_", None),
            ("x-user", None),
            ("", None),
        ];
        for (text, want) in table {
            assert_eq!(hash_key(text), want, "{text:?}");
        }
    }
}
