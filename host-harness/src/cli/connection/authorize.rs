//! The part of a person in authorizing: the browser, and the choice of a site.

use clap::Args;
use url::Url;

use crate::authorize::callback::{Callback, CallbackError};
use crate::cli::ask::{Person, given_up};
use crate::cli::input;
use crate::cli::output::Output;
use crate::cli::progress;
use crate::host::{Authorizing, Host, HostError, Site, is_loopback};
use crate::legible::one_line;
use crate::store::off_thread;
use crate::vault::Secret;

/// How often a person may paste something that is not the answer.
const TRIES: usize = 3;

/// How many sites an error names.
const MOST_NAMED: usize = 20;

/// How the person authorizes.
#[derive(Debug, Args)]
pub(super) struct Way {
    /// Only print the address to open, for a browser that is started by hand
    #[arg(long)]
    no_browser: bool,
    /// Take the address that the browser ended at from the terminal or stdin, for a browser on another machine
    #[arg(long)]
    paste: bool,
    /// The site, by its exact address or its id, where the credential reaches several
    #[arg(long, value_name = "URL|ID")]
    site: Option<String>,
    /// Let it be another person's from now on, where another one says yes in the browser
    #[arg(long)]
    other_account: bool,
}

impl Way {
    /// Whether a site was named.
    pub(super) fn chooses_a_site(&self) -> bool {
        self.site.is_some()
    }
}

/// Authorizes a connection, and with it all that share its credential. Answers with their names.
pub(super) async fn authorize(
    host: &Host,
    name: &str,
    way: &Way,
    person: Option<&Person>,
    output: &Output,
) -> Result<Vec<String>, HostError> {
    if !host.is_authorized_by_a_person(name).await? {
        return host.obtain_authorization(name).await;
    }
    let had = !host.lacks_authorization(name).await?;
    let not_yet = |error: HostError| not_yet(error, name, had);
    host.look_before_authorizing(name).await.map_err(not_yet)?;
    let authorizing = host.begin_authorizing(name).await?;
    let pasted = way.paste || !(authorizing.callback.scheme() == "http" && is_loopback(&authorizing.callback));
    // It listens before anybody sees the address.
    let callback = match pasted {
        true => None,
        false => Some(Callback::bind(&authorizing.callback).await.map_err(|error| not_yet(no_callback(&error)))?),
    };
    output.note(&format!("open this address in a browser, and say yes there:\n\n  {}\n", authorizing.url));
    if person.is_some() && !way.no_browser && !way.paste && has_a_display() {
        // A browser that does not start is no trouble: the address is there to be copied.
        if let Err(error) = open::that_detached(authorizing.url.as_str()) {
            tracing::debug!(%error, "no browser could be started");
        }
    }
    let query = match callback {
        Some(callback) => {
            host.doing("waiting for the browser to come back (ctrl-c ends it)".to_owned());
            tokio::select! {
                answer = callback.answer(&authorizing.url, host.clock()) => {
                    answer.map_err(|error| not_yet(no_callback(&error)))?
                }
                _ = tokio::signal::ctrl_c() => return Err(not_yet(given_up())),
            }
        }
        None => pasted_query(&authorizing, person, output).map_err(not_yet)?,
    };
    let granted = host.finish_authorizing(authorizing, query.expose()).await.map_err(not_yet)?;
    if let Some((before, now)) = granted.other_account()
        && !way.other_account
    {
        let (before, now) = (one_line(before), one_line(now));
        let told = format!("whoever said yes is {now}, and `{name}` is {before}'s until now");
        if !is_meant(&told, &now, person)? {
            let remedy = "Sign out at the service, and begin again as the right person; or add --other-account.";
            return Err(not_yet(HostError::bad_input("other-account", told, remedy)));
        }
    }
    host.keep_granted(granted).await
}

/// Whether a person means a connection to be another account's from now on.
pub(super) fn is_meant(told: &str, now: &str, person: Option<&Person>) -> Result<bool, HostError> {
    let Some(person) = person else { return Ok(false) };
    person.tell(&format!("{told}: what it does is done in the name of {now} then."));
    person.confirm("Is that meant to be so?", false)
}

/// Whether a browser that is started here would be seen.
fn has_a_display() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(all(unix, not(target_os = "macos"))) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// The error, with what it means for the connection.
fn not_yet(error: HostError, name: &str, had: bool) -> HostError {
    let consequence = match had {
        true => format!("`{name}` keeps the authorization that it has"),
        false => format!("`{name}` is not authorized"),
    };
    // What is wrong with the address or the way in is so each time.
    let advice = match error.is_about_input() {
        true if had => String::new(),
        true => {
            format!("Where the address is wrong, give another with `harness connection edit {name} --set FIELD=VALUE`.")
        }
        false => format!("Go on with `harness connection reauthorize {name}`."),
    };
    error.amid(&consequence, &advice)
}

fn no_callback(error: &CallbackError) -> HostError {
    let remedy = match error {
        CallbackError::Unusable { .. } => {
            "End what listens there; or add --paste, and paste the address that the browser ends at."
        }
        CallbackError::Late => "Open the address sooner, or add --paste if the browser is on another machine.",
    };
    HostError::bad_input("callback", error.to_string(), remedy)
}

/// The query of the address that the browser ended at, which the person copies: it may well show an error there,
/// because nobody listens.
fn pasted_query(authorizing: &Authorizing, person: Option<&Person>, output: &Output) -> Result<Secret, HostError> {
    output.note(&format!(
        "the browser ends at an address that begins with {}. It may say that it finds nothing there: copy the address.",
        authorizing.callback
    ));
    for _ in 0..TRIES {
        let typed = match person {
            Some(person) => person.secret("The address that the browser ended at")?,
            None => Secret::new(off_thread(|| progress::aside(input::line))?),
        };
        if let Some(query) = query_of(typed.expose(), &authorizing.callback) {
            return Ok(query);
        }
        if person.is_none() {
            break;
        }
        output.note("that is not it: the whole address from the browser's address bar is needed");
    }
    let message = format!("no address that begins with {} was given", authorizing.callback);
    let remedy = "Copy the whole address from the browser's address bar.";
    Err(HostError::bad_input("callback", message, remedy))
}

/// The query of a pasted address, if it is the callback's.
fn query_of(typed: &str, callback: &Url) -> Option<Secret> {
    let url = Url::parse(typed.trim().trim_matches(['"', '\'', '<', '>'])).ok()?;
    let same = url.origin() == callback.origin() && url.path() == callback.path();
    url.query().filter(|query| same && !query.is_empty()).map(Secret::new)
}

/// Refuses a site for a connection whose site is settled; answers whether it is.
pub(super) fn refuse_settled(host: &Host, name: &str, way: &Way) -> Result<bool, HostError> {
    let settled = !host.lacks_site(name)?;
    if settled && way.chooses_a_site() {
        return Err(HostError::bad_input(
            "site-chosen",
            format!("the site of `{name}` is settled"),
            "Leave --site out; for another site make another connection, with `--share` to use the same credential.",
        ));
    }
    Ok(settled)
}

/// Lets the person choose the site, where the form names none and none was chosen yet.
pub(super) async fn choose_site(
    host: &Host,
    name: &str,
    way: &Way,
    person: Option<&Person>,
    output: &Output,
) -> Result<(), HostError> {
    if refuse_settled(host, name, way)? {
        return Ok(());
    }
    let sites = host.sites(name).await?;
    let site = chosen(name, &sites, way.site.as_deref(), person)?;
    let connection = host.choose_site(name, site).await?;
    output.note(&format!("site: {} at {}", one_line(&site.label), one_line(&site.url)));
    super::add::tell_origins(&connection, output);
    Ok(())
}

fn chosen<'a>(
    name: &str,
    sites: &'a [Site],
    wanted: Option<&str>,
    person: Option<&Person>,
) -> Result<&'a Site, HostError> {
    let refuse = |code: &str, message: String| {
        let mut lines: Vec<String> = sites.iter().take(MOST_NAMED).map(line).collect();
        if sites.len() > MOST_NAMED {
            lines.push(format!("and {} more", sites.len() - MOST_NAMED));
        }
        let remedy = match sites {
            [] => "Ask for access to a site, then authorize anew.".to_owned(),
            _ => format!(
                "Choose with `harness connection reauthorize {name} --site URL`. It reaches: {}.",
                lines.join("; ")
            ),
        };
        HostError::bad_input(code, message, remedy)
    };
    let meant: Vec<&Site> = match wanted {
        Some(wanted) => sites.iter().filter(|site| site.is(wanted)).collect(),
        None => sites.iter().collect(),
    };
    match (meant.as_slice(), wanted, person) {
        ([only], ..) => Ok(only),
        ([], Some(wanted), _) => Err(refuse("site-unknown", format!("the credential does not reach `{wanted}`"))),
        ([], None, _) => Err(refuse("site-none", "the credential reaches no site".into())),
        (several, _, Some(person)) => {
            let lines: Vec<String> = several.iter().map(|site| line(site)).collect();
            Ok(several[person.choose("Which site?", &lines)?])
        }
        (_, _, None) => Err(refuse("site-open", format!("the credential of `{name}` reaches several sites"))),
    }
}

fn line(site: &Site) -> String {
    one_line(&format!("{} {} ({})", site.url, site.label, site.id)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_address_is_taken_only_where_it_is_the_callbacks() {
        let callback = Url::parse("https://hooks.example.test/oauth/back").unwrap();
        let query = |typed: &str| query_of(typed, &callback).map(|query| query.expose().to_owned());
        let whole = "https://hooks.example.test/oauth/back?code=c&state=s";
        assert_eq!(query(&format!(" '{whole}'\n")).as_deref(), Some("code=c&state=s"));
        for bad in [
            "code=c&state=s",
            "https://hooks.example.test/oauth/back",
            "https://elsewhere.example.test/oauth/back?code=c",
            "https://hooks.example.test/other?code=c",
            "http://hooks.example.test/oauth/back?code=c",
        ] {
            assert_eq!(query(bad), None, "{bad}");
        }
    }
}
