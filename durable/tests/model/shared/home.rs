//! A home as a script in Redis is one.

use std::collections::{BTreeMap, BTreeSet};

use crs_durable::rows::Row;
use crs_durable::shared::{Answer, Request, Version};

#[derive(Clone, Debug, Default)]
pub(super) struct Home {
    version: Version,
    pub(super) rows: BTreeMap<Row, String>,
    log: Vec<(Version, Vec<Row>)>,
    /// Versions from before it was emptied.
    before: Vec<Version>,
    /// So many versions are remembered.
    most: usize,
}

impl Home {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    pub(super) fn step(&mut self, request: &Request) -> Answer {
        if request.base != self.version {
            return self.news(request.base);
        }
        let Some(next) = request.next else {
            return Answer::Yes;
        };
        if self.version.number == 0 {
            self.before.clone_from(&request.before);
        }
        self.version = next;
        self.log
            .push((next, request.rows.iter().map(|(row, _)| *row).collect()));
        if self.log.len() > self.most {
            self.log.remove(0);
        }
        for (row, text) in &request.rows {
            match text {
                Some(text) => _ = self.rows.insert(*row, text.clone()),
                None => assert!(self.rows.remove(row).is_some(), "a row that is not there goes"),
            }
        }
        Answer::Yes
    }

    fn news(&self, base: Version) -> Answer {
        let version = self.version;
        let log =
            |log: &[(Version, Vec<Row>)]| -> Vec<_> { log.iter().map(|(version, _)| *version).collect() };
        match self.log.iter().position(|(version, _)| *version == base) {
            Some(at) if version.number > 0 => {
                let since = &self.log[at + 1..];
                let names: BTreeSet<Row> = since.iter().flat_map(|(_, rows)| rows).copied().collect();
                Answer::Changed {
                    version,
                    rows: names
                        .into_iter()
                        .map(|row| (row, self.rows.get(&row).cloned()))
                        .collect(),
                    log: log(since),
                }
            }
            _ => Answer::Whole {
                version,
                rows: self.rows.clone().into_iter().collect(),
                log: log(&self.log),
                before: self.before.clone(),
            },
        }
    }
}
