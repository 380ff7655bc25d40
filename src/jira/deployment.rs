//! Which Jira answers: Cloud, or Data Center and Server with their versions.

use serde_json::Value;
use std::fmt;

/// The oldest release of Data Center and Server that this connector speaks to.
pub(crate) const OLDEST: Deployment = Deployment::Center { major: 7, minor: 13 };

/// The kind decides before any number: Cloud counts its versions apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deployment {
    /// Jira Cloud, which has one version for all.
    Cloud,
    /// Data Center or Server.
    Center {
        /// The first number: 9 of 9.12.4.
        major: u32,
        /// The second number.
        minor: u32,
    },
}

impl Deployment {
    /// The deployment that settings name; Cloud where nothing is known yet.
    pub(crate) fn of(settings: &Value) -> Self {
        let text = |name: &str| settings.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("deployment") {
            "data-center" => Self::center(text("version")),
            _ => Self::Cloud,
        }
    }

    /// What `serverInfo` says; none where that is no Jira's. Source: Cloud v3 and Data Center, `GET serverInfo`.
    pub(crate) fn read(info: &Value) -> Option<Self> {
        let version = info.get("version")?.as_str()?;
        match info.get("deploymentType").and_then(Value::as_str) {
            Some(kind) if kind.eq_ignore_ascii_case("cloud") => Some(Self::Cloud),
            Some(_) => Some(Self::center(version)),
            // Other products have versions too; a build number and a base URL go with Jira's.
            None => info.get("baseUrl").and(info.get("buildNumber")).map(|_| Self::center(version)),
        }
    }

    fn center(version: &str) -> Self {
        let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Self::Center { major: next(), minor: next() }
    }

    pub(crate) fn is_cloud(self) -> bool {
        self == Self::Cloud
    }

    /// Whether it has what Data Center got with a release. Cloud has it too.
    pub(crate) fn since(self, from_major: u32, from_minor: u32) -> bool {
        match self {
            Self::Cloud => true,
            Self::Center { major, minor } => (major, minor) >= (from_major, from_minor),
        }
    }

    /// What settings call it.
    pub(crate) fn word(self) -> &'static str {
        if self.is_cloud() { "cloud" } else { "data-center" }
    }

    /// The base of the platform API: version 3 has documents where 2 has wiki markup, and is Cloud's alone.
    pub(crate) fn platform(self) -> &'static str {
        if self.is_cloud() { "rest/api/3/" } else { "rest/api/2/" }
    }
}

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cloud => f.write_str("Jira Cloud"),
            Self::Center { major, minor } => write!(f, "Data Center {major}.{minor}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Deployment;
    use serde_json::json;

    #[test]
    fn the_kind_decides_before_the_number() {
        let read = |info| Deployment::read(&info).map(|deployment| deployment.to_string());
        let cloud = json!({ "deploymentType": "Cloud", "version": "1001.0.0-SNAPSHOT" });
        assert_eq!(read(cloud).as_deref(), Some("Jira Cloud"));
        let server = json!({ "deploymentType": "Server", "version": "9.12.4", "versionNumbers": [9, 12, 4] });
        assert_eq!(read(server).as_deref(), Some("Data Center 9.12"));
        let old = json!({ "baseUrl": "https://jira.example.test", "version": "7.13.0-m1", "buildNumber": 713_000 });
        assert_eq!(read(old).as_deref(), Some("Data Center 7.13"));
        for other in [json!({}), json!({ "version": "1" }), json!({ "deploymentType": "Cloud" }), json!([])] {
            assert_eq!(read(other.clone()), None, "{other}");
        }
    }

    #[test]
    fn what_a_release_has_later_ones_have_too() {
        let release = Deployment::of(&json!({ "deployment": "data-center", "version": "8.14.1" }));
        assert!(release.since(8, 14) && release.since(7, 13) && !release.since(8, 22) && !release.since(10, 0));
        assert!(Deployment::of(&json!({})).since(10, 0));
        assert!(!Deployment::of(&json!({ "deployment": "data-center", "version": "strange" })).since(7, 13));
    }
}
