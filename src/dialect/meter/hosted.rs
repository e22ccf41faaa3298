//! Tools that the provider ran for a call, as its answer tells of them: each has a price of its own.
//!
//! OpenAI's Responses list what was done item by item, in the whole answer and once more as a stream's items
//! are done; some backends leave the list out at the end of a stream. What was listed and what passed are
//! counted apart, and the larger counts. `tool_usage` counts some of it, and its word goes before a count of
//! items. Only searches are charged: opening a page and looking into it are items of the same type.
//! Google names the queries that it searched for, in every piece or in the last; each counts once.
//!
//! Sources: OpenAI's pages "Web search", "File search", "Code interpreter" and "Pricing"; Google's pages "Grounding with
//! Google Search" and "Gemini Developer API pricing".

use serde_json::Value;

use crate::dialect::meter::count::{MOST_TOKENS, count};
use crate::model::charge::Item;
use crate::model::price::Terms;

/// The most containers and queries that are distinguished in one answer.
const MOST_DISTINCT: usize = 1_000;

/// Types of items that cost nothing beside their tokens, though their names end like those that do.
const FREE: [&str; 7] = [
    "function_call",
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "apply_patch_call",
    "mcp_call",
    "tool_search_call",
];

/// The counts so far.
#[derive(Debug, Default)]
pub struct HostedCalls {
    /// Of the item that the event under way is about.
    item: Option<Box<Items>>,
    /// That event says the item is done.
    done: bool,
    /// Of the list that the text under way has.
    list: Option<Box<Items>>,
    /// Of all items that were done.
    passed: Option<Box<Items>>,
    /// Of the longest list.
    listed: Option<Box<Items>>,
    tool_usage: Option<Box<ToolUsage>>,
    image_model: Option<String>,
    preview: bool,
    queries: Vec<u64>,
    searched: bool,
    cited: bool,
    maps: bool,
}

/// Items of an answer.
#[derive(Debug, Default)]
struct Items {
    web: u64,
    /// Of these, the ones that only looked at a page.
    looks: u64,
    files: u64,
    images: u64,
    code: bool,
    containers: Vec<u64>,
    unknown: bool,
}

/// OpenAI's own count.
#[derive(Debug, Default)]
struct ToolUsage {
    searches: u64,
    text: u64,
    images_in: u64,
    images_out: u64,
}

impl HostedCalls {
    /// The type of an item of a list.
    pub fn listed_type(&mut self, value: &Value) {
        self.list.get_or_insert_default().kind(value);
    }

    /// The type of its `action`.
    pub fn listed_action(&mut self, value: &Value) {
        self.list.get_or_insert_default().action(value);
    }

    /// Where its code runs.
    pub fn listed_container(&mut self, value: &Value) {
        self.list.get_or_insert_default().container(value);
    }

    /// The same of the item that a stream's event is about.
    pub fn item_type(&mut self, value: &Value) {
        self.item.get_or_insert_default().kind(value);
    }

    pub fn item_action(&mut self, value: &Value) {
        self.item.get_or_insert_default().action(value);
    }

    pub fn item_container(&mut self, value: &Value) {
        self.item.get_or_insert_default().container(value);
    }

    /// The event under way says that its item is done.
    pub fn item_is_done(&mut self) {
        self.done = true;
    }

    /// The type of a tool that the call could use.
    pub fn tool_type(&mut self, value: &Value) {
        self.preview |= value
            .as_str()
            .is_some_and(|kind| kind.starts_with("web_search_preview"));
    }

    /// The settings of OpenAI's image generation tool.
    pub fn image_model(&mut self, value: &Value) {
        if let Some(model) = value.as_str().filter(|model| model.len() <= 200) {
            self.image_model = Some(model.to_owned());
        }
    }

    /// OpenAI's `tool_usage`.
    pub fn tool_usage(&mut self, value: &Value) {
        let figure = |path: &str| {
            let named = value.pointer(path).and_then(count).unwrap_or_default();
            named.min(MOST_TOKENS)
        };
        let input = figure("/image_gen/input_tokens");
        let images = figure("/image_gen/input_tokens_details/image_tokens").min(input);
        let told = self.tool_usage.get_or_insert_default();
        told.searches = told.searches.max(figure("/web_search/num_requests"));
        told.text = told.text.max(input - images);
        told.images_in = told.images_in.max(images);
        told.images_out = told.images_out.max(figure("/image_gen/output_tokens"));
    }

    /// Queries that Google searched for. Empty ones are not charged.
    pub fn queries(&mut self, value: &Value) {
        for query in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !query.trim().is_empty() {
                remember(&mut self.queries, query);
            }
        }
    }

    /// The answer rests on a search, without further details.
    pub fn searched(&mut self) {
        self.searched = true;
    }

    /// The answer cites pages of the web. How often was searched for them is known only if the queries are named.
    pub fn cited(&mut self) {
        self.cited = true;
    }

    /// The answer rests on Google Maps.
    pub fn looked_at_maps(&mut self) {
        self.maps = true;
    }

    /// A text of the stream is over.
    pub(crate) fn text_ends(&mut self) {
        if let Some(item) = self.item.take()
            && self.done
        {
            self.passed.get_or_insert_default().add(*item);
        }
        self.done = false;
        if let Some(list) = self.list.take() {
            let listed = self.listed.take().unwrap_or_default();
            self.listed = Some(Box::new(listed.max(*list)));
        }
    }

    /// Adds what was used to the call's terms, and tells whether something was used of which it is not known
    /// what it costs.
    pub(crate) fn tell(mut self, terms: &mut Terms) -> bool {
        self.text_ends();
        let items = self
            .passed
            .unwrap_or_default()
            .max(*self.listed.unwrap_or_default());
        let told = self.tool_usage.unwrap_or_default();
        let counted = items.web.saturating_sub(items.looks);
        let queries = self.queries.len() as u64;
        let searches = if told.searches > 0 { told.searches } else { counted };
        let searches = searches.max(queries).max(u64::from(self.searched || self.cited));
        let search = if self.preview {
            Item::WebSearchPreview
        } else {
            Item::WebSearch
        };
        let drawn = told.text + told.images_in + told.images_out > 0;
        for (item, count) in [
            (search, searches),
            (Item::FileSearch, items.files),
            (
                Item::CodeSession,
                (items.containers.len() as u64).max(u64::from(items.code)),
            ),
            (Item::MapsSearch, u64::from(self.maps)),
            (Item::ToolText, told.text),
            (Item::ToolImageInput, told.images_in),
            (Item::ToolImageOutput, told.images_out),
            (Item::ToolImage, if drawn { 0 } else { items.images }),
        ] {
            terms.extras.raise(item, count);
        }
        if self.image_model.is_some() {
            terms.image_model = self.image_model;
        }
        items.unknown || (self.cited && queries == 0)
    }
}

impl Items {
    fn kind(&mut self, value: &Value) {
        match value.as_str().unwrap_or_default() {
            "web_search_call" => self.web += 1,
            "file_search_call" => self.files += 1,
            "image_generation_call" => self.images += 1,
            "code_interpreter_call" => self.code = true,
            kind => self.unknown |= kind.ends_with("_call") && !FREE.contains(&kind),
        }
    }

    fn action(&mut self, value: &Value) {
        let looks = matches!(value.as_str(), Some("open_page" | "find_in_page" | "find"));
        self.looks += u64::from(looks);
    }

    fn container(&mut self, value: &Value) {
        if let Some(id) = value.as_str() {
            remember(&mut self.containers, id);
        }
    }

    fn add(&mut self, other: Self) {
        self.web = self.web.saturating_add(other.web);
        self.looks = self.looks.saturating_add(other.looks);
        self.files = self.files.saturating_add(other.files);
        self.images = self.images.saturating_add(other.images);
        self.code |= other.code;
        self.unknown |= other.unknown;
        for id in other.containers {
            keep(&mut self.containers, id);
        }
    }

    /// The larger of both, each count by itself.
    fn max(self, other: Self) -> Self {
        let (web, looks) = if self.web >= other.web {
            (self.web, self.looks)
        } else {
            (other.web, other.looks)
        };
        Self {
            web,
            looks,
            files: self.files.max(other.files),
            images: self.images.max(other.images),
            code: self.code || other.code,
            containers: if self.containers.len() >= other.containers.len() {
                self.containers
            } else {
                other.containers
            },
            unknown: self.unknown || other.unknown,
        }
    }
}

/// Keeps what tells this text from others.
fn remember(known: &mut Vec<u64>, text: &str) {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    keep(known, hasher.finish());
}

fn keep(known: &mut Vec<u64>, id: u64) {
    if known.len() < MOST_DISTINCT && !known.contains(&id) {
        known.push(id);
    }
}
