//! Filter: sets header fields of the request to texts that are made for each request.

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, TemplateField};
use crate::message::{RequestHead, ResponseHead};

/// Fields that the backend sees in place of all of their names. One whose text comes out empty is not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldTemplates {
    /// The fields.
    pub fields: Vec<TemplateField>,
}

impl FieldTemplates {
    pub(super) fn request(&self, cx: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        // All of them first, as they may name what is replaced then.
        let texts: Vec<_> = self.fields.iter().map(|field| rendered(field, cx, head)).collect();
        let is_set =
            |name: &[u8]| self.fields.iter().any(|field| field.name.as_bytes().eq_ignore_ascii_case(name));
        head.fields.retain(|_, name, _| !is_set(name));
        for (field, text) in self.fields.iter().zip(&texts).filter(|(_, text)| !text.is_empty()) {
            head.fields.push(field.name.as_bytes(), text);
        }
        Flow::Next
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

/// The text of a field, without the spaces around it that no value has (RFC 9110 §5.5).
fn rendered(field: &TemplateField, cx: &FilterContext<'_>, head: &RequestHead) -> Vec<u8> {
    let mut text = Vec::new();
    field.value.render((cx, head), &[], &mut text);
    text.trim_ascii().to_vec()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Template,
            tests::{Given, request},
        },
        *,
    };

    #[test]
    fn fields_are_what_the_request_was_before_them_and_none_is_empty() {
        let field = |name: &str, text: &str| TemplateField {
            name: name.into(),
            value: Template::parse(text).unwrap(),
        };
        let filter = FieldTemplates {
            fields: vec![
                field("X-Original-URI", "$request_uri"),
                field("X-A", "$http_x_b"),
                field("X-B", "$http_x_a"),
                field("X-None", " $arg_none "),
            ],
        };
        let mut head = request("a.test", "/x", None);
        head.set_target(b"/a%20b?x=1");
        for (name, value) in [("x-a", "1"), ("X-b", "2"), ("x-none", "sent"), ("x-original-uri", "sent")] {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(filter.request(&Given::default().cx(), &mut head), Flow::Next);
        let of = |name: &str| head.fields.get_by_name(name).map(|value| String::from_utf8_lossy(value));
        assert_eq!(of("x-original-uri").as_deref(), Some("/a%20b?x=1"));
        assert_eq!((of("x-a").as_deref(), of("x-b").as_deref()), (Some("2"), Some("1")));
        assert_eq!(of("x-none"), None);
    }
}
