//! Help texts as they are shown: prose as wide as the terminal, examples as they are to be typed.

use clap::{Command, CommandFactory as _};

use super::Cli;

/// The command line, with its help texts.
pub(super) fn command() -> Command {
    reflowed(Cli::command().mut_args(|argument| match argument.is_global_set() {
        // Beside the few options of a command they would hide those.
        true => argument.help_heading("Options of every command"),
        false => argument,
    }))
}

fn reflowed(command: Command) -> Command {
    let command = match command.get_after_help().map(ToString::to_string) {
        Some(text) => command.after_help(joined(&text)),
        None => command,
    };
    command.mut_subcommands(reflowed)
}

/// A text whose paragraphs are one line each, for the terminal to wrap. Lines that are indented stay as they are.
fn joined(text: &str) -> String {
    let mut joined = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        joined.push_str(line);
        let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
        let goes_on = is_prose(line) && lines.peek().is_some_and(|next| is_prose(next));
        joined.push(if goes_on { ' ' } else { '\n' });
    }
    joined.truncate(joined.trim_end().len());
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The width of a terminal that nobody has widened.
    const USUAL_WIDTH: usize = 80;

    #[test]
    fn prose_is_joined_and_examples_are_not() {
        let text = "Examples:\n  one \\\n    --more\n\nSome words\nand more.\n\nOther words.";
        assert_eq!(joined(text), "Examples:\n  one \\\n    --more\n\nSome words and more.\n\nOther words.");
    }

    #[test]
    fn every_example_can_be_copied_from_a_usual_terminal() {
        fn look(command: &Command, wide: &mut Vec<String>) {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = text.lines().filter(|line| line.starts_with(' '));
            wide.extend(examples.filter(|line| line.chars().count() > USUAL_WIDTH).map(str::to_owned));
            command.get_subcommands().for_each(|one| look(one, wide));
        }
        let mut wide = Vec::new();
        look(&command(), &mut wide);
        assert!(wide.is_empty(), "a terminal would break these: {wide:#?}");
    }
}
