//! Names of tools as Claude accepts them, and the client's tool for each.
//!
//! A tool in a namespace is sent as `namespace__tool`. A name in another alphabet, or of more than 64 letters, is
//! cut and gets a hash as its suffix. The new name depends only on the old one, so calls of earlier turns keep
//! theirs.

use std::collections::HashMap;

use crate::convert::messages::names::fitted;

/// The kind of the client's tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Function,
    /// Its input is free text.
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

/// The tools of a request by the names sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tools(HashMap<String, Tool>);

impl Tools {
    /// Returns the name to send and remembers the tool. For duplicate names the first tool wins.
    pub(super) fn send(&mut self, kind: Kind, namespace: Option<&str>, name: &str) -> String {
        let sent = sent(namespace, name);
        self.0.entry(sent.clone()).or_insert_with(|| Tool {
            kind,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        });
        sent
    }

    /// The client's tool for a name that was sent.
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
