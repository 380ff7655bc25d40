//! What expressions do about steps that were skipped: the output of such a step is null, and null has no members.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};

use super::{Expression, path_of, paths_in, steps_named, walk};

/// CEL's names of `a == b` and `a != b`.
const COMPARISONS: [&str; 2] = ["_==_", "_!=_"];

impl Expression {
    /// The steps of whose outputs it reads members.
    pub fn reads_of_steps(&self) -> BTreeSet<String> {
        let (mut asked, mut read) = (Vec::new(), Vec::new());
        paths_in(self.program.expression(), &mut asked, &mut read);
        let members = read.into_iter().chain(asked).filter(|path| path.len() > 3);
        members.filter_map(step_of).collect()
    }

    /// The steps whose outputs it compares with null: it knows that they may have been skipped.
    pub fn asks_of_steps(&self) -> BTreeSet<String> {
        let mut asked = BTreeSet::new();
        walk(self.program.expression(), &mut |one| {
            if let Expr::Call(call) = &one.expr
                && COMPARISONS.contains(&call.func_name.as_str())
                && call.args.iter().any(is_null)
            {
                let outputs = call.args.iter().filter_map(path_of).filter(|path| path.len() == 3);
                asked.extend(outputs.filter_map(step_of));
            }
        });
        asked
    }

    /// Of some steps that were skipped, those that it names, for the reader of an error.
    pub(super) fn told_of(&self, skipped: &BTreeSet<String>) -> String {
        let named = steps_named(self.program.expression());
        named
            .intersection(skipped)
            .map(|step| format!("; the step `{step}` was skipped, so its output is null"))
            .collect()
    }
}

fn step_of(path: Vec<String>) -> Option<String> {
    match path.as_slice() {
        [steps, id, output, ..] if steps == "steps" && output == "output" => Some(id.clone()),
        _ => None,
    }
}

fn is_null(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Literal(LiteralValue::Null))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::expression::Scope;

    fn names(steps: &BTreeSet<String>) -> Vec<&str> {
        steps.iter().map(String::as_str).collect()
    }

    #[test]
    fn what_reads_a_member_of_an_output_is_told_from_what_asks_for_null() {
        let one = Expression::parse("steps.a.output != null && null == steps.b.output ? steps.c.output.x : 1").unwrap();
        assert_eq!((names(&one.reads_of_steps()), names(&one.asks_of_steps())), (vec!["c"], vec!["a", "b"]));
        let whole = Expression::parse("steps.a.output").unwrap();
        assert!(whole.reads_of_steps().is_empty() && whole.asks_of_steps().is_empty());
        let has = Expression::parse("has(steps.a.output.x.y)").unwrap();
        assert_eq!(names(&has.reads_of_steps()), ["a"]);
    }

    #[test]
    fn an_error_names_the_step_that_was_skipped() {
        let mut scope = Scope::default();
        scope.set("steps", &json!({ "mark": { "output": null }, "other": { "output": {} } }));
        scope.skipped("mark");
        let reads = |text: &str| Expression::parse(text).unwrap().evaluate(&scope);
        let message = reads("steps.mark.output.key").unwrap_err().to_string();
        assert!(message.contains("the step `mark` was skipped"), "{message}");
        let message = reads("steps.other.output.key").unwrap_err().to_string();
        assert!(!message.contains("skipped"), "{message}");
        assert_eq!(reads("steps.mark.output != null").unwrap(), Value::Bool(false));
        assert_eq!(reads("steps.other.output != null").unwrap(), Value::Bool(true));
    }
}
