//! CEL expressions over JSON, and strings that hold them: `${{ … }}`.

mod skipped;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue};
use cel::objects::{Key, Map};
use cel::{Context, Env, IdedExpr, Program, Value as Cel, extensions};
use serde_json::Value;

/// CEL's name of `a[b]`.
const INDEX: &str = "_[_]";
/// The longest expression. It also bounds how deep the parser and the evaluation recurse.
const MOST_BYTES: usize = 1000;
/// How deep brackets may stand in one another.
const MOST_BRACKETS: usize = 32;
/// How deep a parsed expression may be: a chain such as `1+1+…` of the longest length passes.
const MOST_DEPTH: usize = 512;
/// How deep `all`, `exists`, `exists_one`, `map` and `filter` may stand in one another.
const MOST_NESTED: usize = 2;
/// How many of them may work on one another's result or stand in one another.
const MOST_CHAINED: usize = 4;
/// How many times longer `replace`, `join` and `format` may together make a text.
const MOST_GROWTH: usize = 4096;
/// The largest value, written as JSON.
const MOST_OUTPUT: usize = 1 << 20;

/// Why an expression could not be read or evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It is not CEL.
    #[error("`{source_text}` is no expression: {reason}")]
    Syntax {
        /// The expression.
        source_text: String,
        /// What the parser says.
        reason: String,
    },
    /// A `${{` without its `}}`.
    #[error("`{0}` opens an expression with `${{{{` and does not close it with `}}}}`")]
    Unclosed(String),
    /// It is beyond a bound that keeps it from taking all the memory or time.
    #[error("`{source_text}` is too large: {reason}")]
    TooLarge {
        /// The beginning of the expression.
        source_text: String,
        /// What the bound is.
        reason: String,
    },
    /// It names something that does not exist there.
    #[error("`{source_text}` names `{name}`, which does not exist here; there are: {known}")]
    Unknown {
        /// The expression.
        source_text: String,
        /// The name.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// It has no value for this event.
    #[error("`{source_text}` has no value: {reason}")]
    Evaluation {
        /// The expression.
        source_text: String,
        /// What went wrong.
        reason: String,
    },
    /// A condition came to something else than true or false.
    #[error("`{0}` must be true or false")]
    NotBoolean(String),
}

/// A parsed expression.
#[derive(Debug)]
pub struct Expression {
    text: String,
    program: Program,
}

/// What an expression may name.
#[derive(Debug, Default)]
pub struct Scope {
    values: HashMap<&'static str, Cel>,
    skipped: BTreeSet<String>,
}

impl Scope {
    /// Adds a variable.
    pub fn set(&mut self, name: &'static str, value: &Value) {
        self.values.insert(name, to_cel(value));
    }

    /// This step was skipped: what names its output in vain is told so.
    pub fn skipped(&mut self, step: &str) {
        self.skipped.insert(step.to_owned());
    }
}

/// Made once: every expression is read and evaluated in the same one.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // An extension only fails to load when another one declares the same functions; these do not.
    for extension in [extensions::strings, extensions::lists, extensions::math] {
        if let Err(error) = env.add_extension(extension) {
            tracing::warn!(%error, "a CEL extension is missing");
        }
    }
    Arc::new(env)
});

impl Expression {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let text = text.trim();
        let too_large = |reason| ExpressionError::TooLarge { source_text: shortened(text), reason };
        // Before parsing: the parser recurses too.
        check_text(text).map_err(too_large)?;
        let program = ENVIRONMENT.compile(text).map_err(|errors| {
            let reason = errors.errors.first().map(|error| format!("{} (column {})", error.msg, error.pos.1));
            ExpressionError::Syntax { source_text: text.into(), reason: reason.unwrap_or_default() }
        })?;
        check_size(program.expression()).map_err(too_large)?;
        Ok(Self { text: text.into(), program })
    }

    /// Checks that it names only what exists: variables, and of `steps` only the given ones.
    pub fn check_names(&self, variables: &[&str], steps: &[&str]) -> Result<(), ExpressionError> {
        let unknown = |name: String, known: &[&str]| ExpressionError::Unknown {
            source_text: self.text.clone(),
            name,
            known: if known.is_empty() { "none".into() } else { known.join(", ") },
        };
        for name in self.program.references().variables() {
            // Names that macros make for themselves start with `@` or are bound inside.
            if !variables.contains(&name)
                && !bound_names(self.program.expression()).contains(name)
                && !name.starts_with('@')
            {
                return Err(unknown(name.to_owned(), variables));
            }
        }
        for step in steps_named(self.program.expression()) {
            if !steps.contains(&step.as_str()) {
                return Err(unknown(format!("steps.{step}"), steps));
            }
        }
        Ok(())
    }

    /// Its value.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        let failed = |reason: String| ExpressionError::Evaluation { source_text: self.text.clone(), reason };
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        for (name, value) in &scope.values {
            context.add_variable_from_value(*name, value.clone());
        }
        let value = self
            .program
            .execute(&context)
            .map_err(|error| failed(format!("{error}{}", self.told_of(&scope.skipped))))?;
        let value = value.json().map_err(|_| failed("it cannot be written as JSON".into()))?;
        if fits(&value) { Ok(value) } else { Err(too_much(&self.text)) }
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every member that it reads: the names on the way to it, from a variable on. Those that it first asks for with
    /// `has` are left out.
    pub fn paths(&self) -> Vec<Vec<String>> {
        let (mut asked, mut read) = (Vec::new(), Vec::new());
        paths_in(self.program.expression(), &mut asked, &mut read);
        read.retain(|path| !asked.iter().any(|asked| path.starts_with(asked)));
        read
    }

    /// The member that it is and nothing else.
    pub fn as_path(&self) -> Option<Vec<String>> {
        path_of(self.program.expression())
    }

    /// Its value as a condition.
    pub fn holds(&self, scope: &Scope) -> Result<bool, ExpressionError> {
        self.evaluate(scope)?.as_bool().ok_or_else(|| ExpressionError::NotBoolean(self.text.clone()))
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

fn too_much(text: &str) -> ExpressionError {
    let reason = format!("it is longer than {MOST_OUTPUT} bytes");
    ExpressionError::Evaluation { source_text: shortened(text), reason }
}

/// Whether a value is no larger than `MOST_OUTPUT`, without writing it.
fn fits(value: &Value) -> bool {
    struct Room(usize);
    impl io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("no room"))?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Room(MOST_OUTPUT), value).is_ok()
}

/// The bounds that hold before parsing. Where raw or triple quotes mislead the count of brackets, the parser's own
/// bound of 96 holds.
fn check_text(text: &str) -> Result<(), String> {
    if text.len() > MOST_BYTES {
        return Err(format!("an expression has at most {MOST_BYTES} bytes, and this one has {}", text.len()));
    }
    let (mut depth, mut quote) = (0_usize, None);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (Some(_), b'\\') => {
                bytes.next();
            }
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'(' | b'[' | b'{') => depth += 1,
            (None, b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MOST_BRACKETS {
            return Err(format!("brackets may stand at most {MOST_BRACKETS} deep in one another"));
        }
    }
    Ok(())
}

/// The bounds of a parsed expression. It does not recurse.
fn check_size(expression: &IdedExpr) -> Result<(), String> {
    let mut growth = 1_usize;
    // Each with its depth, the loops whose bodies it stands in, and the loops on the way to it.
    let mut open = vec![(expression, 1, 0, 0)];
    while let Some((one, depth, nested, chained)) = open.pop() {
        if depth > MOST_DEPTH {
            return Err(format!("an expression may be at most {MOST_DEPTH} operations deep"));
        }
        if nested > MOST_NESTED {
            return Err(format!(
                "`all`, `exists`, `exists_one`, `map` and `filter` may stand at most {MOST_NESTED} deep in one another"
            ));
        }
        if chained > MOST_CHAINED {
            return Err(format!(
                "at most {MOST_CHAINED} of `all`, `exists`, `exists_one`, `map` and `filter` may follow one another"
            ));
        }
        if let Expr::Comprehension(all) = &one.expr {
            // `sortBy` binds a name with a loop over nothing.
            let counts = usize::from(!matches!(&all.iter_range.expr, Expr::List(list) if list.elements.is_empty()));
            for once in [&all.iter_range, &all.accu_init, &all.result] {
                open.push((once, depth + 1, nested, chained + counts));
            }
            for body in [&all.loop_cond, &all.loop_step] {
                open.push((body, depth + 1, nested + counts, chained + counts));
            }
        } else {
            open.extend(children(one).into_iter().map(|child| (child, depth + 1, nested, chained)));
        }
        if let Expr::Call(call) = &one.expr {
            if call.func_name.rsplit('.').next() == Some("range") {
                return Err("`lists.range` is not offered".into());
            }
            growth = growth.saturating_mul(growth_of(call));
            if growth > MOST_GROWTH {
                return Err(format!(
                    "`replace`, `join` and `format` may together make a text at most {MOST_GROWTH} times longer"
                ));
            }
        }
    }
    Ok(())
}

/// How many times longer a call can make a text; a guess where that depends on the event.
fn growth_of(call: &CallExpr) -> usize {
    let length = |at: usize| match call.args.get(at).map(|argument| &argument.expr) {
        Some(Expr::Literal(LiteralValue::String(text))) => Some(text.inner().len()),
        _ => None,
    };
    match (call.func_name.as_str(), length(0), length(1)) {
        ("replace", Some(0), Some(new)) => new + 1,
        ("replace", Some(old), Some(new)) => new.div_ceil(old).max(1),
        ("join", Some(between), _) => between + 1,
        ("join", None, _) if call.args.is_empty() => 1,
        ("replace" | "join" | "format", ..) => 16,
        _ => 1,
    }
}

fn children(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(all) => {
            vec![&all.iter_range, &all.accu_init, &all.loop_cond, &all.loop_step, &all.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Map(map) => map.entries.iter().flat_map(|entry| of_entry(&entry.expr)).collect(),
        Expr::Struct(all) => all.entries.iter().flat_map(|entry| of_entry(&entry.expr)).collect(),
        _ => vec![],
    }
}

fn of_entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

fn walk<'a>(expression: &'a IdedExpr, visit: &mut dyn FnMut(&'a IdedExpr)) {
    visit(expression);
    children(expression).into_iter().for_each(|child| walk(child, visit));
}

fn steps_named(expression: &IdedExpr) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    walk(expression, &mut |one| {
        if let Expr::Select(select) = &one.expr
            && matches!(&select.operand.expr, Expr::Ident(name) if name == "steps")
        {
            names.insert(select.field.clone());
        }
    });
    names
}

/// The names on the way to a member: `event.beacon["name"]`.
fn path_of(expression: &IdedExpr) -> Option<Vec<String>> {
    let (operand, name) = match &expression.expr {
        Expr::Ident(name) => return Some(vec![name.clone()]),
        Expr::Select(select) if !select.test => (&*select.operand, select.field.clone()),
        Expr::Call(call) if call.func_name == INDEX => match (call.args.first(), call.args.get(1)) {
            (Some(operand), Some(IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. })) => {
                (operand, name.inner().to_owned())
            }
            _ => return None,
        },
        _ => return None,
    };
    let mut path = path_of(operand)?;
    path.push(name);
    Some(path)
}

fn paths_in(expression: &IdedExpr, asked: &mut Vec<Vec<String>>, read: &mut Vec<Vec<String>>) {
    if let Some(path) = path_of(expression) {
        read.push(path);
        return;
    }
    if let Expr::Select(select) = &expression.expr
        && select.test
        && let Some(mut path) = path_of(&select.operand)
    {
        path.push(select.field.clone());
        asked.push(path);
        return;
    }
    children(expression).into_iter().for_each(|child| paths_in(child, asked, read));
}

fn bound_names(expression: &IdedExpr) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    walk(expression, &mut |one| {
        if let Expr::Comprehension(all) = &one.expr {
            names.insert(all.iter_var.clone());
            names.extend(all.iter_var2.clone());
            names.insert(all.accu_var.clone());
        }
    });
    names
}

/// JSON whole numbers become CEL's `int`, so that `event.n + 1` means what it says.
fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Cel::Int(whole),
            (None, Some(large)) => Cel::UInt(large),
            _ => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(members) => {
            let map = members.iter().map(|(key, value)| (Key::String(Arc::new(key.clone())), to_cel(value))).collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

/// JSON whose strings may hold expressions.
#[derive(Debug)]
pub enum Template {
    /// No expression in it.
    Plain(Value),
    /// One expression and nothing else: it keeps its type.
    Whole(Expression),
    /// Expressions inside a text.
    Text(Vec<Piece>),
    /// A list of templates.
    List(Vec<Template>),
    /// An object of templates.
    Object(Vec<(String, Template)>),
}

/// A part of a text.
#[derive(Debug)]
pub enum Piece {
    /// These characters.
    Literal(String),
    /// The text of this expression's value.
    Value(Expression),
}

impl Template {
    /// Reads a template.
    pub fn parse(value: &Value) -> Result<Self, ExpressionError> {
        let mut first = None;
        let template = Self::parse_all(value, "", &mut |_, error| {
            first.get_or_insert(error);
        });
        first.map_or(Ok(template), Err)
    }

    /// Reads a template and tells of everything in it that cannot be read, with its JSON Pointer.
    pub fn parse_all(value: &Value, pointer: &str, wrong: &mut dyn FnMut(&str, ExpressionError)) -> Self {
        match value {
            Value::String(text) => Self::parse_text(text).unwrap_or_else(|error| {
                wrong(pointer, error);
                Self::Plain(Value::Null)
            }),
            Value::Array(items) => Self::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| Self::parse_all(item, &format!("{pointer}/{at}"), wrong))
                    .collect(),
            ),
            Value::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(key, value)| (key.clone(), Self::parse_all(value, &below(pointer, key), wrong)))
                    .collect(),
            ),
            other => Self::Plain(other.clone()),
        }
    }

    fn parse_text(text: &str) -> Result<Self, ExpressionError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${{") {
            if rest[..at].ends_with('$') {
                // `$${{` stands for the characters `${{`.
                literal.push_str(&rest[..at - 1]);
                literal.push_str("${{");
                rest = &rest[at + 3..];
                continue;
            }
            literal.push_str(&rest[..at]);
            let inside = &rest[at + 3..];
            let end = end_of_expression(inside).ok_or_else(|| ExpressionError::Unclosed(text.into()))?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Value(Expression::parse(&inside[..end])?));
            rest = &inside[end + 2..];
        }
        literal.push_str(rest);
        if pieces.is_empty() {
            return Ok(Self::Plain(Value::String(literal)));
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        if pieces.len() == 1
            && let Some(Piece::Value(expression)) = pieces.pop()
        {
            return Ok(Self::Whole(expression));
        }
        Ok(Self::Text(pieces))
    }

    /// Shows every expression in it, with the JSON Pointer of the text that it stands in.
    pub fn visit<'a>(&'a self, pointer: &str, visit: &mut dyn FnMut(&str, &'a Expression)) {
        match self {
            Self::Plain(_) => {}
            Self::Whole(expression) => visit(pointer, expression),
            Self::Text(pieces) => pieces.iter().for_each(|piece| match piece {
                Piece::Literal(_) => {}
                Piece::Value(expression) => visit(pointer, expression),
            }),
            Self::List(items) => {
                items.iter().enumerate().for_each(|(at, item)| item.visit(&format!("{pointer}/{at}"), visit));
            }
            Self::Object(members) => members.iter().for_each(|(key, value)| value.visit(&below(pointer, key), visit)),
        }
    }

    /// Fills it in.
    pub fn fill(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        let value = self.fill_part(scope)?;
        if fits(&value) { Ok(value) } else { Err(too_much("the whole of it")) }
    }

    fn fill_part(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        Ok(match self {
            Self::Plain(value) => value.clone(),
            Self::Whole(expression) => expression.evaluate(scope)?,
            Self::Text(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Literal(literal) => text.push_str(literal),
                        Piece::Value(expression) => match expression.evaluate(scope)? {
                            Value::String(value) => text.push_str(&value),
                            Value::Null => {}
                            other => text.push_str(&other.to_string()),
                        },
                    }
                    if text.len() > MOST_OUTPUT {
                        return Err(too_much("the whole of it"));
                    }
                }
                Value::String(text)
            }
            Self::List(items) => {
                Value::Array(items.iter().map(|item| item.fill_part(scope)).collect::<Result<_, _>>()?)
            }
            Self::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), value.fill_part(scope)?)))
                    .collect::<Result<_, ExpressionError>>()?,
            ),
        })
    }
}

/// The JSON Pointer of a member.
fn below(pointer: &str, member: &str) -> String {
    format!("{pointer}/{}", member.replace('~', "~0").replace('/', "~1"))
}

/// Where the `}}` stands that closes an expression: not one inside quotes or braces.
fn end_of_expression(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut quote, mut at) = (0_usize, None, 0);
    while at < bytes.len() {
        let byte = bytes[at];
        match quote {
            Some(_) if byte == b'\\' => at += 1,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None => match byte {
                b'"' | b'\'' => quote = Some(byte),
                b'{' => depth += 1,
                b'}' if depth > 0 => depth -= 1,
                b'}' if bytes.get(at + 1) == Some(&b'}') => return Some(at),
                _ => {}
            },
        }
        at += 1;
    }
    None
}
