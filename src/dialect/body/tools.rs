//! Tools in a request that the provider runs and that have their own price.
//!
//! | protocol | declaration |
//! | --- | --- |
//! | Anthropic's | `{"type": "web_search_20250305", "max_uses": 5}`, `code_execution_20250825` |
//! | OpenAI's Responses | `{"type": "web_search"}`, `web_search_preview`, `file_search`, `code_interpreter`, `image_generation` |
//! | OpenAI's chat | the field `web_search_options` |
//! | Google's | `{"googleSearch": {}}`, `{"google_search": {}}`, `{"googleMaps": {}}` |
//!
//! Sources: Anthropic's pages "Web search tool" and "Code execution tool"; OpenAI's API reference, `tools` of
//! Responses and `web_search_options` of Chat Completions; Google's page "Grounding with Google Search".

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::charge::{Extras, Item};

/// The tools that a request declares. The answer reports which were used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostedTools {
    /// Maximum number of searches; `None`: no search tool.
    pub searches: Option<u64>,
    /// With OpenAI's earlier tool.
    pub preview: bool,
    pub maps: bool,
    pub files: bool,
    pub code: bool,
    pub images: bool,
    /// The settings of image generation.
    pub image_model: Option<String>,
}

/// Number of searches that most calls do not exceed.
const USUAL_SEARCHES: u64 = 10;

/// The same for file searches.
const USUAL_FILE_SEARCHES: u64 = 2;

/// A list of tools without any of these texts declares nothing of interest, which is true for most long lists.
const HINTS: [&[u8]; 8] = [
    b"\"web_search",
    b"\"code_",
    b"\"file_search",
    b"\"image_gen",
    b"\"googleS",
    b"\"google_s",
    b"\"googleM",
    b"\"google_m",
];

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(default, borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(default)]
    max_uses: Option<Value>,
    #[serde(default)]
    model: Option<Value>,
    #[serde(
        default,
        borrow,
        alias = "google_search",
        alias = "googleSearchRetrieval",
        alias = "google_search_retrieval",
        rename = "googleSearch"
    )]
    google_search: Option<&'a RawValue>,
    #[serde(default, borrow, alias = "google_maps", rename = "googleMaps")]
    google_maps: Option<&'a RawValue>,
}

impl HostedTools {
    /// Parses the raw value of `tools`. Unreadable ones are ignored, because the provider will refuse them.
    pub fn read(tools: &[u8]) -> Self {
        let mut found = Self::default();
        if !HINTS
            .iter()
            .any(|hint| memchr::memmem::find(tools, hint).is_some())
        {
            return found;
        }
        for tool in serde_json::from_slice::<Vec<&RawValue>>(tools).unwrap_or_default() {
            if let Ok(tool) = serde_json::from_slice(tool.get().as_bytes()) {
                found.add(&tool);
            }
        }
        found
    }

    /// Adds a search that another field allows.
    pub fn and_search(mut self, allowed: bool) -> Self {
        if allowed {
            // One search per answer.
            self.searches = Some(self.searches.unwrap_or(1));
        }
        self
    }

    fn add(&mut self, tool: &Tool<'_>) {
        let kind = tool
            .kind
            .and_then(|kind| serde_json::from_slice::<String>(kind.get().as_bytes()).ok())
            .unwrap_or_default();
        if kind.starts_with("web_search") || tool.google_search.is_some() {
            let most = tool.max_uses.as_ref().and_then(Value::as_u64);
            let most = most.unwrap_or(USUAL_SEARCHES).min(USUAL_SEARCHES);
            self.searches = Some(self.searches.unwrap_or_default().saturating_add(most));
            self.preview |= kind.starts_with("web_search_preview");
        }
        self.maps |= tool.google_maps.is_some();
        self.files |= kind == "file_search";
        self.code |= kind == "code_interpreter" || kind.starts_with("code_execution");
        if kind == "image_generation" {
            self.images = true;
            let model = tool.model.as_ref().and_then(Value::as_str);
            self.image_model = model.filter(|model| model.len() <= 200).map(str::to_owned);
        }
    }

    /// The assumed usage of such a call until its answer reports the real one.
    pub fn usual(&self) -> Extras {
        let search = if self.preview {
            Item::WebSearchPreview
        } else {
            Item::WebSearch
        };
        Extras::default()
            .with(search, self.searches.unwrap_or_default())
            .with(Item::MapsSearch, u64::from(self.maps))
            .with(Item::FileSearch, if self.files { USUAL_FILE_SEARCHES } else { 0 })
            .with(Item::CodeSession, u64::from(self.code))
            .with(Item::ToolImage, u64::from(self.images))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usual(tools: &Value) -> Vec<(Item, u64)> {
        HostedTools::read(tools.to_string().as_bytes())
            .usual()
            .used()
            .collect()
    }

    #[test]
    fn every_protocols_tools_are_known() {
        for (tool, item, count) in [
            (
                json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 3}),
                Item::WebSearch,
                3,
            ),
            (
                json!({"type": "web_search_20250305", "max_uses": 500}),
                Item::WebSearch,
                USUAL_SEARCHES,
            ),
            (json!({"type": "web_search"}), Item::WebSearch, USUAL_SEARCHES),
            (
                json!({"type": "web_search", "max_uses": "many"}),
                Item::WebSearch,
                USUAL_SEARCHES,
            ),
            (
                json!({"type": "web_search_preview_2025_03_11"}),
                Item::WebSearchPreview,
                USUAL_SEARCHES,
            ),
            (json!({"googleSearch": {}}), Item::WebSearch, USUAL_SEARCHES),
            (json!({"google_search": {}}), Item::WebSearch, USUAL_SEARCHES),
            (json!({"googleMaps": {}}), Item::MapsSearch, 1),
            (
                json!({"type": "file_search", "vector_store_ids": ["v"]}),
                Item::FileSearch,
                USUAL_FILE_SEARCHES,
            ),
            (
                json!({"type": "code_interpreter", "container": {"type": "auto"}}),
                Item::CodeSession,
                1,
            ),
            (
                json!({"type": "code_execution_20250825", "name": "code_execution"}),
                Item::CodeSession,
                1,
            ),
            (json!({"type": "image_generation"}), Item::ToolImage, 1),
        ] {
            let client_tool = json!({"type": "function", "name": "f", "parameters": {"type": "object"}});
            assert_eq!(usual(&json!([client_tool, tool])), [(item, count)], "{tool}");
        }
    }

    #[test]
    fn a_clients_own_tools_cost_nothing() {
        for tools in [
            json!([]),
            json!([{"name": "WebSearch", "description": "like \"web_search\"", "input_schema": {}}]),
            json!([{"type": "function", "name": "web_search"}, {"type": "custom", "name": "code_runner"}]),
            json!([{"functionDeclarations": [{"name": "googleSearch"}]}]),
            json!({"type": "web_search"}),
            json!(["web_search"]),
            json!("web_search"),
        ] {
            assert_eq!(usual(&tools), [], "{tools}");
        }
    }

    #[test]
    fn the_model_that_draws_is_kept() {
        let tools = json!([{"type": "image_generation", "model": "gpt-image-2"}]);
        let read = HostedTools::read(tools.to_string().as_bytes());
        assert_eq!(read.image_model.as_deref(), Some("gpt-image-2"));
    }

    #[test]
    fn a_chat_that_may_search_searches_once() {
        let usual = HostedTools::default().and_search(true).usual();
        assert_eq!(usual.get(Item::WebSearch), 1);
    }
}
