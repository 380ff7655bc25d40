//! The webhook-limit checker: how much of each limit on registrations is used, exactly or not at all.

use serde_json::{Value, json};

use crate::host::{Ensuring, Host, HostError};
use crate::plugin::contract::event::{Allowance, Ensured, ForeignRegistration};
use crate::plugin::contract_json;

/// How many registrations are named where nothing speaks against any.
const LONGEST_UNTOUCHED: usize = 5;

/// How a limit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// There is room.
    Fine,
    /// The limit is near.
    Near,
    /// Nothing more can be registered.
    Full,
    /// It could not be counted. Never to be read as none used.
    Unknown,
}

impl Standing {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Near => "near",
            Self::Full => "full",
            Self::Unknown => "cannot check",
        }
    }

    /// The exit code of `harness quota`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Near => 1,
            Self::Full => 2,
            Self::Unknown => 3,
        }
    }

    /// How one limit stands.
    pub fn of(allowance: &Allowance) -> Self {
        match allowance.used {
            None => Self::Unknown,
            // More of ours than there are at all: the count cannot be trusted.
            Some(used) if used < allowance.ours => Self::Unknown,
            Some(used) if used >= allowance.limit => Self::Full,
            Some(used) if used >= allowance.warn_from => Self::Near,
            Some(_) => Self::Fine,
        }
    }
}

/// What was counted.
#[derive(Debug)]
pub struct Quota {
    /// The worst of all limits; unknown where there is no limit to look at.
    pub standing: Standing,
    /// The limits.
    pub allowances: Vec<Allowance>,
    /// What others have registered: those that may go first.
    pub foreign: Vec<ForeignRegistration>,
    json: Value,
}

impl Quota {
    fn new(mut planned: Ensured) -> Self {
        planned.foreign.sort_by_key(|one| (one.hint.is_empty(), one.updated_at_ms));
        let standing = planned.allowances.iter().map(Standing::of).max().unwrap_or(Standing::Unknown);
        let mut json = contract_json::ensured(&planned);
        let limits: Vec<_> = planned
            .allowances
            .iter()
            .map(|one| {
                let mut json = contract_json::allowance(one);
                json["foreign"] = one.used.map(|used| used.saturating_sub(one.ours)).into();
                json["standing"] = Standing::of(one).word().into();
                json
            })
            .collect();
        let json = json!({ "standing": standing.word(), "limits": limits, "foreign": json["foreign"].take() });
        Self { standing, allowances: planned.allowances, foreign: planned.foreign, json }
    }

    /// The registrations of others to look at first when room is needed: those that something speaks against, else
    /// the ones that nobody changed for the longest time.
    pub fn advice(&self) -> impl Iterator<Item = &ForeignRegistration> {
        let hinted = self.foreign.iter().any(|one| one.active && !one.hint.is_empty());
        let wanted = move |one: &&ForeignRegistration| one.active && (!hinted || !one.hint.is_empty());
        self.foreign.iter().filter(wanted).take(if hinted { usize::MAX } else { LONGEST_UNTOUCHED })
    }

    /// As JSON.
    pub fn to_json(&self) -> &Value {
        &self.json
    }
}

impl Host {
    /// Counts what is registered, and changes nothing.
    pub async fn quota(&self, connection: &str) -> Result<Quota, HostError> {
        let planned = self.ensure(connection, Ensuring::Plan).await?;
        Ok(Quota::new(planned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(used: Option<u32>, ours: u32) -> Allowance {
        Allowance { name: "hooks".into(), used, ours, limit: 100, warn_from: 80, reason: String::new() }
    }

    #[test]
    fn a_limit_is_told_exactly() {
        let cases = [
            (Some(0), Standing::Fine),
            (Some(79), Standing::Fine),
            (Some(80), Standing::Near),
            (Some(99), Standing::Near),
            (Some(100), Standing::Full),
            (Some(101), Standing::Full),
            (None, Standing::Unknown),
        ];
        for (used, expected) in cases {
            assert_eq!(Standing::of(&allowance(used, 0)), expected, "{used:?}");
        }
    }

    #[test]
    fn what_cannot_be_counted_is_never_fine() {
        let standing = |allowances| {
            let aside = crate::plugin::contract::types::Aside { notices: vec![], memo: None, extra: "{}".into() };
            Quota::new(Ensured { registrations: vec![], changes: vec![], foreign: vec![], allowances, aside }).standing
        };
        assert_eq!(standing(vec![]), Standing::Unknown);
        assert_eq!(standing(vec![allowance(Some(1), 1), allowance(None, 0)]), Standing::Unknown);
        assert_eq!(Standing::of(&allowance(Some(1), 2)), Standing::Unknown);
    }

    #[test]
    fn each_standing_has_its_exit_code() {
        let all = [Standing::Fine, Standing::Near, Standing::Full, Standing::Unknown];
        assert_eq!(all.map(Standing::exit_code), [0, 1, 2, 3]);
    }
}
