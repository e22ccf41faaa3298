//! The embedded table. Missing prices are derived by the providers' rules.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use serde::Deserialize;

use crate::model::charge::Item;
use crate::model::name::spellings;

static JSON: &str = include_str!("../../../assets/prices.json");

/// The vendor family of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    Claude,
    OpenAi,
    Gemini,
}

/// Pico-USD per token, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub input: u64,
    pub output: u64,
    /// Shorter cache writes (Claude: 5 minutes).
    pub cache_write: u64,
    /// Longer cache writes (Claude: 1 hour).
    pub cache_write_long: u64,
    pub cache_read: u64,
    pub media: Media,
}

/// Pico-USD per token other than text; `None`: the table has no separate price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Media {
    #[serde(rename = "inAudio")]
    pub input_audio: Option<u64>,
    #[serde(rename = "inImage")]
    pub input_image: Option<u64>,
    #[serde(rename = "inVideo")]
    pub input_video: Option<u64>,
    #[serde(rename = "readAudio")]
    pub cached_audio: Option<u64>,
    #[serde(rename = "outAudio")]
    pub output_audio: Option<u64>,
    #[serde(rename = "outImage")]
    pub output_image: Option<u64>,
    #[serde(rename = "outVideo")]
    pub output_video: Option<u64>,
}

/// Micro-USD per call of a tool that the provider runs; `None`: not in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Calls {
    pub(super) search: Option<u64>,
    pub(super) search_preview: Option<u64>,
    pub(super) file_search: Option<u64>,
    pub(super) code_session: Option<u64>,
    pub(super) maps: Option<u64>,
}

/// All prices of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    standard: Ladder,
    /// Prices of service tiers, by the provider's name for them.
    tiers: BTreeMap<String, Ladder>,
    /// Price multiplier in fast mode, in thousandths.
    pub(super) fast: u32,
    /// Price multiplier for inference restricted to the USA, in thousandths.
    pub(super) us_only: u32,
    pub(super) calls: Calls,
    /// Searches and look-ups are charged once per prompt, whatever their number.
    pub(super) per_prompt: bool,
    /// Shut down before the table was made: still priced, but ignored for the prices of unknown models.
    pub(super) retired: bool,
    /// `None` for entries outside of the table.
    pub(super) family: Option<Family>,
}

/// Prices by prompt length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ladder {
    base: Rates,
    /// Threshold and prices for longer prompts, ascending.
    above: Vec<(u64, Rates)>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    version: String,
    models: HashMap<String, Entry>,
    claude: Entry,
    openai: Entry,
    gemini: Entry,
    antigravity: Entry,
    /// Prices of tools that no model's entry has.
    claude_calls: Calls,
    openai_calls: Calls,
    /// Prices of OpenAI's image generation tool, by its model.
    images: HashMap<String, Rates>,
    dearest_image: Rates,
    /// The same models called directly.
    drawing: HashMap<String, Entry>,
}

impl Family {
    /// The family, by the prefix of the model's name.
    pub fn of_name(model: &str) -> Option<Self> {
        spellings(model).iter().find_map(|name| {
            let first = name.split(['-', '.', ':']).next()?;
            Some(match first {
                "claude" => Self::Claude,
                "gemini" | "gemma" | "learnlm" => Self::Gemini,
                "gpt" | "chatgpt" | "codex" | "o1" | "o3" | "o4" => Self::OpenAi,
                _ => return None,
            })
        })
    }
}

impl Table {
    pub(super) fn embedded() -> &'static Self {
        static TABLE: OnceLock<Table> = OnceLock::new();
        // The file is part of the build and checked by tests, so reading cannot fail.
        TABLE.get_or_init(|| Self::read(JSON).unwrap_or_default())
    }

    /// A model that makes images.
    pub(super) fn drawing(&self, name: &str) -> Option<&Entry> {
        self.drawing.get(name)
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// A name as the table has it.
    pub(super) fn name(&self, name: &str) -> Option<&str> {
        self.models.get_key_value(name).map(|(name, _)| name.as_str())
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.models.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.models.get(name)
    }

    pub(super) fn dearest(&self, family: Family) -> &Entry {
        match family {
            Family::Claude => &self.claude,
            Family::OpenAi => &self.openai,
            Family::Gemini => &self.gemini,
        }
    }

    /// Antigravity serves both Gemini and Claude models.
    pub(super) fn dearest_of_antigravity(&self) -> &Entry {
        &self.antigravity
    }

    /// The price of this provider's tools if the model's entry has none. Google's prices all depend on the model.
    pub(super) fn calls(&self, family: Family) -> Calls {
        match family {
            Family::Claude => self.claude_calls,
            Family::OpenAi => self.openai_calls,
            Family::Gemini => Calls::default(),
        }
    }

    /// The prices of a model of OpenAI's image generation tool, and whether they are its own; an unknown model
    /// gets the highest.
    pub(super) fn image_model(&self, name: Option<&str>) -> (&Rates, bool) {
        let known = name.and_then(|name| spellings(name).iter().find_map(|name| self.images.get(name)));
        known.map_or((&self.dearest_image, false), |rates| (rates, true))
    }

    fn read(json: &str) -> Result<Self, serde_json::Error> {
        let file: File = serde_json::from_slice(json.as_bytes())?;
        let mut table = Self {
            version: file.version,
            claude_calls: file.tools.claude,
            openai_calls: file.tools.openai,
            ..Self::default()
        };
        for (name, prices) in file.tools.images {
            let rates = prices.over(Family::OpenAi, None);
            table.dearest_image = table.dearest_image.max(&rates);
            table.drawing.insert(name.clone(), Entry::drawing(rates));
            table.images.insert(name, rates);
        }
        for (family, rows, dearest) in [
            (Family::Claude, file.claude, &mut table.claude),
            (Family::OpenAi, file.openai, &mut table.openai),
            (Family::Gemini, file.gemini, &mut table.gemini),
        ] {
            for (name, row) in rows {
                let entry = row.entry(family);
                if !entry.retired {
                    dearest.raise_to(&entry);
                }
                table.models.insert(name, entry);
            }
        }
        table.antigravity = table.claude.clone();
        let gemini = table.gemini.clone();
        table.antigravity.raise_to(&gemini);
        Ok(table)
    }
}

impl Entry {
    /// One price for all tiers and prompt lengths.
    pub(super) fn flat(base: Rates) -> Self {
        Self {
            standard: Ladder {
                base,
                above: Vec::new(),
            },
            fast: 1_000,
            us_only: 1_000,
            ..Self::default()
        }
    }

    /// A model that makes images. What has no price of its own costs as much as what is dearer: text of the output
    /// as an image, cached input as other input.
    fn drawing(rates: Rates) -> Self {
        Self::flat(Rates {
            output: rates.output.max(rates.media.output_image.unwrap_or_default()),
            cache_read: rates.cache_read.max(rates.input),
            ..rates
        })
    }

    pub(super) fn rates(&self, prompt: u64, tier: Option<&str>) -> &Rates {
        tier.and_then(|tier| self.tier(tier))
            .unwrap_or(&self.standard)
            .at(prompt)
    }

    /// Whether prices differ for long prompts, tiers, fast mode or regions.
    pub(super) fn varies(&self) -> bool {
        let times = self.fast.max(self.us_only);
        !self.tiers.is_empty() || !self.standard.above.is_empty() || times > 1_000
    }

    /// Whether the tier has its own prices.
    pub(super) fn sells(&self, tier: &str) -> bool {
        self.tier(tier).is_some()
    }

    fn tier(&self, name: &str) -> Option<&Ladder> {
        // OpenAI renamed its priority tier to `fast` in July 2026 and accepts both names.
        self.tiers.get(if name == "fast" { "priority" } else { name })
    }

    /// Raises every price to at least the other's, for all tiers and prompt lengths.
    fn raise_to(&mut self, other: &Self) {
        let names: Vec<String> = self.tiers.keys().chain(other.tiers.keys()).cloned().collect();
        for name in names {
            let theirs = other.tiers.get(&name).unwrap_or(&other.standard);
            let ours = self.tiers.entry(name).or_insert_with(|| self.standard.clone());
            ours.raise_to(theirs);
        }
        self.standard.raise_to(&other.standard);
        self.fast = self.fast.max(other.fast);
        self.us_only = self.us_only.max(other.us_only);
        self.calls = self.calls.max(&other.calls);
    }
}

impl Calls {
    /// The maximum for each tool.
    fn max(&self, other: &Self) -> Self {
        Self {
            search: self.search.max(other.search),
            search_preview: self.search_preview.max(other.search_preview),
            file_search: self.file_search.max(other.file_search),
            code_session: self.code_session.max(other.code_session),
            maps: self.maps.max(other.maps),
        }
    }

    pub(super) fn of(&self, item: Item) -> Option<u64> {
        match item {
            Item::WebSearch => self.search,
            Item::WebSearchPreview => self.search_preview,
            Item::FileSearch => self.file_search,
            Item::CodeSession => self.code_session,
            Item::MapsSearch => self.maps,
            _ => None,
        }
    }
}

impl Media {
    /// The maximum for each class; any price is above none.
    fn max(&self, other: &Self) -> Self {
        self.join(other, Option::max)
    }

    fn or(&self, other: &Self) -> Self {
        self.join(other, Option::or)
    }

    fn join(&self, other: &Self, one: impl Fn(Option<u64>, Option<u64>) -> Option<u64>) -> Self {
        Self {
            input_audio: one(self.input_audio, other.input_audio),
            input_image: one(self.input_image, other.input_image),
            input_video: one(self.input_video, other.input_video),
            cached_audio: one(self.cached_audio, other.cached_audio),
            output_audio: one(self.output_audio, other.output_audio),
            output_image: one(self.output_image, other.output_image),
            output_video: one(self.output_video, other.output_video),
        }
    }

    pub(super) fn of(&self, item: Item) -> Option<u64> {
        match item {
            Item::InputAudio => self.input_audio,
            Item::InputImage => self.input_image,
            Item::InputVideo => self.input_video,
            Item::CachedAudio => self.cached_audio,
            Item::OutputAudio => self.output_audio,
            Item::OutputImage => self.output_image,
            Item::OutputVideo => self.output_video,
            _ => None,
        }
    }
}

impl Ladder {
    fn at(&self, prompt: u64) -> &Rates {
        self.above
            .iter()
            .rev()
            .find(|(over, _)| prompt > *over)
            .map_or(&self.base, |(_, rates)| rates)
    }

    fn raise_to(&mut self, other: &Self) {
        let mut steps: Vec<u64> = self
            .above
            .iter()
            .chain(&other.above)
            .map(|(over, _)| *over)
            .collect();
        steps.sort_unstable();
        steps.dedup();
        let above = steps
            .into_iter()
            .map(|over| {
                let prompt = over.saturating_add(1);
                (over, self.at(prompt).max(other.at(prompt)))
            })
            .collect();
        self.base = self.base.max(&other.base);
        self.above = above;
    }
}

impl Rates {
    /// The maximum for each class.
    fn max(&self, other: &Self) -> Self {
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            cache_write: self.cache_write.max(other.cache_write),
            cache_write_long: self.cache_write_long.max(other.cache_write_long),
            cache_read: self.cache_read.max(other.cache_read),
            media: self.media.max(&other.media),
        }
    }

    /// Derives missing classes. Anthropic defines ratios to the input price: cache write 1.25 (5 minutes) and 2
    /// (1 hour), cache read 0.1. The other vendors bill cached tokens without a listed price as input.
    pub(super) fn complete(
        family: Option<Family>,
        input: u64,
        output: u64,
        write: Option<u64>,
        long: Option<u64>,
        read: Option<u64>,
    ) -> Self {
        let (write, long, read) = if family == Some(Family::Claude) {
            (
                write.unwrap_or(input.saturating_mul(5).div_ceil(4)),
                long.unwrap_or(input.saturating_mul(2)),
                read.unwrap_or(input.div_ceil(10)),
            )
        } else {
            let write = write.unwrap_or(input);
            (write, long.unwrap_or(write), read.unwrap_or(input))
        };
        Self {
            input,
            output,
            cache_write: write,
            cache_write_long: long,
            cache_read: read,
            media: Media::default(),
        }
    }
}

/// The file's format.
#[derive(Deserialize)]
struct File {
    version: String,
    claude: BTreeMap<String, Row>,
    openai: BTreeMap<String, Row>,
    gemini: BTreeMap<String, Row>,
    tools: Tools,
}

#[derive(Deserialize)]
struct Tools {
    claude: Calls,
    openai: Calls,
    images: BTreeMap<String, Prices>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(flatten)]
    prices: Prices,
    #[serde(flatten)]
    calls: Calls,
    #[serde(default)]
    per_prompt: bool,
    #[serde(default)]
    retired: bool,
    #[serde(default)]
    times: Times,
    #[serde(default)]
    tiers: BTreeMap<String, Prices>,
}

#[derive(Deserialize)]
struct Prices {
    #[serde(rename = "in")]
    input: Option<u64>,
    #[serde(rename = "out")]
    output: Option<u64>,
    write: Option<u64>,
    #[serde(rename = "writeLong")]
    write_long: Option<u64>,
    read: Option<u64>,
    #[serde(flatten)]
    media: Media,
    #[serde(default)]
    above: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    over: u64,
    #[serde(flatten)]
    prices: Box<Prices>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Times {
    #[serde(default = "once")]
    fast: u32,
    #[serde(default = "once")]
    us: u32,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            fast: once(),
            us: once(),
        }
    }
}

fn once() -> u32 {
    1_000
}

impl Row {
    fn entry(&self, family: Family) -> Entry {
        let standard = self.prices.ladder(family, None);
        let tiers = self
            .tiers
            .iter()
            .map(|(name, prices)| (name.clone(), prices.ladder(family, Some(&standard))))
            .collect();
        Entry {
            tiers,
            standard,
            fast: self.times.fast,
            us_only: self.times.us,
            calls: self.calls,
            per_prompt: self.per_prompt,
            retired: self.retired,
            family: Some(family),
        }
    }
}

impl Prices {
    /// `standard`: the standard tier's ladder, for other tiers. The tier's own prices count. If it has none for
    /// long prompts, the higher of its short price and the standard long price applies.
    fn ladder(&self, family: Family, standard: Option<&Ladder>) -> Ladder {
        let base = self.over(family, standard.map(|ladder| &ladder.base));
        let mut above: Vec<(u64, Rates)> = self
            .above
            .iter()
            .map(|step| (step.over, step.prices.over(family, Some(&base))))
            .collect();
        if above.is_empty()
            && let Some(standard) = standard
        {
            above = standard
                .above
                .iter()
                .map(|(over, rates)| (*over, rates.max(&base)))
                .collect();
        }
        above.sort_unstable_by_key(|(over, _)| *over);
        Ladder { base, above }
    }

    fn over(&self, family: Family, below: Option<&Rates>) -> Rates {
        let input = self.input.or(below.map(|rates| rates.input)).unwrap_or_default();
        let output = self
            .output
            .or(below.map(|rates| rates.output))
            .unwrap_or_default();
        let media = below.map_or(self.media, |rates| self.media.or(&rates.media));
        Rates {
            media,
            ..Rates::complete(
                Some(family),
                input,
                output,
                self.write,
                self.write_long,
                self.read,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_file_reads() {
        let table = Table::read(JSON).unwrap();
        assert!(!table.version.is_empty());
        assert!(table.models.len() > 100, "{}", table.models.len());
        for (name, entry) in &table.models {
            let family = Family::of_name(name);
            assert!(
                entry.standard.base.input > 0 && entry.standard.base.output > 0,
                "{name}"
            );
            for rates in std::iter::once(&entry.standard.base)
                .chain(entry.standard.above.iter().map(|(_, rates)| rates))
            {
                if family == Some(Family::Claude) {
                    assert!(
                        rates.cache_read < rates.input && rates.input < rates.cache_write,
                        "{name}"
                    );
                    assert!(rates.cache_write < rates.cache_write_long, "{name}");
                }
            }
        }
    }

    #[test]
    fn nothing_in_a_family_is_dearer_than_its_dearest() {
        let table = Table::embedded();
        for (name, entry) in table.models.iter().filter(|(_, entry)| !entry.retired) {
            let Some(family) = Family::of_name(name) else {
                continue;
            };
            for dearest in [table.dearest(family)] {
                for prompt in [0, 100_000, 100_001, 200_001, 272_001, 10_000_000] {
                    for tier in [None, Some("priority"), Some("flex"), Some("ultrafast"), Some("?")] {
                        let (rates, most) = (entry.rates(prompt, tier), dearest.rates(prompt, tier));
                        assert_eq!(&rates.max(most), most, "{name} {prompt} {tier:?}");
                    }
                }
                assert!(entry.fast <= dearest.fast && entry.us_only <= dearest.us_only);
                assert_eq!(entry.calls.max(&dearest.calls), dearest.calls, "{name}");
            }
        }
    }

    #[test]
    fn gaps_follow_the_providers_rules() {
        let row = |json: &str, family| serde_json::from_str::<Row>(json).unwrap().entry(family);
        let claude = row(r#"{"in": 3000000, "out": 15000000}"#, Family::Claude);
        assert_eq!(
            *claude.rates(1, None),
            Rates {
                input: 3_000_000,
                output: 15_000_000,
                cache_write: 3_750_000,
                cache_write_long: 6_000_000,
                cache_read: 300_000,
                media: Media::default(),
            }
        );
        let gpt = row(
            r#"{"in": 5, "out": 10, "above": [{"over": 100, "in": 7}], "tiers": {"priority": {"in": 6, "out": 9}}}"#,
            Family::OpenAi,
        );
        assert_eq!(
            (gpt.rates(1, None).cache_write_long, gpt.rates(1, None).cache_read),
            (5, 5)
        );
        // A step that is silent about a class keeps the class's lower price; the threshold itself is below.
        assert_eq!((gpt.rates(100, None).input, gpt.rates(101, None).input), (5, 7));
        assert_eq!(gpt.rates(101, None).output, 10);
        assert_eq!(
            (
                gpt.rates(1, Some("priority")).output,
                gpt.rates(101, Some("priority")).output
            ),
            (9, 10)
        );
        assert_eq!(gpt.rates(101, Some("fast")).input, 7);
        assert_eq!(gpt.rates(1, Some("flex")), gpt.rates(1, None));
    }
}
