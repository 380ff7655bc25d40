//! Which Jira this is: Cloud, or Data Center with a version.

use std::{fmt, str::FromStr};

/// The two families of Jira.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personality {
    /// `*.atlassian.net`: account ids, rich text as ADF, token pages, silent anonymity.
    Cloud,
    /// Self-hosted: user names and keys, text bodies, `startAt` pages.
    DataCenter,
}

impl FromStr for Personality {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        match text {
            "cloud" => Ok(Self::Cloud),
            "data-center" => Ok(Self::DataCenter),
            other => Err(VersionError::Personality(other.to_owned())),
        }
    }
}

/// A Data Center release such as `9.12.0`; missing parts count as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number: `9` of `9.12.4`.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl Version {
    /// The release a Data Center simulator has when nobody chooses one.
    pub const DEFAULT: Self = Self { major: 9, minor: 12, patch: 0 };

    pub(crate) fn at_least(self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let wrong = || VersionError::Version(text.to_owned());
        let mut numbers = [0; 3];
        let parts: Vec<_> = text.split('.').collect();
        if parts.len() > 3 {
            return Err(wrong());
        }
        for (number, part) in numbers.iter_mut().zip(parts) {
            *number = part.parse().map_err(|_| wrong())?;
        }
        Ok(Self { major: numbers[0], minor: numbers[1], patch: numbers[2] })
    }
}

/// A personality or version nobody could mean.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Not one of the two personalities.
    #[error("'{0}' is not a personality: write cloud or data-center")]
    Personality(String),
    /// Not a release number.
    #[error("'{0}' is not a Jira version: write up to three numbers, such as 9.12.0")]
    Version(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_may_leave_its_last_parts_out() {
        assert_eq!("10.3".parse(), Ok(Version { major: 10, minor: 3, patch: 0 }));
        assert!("9.x".parse::<Version>().is_err());
        assert!("8.4".parse::<Version>().unwrap().at_least(8, 4));
        assert!(!"8.3.9".parse::<Version>().unwrap().at_least(8, 4));
    }
}
