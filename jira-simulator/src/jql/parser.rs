//! Tokens → query. NOT binds tighter than AND, AND tighter than OR.

use super::lexer::{Placed, Token, tokens};
use super::{Expression, JqlError, Operand, Operator, Query};

const DEEPEST: usize = 60;

/// Parses JQL; the empty text is a query without restriction.
///
/// # Errors
/// Jira's sentence with line and character.
pub(crate) fn parse(text: &str) -> Result<Query, JqlError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let mut query = Query::default();
    if !parser.is_word("order") && parser.peek().token != Token::End {
        query.filter = Some(parser.any()?);
    }
    if parser.take_word("order") {
        if !parser.take_word("by") {
            return Err(parser.expected("'by'"));
        }
        loop {
            let field = parser.field()?;
            let descending = parser.take_word("desc");
            if !descending {
                parser.take_word("asc");
            }
            query.order.push((field, descending));
            if !parser.take_symbol(",") {
                break;
            }
        }
    }
    match parser.peek().token {
        Token::End => Ok(query),
        _ => Err(parser.expected("'OR' or 'AND'")),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Placed {
        // The last token is always `End`, and nothing advances past it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().token.clone();
        if token != Token::End {
            self.at += 1;
        }
        token
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.peek().token, Token::Word(text) if text.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.at += 1;
        }
        found
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek().token, Token::Symbol(text) if text == symbol);
        if found {
            self.at += 1;
        }
        found
    }

    fn expected(&self, what: &str) -> JqlError {
        let place = self.peek();
        let got = match &place.token {
            Token::Word(text) | Token::Quoted(text) => format!("'{text}'"),
            Token::Symbol(text) => format!("'{text}'"),
            Token::End => "the end of the query".to_owned(),
        };
        JqlError::Syntax {
            what: format!("Expecting {what} but got {got}."),
            line: place.line,
            character: place.character,
        }
    }

    fn any(&mut self) -> Result<Expression, JqlError> {
        let mut parts = vec![self.all()?];
        while self.take_word("or") || self.take_symbol("||") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Or(parts) })
    }

    fn all(&mut self) -> Result<Expression, JqlError> {
        let mut parts = vec![self.term()?];
        while self.take_word("and") || self.take_symbol("&&") || self.take_symbol("&") {
            parts.push(self.term()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::And(parts) })
    }

    fn term(&mut self) -> Result<Expression, JqlError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(JqlError::TooDeep);
        }
        let term = if self.take_word("not") || self.take_symbol("!") {
            Expression::Not(Box::new(self.term()?))
        } else if self.take_symbol("(") {
            let inner = self.any()?;
            if !self.take_symbol(")") {
                return Err(self.expected("')'"));
            }
            inner
        } else {
            self.clause()?
        };
        self.depth -= 1;
        Ok(term)
    }

    fn field(&mut self) -> Result<String, JqlError> {
        match self.peek().token.clone() {
            Token::Word(text) | Token::Quoted(text) => {
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.expected("a field name")),
        }
    }

    fn clause(&mut self) -> Result<Expression, JqlError> {
        let field = self.field()?;
        let operator = self.operator()?;
        let operands = match operator {
            Operator::In | Operator::NotIn => self.list()?,
            _ => vec![self.operand()?],
        };
        Ok(Expression::Clause { field, operator, operands })
    }

    fn operator(&mut self) -> Result<Operator, JqlError> {
        let operator = match &self.peek().token {
            Token::Symbol("=") => Operator::Equal,
            Token::Symbol("!=") => Operator::NotEqual,
            Token::Symbol("<") => Operator::Less,
            Token::Symbol("<=") => Operator::LessOrEqual,
            Token::Symbol(">") => Operator::Greater,
            Token::Symbol(">=") => Operator::GreaterOrEqual,
            Token::Symbol("~") => Operator::Contains,
            Token::Symbol("!~") => Operator::ContainsNot,
            Token::Word(word) if word.eq_ignore_ascii_case("in") => Operator::In,
            Token::Word(word) if word.eq_ignore_ascii_case("is") => {
                self.at += 1;
                return Ok(if self.take_word("not") { Operator::IsNot } else { Operator::Is });
            }
            Token::Word(word) if word.eq_ignore_ascii_case("not") => {
                self.at += 1;
                if !self.take_word("in") {
                    return Err(self.expected("'IN'"));
                }
                return Ok(Operator::NotIn);
            }
            _ => {
                return Err(self.expected(
                    "operator before. The valid operators are '=', '!=', '<', '>', '<=', '>=', '~', '!~', 'IN', 'NOT IN', 'IS' and 'IS NOT',",
                ));
            }
        };
        self.at += 1;
        Ok(operator)
    }

    fn list(&mut self) -> Result<Vec<Operand>, JqlError> {
        if !self.take_symbol("(") {
            return match self.operand()? {
                function @ Operand::Function(..) => Ok(vec![function]),
                _ => Err(self.expected("'('")),
            };
        }
        let mut operands = vec![self.operand()?];
        while self.take_symbol(",") {
            operands.push(self.operand()?);
        }
        if !self.take_symbol(")") {
            return Err(self.expected("')' or ','"));
        }
        Ok(operands)
    }

    fn operand(&mut self) -> Result<Operand, JqlError> {
        const RESERVED: [&str; 8] = ["and", "or", "not", "in", "is", "order", "by", "was"];
        match self.peek().token.clone() {
            Token::Quoted(text) => {
                self.at += 1;
                Ok(Operand::Text { text, quoted: true })
            }
            Token::Word(text) if RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word)) => {
                Err(self.expected("either a value, list or function"))
            }
            Token::Word(text) => {
                self.at += 1;
                if text.eq_ignore_ascii_case("empty") || text.eq_ignore_ascii_case("null") {
                    return Ok(Operand::Empty);
                }
                if !self.take_symbol("(") {
                    return Ok(Operand::Text { text, quoted: false });
                }
                let mut arguments = Vec::new();
                while !self.take_symbol(")") {
                    match self.advance() {
                        Token::Word(argument) | Token::Quoted(argument) => arguments.push(argument),
                        Token::Symbol(",") => {}
                        _ => return Err(self.expected("')'")),
                    }
                }
                Ok(Operand::Function(text, arguments))
            }
            _ => Err(self.expected("either a value, list or function")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn and_binds_tighter_than_or() {
        let query = parse("a = 1 OR b = 2 AND NOT c = 3 ORDER BY created DESC, key").unwrap();
        let Some(Expression::Or(parts)) = query.filter else { panic!("an OR") };
        assert!(matches!(&parts[1], Expression::And(parts) if matches!(parts[1], Expression::Not(_))));
        assert_eq!(query.order, [("created".to_owned(), true), ("key".to_owned(), false)]);
    }

    #[test]
    fn errors_name_the_place() {
        let error = parse("project =").unwrap_err().to_string();
        assert!(error.starts_with("Error in the JQL Query: Expecting either a value, list or function"), "{error}");
        assert!(parse("project = 'A").unwrap_err().to_string().contains("has not been completed"));
        assert!(parse("project = A B").unwrap_err().to_string().contains("(line 1, character 13)"));
    }

    #[test]
    fn an_empty_query_and_a_mere_order_are_unbounded() {
        assert!(parse("").unwrap().is_unbounded());
        assert!(parse("order by created").unwrap().is_unbounded());
        assert!(!parse("key is not empty").unwrap().is_unbounded());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_mix_of_words_makes_it_panic(words in prop::collection::vec(prop::sample::select(vec![
            "project", "=", "(", ")", "and", "or", "not", "in", "is", "empty", "order", "by", "'x", "\"", "~", ",", "!", "é", "a\\",
        ]), 0..40)) {
            let _ = parse(&words.join(" "));
            let _ = parse(&words.concat());
        }
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        assert_eq!(parse(&"(".repeat(100_000)), Err(JqlError::TooDeep));
        assert_eq!(parse(&"not ".repeat(100_000)), Err(JqlError::TooDeep));
    }
}
