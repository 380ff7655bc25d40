//! JQL: text → query → issues.

mod evaluate;
mod field;
mod lexer;
mod moment;
mod parser;

pub(crate) use evaluate::{check, matches, select};
pub(crate) use parser::parse;

/// What a query is parsed into, for comparing it with another; the error is Jira's.
pub fn tree(text: &str) -> Result<String, String> {
    parse(text).map(|query| format!("{query:?}")).map_err(|error| error.to_string())
}

/// A parsed query.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Query {
    pub(crate) filter: Option<Expression>,
    /// Fields in order; `true` is descending.
    pub(crate) order: Vec<(String, bool)>,
}

impl Query {
    /// Whether nothing restricts the search.
    pub(crate) fn is_unbounded(&self) -> bool {
        self.filter.is_none()
    }

    pub(crate) fn order_length(&self) -> usize {
        self.order.len()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Clause { field: String, operator: Operator, operands: Vec<Operand> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    ContainsNot,
    In,
    NotIn,
    Is,
    IsNot,
}

impl Operator {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Contains => "~",
            Self::ContainsNot => "!~",
            Self::In => "in",
            Self::NotIn => "not in",
            Self::Is => "is",
            Self::IsNot => "is not",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Text { text: String, quoted: bool },
    Function(String, Vec<String>),
    Empty,
}

/// Why a query cannot be run, in Jira's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JqlError {
    #[error("Error in the JQL Query: {what} (line {line}, character {character})")]
    Syntax { what: String, line: usize, character: usize },
    #[error("Field '{0}' does not exist or you do not have permission to view it.")]
    UnknownField(String),
    #[error("The value '{value}' does not exist for the field '{field}'.")]
    UnknownValue { field: String, value: String },
    #[error("The operator '{operator}' is not supported by the '{field}' field.")]
    Operator { field: String, operator: &'static str },
    #[error("Unable to find JQL function '{0}()'.")]
    UnknownFunction(String),
    #[error(
        "Date value '{value}' for field '{field}' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', 'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'."
    )]
    Date { field: String, value: String },
    #[error("An issue with key '{value}' does not exist for field '{field}'.")]
    UnknownIssue { field: String, value: String },
    #[error("Not able to sort using field '{0}'.")]
    Order(String),
    #[error("The query is nested too deeply.")]
    TooDeep,
}
