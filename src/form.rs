//! Inputs of cards and filters of subscriptions, read member by member.
//!
//! Serde's derived readers would be a tenth of the component. That these read what the schemas of the same types
//! allow, and nothing else, is tested for every member of every card.

use crate::document::RichText;
use serde_json::{Map, Value};

/// What is read from a filled-in form.
pub(crate) trait Read: Sized {
    /// Takes the members out; what is left over is refused by [`read`].
    fn read(form: &mut Form) -> Result<Self, Misfit>;
}

/// Reads a whole form. A member that nobody took is one that the schema does not have.
pub(crate) fn read<T: Read>(value: Value) -> Result<T, Misfit> {
    let mut form = Form::of(value)?;
    let read = T::read(&mut form)?;
    form.end()?;
    Ok(read)
}

/// Why a form can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The member that is wrong; none where the whole is.
    pub(crate) member: Option<String>,
    /// What is wrong, as the rest of a sentence about it: `lacks …`, `is …`.
    pub(crate) why: String,
}

/// The members not yet taken.
pub(crate) struct Form(Map<String, Value>);

impl Form {
    fn of(value: Value) -> Result<Self, Misfit> {
        match value {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(Misfit { member: None, why: "it is no object".to_owned() }),
        }
    }

    fn end(self) -> Result<(), Misfit> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((member, _)) => Err(Misfit { why: format!("there is no `{member}`"), member: Some(member) }),
        }
    }

    /// Any value; null where it is left out.
    pub(crate) fn value(&mut self, name: &str) -> Value {
        self.0.remove(name).unwrap_or_default()
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, name: &str) -> Result<String, Misfit> {
        match self.0.remove(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(wrong(name, "a text")),
            None => Err(lacks(name)),
        }
    }

    /// A text that may be null or left out.
    pub(crate) fn optional_text(&mut self, name: &str) -> Result<Option<String>, Misfit> {
        match self.value(name) {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            _ => Err(wrong(name, "a text")),
        }
    }

    /// A text for people that must be there. Of which kind it is is looked at when it is used.
    pub(crate) fn rich_text(&mut self, name: &str) -> Result<RichText, Misfit> {
        self.0.remove(name).map(RichText::of).ok_or_else(|| lacks(name))
    }

    /// A text for people that may be null or left out.
    pub(crate) fn optional_rich_text(&mut self, name: &str) -> Option<RichText> {
        Some(self.value(name)).filter(|value| !value.is_null()).map(RichText::of)
    }

    /// A list of texts; empty where it is left out.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Vec<String>, Misfit> {
        let text = |item| match item {
            Value::String(text) => Ok(text),
            _ => Err(wrong(name, "a list of texts")),
        };
        match self.0.remove(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.into_iter().map(text).collect(),
            Some(_) => Err(wrong(name, "a list of texts")),
        }
    }

    /// Yes or no, where it is given.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Misfit> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// A whole number that may be null or left out.
    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u64>, Misfit> {
        match self.value(name) {
            Value::Null => Ok(None),
            value => value.as_u64().map(Some).ok_or_else(|| wrong(name, "a whole number")),
        }
    }

    /// Members by name; none where it is left out.
    pub(crate) fn members(&mut self, name: &str) -> Result<Map<String, Value>, Misfit> {
        match self.0.remove(name) {
            None => Ok(Map::new()),
            Some(Value::Object(members)) => Ok(members),
            Some(_) => Err(wrong(name, "an object")),
        }
    }

    /// Texts by name; none where it is left out.
    pub(crate) fn texts_by_name(&mut self, name: &str) -> Result<Vec<(String, String)>, Misfit> {
        let text = |(member, value)| match value {
            Value::String(text) => Ok((member, text)),
            _ => Err(wrong(name, "an object of texts")),
        };
        self.members(name)?.into_iter().map(text).collect()
    }

    /// What one of some words means, where it is given.
    pub(crate) fn choice<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Misfit> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        match words.iter().find(|(word, _)| value == *word) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(wrong(name, &format!("one of {}", words.join(", "))))
            }
        }
    }

    /// A form in the form that may be null or left out.
    pub(crate) fn optional_form<T: Read>(&mut self, name: &str) -> Result<Option<T>, Misfit> {
        match self.value(name) {
            Value::Null => Ok(None),
            value => read(value).map(Some).map_err(|misfit| Misfit { member: Some(name.to_owned()), ..misfit }),
        }
    }
}

/// For what must be given and was not.
pub(crate) fn lacks(name: &str) -> Misfit {
    Misfit { member: Some(name.to_owned()), why: format!("`{name}` is missing") }
}

fn wrong(name: &str, due: &str) -> Misfit {
    Misfit { member: Some(name.to_owned()), why: format!("`{name}` has to be {due}") }
}

#[cfg(test)]
mod tests;
