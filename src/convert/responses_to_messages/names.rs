//! Names of tools as Claude takes them, and which tool of the client's each is.
//!
//! A tool in a namespace is sent as `namespace__tool`; a name in another alphabet, or of more than 64 letters, is cut
//! and given a hash of itself. The new name follows from the old one alone, so calls of earlier turns keep theirs.

use std::collections::HashMap;

use crate::convert::messages::names::fitted;

/// What a tool is to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Function,
    /// Its input is a text.
    Custom,
    /// Codex' `local_shell`.
    LocalShell,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tool {
    pub kind: Kind,
    pub namespace: Option<String>,
    pub name: String,
}

/// The tools of a request, by the names that are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tools(HashMap<String, Tool>);

impl Tools {
    /// The name to send of a tool, which is remembered. The first of two of one name wins.
    pub(super) fn send(&mut self, kind: Kind, namespace: Option<&str>, name: &str) -> String {
        let sent = sent(namespace, name);
        self.0.entry(sent.clone()).or_insert_with(|| Tool {
            kind,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        });
        sent
    }

    /// The client's tool of this name.
    pub(super) fn of(&self, sent: &str) -> Option<&Tool> {
        self.0.get(sent)
    }
}

/// The name to send.
pub(super) fn sent(namespace: Option<&str>, name: &str) -> String {
    match namespace.filter(|namespace| !namespace.is_empty()) {
        Some(namespace) => fitted(&format!("{namespace}__{name}")).into_owned(),
        None => fitted(name).into_owned(),
    }
}
