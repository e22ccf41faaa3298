//! A map that keeps the order of insertion.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::convert::messages_to_gemini::text::Text;

/// A map that keeps the order of insertion and the first value of each name.
pub(super) struct OrderedMap<'a, T> {
    places: HashMap<Text<'a>, usize>,
    items: Vec<(Text<'a>, T)>,
}

impl<T> Default for OrderedMap<'_, T> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            items: Vec::new(),
        }
    }
}

impl<'a, T> OrderedMap<'a, T> {
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

impl<'a, T> IntoIterator for OrderedMap<'a, T> {
    type Item = (Text<'a>, T);
    type IntoIter = std::vec::IntoIter<(Text<'a>, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}
