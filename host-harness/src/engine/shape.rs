//! What expressions may name: the schemas of the event and of the steps' outputs, followed member by member.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// How many references are followed in one another.
const MOST_REFERENCES: usize = 16;

/// The schemas of what expressions name.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    event: Option<Shape>,
    steps: HashMap<String, Shape>,
}

/// A schema, the document it stands in, and an example of it.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    schema: Value,
    document: Value,
    sample: Option<Value>,
}

/// Where a path leads.
#[derive(Debug)]
pub(super) enum Found {
    /// To this.
    Shape(Shape),
    /// To something of which nothing is known.
    Anything,
    /// Nowhere: the name at this place of the path is none of those that there are.
    Nothing {
        /// The place.
        at: usize,
        /// Those that there are.
        known: Vec<String>,
    },
}

impl Shapes {
    /// The event's payload.
    pub(super) fn event(&mut self, schema: Value, sample: Value) {
        self.event = Some(Shape::new(schema, sample));
    }

    /// A step's output.
    pub(super) fn step(&mut self, id: &str, schema: Value, sample: Value) {
        self.steps.insert(id.to_owned(), Shape::new(schema, sample));
    }

    /// Where a path of names leads.
    pub(super) fn find(&self, path: &[String]) -> Found {
        let of = |index: usize| path.get(index).map(String::as_str);
        let (start, begin) = match (of(0), of(1), of(2)) {
            (Some("event"), ..) => (self.event.as_ref(), 1),
            (Some("steps"), Some(id), Some("output")) => (self.steps.get(id), 3),
            (Some("steps"), Some(_), Some(_)) => return Found::Nothing { at: 2, known: vec!["output".into()] },
            (Some("run"), Some("id"), None) => {
                return Found::Shape(Shape::new(json!({ "type": "string" }), json!("r")));
            }
            (Some("run"), Some(_), _) => return Found::Nothing { at: 1, known: vec!["id".into()] },
            _ => return Found::Anything,
        };
        let Some(start) = start else { return Found::Anything };
        let mut shape = start.clone();
        for (at, name) in path.iter().enumerate().skip(begin) {
            shape = match shape.member(name) {
                Found::Shape(next) => next,
                Found::Nothing { known, .. } => return Found::Nothing { at, known },
                Found::Anything => return Found::Anything,
            };
        }
        Found::Shape(shape)
    }
}

impl Shape {
    fn new(schema: Value, sample: Value) -> Self {
        Self { document: schema.clone(), schema, sample: (!sample.is_null()).then_some(sample) }
    }

    fn resolved(&self) -> Value {
        let mut schema = self.schema.clone();
        for _ in 0..MOST_REFERENCES {
            let Some(pointer) = schema.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix('#')) else {
                break;
            };
            schema = self.document.pointer(pointer).cloned().unwrap_or_default();
        }
        schema
    }

    fn member(&self, name: &str) -> Found {
        let schema = self.resolved();
        let sample = self.sample.as_ref().and_then(|sample| sample.get(name)).cloned();
        let to = |schema: Value| Found::Shape(Self { schema, document: self.document.clone(), sample: sample.clone() });
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        if let Some(found) = properties.get(name) {
            return to(found.clone());
        }
        let composed =
            ["anyOf", "oneOf", "allOf", "patternProperties", "if"].iter().any(|key| schema.get(key).is_some());
        match schema.get("additionalProperties") {
            Some(Value::Object(of)) => to(Value::Object(of.clone())),
            Some(Value::Bool(true)) => Found::Anything,
            // A schema that names members and says nothing of others is held to mean those.
            _ if composed || properties.is_empty() || sample.is_some() => Found::Anything,
            _ => Found::Nothing { at: 0, known: properties.keys().cloned().collect() },
        }
    }

    /// A value of its type, where it has one type.
    pub(super) fn example(&self) -> Option<Value> {
        Some(match self.resolved().get("type")?.as_str()? {
            "string" => json!("text"),
            "integer" => json!(1),
            "number" => json!(1.5),
            "boolean" => json!(true),
            "array" => json!([]),
            "object" => json!({}),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes() -> Shapes {
        let schema = json!({
            "type": "object",
            "properties": {
                "key": { "type": "string" }, "thing": { "$ref": "#/$defs/thing" },
                "open": { "type": "object", "additionalProperties": true },
                "maybe": { "type": ["string", "null"] },
            },
            "$defs": { "thing": { "type": "object", "properties": { "size": { "type": "integer" } } } },
        });
        let mut shapes = Shapes::default();
        shapes.event(schema, json!({ "thing": { "size": 1, "hidden": 2 } }));
        shapes
    }

    fn find(path: &str) -> Found {
        shapes().find(&path.split('.').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_path_is_followed_through_references_to_its_type() {
        let Found::Shape(shape) = find("event.thing.size") else { panic!("not found") };
        assert_eq!(shape.example(), Some(json!(1)));
        let Found::Shape(shape) = find("event.maybe") else { panic!("not found") };
        assert_eq!(shape.example(), None, "of two types");
    }

    #[test]
    fn a_name_that_is_not_there_is_told_with_those_that_are() {
        let Found::Nothing { at, known } = find("event.thing.sise") else { panic!("found") };
        assert_eq!((at, known), (2, vec!["size".to_owned()]));
        assert!(matches!(find("event.kye"), Found::Nothing { at: 1, .. }));
        assert!(matches!(find("steps.a.result"), Found::Anything | Found::Nothing { at: 2, .. }));
        assert!(matches!(find("run.name"), Found::Nothing { at: 1, .. }));
    }

    #[test]
    fn what_is_open_or_in_the_sample_is_not_doubted() {
        assert!(matches!(find("event.open.whatever.deep"), Found::Anything));
        assert!(matches!(find("event.thing.hidden"), Found::Anything));
    }
}
