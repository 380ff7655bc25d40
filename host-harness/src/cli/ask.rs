//! Asks a person at a terminal for what is missing. Where there is none, nothing is asked: what is missing is an error.

use std::io::IsTerminal as _;

use dialoguer::console::Term;
use dialoguer::theme::{ColorfulTheme, Theme as _};
use dialoguer::{Confirm, Error, Input, MultiSelect, Select};
use serde_json::Value;

use super::output::{Output, cut, wrapped};
use super::{ending, hidden, progress};
use crate::host::{HostError, Secrets};
use crate::legible::legible;
use crate::plugin::{AuthMethod, secret_fields};
use crate::store::off_thread;
use crate::vault::Secret;

/// How wide what is told to a person is, at most.
const WIDTH: usize = 100;

/// A person at a terminal. What is told and asked may hold what a connector or a service said.
pub(super) struct Person {
    terminal: Term,
    theme: ColorfulTheme,
}

/// What is missing where nobody can be asked: where, and the flag for it.
#[derive(Debug, Default)]
pub(super) struct Missing(Vec<(String, String)>);

impl Missing {
    pub(super) fn add(&mut self, name: &str, flag: impl Into<String>) {
        self.0.push((name.to_owned(), flag.into()));
    }

    /// Fails with one error that names all of it; fine where nothing is missing.
    pub(super) fn check(&self, what: &str, remedy: &str) -> Result<(), HostError> {
        if self.0.is_empty() { Ok(()) } else { Err(self.error(what, remedy)) }
    }

    /// The error that names all of it.
    pub(super) fn error(&self, what: &str, remedy: &str) -> HostError {
        use crate::host::{FieldProblem, Problem};
        let told: Vec<String> = self.0.iter().map(|(name, flag)| format!("{name} ({flag})")).collect();
        let fields = self.0.iter().map(|(name, flag)| FieldProblem {
            pointer: format!("/{name}"),
            message: format!("missing: give it with {flag}"),
        });
        let problem = Problem::new("input-missing", format!("{what} lacks what it needs: {}", told.join(", ")), remedy);
        HostError::BadInput(Problem { fields: fields.collect(), ..problem })
    }
}

impl Person {
    /// The person at the terminal that this command was typed in; none for a script, or where JSON was asked for.
    pub(super) fn here(output: &Output) -> Option<Self> {
        let there = !output.is_json() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        there.then(|| Self { terminal: Term::stderr(), theme: ColorfulTheme::default() })
    }

    /// Tells the person something, in lines that are not too long.
    pub(super) fn tell(&self, text: &str) {
        let width = usize::from(self.terminal.size().1).saturating_sub(4).clamp(20, WIDTH);
        progress::aside(|| {
            let _ = self.terminal.write_line(&format!("  {}", wrapped(&legible(text), width, "  ")));
        });
    }

    /// Lets the person choose one of several; answers with its place.
    pub(super) fn choose(&self, what: &str, items: &[String]) -> Result<usize, HostError> {
        let width = usize::from(self.terminal.size().1).saturating_sub(4).max(20);
        // A line that is broken by the terminal would be drawn again and again.
        let items: Vec<String> = items.iter().map(|item| cut(&legible(item), width)).collect();
        let select = Select::with_theme(&self.theme).with_prompt(legible(what)).items(&items).default(0);
        self.asked(|| select.interact_on(&self.terminal))
    }

    /// Lets the person choose any number of several; answers with their places.
    pub(super) fn choose_several(&self, what: &str, items: &[String], usual: &[bool]) -> Result<Vec<usize>, HostError> {
        let width = usize::from(self.terminal.size().1).saturating_sub(8).max(20);
        let items: Vec<String> = items.iter().map(|item| cut(&legible(item), width)).collect();
        let prompt = format!("{} (space chooses, enter goes on)", legible(what));
        let select = MultiSelect::with_theme(&self.theme).with_prompt(prompt).items(&items).defaults(usual);
        self.asked(|| select.interact_on(&self.terminal))
    }

    /// Asks for a text; an empty one only where that is fine.
    pub(super) fn text(&self, what: &str, usual: Option<&str>, may_be_empty: bool) -> Result<String, HostError> {
        let mut input = Input::<String>::with_theme(&self.theme).with_prompt(legible(what)).allow_empty(may_be_empty);
        if let Some(usual) = usual {
            input = input.default(usual.to_owned());
        }
        self.asked(|| input.interact_text_on(&self.terminal))
    }

    /// Asks for a name, until it is one that can be given.
    pub(super) fn name(&self, what: &str, check: impl Fn(&str) -> Result<(), HostError>) -> Result<String, HostError> {
        loop {
            let name = self.text(what, None, false)?;
            match check(&name) {
                Ok(()) => return Ok(name),
                Err(error) => {
                    let json = error.to_json();
                    self.tell(&format!("{error}. {}", json["remedy"].as_str().unwrap_or_default()));
                }
            }
        }
    }

    /// Asks for a secret, which is not shown.
    pub(super) fn secret(&self, what: &str) -> Result<Secret, HostError> {
        let prompt = format!("{} (hidden)", legible(what));
        let mut line = String::new();
        // Cannot fail: a String takes everything.
        let _ = self.theme.format_password_prompt(&mut line, &prompt);
        loop {
            let typed = self.asked(|| Ok(hidden::line(|| self.terminal.write_str(&line))?));
            // What was typed did not end the line there.
            progress::aside(|| self.terminal.write_line("")).map_err(terminal_failed)?;
            let typed = typed?;
            if !typed.is_empty() {
                return Ok(Secret::new(typed.to_string()));
            }
        }
    }

    /// Asks for yes or no.
    pub(super) fn confirm(&self, what: &str, usual: bool) -> Result<bool, HostError> {
        let confirm = Confirm::with_theme(&self.theme).with_prompt(legible(what)).default(usual);
        self.asked(|| confirm.interact_on(&self.terminal))
    }

    /// Asks for the secrets of a credential once more, where that is what an error asks for.
    pub(super) fn secrets_again(&self, error: HostError) -> Result<Secrets, HostError> {
        let fields = match &error {
            HostError::BadInput(problem) if problem.code == "host.secret-again" => &problem.fields,
            _ => return Err(error),
        };
        self.tell(&format!("{error}."));
        if !self.confirm("Is that meant to be so, and may it go there?", false)? {
            return Err(given_up());
        }
        let names = fields.iter().map(|field| field.pointer.trim_start_matches('/'));
        names.map(|name| Ok((name.to_owned(), self.secret(&format!("The same {name} once more"))?))).collect()
    }

    /// Asks for a field of a form as its schema describes it.
    pub(super) fn field(&self, name: &str, field: &Value) -> Result<String, HostError> {
        let text = |member: &str| field.get(member).and_then(Value::as_str).unwrap_or_default();
        let title = if text("title").is_empty() { name } else { text("title") };
        if !text("description").is_empty() {
            self.tell(text("description"));
        }
        let example = field.pointer("/examples/0").and_then(Value::as_str);
        let what = example.map_or_else(|| title.to_owned(), |example| format!("{title}, such as {example}"));
        let usual = field.get("default").map(shown);
        if let Some(choices) = field.get("enum").and_then(Value::as_array) {
            let items: Vec<String> = choices.iter().map(shown).collect();
            return Ok(items[self.choose(&what, &items)?].clone());
        }
        if field["type"] == "boolean" {
            return Ok(self.confirm(&what, field["default"] == true)?.to_string());
        }
        self.text(&what, usual.as_deref(), false)
    }

    /// Asks for a field that may be left out: nothing where it was.
    pub(super) fn field_if_known(&self, name: &str, field: &Value) -> Result<Option<String>, HostError> {
        let text = |member: &str| field.get(member).and_then(Value::as_str).unwrap_or_default();
        if !text("description").is_empty() {
            self.tell(text("description"));
        }
        let title = if text("title").is_empty() { name } else { text("title") };
        let typed = self.text(&format!("{title} (Enter leaves it out)"), None, true)?;
        Ok(Some(typed.trim().to_owned()).filter(|typed| !typed.is_empty()))
    }

    /// Asks for a secret field of a form as its schema describes it.
    pub(super) fn secret_field(&self, name: &str, field: &Value) -> Result<Secret, HostError> {
        let text = |member: &str| field.get(member).and_then(Value::as_str).unwrap_or_default();
        if !text("description").is_empty() {
            self.tell(text("description"));
        }
        self.secret(if text("title").is_empty() { name } else { text("title") })
    }

    /// Asks once more for the fields of a form that an error names, for what was typed in their place; hands back an
    /// error that names none of them, or something else beside them.
    pub(super) fn fields_again(
        &self,
        error: HostError,
        form: &Value,
        may_ask: impl Fn(&str) -> bool,
        fields: &mut Vec<(String, String)>,
        secrets: &mut Secrets,
    ) -> Result<(), HostError> {
        let HostError::BadInput(problem) = &error else { return Err(error) };
        let known = form.get("properties").and_then(Value::as_object);
        let named = |pointer: &str| {
            let name = pointer.split('/').nth(1)?.replace("~1", "/").replace("~0", "~");
            known?.get_key_value(&name).filter(|(name, _)| may_ask(name))
        };
        let mut wrong: Vec<(&String, &Value)> = Vec::new();
        for field in &problem.fields {
            match named(&field.pointer) {
                None => return Err(error),
                Some(field) if wrong.contains(&field) => {}
                Some(field) => wrong.push(field),
            }
        }
        if wrong.is_empty() {
            return Err(error);
        }
        // Flags are for those who are not asked.
        let remedy = Some(problem.remedy.as_str()).filter(|remedy| !remedy.contains("--")).unwrap_or_default();
        let message = problem.message.trim_end_matches('.');
        self.tell(format!("{message}. {remedy}").trim());
        let required = form.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (name, field) in wrong {
            fields.retain(|(known, _)| known != name);
            secrets.retain(|(known, _)| known != name);
            if secret_fields(form).contains(&name.as_str()) {
                secrets.push((name.clone(), self.secret_field(name, field)?));
            } else if required.iter().any(|one| one.as_str() == Some(name)) {
                fields.push((name.clone(), self.field(name, field)?));
            } else {
                fields.extend(self.field_if_known(name, field)?.map(|typed| (name.clone(), typed)));
            }
        }
        Ok(())
    }

    fn asked<T>(&self, ask: impl FnOnce() -> Result<T, Error>) -> Result<T, HostError> {
        let answer = progress::aside(|| off_thread(ask));
        // What is typed after a signal was not meant for this program any more.
        if ending::is_signalled() {
            let _ = self.terminal.show_cursor();
            return Err(given_up());
        }
        answer.map_err(|Error::IO(error)| {
            // A menu that was left hid it.
            let _ = self.terminal.show_cursor();
            terminal_failed(error)
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over")]
fn terminal_failed(error: std::io::Error) -> HostError {
    match error.kind() {
        std::io::ErrorKind::Interrupted => given_up(),
        _ => HostError::other("terminal", format!("the terminal failed: {error}"), "Give all with flags."),
    }
}

/// The person ended it.
pub(super) fn given_up() -> HostError {
    HostError::bad_input("given-up", "it was ended before it was done", "Begin anew, or give all with flags.")
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The fields of a form that have to be there and were not given, in the order in which the schema requires them.
pub(super) fn lacking<'a>(schema: &'a Value, given: &[&str]) -> Vec<(&'a str, &'a Value)> {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let lacking = required.filter(|name| !given.contains(name));
    lacking.filter_map(|name| Some((name, schema.get("properties")?.get(name)?))).collect()
}

/// The fields of a form that need not be there, say something of its secret and were not given.
pub(super) fn worth_asking<'a>(method: &'a AuthMethod, given: &[&str]) -> Vec<(&'a str, &'a Value)> {
    let required = method.form["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let asked = |name: &&str| !given.contains(name) && !required.iter().any(|one| one == name);
    method.said_of_secrets().into_iter().filter(asked).map(|name| (name, &method.form["properties"][name])).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_is_one_error_with_a_flag_for_each() {
        let mut missing = Missing::default();
        missing.add("method", "--method METHOD");
        missing.add("token", "--secret token=@FILE");
        let error = missing.check("the connection", "Look.").unwrap_err();
        let json = error.to_json();
        assert_eq!(
            (&json["fields"][0]["pointer"], &json["fields"][1]["pointer"]),
            (&json!("/method"), &json!("/token"))
        );
        for part in ["--method METHOD", "--secret token=@FILE"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(Missing::default().check("it", "").is_ok());
    }

    #[test]
    fn fields_are_asked_for_in_the_order_of_the_schema() {
        let schema =
            json!({"required": ["site", "email", "gone"], "properties": {"email": {}, "site": {}, "more": {}}});
        let names: Vec<_> = lacking(&schema, &[]).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["site", "email"]);
        assert_eq!(lacking(&schema, &["site"]).len(), 1);
    }
}
