//! What the documents say is what the programs do: commands exist with the flags shown, and the
//! reference of the cards is that of the component.

use std::collections::BTreeSet;
use std::fs;

use crate::built;
use crate::harness::Harness;

/// The documents a person copies commands from.
const PAGES: [&str; 9] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/operating.md",
    "docs/security.md",
    "docs/extending.md",
    "docs/reliability.md",
    "docs/contract.md",
    "docs/flows.md",
    "docs/performance.md",
];

/// One `harness …` command: its subcommands, and the flags it is shown with.
type Shown = (Vec<String>, Vec<String>);

/// The commands within a page's code, blocks and spans alike. A command goes on after a backslash
/// at the end of a line.
fn commands(page: &str) -> BTreeSet<Shown> {
    let mut found = BTreeSet::new();
    let joined = page.replace("\\\n", " ");
    let mut block = false;
    for line in joined.lines() {
        if line.trim_start().starts_with("```") {
            block = !block;
            continue;
        }
        let code: Vec<&str> = match block {
            true => vec![line.split(" #").next().unwrap_or(line)],
            false => line.split('`').skip(1).step_by(2).collect(),
        };
        for text in code.iter().flat_map(|code| code.split(['|', ';'])).flat_map(|code| code.split("&&")) {
            let words: Vec<&str> = text.split_whitespace().skip_while(|word| word.contains('=')).collect();
            if words.first() != Some(&"harness") {
                continue;
            }
            // What is true of every command may stand before its name.
            let own = match words.get(1) {
                Some(&"--home" | &"--key-file") => &words[3.min(words.len())..],
                _ => &words[1..],
            };
            let is_word = |word: &&&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            let subcommands = own.iter().take_while(|word| is_word(word) && !word.starts_with('-'));
            let flags = words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
            let name = |flag: &&&str| flag.split('=').next().unwrap_or(flag).trim_end_matches([',', '.']).to_owned();
            found.insert((
                subcommands.map(|word| (*word).to_owned()).collect(),
                flags.map(|flag| name(&flag)).collect(),
            ));
        }
    }
    found
}

#[test]
fn every_command_in_the_documents_exists_with_its_flags() {
    let host = Harness::fresh();
    let (mut asked, mut wrong) = (0, Vec::new());
    for page in PAGES {
        // A page that is being written by another hand is not missed here.
        let Ok(text) = fs::read_to_string(built::root().join(page)) else { continue };
        for (subcommands, flags) in commands(&text) {
            asked += 1;
            // `card show create-issue`: the longest beginning that is a command; what follows are names.
            let help = (0..=subcommands.len().min(2)).rev().find_map(|length| {
                let mut arguments: Vec<&str> = subcommands[..length].iter().map(String::as_str).collect();
                arguments.push("--help");
                Some(host.run_plain(&arguments, "")).filter(|help| help.code == 0).map(|help| (length, help.stdout))
            });
            let shown = format!("{page}: harness {} {}", subcommands.join(" "), flags.join(" "));
            match help {
                Some((length, help)) if length > 0 || subcommands.is_empty() => {
                    wrong.extend(
                        flags.iter().filter(|flag| !help.contains(*flag)).map(|flag| format!("{shown}: no {flag}")),
                    );
                }
                _ => wrong.push(format!("{shown}: there is no such command")),
            }
        }
    }
    assert!(asked > 20, "only {asked} commands were found: the documents are written in another way now");
    assert!(wrong.is_empty(), "the documents show what is not there:\n{}", wrong.join("\n"));
}

#[test]
fn commands_are_found_in_blocks_and_in_sentences() {
    let page = "Run `harness runs list --json`, not `ls`.\n```sh\n# a comment\nharness serve \\\n  --listen 127.0.0.1:0 &\nA=b harness quota | harness run x --input=-\n```\n";
    let found: Vec<String> =
        commands(page).into_iter().map(|(words, flags)| format!("{} {}", words.join(" "), flags.join(" "))).collect();
    assert_eq!(found, ["quota ", "run x --input", "runs list --json", "serve --listen"]);
}

#[test]
fn the_reference_of_the_cards_is_that_of_the_component() {
    let host = Harness::fresh();
    let connector = built::connector();
    let made = host.run_plain(&["card", "reference", "--connector", &connector.to_string_lossy()], "");
    assert_eq!(made.code, 0, "{made:#?}");
    let kept = fs::read_to_string(built::root().join("docs/cards.md")).unwrap_or_default();
    assert!(
        kept.trim_end() == made.stdout.trim_end(),
        "docs/cards.md is not what the component says; run:\n  \
         target/release/harness card reference --connector target/component/jira_connector.wasm > docs/cards.md"
    );
}
