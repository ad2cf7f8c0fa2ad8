//! Headers: changes of header fields of a rule, as filters.

use std::collections::BTreeMap;

use selvedge_crds::action::{HeaderChange, HeaderChanges};

use super::Context;
use crate::{
    filter::{Field, FieldChanges, Filter, RequestHeaders, ResponseHeaders, check_value},
    id::ObjectRef,
    model::Problem,
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
    let (request, response) = header_changes(&mut cx.problems, object, field, given);
    let request = request.map(|changes| Filter::RequestHeaders(RequestHeaders { changes }));
    let response = response.map(|changes| Filter::ResponseHeaders(ResponseHeaders { changes }));
    request.into_iter().chain(response).collect()
}

/// The changes of requests and of responses that an object has in `headers` under this field; what cannot be changed is
/// told and left out.
pub fn header_changes(
    problems: &mut Vec<Problem>,
    object: &ObjectRef,
    field: &str,
    given: &HeaderChanges,
) -> (Option<FieldChanges>, Option<FieldChanges>) {
    let mut read = |side: &str, change: Option<&HeaderChange>, check: Check| {
        let field = format!("{field}.headers.{side}");
        change.map(|change| changes(problems, object, &field, (change, check)))
    };
    (
        read("request", given.request.as_ref(), RequestHeaders::check_name),
        read("response", given.response.as_ref(), ResponseHeaders::check_name),
    )
}

fn changes(
    problems: &mut Vec<Problem>,
    object: &ObjectRef,
    field: &str,
    (given, check): (&HeaderChange, Check),
) -> FieldChanges {
    let set = fields(problems, object, &format!("{field}.set"), (&given.set, check));
    let add = fields(problems, object, &format!("{field}.add"), (&given.add, check));
    let mut remove = Vec::new();
    for (at, name) in given.remove.iter().enumerate() {
        match check(name) {
            Ok(()) => remove.push(name.as_str().into()),
            Err(why) => {
                problems.push(Problem::error(object, format!("{field}.remove[{at}]"), "InvalidHeader", why));
            }
        }
    }
    FieldChanges { set, add, remove }
}

fn fields(
    problems: &mut Vec<Problem>,
    object: &ObjectRef,
    field: &str,
    (given, check): (&BTreeMap<String, String>, Check),
) -> Vec<Field> {
    let mut fields = Vec::new();
    for (name, value) in given {
        match check(name).and_then(|()| check_value(value)) {
            Ok(()) => fields.push(Field { name: name.as_str().into(), value: value.as_str().into() }),
            Err(why) => {
                problems.push(Problem::error(object, format!("{field}.{name}"), "InvalidHeader", why));
            }
        }
    }
    fields
}
