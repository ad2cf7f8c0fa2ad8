//! Schemas of our own kinds: which field may be meant by one that there is not.

use std::{collections::BTreeMap, sync::LazyLock};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use super::{near, objects::Kind};

/// The schema of each kind of ours by its name.
static SCHEMAS: LazyLock<BTreeMap<String, JSONSchemaProps>> = LazyLock::new(|| {
    let definitions = selvedge_crds::all().into_iter().filter_map(|definition| {
        let schema = definition.spec.versions.into_iter().next()?.schema?.open_api_v3_schema?;
        Some((definition.spec.names.kind, schema))
    });
    definitions.collect()
});

/// A question in brackets to append to a message about a field of a kind that does not exist, or nothing if no field
/// beside it is near. The path is as Kubernetes writes it: `spec.rules[0].retrys`.
pub fn suggest(kind: Kind, path: &str) -> String {
    let (parent, field) = path.rsplit_once('.').unwrap_or(("", path));
    let found = SCHEMAS.get(kind.name()).and_then(|schema| at(schema, parent));
    match found.and_then(|schema| schema.properties.as_ref()) {
        Some(properties) => near::suggest(field, properties.keys().map(String::as_str)),
        None => String::new(),
    }
}

/// The schema of what is at a path.
fn at<'s>(schema: &'s JSONSchemaProps, path: &str) -> Option<&'s JSONSchemaProps> {
    path.split('.').filter(|part| !part.is_empty()).try_fold(schema, |schema, part| {
        let name = part.split('[').next().unwrap_or_default();
        let found = match (
            schema.properties.as_ref().and_then(|known| known.get(name)),
            &schema.additional_properties,
        ) {
            (Some(known), _) => known,
            (None, Some(JSONSchemaPropsOrBool::Schema(any))) => any,
            _ => return None,
        };
        part.matches('[').try_fold(found, |schema, _| match schema.items.as_ref()? {
            JSONSchemaPropsOrArray::Schema(item) => Some(&**item),
            JSONSchemaPropsOrArray::Schemas(items) => items.first(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_beside_a_misspelt_one_are_suggested() {
        let rows = [
            (Kind::RouteRule, "spec.rules[0].retrys", " (did you mean \"retry\"?)"),
            (Kind::RouteRule, "spec.rules[12].matches[0].path.prefx", " (did you mean \"prefix\"?)"),
            (Kind::RouteRule, "spec.rules[0].headers.request.ad", " (did you mean \"add\"?)"),
            (Kind::RouteRule, "spec.rules[0].something", ""),
            (Kind::TrafficPolicy, "spec.ratelimit", " (did you mean \"rateLimit\"?)"),
            (Kind::RouteGrant, "spce", " (did you mean \"spec\"?)"),
            (Kind::RouteGrant, "spec.gone[0].deeper.still", ""),
            (Kind::Service, "spec.prots", ""),
        ];
        for (kind, path, wanted) in rows {
            assert_eq!(suggest(kind, path), wanted, "{path}");
        }
    }
}
