//! The conversation that a follow-up continues.
//!
//! Providers are asked over HTTP, one call per turn, and most keep no answer there: Codex asks with `store: false`, and
//! other platforms have nothing like it. So the items of the last response and of its input are kept, bounded, and a
//! follow-up is sent with all of them; any account can serve it then. What a provider has stored it can continue
//! itself: its id is sent on, and nothing is kept.

use bytes::Bytes;

use crate::dialect::wire::object::Object;

/// Maximum size of the items of one connection, bytes.
pub(crate) const MOST: usize = 16 << 20;

/// Items as JSON text, joined by commas, without brackets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Items {
    /// The input of the last turn; a part of its body.
    input: Bytes,
    /// What the model added.
    output: Vec<u8>,
}

/// The last response of a connection.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    id: Option<String>,
    items: Kept,
}

/// Where the last response's items are.
#[derive(Debug, Default)]
enum Kept {
    /// Here.
    Here(Items),
    /// At the provider.
    Stored,
    /// They were too large.
    #[default]
    Dropped,
}

/// What a response is that a follow-up refers to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Previous<'a> {
    /// Its items precede the new ones.
    Items(&'a Items),
    /// The provider knows it.
    Stored,
    /// It was this connection's, and is kept no more.
    Dropped,
    /// It is not of this connection.
    Unknown,
}

impl Items {
    pub(crate) fn new(input: Bytes, output: Vec<u8>) -> Self {
        Self { input, output }
    }

    pub(crate) fn len(&self) -> usize {
        self.input.len() + self.output.len()
    }

    /// Writes them before other items.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        join(out, &self.input);
        join(out, &self.output);
    }
}

impl Carried {
    /// A finished response. `items`: `None` if they are too large.
    pub(crate) fn keep(&mut self, id: String, items: Option<Items>) {
        self.id = Some(id);
        self.items = items
            .filter(|items| items.len() <= MOST)
            .map_or(Kept::Dropped, Kept::Here);
    }

    /// A finished response that its provider stored.
    pub(crate) fn stored(&mut self, id: String) {
        self.id = Some(id);
        self.items = Kept::Stored;
    }

    /// Forgets the items: there is no memory for them.
    pub(crate) fn drop_items(&mut self) {
        self.items = Kept::Dropped;
    }

    /// Bytes kept.
    pub(crate) fn size(&self) -> usize {
        match &self.items {
            Kept::Here(items) => items.len(),
            Kept::Stored | Kept::Dropped => 0,
        }
    }

    pub(crate) fn previous(&self, id: &str) -> Previous<'_> {
        if self.id.as_deref() != Some(id) {
            return Previous::Unknown;
        }
        match &self.items {
            Kept::Here(items) => Previous::Items(items),
            Kept::Stored => Previous::Stored,
            Kept::Dropped => Previous::Dropped,
        }
    }
}

/// Appends items to others.
pub(crate) fn join(items: &mut Vec<u8>, more: &[u8]) {
    if more.is_empty() {
        return;
    }
    if !items.is_empty() && items.last() != Some(&b'[') {
        items.push(b',');
    }
    items.extend_from_slice(more);
}

/// An item of an answer as Codex gives it back over HTTP: without the id under which it is stored nowhere. APIs look
/// such ids up, and refuse those that they do not find. Items that need their id keep it.
pub(crate) fn given_back(item: &str) -> Vec<u8> {
    let unchanged = || item.as_bytes().to_vec();
    let Some(object) = Object::of(item) else {
        return unchanged();
    };
    let kind: String = object.get("type").unwrap_or_default();
    let named_by_id = !matches!(
        kind.as_str(),
        "message"
            | "reasoning"
            | "function_call"
            | "custom_tool_call"
            | "local_shell_call"
            | "web_search_call"
    );
    if named_by_id {
        return unchanged();
    }
    let mut out = Vec::with_capacity(item.len());
    out.push(b'{');
    for (name, value) in object.members().filter(|(name, _)| *name != "id") {
        member(&mut out, name, value.get().as_bytes());
    }
    out.push(b'}');
    out
}

/// Appends a member to an object that is being written.
pub(crate) fn member(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(value);
}
