//! Headers: changes of header fields of a rule, as filters.

use std::collections::BTreeMap;

use selvedge_crds::action::{HeaderChange, HeaderChanges};

use super::Context;
use crate::{
    filter::{Field, FieldChanges, Filter, RequestHeaders, ResponseHeaders, check_value},
    id::ObjectRef,
};

/// Whether a field of this name may be changed.
type Check = fn(&str) -> Result<(), String>;

/// The filters for header fields; what cannot be changed is told and left out.
pub(super) fn translate(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    given: Option<&HeaderChanges>,
) -> Vec<Filter> {
    let Some(given) = given else { return Vec::new() };
    let mut filters = Vec::new();
    if let Some(change) = &given.request {
        let field = format!("{field}.headers.request");
        let changes = changes(cx, object, &field, (change, RequestHeaders::check_name));
        filters.push(Filter::RequestHeaders(RequestHeaders { changes }));
    }
    if let Some(change) = &given.response {
        let field = format!("{field}.headers.response");
        let changes = changes(cx, object, &field, (change, ResponseHeaders::check_name));
        filters.push(Filter::ResponseHeaders(ResponseHeaders { changes }));
    }
    filters
}

fn changes(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    (given, check): (&HeaderChange, Check),
) -> FieldChanges {
    let set = fields(cx, object, &format!("{field}.set"), (&given.set, check));
    let add = fields(cx, object, &format!("{field}.add"), (&given.add, check));
    let mut remove = Vec::new();
    for (at, name) in given.remove.iter().enumerate() {
        match check(name) {
            Ok(()) => remove.push(name.as_str().into()),
            Err(why) => cx.error(object, format!("{field}.remove[{at}]"), "InvalidHeader", why),
        }
    }
    FieldChanges { set, add, remove }
}

fn fields(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    (given, check): (&BTreeMap<String, String>, Check),
) -> Vec<Field> {
    let mut fields = Vec::new();
    for (name, value) in given {
        match check(name).and_then(|()| check_value(value)) {
            Ok(()) => fields.push(Field { name: name.as_str().into(), value: value.as_str().into() }),
            Err(why) => cx.error(object, format!("{field}.{name}"), "InvalidHeader", why),
        }
    }
    fields
}
