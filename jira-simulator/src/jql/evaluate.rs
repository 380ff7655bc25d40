//! Which issues a query finds.

use std::cmp::Ordering;
use std::sync::Arc;

use super::field::{Subject, subject};
use super::{Expression, JqlError, Operand, Operator, Query, moment};
use crate::state::Jira;
use crate::state::field::Kind;
use crate::state::issue::Issue;

/// Whether fields, values, operators and functions exist for this caller.
///
/// # Errors
/// Jira's sentence for the first that does not.
pub(crate) fn check(jira: &Jira, query: &Query, account: Option<usize>) -> Result<(), JqlError> {
    if let Some(filter) = &query.filter {
        check_expression(jira, filter, account)?;
    }
    for (field, _) in &query.order {
        let known = subject(jira, field).ok_or_else(|| JqlError::UnknownField(field.clone()))?;
        if matches!(known, Subject::Text | Subject::Comment) {
            return Err(JqlError::Order(field.clone()));
        }
    }
    Ok(())
}

fn check_expression(jira: &Jira, expression: &Expression, account: Option<usize>) -> Result<(), JqlError> {
    match expression {
        Expression::And(parts) | Expression::Or(parts) => {
            parts.iter().try_for_each(|part| check_expression(jira, part, account))
        }
        Expression::Not(inner) => check_expression(jira, inner, account),
        Expression::Clause { field, operator, operands } => {
            let known = subject(jira, field).ok_or_else(|| JqlError::UnknownField(field.clone()))?;
            let refused = || JqlError::Operator { field: field.clone(), operator: operator.text() };
            let supported = match operator {
                Operator::Contains | Operator::ContainsNot => known.is_text(jira),
                Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
                    known.is_ordered(jira)
                }
                Operator::Equal | Operator::NotEqual | Operator::In | Operator::NotIn => !known.is_text(jira),
                Operator::Is | Operator::IsNot => true,
            };
            if !supported {
                return Err(refused());
            }
            operands.iter().try_for_each(|operand| check_operand(jira, field, &known, *operator, operand, account))
        }
    }
}

fn check_operand(
    jira: &Jira,
    field: &str,
    known: &Subject,
    operator: Operator,
    operand: &Operand,
    account: Option<usize>,
) -> Result<(), JqlError> {
    match operand {
        Operand::Empty => Ok(()),
        _ if matches!(operator, Operator::Is | Operator::IsNot) => {
            Err(JqlError::Operator { field: field.to_owned(), operator: operator.text() })
        }
        Operand::Function(name, _) => match name.to_lowercase().as_str() {
            "currentuser" if known.is_user(jira) => Ok(()),
            "now" | "startofday" if known.is_moment() => Ok(()),
            "standardissuetypes" | "subtaskissuetypes" if *known == Subject::IssueType => Ok(()),
            _ => Err(JqlError::UnknownFunction(name.clone())),
        },
        Operand::Text { text, quoted } => {
            if known.is_moment() {
                return moment::parse(text, *quoted, jira.now())
                    .map(drop)
                    .ok_or_else(|| JqlError::Date { field: field.to_owned(), value: text.clone() });
            }
            let visible = match known {
                Subject::Project => {
                    let named = jira.projects.iter().position(|project| {
                        [project.id, project.key, project.name].iter().any(|name| name.eq_ignore_ascii_case(text))
                    });
                    // Nobody's search is answered with an empty list, not with a refusal.
                    named.is_some_and(|project| account.is_none() || jira.may_browse(project, account))
                }
                Subject::Key => {
                    if jira.issue(text).is_none_or(|issue| !jira.may_browse(issue.project, account))
                        && operator == Operator::Equal
                    {
                        return Err(JqlError::UnknownIssue { field: field.to_owned(), value: text.clone() });
                    }
                    true
                }
                _ => known.knows(jira, text),
            };
            if visible {
                return Ok(());
            }
            Err(JqlError::UnknownValue { field: field.to_owned(), value: text.clone() })
        }
    }
}

/// The issues a query finds, in its order; without one, newest first.
pub(crate) fn select(
    jira: &Jira,
    query: &Query,
    account: Option<usize>,
    issues: impl Iterator<Item = Arc<Issue>>,
) -> Vec<Arc<Issue>> {
    let mut found: Vec<Arc<Issue>> = issues.filter(|issue| matches(jira, query, account, issue)).collect();
    found.sort_by(|a, b| {
        for (field, descending) in &query.order {
            let order = subject(jira, field).map_or(Ordering::Equal, |known| compare(jira, &known, a, b));
            let order = if *descending { order.reverse() } else { order };
            if order != Ordering::Equal {
                return order;
            }
        }
        b.id.cmp(&a.id)
    });
    found
}

fn compare(jira: &Jira, known: &Subject, a: &Issue, b: &Issue) -> Ordering {
    match known {
        Subject::Key => (a.project, a.number).cmp(&(b.project, b.number)),
        Subject::Created => a.created.cmp(&b.created),
        Subject::Updated => a.updated.cmp(&b.updated),
        Subject::Field(place) if jira.fields[*place].kind == Kind::Number => {
            let number = |issue: &Issue| issue.values.get(jira.fields[*place].id).and_then(serde_json::Value::as_f64);
            number(a).partial_cmp(&number(b)).unwrap_or(Ordering::Equal)
        }
        // The first priority is the highest, so it sorts as the greatest.
        Subject::Field(place) if jira.fields[*place].kind == Kind::Priority => {
            b.text("priority").cmp(&a.text("priority"))
        }
        known => known.values(jira, a).last().cmp(&known.values(jira, b).last()),
    }
}

/// Whether one issue is found by a query. Unknown fields match nothing.
pub(crate) fn matches(jira: &Jira, query: &Query, account: Option<usize>, issue: &Issue) -> bool {
    query.filter.as_ref().is_none_or(|filter| holds(jira, filter, account, issue))
}

fn holds(jira: &Jira, expression: &Expression, account: Option<usize>, issue: &Issue) -> bool {
    match expression {
        Expression::And(parts) => parts.iter().all(|part| holds(jira, part, account, issue)),
        Expression::Or(parts) => parts.iter().any(|part| holds(jira, part, account, issue)),
        Expression::Not(inner) => !holds(jira, inner, account, issue),
        Expression::Clause { field, operator, operands } => {
            let Some(known) = subject(jira, field) else { return false };
            clause(jira, &known, *operator, operands, account, issue)
        }
    }
}

fn clause(
    jira: &Jira,
    known: &Subject,
    operator: Operator,
    operands: &[Operand],
    account: Option<usize>,
    issue: &Issue,
) -> bool {
    let values = known.values(jira, issue);
    let is = |operand: &Operand| match operand {
        Operand::Empty => values.is_empty(),
        Operand::Text { text, .. } if *known == Subject::Resolution && text.eq_ignore_ascii_case("unresolved") => {
            values.is_empty()
        }
        Operand::Text { text, quoted } if known.is_moment() => {
            moment::parse(text, *quoted, jira.now()).is_some_and(|at| values.contains(&at.to_string()))
        }
        Operand::Text { text, .. } => {
            let number = |text: &str| text.parse::<f64>().ok();
            values.contains(&text.to_lowercase())
                || numeric(jira, known)
                    && values.iter().any(|value| number(value).is_some() && number(value) == number(text))
        }
        Operand::Function(name, _) => match name.to_lowercase().as_str() {
            "currentuser" => account.is_some_and(|account| {
                let account = &jira.accounts[account];
                let id = if jira.cloud() { &account.account_id } else { &account.name };
                values.contains(&id.to_lowercase())
            }),
            "standardissuetypes" => jira.issue_types[issue.issue_type].level != -1,
            "subtaskissuetypes" => jira.issue_types[issue.issue_type].level == -1,
            _ => false,
        },
    };
    let any = || operands.iter().any(is);
    match operator {
        Operator::Equal | Operator::In | Operator::Is => any(),
        // As in Jira, "not this" does not find issues without a value.
        Operator::NotEqual | Operator::NotIn => {
            let about_empty = operands.iter().any(|operand| matches!(operand, Operand::Empty));
            (about_empty || !values.is_empty()) && !any()
        }
        Operator::IsNot => !any(),
        Operator::Contains => contains(&values, operands),
        Operator::ContainsNot => !values.is_empty() && !contains(&values, operands),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            let order = operands.first().and_then(|operand| rank(jira, known, issue, operand));
            match operator {
                Operator::Less => order == Some(Ordering::Less),
                Operator::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                Operator::Greater => order == Some(Ordering::Greater),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            }
        }
    }
}

fn numeric(jira: &Jira, known: &Subject) -> bool {
    matches!(known, Subject::Field(place) if jira.fields[*place].kind == Kind::Number)
}

/// How the issue's value stands to an operand.
fn rank(jira: &Jira, known: &Subject, issue: &Issue, operand: &Operand) -> Option<Ordering> {
    let now = jira.now();
    let at = match operand {
        Operand::Function(name, _) if name.eq_ignore_ascii_case("now") => Some(now),
        Operand::Function(name, _) if name.eq_ignore_ascii_case("startOfDay") => Some(moment::start_of_day(now)),
        Operand::Text { text, quoted } if known.is_moment() => moment::parse(text, *quoted, now),
        _ => None,
    };
    // A quoted date knows minutes only, and so does the comparison with it.
    let precise = !matches!(operand, Operand::Text { quoted: true, .. });
    let minute = |ms: i64| if precise { ms } else { ms.div_euclid(60_000) };
    let text = match operand {
        Operand::Text { text, .. } => text,
        _ => "",
    };
    match known {
        Subject::Created => Some(minute(issue.created).cmp(&minute(at?))),
        Subject::Updated => Some(minute(issue.updated).cmp(&minute(at?))),
        Subject::Key => {
            let other = jira.issue(text)?;
            (other.project == issue.project).then(|| issue.number.cmp(&other.number))
        }
        Subject::Field(place) => {
            let field = &jira.fields[*place];
            match field.kind {
                Kind::Number => issue.values.get(field.id)?.as_f64()?.partial_cmp(&text.parse().ok()?),
                Kind::Date => Some(issue.text(field.id)?.cmp(text)),
                Kind::Priority => {
                    let id = |name: &str| {
                        jira.priorities.iter().find(|p| p.name.eq_ignore_ascii_case(name) || p.id == name).map(|p| p.id)
                    };
                    Some(id(text)?.cmp(id(issue.text("priority")?)?))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Every word of the operand is in the text; `word*` is the start of one, `"\"a b\""` is a phrase.
fn contains(values: &[String], operands: &[Operand]) -> bool {
    let Some(Operand::Text { text, .. }) = operands.first() else { return false };
    let wanted = text.to_lowercase();
    if let Some(phrase) = wanted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return values.iter().any(|value| value.contains(phrase));
    }
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !(c.is_alphanumeric() || c == '*' || c == '_'))
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let present: Vec<String> = values.iter().flat_map(|value| words(value)).collect();
    let wanted = words(&wanted);
    !wanted.is_empty()
        && wanted.iter().all(|word| match word.strip_suffix('*') {
            Some(start) => present.iter().any(|known| known.starts_with(start)),
            None => present.contains(word),
        })
}
