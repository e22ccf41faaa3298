//! Names in the order they came, each once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::convert::messages_to_gemini::text::Text;

/// Names with something of each, found by hash; of a name that comes twice the first is kept.
pub(super) struct Joined<'a, T> {
    places: HashMap<Text<'a>, usize>,
    items: Vec<(Text<'a>, T)>,
}

impl<T> Default for Joined<'_, T> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            items: Vec::new(),
        }
    }
}

impl<'a, T> Joined<'a, T> {
    pub(super) fn join(&mut self, name: Text<'a>, item: T) {
        if let Entry::Vacant(place) = self.places.entry(name.clone()) {
            place.insert(self.items.len());
            self.items.push((name, item));
        }
    }

    pub(super) fn has(&self, name: &Text<'a>) -> bool {
        self.places.contains_key(name)
    }
}

impl<'a, T> IntoIterator for Joined<'a, T> {
    type Item = (Text<'a>, T);
    type IntoIter = std::vec::IntoIter<(Text<'a>, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}
