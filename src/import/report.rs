//! The report of a run: figures, and remarks on many records at once. Holds no secret.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::store::imports::Outcome;

/// Names shown of those that a remark is about.
const SHOWN: usize = 20;

/// How a remark affects the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Matter {
    /// It is not imported.
    Skipped,
    /// It is imported inactive: something that held it back has no home here.
    Inactive,
    /// It is held back more than in CRS.
    Stricter,
    /// Something of it that held nothing back has no home here.
    Lost,
    /// A value is another than in CRS.
    Changed,
    /// Worth knowing.
    Note,
}

/// A remark, and whom it is about.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remark {
    pub matter: Matter,
    pub what: String,
    pub count: u64,
    /// The first of them.
    pub names: Vec<String>,
}

/// Remarks, each once.
#[derive(Clone, Debug, Default)]
pub struct Remarks(BTreeMap<(Matter, String), (u64, Vec<String>)>);

impl Remarks {
    pub fn add(&mut self, matter: Matter, what: impl Into<String>, name: &str) {
        let (count, names) = self.0.entry((matter, what.into())).or_default();
        *count += 1;
        if names.len() < SHOWN {
            names.push(name.to_owned());
        }
    }

    pub fn list(&self) -> Vec<Remark> {
        let all = self.0.iter();
        all.map(|((matter, what), (count, names))| Remark {
            matter: *matter,
            what: what.clone(),
            count: *count,
            names: names.clone(),
        })
        .collect()
    }
}

/// Results for the records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    pub found: u64,
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
    /// Changed or deleted here since: left as they are.
    pub kept: u64,
    pub skipped: u64,
    /// In a proof: not here, or not as in the source.
    pub different: u64,
}

impl Figures {
    pub fn count(&mut self, outcome: Outcome) {
        let figure = match outcome {
            Outcome::Created => &mut self.created,
            Outcome::Updated => &mut self.updated,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Kept | Outcome::Deleted => &mut self.kept,
            Outcome::Taken => &mut self.skipped,
            Outcome::Differs => &mut self.different,
        };
        *figure += 1;
    }
}

/// The fate of a variable of the CRS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VariableFate {
    pub name: String,
    #[serde(flatten)]
    pub fate: crate::config::crs::variables::Fate,
}

/// A run.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub source: String,
    pub target: String,
    pub edition: String,
    /// `rehearsal`, `copy` or `proof`.
    pub mode: String,
    pub keys: Figures,
    pub accounts: Figures,
    pub groups: Figures,
    pub settings: Figures,
    pub sums: Figures,
    pub calls: u64,
    /// The spending of all keys in the CRS, micro-USD.
    pub spent: u64,
    /// Encrypted values that were tried, and that the key opens.
    pub secrets_tried: u64,
    pub secrets_opened: u64,
    /// In a proof: secrets compared, and those that are others here.
    pub secrets_compared: u64,
    pub secrets_different: u64,
    /// OAuth logins that are idle until the CRS is stopped.
    pub idle_logins: u64,
    /// Variables that must be set here before imported logins can be refreshed.
    pub needed_variables: Vec<String>,
    pub variables: Vec<VariableFate>,
    /// Records that this relay has no place for, by kind.
    pub homeless: BTreeMap<String, u64>,
    /// Where that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_in: Option<String>,
    pub remarks: Vec<Remark>,
    pub seconds: f64,
}

impl Report {
    /// Whether a proof found everything.
    pub fn agrees(&self) -> bool {
        let all = [self.keys, self.accounts, self.groups, self.settings, self.sums];
        all.iter().all(|figures| figures.different == 0) && self.secrets_different == 0
    }
}
