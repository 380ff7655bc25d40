//! JSON texts, a level at a time: what is only handed on is passed over and never taken apart.
//!
//! serde_json's own way to pass over a value, `RawValue`, brings along all that serde can say of values that do not
//! fit, which is a twentieth of the component. Texts from outside go through [`check`] or [`parse`] first; a level of
//! a sound text is then found by its brackets and quotes.

pub(crate) use json_text::Outline;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// A value in a text, with where the values in it are as far as that is known.
#[derive(Clone, Copy)]
pub(crate) struct Part<'t> {
    text: &'t str,
    inside: Option<Place<'t>>,
}

/// A value in a text that was passed over.
#[derive(Clone, Copy)]
struct Place<'t> {
    whole: &'t str,
    outline: &'t Outline,
    value: usize,
}

impl<'t> Part<'t> {
    /// A whole text, with what [`outline`] answered.
    pub(crate) fn of(whole: &'t str, outline: &'t Outline) -> Self {
        Self { text: whole, inside: Some(Place { whole, outline, value: 0 }) }
    }

    /// A text of which no more is known.
    pub(crate) fn bare(text: &'t str) -> Self {
        Self { text, inside: None }
    }

    /// The value's text.
    pub(crate) fn text(self) -> &'t str {
        self.text
    }

    /// The members, where it is an object.
    pub(crate) fn members(self) -> Option<Members<'t>> {
        match self.known(b'{') {
            None => Members::of(self.text),
            Some(mut parts) => {
                let mut members = Vec::with_capacity(16);
                while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                    members.push((string(name.text)?, value));
                }
                Some(Members(members))
            }
        }
    }

    /// The items, where it is a list.
    pub(crate) fn items(self) -> Option<Vec<Part<'t>>> {
        match self.known(b'[') {
            None => Some(items(self.text)?.into_iter().map(Part::bare).collect()),
            Some(parts) => Some(parts.collect()),
        }
    }

    /// What is known to be in it, where it begins with this bracket.
    fn known(self, bracket: u8) -> Option<impl Iterator<Item = Part<'t>>> {
        let Place { whole, outline, value } =
            self.inside.filter(|_| self.text.trim_start().starts_with(bracket as char))?;
        let part =
            move |(place, value)| Some(Part { text: whole.get(place)?, inside: Some(Place { whole, outline, value }) });
        Some(outline.inside(value)?.map_while(part))
    }
}

/// The members of an object, in the text's order; their values are texts still.
#[derive(Default)]
pub(crate) struct Members<'t>(Vec<(Cow<'t, str>, Part<'t>)>);

impl<'t> Members<'t> {
    /// Reads an object; none where the text is a value of another kind. Of a text that is not sound it gives something
    /// or nothing, and never panics.
    pub(crate) fn of(text: &'t str) -> Option<Self> {
        let mut scan = Scan::into(text, b'{')?;
        let mut members = Vec::with_capacity(16);
        while !scan.ends(b'}') {
            let name = string(scan.value()?)?;
            if !scan.takes(b':') {
                return None;
            }
            members.push((name, Part::bare(scan.value()?)));
            if !scan.takes(b',') && !scan.ends(b'}') {
                return None;
            }
        }
        Some(Self(members))
    }

    /// A member. Of two with one name the last one counts, as everywhere in JSON.
    pub(crate) fn part(&self, name: &str) -> Option<Part<'t>> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The text of a member.
    pub(crate) fn get(&self, name: &str) -> Option<&'t str> {
        self.part(name).map(Part::text)
    }

    /// A member that is a string.
    pub(crate) fn string(&self, name: &str) -> Option<Cow<'t, str>> {
        string(self.get(name)?)
    }

    /// A member that has to be a string which is not empty: an id, a key, a name.
    pub(crate) fn named(&self, name: &str) -> Option<Cow<'t, str>> {
        self.string(name).filter(|text| !text.is_empty())
    }

    /// A member that is an object.
    pub(crate) fn object(&self, name: &str) -> Option<Members<'t>> {
        self.part(name)?.members()
    }

    /// A member that is a list.
    pub(crate) fn items(&self, name: &str) -> Option<Vec<Part<'t>>> {
        self.part(name)?.items()
    }

    /// All but the named ones.
    pub(crate) fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|(known, _)| !names.contains(&known.as_ref()));
        self
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Write for Members<'_> {
    fn write_members(&self, object: &mut Object) {
        for (name, value) in &self.0 {
            object.raw(name, value.text);
        }
    }
}

/// The texts of a list's items; none where the text is a value of another kind.
pub(crate) fn items(text: &str) -> Option<Vec<&str>> {
    let mut scan = Scan::into(text, b'[')?;
    let mut items = Vec::new();
    while !scan.ends(b']') {
        items.push(scan.value()?);
        if !scan.takes(b',') && !scan.ends(b']') {
            return None;
        }
    }
    Some(items)
}

/// The string that a text holds.
pub(crate) fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    if let Some(text) = json_text::unescaped(inner) {
        return Some(Cow::Owned(text));
    }
    match parse(text) {
        Ok(Value::String(text)) => Some(Cow::Owned(text)),
        _ => None,
    }
}

/// A place in a text.
struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scan<'t> {
    /// Behind the bracket that opens the text, where it is this one.
    fn into(text: &'t str, bracket: u8) -> Option<Self> {
        let mut scan = Self { text, at: 0 };
        scan.takes(bracket).then_some(scan)
    }

    /// The byte that comes next, after blanks.
    fn next(&mut self) -> Option<u8> {
        self.at = json_text::skip_blanks(self.text, self.at);
        self.text.as_bytes().get(self.at).copied()
    }

    fn ends(&mut self, bracket: u8) -> bool {
        self.next() == Some(bracket)
    }

    fn takes(&mut self, byte: u8) -> bool {
        let there = self.next() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// The value that comes next.
    fn value(&mut self) -> Option<&'t str> {
        self.next()?;
        let begin = self.at;
        self.at = json_text::end_of_value(self.text, begin);
        self.text.get(begin..self.at).filter(|value| !value.is_empty())
    }
}

/// An object that is being written, with those in it: into one text, so that nothing is copied once for each level.
pub(crate) struct Object(String);

impl Object {
    /// A member's name, behind what was written before. What opens an object or a list is never the end of a value.
    fn begin(&mut self, name: &str) {
        self.separate();
        json_text::push_string(&mut self.0, name);
        self.0.push(':');
    }

    fn separate(&mut self) {
        if !self.0.ends_with(['{', '[']) {
            self.0.push(',');
        }
    }

    fn nested(&mut self, value: &dyn Write) {
        self.0.push('{');
        value.write_members(self);
        self.0.push('}');
    }

    /// A member that is JSON already.
    pub(crate) fn raw(&mut self, name: &str, json: &str) {
        self.begin(name);
        self.0.push_str(json);
    }

    /// A member that is a string.
    pub(crate) fn string(&mut self, name: &str, value: &str) {
        self.begin(name);
        json_text::push_string(&mut self.0, value);
    }

    /// A member that is a string, or null where there is none.
    pub(crate) fn optional(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.string(name, value),
            None => self.raw(name, "null"),
        }
    }

    /// A member that is an object.
    pub(crate) fn object(&mut self, name: &str, value: &dyn Write) {
        self.begin(name);
        self.nested(value);
    }

    /// A member that is a list of objects.
    pub(crate) fn objects<'v>(&mut self, name: &str, values: impl Iterator<Item = &'v dyn Write>) {
        self.begin(name);
        self.0.push('[');
        for value in values {
            self.separate();
            self.nested(value);
        }
        self.0.push(']');
    }
}

/// A list of what is JSON already.
pub(crate) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let mut list = "[".to_owned();
    for item in items {
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(item.as_ref());
    }
    list.push(']');
    list
}

/// What is written as a JSON object.
pub(crate) trait Write {
    /// Writes its members.
    fn write_members(&self, object: &mut Object);

    /// About how long the text will be; it need not be right.
    fn room(&self) -> usize {
        256
    }

    /// Its text.
    fn write(&self) -> String {
        let mut object = Object(String::with_capacity(self.room()));
        object.0.push('{');
        self.write_members(&mut object);
        object.0.push('}');
        object.0
    }
}

/// As [`check`], and notes on the way where the values are.
pub(crate) fn outline(text: &str) -> Result<Outline, serde_json::Error> {
    match Outline::of(text) {
        Some(outline) => Ok(outline),
        None => serde_json::from_str(text).map(|Sound| Outline::default()),
    }
}

/// Whether a text is JSON that others will read: passing over a value finds neither a number out of range nor half a
/// surrogate pair nor too deep a nesting, and whoever gets the text would stumble over it.
pub(crate) fn check(text: &str) -> Result<(), serde_json::Error> {
    outline(text).map(drop)
}

/// Any value, looked at and forgotten.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Listen)
    }
}

struct Listen;

impl<'de> Visitor<'de> for Listen {
    type Value = Sound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_str<E>(self, _: &str) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_unit<E>(self) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Sound, A::Error> {
        while items.next_element::<Sound>()?.is_some() {}
        Ok(Sound)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Sound, A::Error> {
        while members.next_entry::<Sound, Sound>()?.is_some() {}
        Ok(Sound)
    }
}

/// Takes a text apart; null where it is not JSON, as an empty one.
pub(crate) fn value(text: &str) -> Value {
    parse(text).unwrap_or_default()
}

/// Takes a text apart, or says why it is not JSON. As serde_json's own reader of values, without what that brings
/// along for kinds of values that never come.
pub(crate) fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text).map(|Tree(value)| value)
}

struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Grow).map(Tree)
    }
}

struct Grow;

impl<'de> Visitor<'de> for Grow {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
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
        Ok(Value::String(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Tree(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(Tree(name)) = map.next_key()? {
            // A name is a text and nothing else.
            let Value::String(name) = name else { continue };
            let Tree(member) = map.next_value()?;
            members.insert(name, member);
        }
        Ok(Value::Object(members))
    }
}

/// Writes a value that cannot fail to be written: names are strings, numbers finite.
pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
