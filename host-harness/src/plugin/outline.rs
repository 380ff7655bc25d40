//! An output held to its card's schema without a tree of it: a tree is made of what the schema speaks about, and the
//! rest, which may be anything, is read and forgotten.
//!
//! A page of a search is mostly fields that the schema leaves open. As a tree of values they would cost ten times the
//! memory of the text, and most of the time that a large output takes.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What says nothing about a value, whatever its kind.
const REMARKS: [&str; 9] =
    ["$comment", "$schema", "default", "deprecated", "description", "examples", "readOnly", "title", "writeOnly"];
/// What says something about a value itself, and nothing about what it holds.
const OF_THE_VALUE: [&str; 10] = [
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxLength",
    "maximum",
    "minLength",
    "minimum",
    "multipleOf",
    "pattern",
    "type",
];

/// Which parts of a value a schema speaks about.
#[derive(Debug)]
pub(super) enum Outline {
    /// All of it, or that is not known: keywords that nobody listed may look anywhere.
    Whole,
    /// What is said here; and of an object or a list that nothing is said about, only that it is one.
    Parts {
        /// The members of an object that are spoken about, those included that only have to be there.
        members: HashMap<String, Outline>,
        /// All other members; none where they may be anything.
        others: Option<Box<Outline>>,
        /// The items of a list; none where they may be anything.
        items: Option<Box<Outline>>,
    },
}

impl Outline {
    /// What a JSON Schema (2020-12) speaks about.
    pub(super) fn of(schema: &Value) -> Self {
        let keywords = match schema {
            Value::Object(keywords) => keywords,
            Value::Bool(true) => return Self::anything(),
            _ => return Self::Whole,
        };
        let (mut members, mut others, mut items) = (HashMap::new(), None, None);
        for (keyword, said) in keywords {
            match (keyword.as_str(), said) {
                ("properties", Value::Object(each)) => {
                    for (name, schema) in each {
                        members.insert(name.clone(), Self::of(schema));
                    }
                }
                ("required", Value::Array(_)) => {}
                ("additionalProperties", schema) => others = Some(Self::unless_open(schema)),
                ("items", schema) => items = Some(Self::unless_open(schema)),
                (known, _) if REMARKS.contains(&known) || OF_THE_VALUE.contains(&known) => {}
                _ => return Self::Whole,
            }
        }
        let (others, items) = (others.flatten(), items.flatten());
        // Where all others are spoken about, those that have to be there are among them.
        if others.is_none() {
            for name in keywords.get("required").and_then(Value::as_array).into_iter().flatten() {
                let Some(name) = name.as_str() else { return Self::Whole };
                members.entry(name.to_owned()).or_insert_with(Self::anything);
            }
        }
        Self::Parts { members, others, items }
    }

    /// Of what may be anything.
    pub(super) fn anything() -> Self {
        Self::Parts { members: HashMap::new(), others: None, items: None }
    }

    /// None where the schema allows anything.
    fn unless_open(schema: &Value) -> Option<Box<Self>> {
        let open = match schema {
            Value::Bool(open) => *open,
            Value::Object(keywords) => keywords.keys().all(|keyword| REMARKS.contains(&keyword.as_str())),
            _ => false,
        };
        // What must not be there has to be seen, and be it empty.
        (!open).then(|| Box::new(if schema.is_boolean() { Self::anything() } else { Self::of(schema) }))
    }

    /// Reads a text whole and answers with the parts that are spoken about: as to the schema, they stand for all of it.
    pub(super) fn read(&self, text: &str) -> Result<Value, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = Part(Some(self)).deserialize(&mut reader)?;
        reader.end()?;
        Ok(value)
    }
}

/// Reads a JSON text whole.
pub(crate) fn read(text: &str) -> Result<Value, serde_json::Error> {
    Outline::Whole.read(text)
}

/// Reads one value: what an outline keeps of it, or nothing where there is none.
#[derive(Clone, Copy)]
struct Part<'o>(Option<&'o Outline>);

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(if self.0.is_some() { Value::String(text.to_owned()) } else { Value::Null })
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let each = match self.0 {
            Some(whole @ Outline::Whole) => Some(whole),
            Some(Outline::Parts { items, .. }) => items.as_deref(),
            None => None,
        };
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Part(each))? {
            if each.is_some() {
                list.push(item);
            }
        }
        Ok(if self.0.is_some() { Value::Array(list) } else { Value::Null })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some((name, outline)) = members.next_key_seed(Name(self.0))? {
            let member = members.next_value_seed(Part(outline))?;
            if let Some(name) = name {
                kept.insert(name, member);
            }
        }
        Ok(if self.0.is_some() { Value::Object(kept) } else { Value::Null })
    }
}

/// Reads a member's name, and finds what is kept of the member.
struct Name<'o>(Option<&'o Outline>);

impl<'de, 'o> DeserializeSeed<'de> for Name<'o> {
    type Value = (Option<String>, Option<&'o Outline>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'o> Visitor<'_> for Name<'o> {
    type Value = (Option<String>, Option<&'o Outline>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let outline = match self.0 {
            Some(whole @ Outline::Whole) => Some(whole),
            Some(Outline::Parts { members, others, .. }) => members.get(name).or(others.as_deref()),
            None => None,
        };
        Ok((outline.map(|_| name.to_owned()), outline))
    }
}

#[cfg(test)]
#[path = "outline_test.rs"]
mod tests;
