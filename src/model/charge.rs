//! Items besides text tokens that a call used, and their cost.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::money::MicroUsd;

/// An item with its own price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChargedItem)]
pub enum Item {
    /// Web searches by the provider.
    WebSearch,
    /// Web searches by OpenAI's earlier tool, `web_search_preview`, at other prices.
    WebSearchPreview,
    /// Searches in files stored at the provider.
    FileSearch,
    /// Sessions of a code execution container.
    CodeSession,
    /// Google Maps look-ups.
    MapsSearch,
    /// Tokens of spoken input, included in the call's `input`; likewise images and videos.
    InputAudio,
    InputImage,
    InputVideo,
    /// Cached tokens of spoken input, included in `cacheRead`.
    CachedAudio,
    /// Tokens of spoken output, included in `output`; likewise images and videos.
    OutputAudio,
    OutputImage,
    OutputVideo,
    /// Text tokens that OpenAI's image generation tool sent to its own model. They are not included in the call's
    /// tokens, and neither are the image tokens below.
    ToolText,
    /// Tokens of images sent to this tool.
    ToolImageInput,
    /// Tokens of images made by this tool.
    ToolImageOutput,
    /// Images made by this tool without a token count.
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

/// The count of each [`Item`] in a call.
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

    /// Raises the count to at least this value, because cumulative figures do not fall.
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

/// A call's charge for one item. It is included in the call's cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    pub item: Item,
    pub count: u64,
    /// For all of them, rounded separately.
    pub cost: MicroUsd,
    /// The price is unknown: the highest comparable one was charged, and the event's quality is `estimated`.
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
