//! What the API server demands of single texts: transformations of their schemas.

use schemars::Schema;
use serde_json::{Value, json};

/// Adds a CEL rule with its message to a schema.
fn add(schema: &mut Schema, rule: &str, message: &str) {
    let rules = schema.ensure_object().entry("x-kubernetes-validations").or_insert_with(|| json!([]));
    if let Value::Array(rules) = rules {
        rules.push(json!({ "rule": rule, "message": message }));
    }
}

/// Gives a text its longest length, a pattern and what to say when it does not fit.
fn text(schema: &mut Schema, longest: u32, pattern: &str, message: &str) {
    let object = schema.ensure_object();
    object.insert("minLength".into(), 1.into());
    object.insert("maxLength".into(), longest.into());
    add(schema, &format!("self.matches('{pattern}')"), message);
}

/// Does the same to what a list holds.
fn each(schema: &mut Schema, limit: fn(&mut Schema)) {
    let items = schema.ensure_object().entry("items").or_insert_with(|| json!({}));
    if let Ok(items) = <&mut Schema>::try_from(items) {
        limit(items);
    }
}

/// A DNS label (RFC 1123), as names of Services, namespaces and rules are.
pub fn label(schema: &mut Schema) {
    text(
        schema,
        63,
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "a name is made of lower-case letters, digits and '-', and begins and ends with a letter or digit",
    );
}

/// A DNS subdomain (RFC 1123), as names of most objects are.
pub fn name(schema: &mut Schema) {
    text(
        schema,
        253,
        // Short, as the API server counts what each rule may cost by the length of its pattern.
        "^[-a-z0-9.]+$",
        "a name is made of lower-case letters, digits, '-' and '.'",
    );
}

/// A host name without port, and without a wildcard.
pub fn host(schema: &mut Schema) {
    text(
        schema,
        253,
        "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        "a host is a lower-case DNS name without scheme, port or path, such as api.example.com",
    );
}

/// A host name without port, with a wildcard for its first label or not.
pub fn host_or_wildcard(schema: &mut Schema) {
    text(
        schema,
        253,
        "^([*][.])?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        "a host is a lower-case DNS name without scheme, port or path, such as api.example.com or *.example.com",
    );
}

/// A path as an absolute one (RFC 3986, section 3.3).
pub fn path(schema: &mut Schema) {
    text(schema, 1024, "^/[^?#\\\\s]*$", "a path begins with '/' and has no '?', '#' or space");
}

/// Name of a header or cookie: a token (RFC 9110, section 5.6.2).
pub fn token(schema: &mut Schema) {
    text(
        schema,
        256,
        "^[\\\\w!#$%&*+.^|~-]+$",
        "a name of a header or cookie is made of letters, digits, '-' and '_', such as x-client",
    );
}

/// Names of headers.
pub fn tokens(schema: &mut Schema) {
    each(schema, token);
}

/// Methods of requests.
pub fn methods(schema: &mut Schema) {
    each(schema, |item| {
        text(item, 32, "^[A-Z][A-Z-]*$", "a method is written in upper-case letters, such as GET");
    });
}

/// One method, of letters alone.
pub fn method(schema: &mut Schema) {
    text(schema, 32, "^[A-Z]+$", "a method is written in upper-case letters, such as GET");
}

/// What paths begin with. Several of them are one text later, which commas separate.
pub fn path_beginnings(schema: &mut Schema) {
    each(schema, |item| {
        text(item, 256, "^/[^?#,\\\\s]*$", "a path begins with '/', and here has no '?', '#', ',' or space");
    });
}

/// Types of media, without parameters.
pub fn media_types(schema: &mut Schema) {
    each(schema, |item| {
        text(
            item,
            128,
            "^([*]|[a-zA-Z0-9.+-]+/[a-zA-Z0-9.+-]+)$",
            "a type is written as type/subtype without parameters, such as text/css; * is all of them",
        );
    });
}

/// Networks of addresses.
pub fn networks(schema: &mut Schema) {
    each(schema, |item| {
        text(
            item,
            64,
            "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$",
            "a network is an address, with the length of its prefix or without, such as 10.0.0.0/8",
        );
    });
}

/// Values of a header, or regular expressions for them.
pub fn field_values(schema: &mut Schema) {
    each(schema, |item| {
        text(item, 256, "^[^,]+$", "a value has no comma; write several values as items of the list");
    });
}

/// An absolute URL of HTTP.
pub fn url(schema: &mut Schema) {
    text(
        schema,
        1024,
        "^https?://[^/?#\\\\s]+[^\\\\s]*$",
        "a URL begins with http:// or https:// and a host, and has no space",
    );
}

/// Statuses of any answer.
pub fn statuses(schema: &mut Schema) {
    each(schema, |item| range(item, 100, 599));
}

/// Statuses of errors.
pub fn error_statuses(schema: &mut Schema) {
    each(schema, |item| range(item, 400, 599));
}

/// Gives a number its smallest and its largest value.
fn range(schema: &mut Schema, least: u16, most: u16) {
    let object = schema.ensure_object();
    object.insert("minimum".into(), least.into());
    object.insert("maximum".into(), most.into());
}

/// Text of a regular expression; whether it is one is found out when it is translated.
pub fn regex(schema: &mut Schema) {
    let object = schema.ensure_object();
    object.insert("minLength".into(), 1.into());
    object.insert("maxLength".into(), 1024.into());
}

/// A map from names of headers to their values.
pub fn header_map(schema: &mut Schema) {
    let object = schema.ensure_object();
    object.insert("maxProperties".into(), 32.into());
    object.insert("additionalProperties".into(), json!({ "type": "string", "maxLength": 4096 }));
}

/// Lines that must not be long: messages about what is wrong.
pub fn messages(schema: &mut Schema) {
    each(schema, |item| {
        item.ensure_object().insert("maxLength".into(), 1024.into());
    });
}

/// Says by the key of each entry which one a server-side apply means, so that writers do not undo each other.
pub fn keyed_by_target(schema: &mut Schema) {
    keyed(schema, "target");
}

/// The same by the name of each entry.
pub fn keyed_by_name(schema: &mut Schema) {
    keyed(schema, "name");
}

/// For how many targets an object is accepted.
pub fn accepted(schema: &mut Schema) {
    schema.ensure_object().insert("enum".into(), json!(["True", "False", "Partly"]));
}

fn keyed(schema: &mut Schema, key: &str) {
    let object = schema.ensure_object();
    object.insert("x-kubernetes-list-type".into(), "map".into());
    object.insert("x-kubernetes-list-map-keys".into(), json!([key]));
}

/// A switch that means something only when it is on.
pub fn only_true(schema: &mut Schema) {
    add(schema, "self", "this can only be true; leave it out otherwise");
}

/// A status of redirects.
pub fn redirect_status(schema: &mut Schema) {
    schema.ensure_object().insert("enum".into(), json!([301, 302, 303, 307, 308]));
}
