//! Items that a call used beside text tokens, and their cost.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::money::MicroUsd;

/// A thing with a price of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChargedItem)]
pub enum Item {
    /// Searches on the web that the provider made.
    WebSearch,
    /// The same by OpenAI's earlier tool, `web_search_preview`, which has other prices.
    WebSearchPreview,
    /// Searches in files kept at the provider.
    FileSearch,
    /// Sessions of a container that runs code.
    CodeSession,
    /// Look-ups on Google Maps.
    MapsSearch,
    /// Tokens of spoken input, which are part of the call's `input`; so are images and videos.
    InputAudio,
    InputImage,
    InputVideo,
    /// Tokens of spoken input that came from the cache: part of `cacheRead`.
    CachedAudio,
    /// Tokens of spoken output: part of `output`; so are images and videos.
    OutputAudio,
    OutputImage,
    OutputVideo,
    /// Text tokens that OpenAI's image generation tool gave to its own model. They are not in the call's
    /// tokens, and neither are the images' below.
    ToolText,
    /// Tokens of images that this tool was given.
    ToolImageInput,
    /// Tokens of images that this tool drew.
    ToolImageOutput,
    /// Images that this tool drew without saying how many tokens they took.
    ToolImage,
}

impl Item {
    pub const ALL: [Self; 16] = [
        Self::WebSearch,
        Self::WebSearchPreview,
        Self::FileSearch,
        Self::CodeSession,
        Self::MapsSearch,
        Self::InputAudio,
        Self::InputImage,
        Self::InputVideo,
        Self::CachedAudio,
        Self::OutputAudio,
        Self::OutputImage,
        Self::OutputVideo,
        Self::ToolText,
        Self::ToolImageInput,
        Self::ToolImageOutput,
        Self::ToolImage,
    ];
}

/// How many of each [`Item`] a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras([u64; Item::ALL.len()]);

impl Extras {
    pub fn get(&self, item: Item) -> u64 {
        self.0.get(item as usize).copied().unwrap_or_default()
    }

    pub fn set(&mut self, item: Item, count: u64) {
        if let Some(slot) = self.0.get_mut(item as usize) {
            *slot = count;
        }
    }

    /// Raises the count to at least this: cumulative figures do not fall.
    pub fn raise(&mut self, item: Item, count: u64) {
        self.set(item, self.get(item).max(count));
    }

    pub fn with(mut self, item: Item, count: u64) -> Self {
        self.set(item, count);
        self
    }

    /// The items present, with their counts.
    pub fn used(&self) -> impl Iterator<Item = (Item, u64)> {
        Item::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

/// A call's charge for one item, in its record. The call's cost includes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    pub item: Item,
    pub count: u64,
    /// Of all of them; rounded by itself.
    pub cost: MicroUsd,
    /// No price is known: the dearest comparable one was taken, and the event's quality is `estimated`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guessed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_has_a_place_of_its_own() {
        let mut extras = Extras::default();
        assert_eq!(extras.used().count(), 0);
        for (at, item) in Item::ALL.into_iter().enumerate() {
            assert_eq!(item as usize, at);
            extras.set(item, at as u64 + 1);
        }
        let used: Vec<_> = extras.used().collect();
        assert_eq!(used.len(), Item::ALL.len());
        for (at, (item, count)) in used.into_iter().enumerate() {
            assert_eq!((item, count), (Item::ALL[at], at as u64 + 1));
        }
    }

    #[test]
    fn a_count_does_not_fall() {
        let mut extras = Extras::default().with(Item::WebSearch, 3);
        extras.raise(Item::WebSearch, 2);
        assert_eq!(extras.get(Item::WebSearch), 3);
    }
}
