//! A string of a JSON body, borrowed unless it contains escapes.

#[cfg(test)]
#[path = "text/counted.rs"]
pub(crate) mod equal;
#[cfg(not(test))]
pub(crate) mod equal;

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use self::equal::equal;

/// Serde copies a plain `Cow` inside an `Option` or `Vec`; this type borrows.
#[derive(Clone, Debug, Default, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        equal(self, other)
    }
}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, to: &mut H) {
        self.0.hash(to);
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}
