//! Provider-run tools reported in an answer, each with its own price.
//!
//! OpenAI's Responses list items in the whole answer, and in a stream also one by one; some backends omit the
//! list at the end of a stream. Both are counted separately, and the larger count applies. `tool_usage` counts
//! some of them and takes precedence. Only searches are charged, but opening a page is an item of the same type.
//! Google lists its search queries, in every piece or in the last; each distinct query counts once.
//!
//! Sources: OpenAI's pages "Web search", "File search", "Code interpreter" and "Pricing"; Google's pages
//! "Grounding with Google Search" and "Gemini Developer API pricing".

use serde_json::Value;

use crate::dialect::meter::count::{MOST_TOKENS, count};
use crate::model::charge::Item;
use crate::model::price::Terms;

/// Maximum number of distinct containers and queries per answer.
const MOST_DISTINCT: usize = 1_000;

/// Item types that cost only their tokens, although their names look like those that cost more.
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
    /// The item of the current event.
    item: Option<Box<Items>>,
    /// The current event says that the item is done.
    done: bool,
    /// The items of the current text's list.
    list: Option<Box<Items>>,
    /// All items that were done one by one.
    passed: Option<Box<Items>>,
    /// The items of the longest list.
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
    /// Those that only opened a page.
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

    /// The type of a listed item's `action`.
    pub fn listed_action(&mut self, value: &Value) {
        self.list.get_or_insert_default().action(value);
    }

    /// The container of a listed item.
    pub fn listed_container(&mut self, value: &Value) {
        self.list.get_or_insert_default().container(value);
    }

    /// The type of the item in a stream's event.
    pub fn item_type(&mut self, value: &Value) {
        self.item.get_or_insert_default().kind(value);
    }

    pub fn item_action(&mut self, value: &Value) {
        self.item.get_or_insert_default().action(value);
    }

    pub fn item_container(&mut self, value: &Value) {
        self.item.get_or_insert_default().container(value);
    }

    /// The current event says that its item is done.
    pub fn item_is_done(&mut self) {
        self.done = true;
    }

    /// The type of a tool available to the call.
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
        let usage = self.tool_usage.get_or_insert_default();
        usage.searches = usage.searches.max(figure("/web_search/num_requests"));
        usage.text = usage.text.max(input - images);
        usage.images_in = usage.images_in.max(images);
        usage.images_out = usage.images_out.max(figure("/image_gen/output_tokens"));
    }

    /// Google's search queries. Empty ones are not charged.
    pub fn queries(&mut self, value: &Value) {
        for query in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !query.trim().is_empty() {
                remember(&mut self.queries, query);
            }
        }
    }

    /// The answer used a search, without details.
    pub fn searched(&mut self) {
        self.searched = true;
    }

    /// The answer cites web pages. The number of searches is known only if the queries are listed.
    pub fn cited(&mut self) {
        self.cited = true;
    }

    /// The answer used Google Maps.
    pub fn looked_at_maps(&mut self) {
        self.maps = true;
    }

    /// Called at the end of each JSON text of the stream.
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

    /// Adds the tools to the call's terms. Returns whether a tool with an unknown price was used.
    pub(crate) fn tell(mut self, terms: &mut Terms) -> bool {
        self.text_ends();
        let items = self
            .passed
            .unwrap_or_default()
            .max(*self.listed.unwrap_or_default());
        let usage = self.tool_usage.unwrap_or_default();
        let counted = items.web.saturating_sub(items.looks);
        let queries = self.queries.len() as u64;
        let searches = if usage.searches > 0 {
            usage.searches
        } else {
            counted
        };
        let searches = searches.max(queries).max(u64::from(self.searched || self.cited));
        let search = if self.preview {
            Item::WebSearchPreview
        } else {
            Item::WebSearch
        };
        let drawn = usage.text + usage.images_in + usage.images_out > 0;
        for (item, count) in [
            (search, searches),
            (Item::FileSearch, items.files),
            (
                Item::CodeSession,
                (items.containers.len() as u64).max(u64::from(items.code)),
            ),
            (Item::MapsSearch, u64::from(self.maps)),
            (Item::ToolText, usage.text),
            (Item::ToolImageInput, usage.images_in),
            (Item::ToolImageOutput, usage.images_out),
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

    /// The larger value of each count.
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

/// Remembers a text by its hash.
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
