//! What the admin address shows of the running program.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use crate::runtime::{admin::AdminState, drain::Phase, engine::Engine};

/// The running program as the admin address sees it.
pub struct Admin {
    engine: Arc<Engine>,
    synced: watch::Receiver<bool>,
}

impl Admin {
    /// Ready once `synced` is true and as long as the engine serves.
    pub fn new(engine: Arc<Engine>, synced: watch::Receiver<bool>) -> Self {
        Self { engine, synced }
    }
}

/// Takes the values of header fields away that rules set or add: they may be secrets.
fn hide_values(page: &mut Value) {
    match page {
        Value::Array(parts) => parts.iter_mut().for_each(hide_values),
        Value::Object(parts) => {
            for (name, part) in parts {
                match (name.as_str(), part) {
                    ("requestHeaders" | "responseHeaders", Value::Object(changes)) => {
                        changes.values_mut().for_each(hide_fields);
                    }
                    ("fieldTemplates" | "requestFields", fields) => hide_fields(fields),
                    (_, part) => hide_values(part),
                }
            }
        }
        _ => {}
    }
}

fn hide_fields(fields: &mut Value) {
    let fields = fields.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut);
    for value in fields.filter_map(|field| field.get_mut("value")) {
        *value = "redacted".into();
    }
}

impl AdminState for Admin {
    fn ready(&self) -> Result<(), String> {
        match self.engine.phase() {
            Phase::Serving if *self.synced.borrow() => Ok(()),
            Phase::Serving => Err("waiting for the first full list of every kind of object".into()),
            _ => Err("stopping".into()),
        }
    }

    fn metrics(&self) -> String {
        self.engine.metrics().encode()
    }

    fn snapshot(&self) -> serde_json::Value {
        let (generation, snapshot) = self.engine.snapshot();
        let endpoints = self.engine.endpoints();
        let mut page =
            serde_json::json!({"generation": generation, "snapshot": &*snapshot, "endpoints": endpoints});
        hide_values(&mut page);
        page
    }

    fn graph(&self) -> Option<serde_json::Value> {
        let graph = self.engine.graph()?;
        Some(serde_json::to_value(graph).expect("a graph has the form of JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        filter::{
            Field, FieldChanges, FieldTemplates, Filter, RequestHeaders, ResponseHeaders, Template,
            TemplateField,
        },
        id::{ObjectRef, RouteId},
        model::{PathMatch, Route},
    };

    #[test]
    fn values_that_rules_set_or_add_are_not_shown() {
        let field = |name: &str| Field { name: name.into(), value: "hunter2".into() };
        let changes = FieldChanges {
            set: vec![field("authorization")],
            add: vec![field("x-a")],
            remove: vec!["x-b".into()],
        };
        let object = ObjectRef::new("RouteRule", "shop", "orders");
        let mut route = Route::new(RouteId::new("r"), object, PathMatch::Prefix("/".into()), Vec::new());
        route.filters = vec![
            Filter::RequestHeaders(RequestHeaders { changes: changes.clone() }),
            Filter::ResponseHeaders(ResponseHeaders { changes }),
            Filter::FieldTemplates(FieldTemplates {
                fields: vec![TemplateField {
                    name: "x-c".into(),
                    value: Template::parse("hunter2-$host").unwrap(),
                }],
            }),
        ];
        let mut page = serde_json::json!({"snapshot": {"hosts": {"a.example": {"routes": [route]}}}});
        hide_values(&mut page);
        let text = page.to_string();
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(text.matches("redacted").count(), 5);
        assert!(["authorization", "x-a", "x-b", "x-c"].iter().all(|name| text.contains(name)), "{text}");
    }
}
