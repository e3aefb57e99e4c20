//! What is wrong with the servers, or will be.

mod facts;
mod judge;
mod stray;

use std::fmt;

use serde::Serialize;

use self::facts::Facts;
use super::{Russet, send::Errand};
use crate::error::Result;

/// Something that [`Russet::doctor`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at, such as `persistence`; the same word in every version.
    pub check: &'static str,
    /// The server that it is about.
    pub server: String,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub advice: String,
}

/// How bad a [`Finding`] is; the greatest is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know; may be meant.
    Note,
    /// Works, and will lose data or fail under load.
    Warning,
    /// Does not work.
    Critical,
}

impl Russet {
    /// Examines the servers: version, role, persistence, memory and what happens when it is full, replication, script
    /// cache, clock, connections, and keys of this namespace that should expire and do not. On a Cluster all primaries are
    /// examined. The worst findings come first; none at all is possible, and rare.
    ///
    /// It costs each server a few commands and a look at its keys of at most 200 ms, in steps of 500 keys. It changes
    /// nothing. A user who may not ask for something gets a finding that says so.
    ///
    /// # Errors
    /// When a server does not answer; see [`ErrorKind`](crate::ErrorKind).
    pub async fn doctor(&self) -> Result<Vec<Finding>> {
        let router = self.router();
        let errand = Errand::new(router, stray::TIME);
        let mut findings = Vec::new();
        for link in errand.primaries().await? {
            let server = link.target().to_string();
            let facts = Facts::gather(&errand, &link).await?;
            let stray = stray::keys(&errand, &link, self.namespace()).await;
            let here = judge::judge(&facts).into_iter().chain(stray.into_iter().flatten());
            findings.extend(here.map(|found| found.at(&server)));
        }
        findings.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.check.cmp(b.check)));
        Ok(findings)
    }
}

/// A finding before it is known whose.
struct Found {
    severity: Severity,
    check: &'static str,
    text: String,
    advice: &'static str,
}

impl Found {
    fn at(self, server: &str) -> Finding {
        Finding {
            severity: self.severity,
            check: self.check,
            server: server.to_owned(),
            text: self.text,
            advice: self.advice.to_owned(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, check, server, text, advice } = self;
        write!(f, "{severity}: {check} at {server}: {text}. {advice}.")
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        })
    }
}
