//! JSON Schema of each file, made from its shape (`swarm-pack schema`). Pure.

use crate::{
    bundle, manifest, policy, roster, settings,
    shape::{Form, Kind, Shape},
};
use serde_json::{Map, Value, json};

/// The words that [`schema`] knows.
pub const FILES: [&str; 5] = ["bundle", "manifest", "policy", "agent", "box"];

/// The JSON Schema (draft 2020-12) of `bundle`, `manifest`, `policy`, `agent` or `box` (a roster entry); none for any other word.
pub fn schema(file: &str) -> Option<Value> {
    let shape = match file {
        "bundle" => &bundle::SHAPE,
        "manifest" => &manifest::SHAPE,
        "policy" => &policy::SHAPE,
        "agent" => &settings::SHAPE,
        "box" => &roster::SHAPE,
        _ => return None,
    };
    let mut schema = Map::new();
    schema.insert(
        "$schema".into(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    schema.insert("title".into(), shape.title.into());
    schema.extend(table(shape));
    Some(Value::Object(schema))
}

fn table(shape: &Shape) -> Map<String, Value> {
    let built = || {
        shape
            .keys
            .iter()
            .filter(|key| !matches!(key.kind, Kind::NotBuilt))
    };
    let property = |kind: &Kind, doc: &str| {
        let mut property = value(kind);
        property.insert("description".into(), doc.into());
        Value::Object(property)
    };
    let properties: Map<_, _> = built()
        .map(|key| (key.name.into(), property(&key.kind, key.doc)))
        .collect();
    let required: Vec<&str> = built()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    object(
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false}),
    )
}

fn value(kind: &Kind) -> Map<String, Value> {
    object(match kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Integer { min: i64::MIN, .. } => json!({"type": "integer"}),
        Kind::Integer { min, max: i64::MAX } => json!({"type": "integer", "minimum": min}),
        Kind::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Number => json!({"type": "number"}),
        Kind::Text(form) => Value::Object(text(form)),
        Kind::OneOf(words) => json!({"enum": words}),
        Kind::List(min, of) => json!({"type": "array", "items": value(of), "minItems": min}),
        Kind::Table(shape) => Value::Object(table(shape)),
        Kind::Tables(shape) => json!({"type": "array", "items": table(shape)}),
        Kind::Map(keys, of) => {
            json!({"type": "object", "propertyNames": text(keys), "additionalProperties": value(of)})
        }
        Kind::Either(kinds) => json!({"anyOf": kinds.iter().map(value).collect::<Vec<_>>()}),
        Kind::NotBuilt => json!({"not": {}}),
    })
}

fn text(form: &Form) -> Map<String, Value> {
    let mut schema = object(json!({"type": "string", "title": form.what}));
    if !form.pattern.is_empty() {
        schema.insert("pattern".into(), form.pattern.into());
    }
    schema
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => Map::from_iter([("const".into(), other)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_a_schema_that_names_its_keys() {
        for (file, key) in [
            ("bundle", "entry"),
            ("manifest", "on"),
            ("policy", "people"),
            ("agent", "repository"),
            ("box", "labels"),
        ] {
            let schema = schema(file).expect(file);
            assert!(schema["properties"][key].is_object(), "{file} {key}");
            assert_eq!(schema["additionalProperties"], json!(false));
        }
        assert_eq!(schema("else"), None);
    }

    #[test]
    fn what_is_not_built_is_not_in_the_schema() {
        assert!(
            schema("manifest").expect("a schema")["properties"]
                .get("rollout")
                .is_none()
        );
    }
}
