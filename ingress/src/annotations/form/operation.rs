//! The form of the name of an operation: text with variables of the request and of the route.

use std::sync::Arc;

use selvedge_common::filter::Template;

use super::Form;
use crate::translate::with_names;

/// The name of spans, with variables such as `$request_method` or `$service_name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation(pub Arc<str>);

impl Operation {
    fn fault(text: &str) -> Option<String> {
        if text.chars().any(char::is_control) {
            return Some("it has control characters".to_owned());
        }
        Template::parse(&with_names(text, &["x"; 5])).err().map(|why| why.to_string())
    }
}

impl Form for Operation {
    const NAME: &'static str = "text, with variables such as `$request_method` or `$service_name` or without";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        Self::fault(text).is_none().then(|| Self(text.into()))
    }

    fn why_not(text: &str) -> Option<String> {
        Self::fault(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_variables_that_there_are() {
        let table = [
            ("shop", Some("shop")),
            (" HTTP $request_method $service_name $uri ", Some("HTTP $request_method $service_name $uri")),
            ("${namespace}/${ingress_name}", Some("${namespace}/${ingress_name}")),
            ("$nginx_version", None),
            ("a\nb", None),
            ("$", None),
        ];
        for (text, wanted) in table {
            let read = Operation::parse(text);
            assert_eq!(read.as_ref().map(|operation| &*operation.0), wanted, "{text:?}");
            assert_eq!(Operation::why_not(text).is_some(), wanted.is_none(), "{text:?}");
        }
    }
}
