//! Anthropic's `usage` object, converted to our token classes.
//!
//! Source: Anthropic's API reference. Figures are cumulative, so a later one replaces an earlier one.
//! `input_tokens` excludes cache writes and reads. `cache_creation` splits `cache_creation_input_tokens` by
//! lifetime. With compaction or an advisor the top-level figures exclude those passes, and `iterations` lists
//! every pass. `speed` and `inference_geo` determine price multipliers. `server_tool_use` counts calls of
//! provider-run tools. Servers that imitate the protocol omit fields, send `null`, or write integers as floats:
//! values that are not a count are treated as missing. Some send zeros at the end for figures that they sent at
//! the start, so a zero never replaces a figure.

use serde_json::Value;

use crate::dialect::meter::count::{MOST_TOKENS, count};
use crate::model::charge::Item;
use crate::model::price::Terms;
use crate::model::usage::Tokens;

use crate::dialect::meter::shape::{Field, Shape};

/// Fields of `usage` that are read here, or have no separate price.
static USAGE: Shape = Shape(&[
    ("input_tokens", Field::Any),
    ("output_tokens", Field::Any),
    ("cache_creation_input_tokens", Field::Any),
    ("cache_read_input_tokens", Field::Any),
    ("cache_creation", Field::Inner(&CACHE_CREATION)),
    ("server_tool_use", Field::Inner(&SERVER_TOOL_USE)),
    ("service_tier", Field::Words(&["standard", "priority", "batch"])),
    ("speed", Field::Words(&["standard", "fast"])),
    ("inference_geo", Field::Any),
    // Each pass is checked separately.
    ("iterations", Field::Any),
    // Included in the output.
    ("output_tokens_details", Field::Inner(&OUTPUT_DETAILS)),
]);

static CACHE_CREATION: Shape = Shape(&[
    ("ephemeral_5m_input_tokens", Field::Any),
    ("ephemeral_1h_input_tokens", Field::Any),
]);

/// Fetched pages cost only their tokens.
static SERVER_TOOL_USE: Shape = Shape(&[
    ("web_search_requests", Field::Any),
    ("web_fetch_requests", Field::Any),
    ("code_execution_requests", Field::Any),
]);

static OUTPUT_DETAILS: Shape = Shape(&[("thinking_tokens", Field::Any)]);

static PASS: Shape = Shape(&[
    ("type", Field::Any),
    ("model", Field::Any),
    ("input_tokens", Field::Any),
    ("output_tokens", Field::Any),
    ("cache_creation_input_tokens", Field::Any),
    ("cache_read_input_tokens", Field::Any),
    ("cache_creation", Field::Inner(&CACHE_CREATION)),
    ("output_tokens_details", Field::Inner(&OUTPUT_DETAILS)),
]);

/// A call's usage so far: the last value of each figure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    top: Figures,
    passes: Option<Tokens>,
    terms: Terms,
    doubtful: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    input: Option<u64>,
    output: Option<u64>,
    written: Option<u64>,
    written_5m: Option<u64>,
    written_1h: Option<u64>,
    read: Option<u64>,
}

impl Tally {
    /// Takes the figures in `usage`.
    pub fn take(&mut self, usage: &Value) {
        self.doubtful |= self.top.take(usage) | !USAGE.covers(usage);
        if let Some(tools) = usage.get("server_tool_use") {
            let used = |name: &str| tools.get(name).and_then(count).map(|used| used.min(MOST_TOKENS));
            let extras = &mut self.terms.extras;
            if let Some(searches) = used("web_search_requests") {
                extras.raise(Item::WebSearch, searches);
            }
            // All of a call's code runs in one container, which is charged once.
            if let Some(runs) = used("code_execution_requests") {
                extras.raise(Item::CodeSession, runs.min(1));
            }
        }
        if let Some(tier) = usage.get("service_tier").and_then(Value::as_str) {
            // A long text is not a real tier.
            self.terms.tier = (tier.len() <= 32).then(|| tier.to_owned());
        }
        if let Some(speed) = usage.get("speed").and_then(Value::as_str) {
            self.terms.fast = speed == "fast";
        }
        if let Some(geo) = usage.get("inference_geo").and_then(Value::as_str) {
            self.terms.us_only = geo.eq_ignore_ascii_case("us");
        }
        if let Some(passes) = usage
            .get("iterations")
            .and_then(Value::as_array)
            .filter(|list| !list.is_empty())
        {
            self.take_passes(passes);
        }
    }

    fn take_passes(&mut self, passes: &[Value]) {
        let mut sum = Tokens::default();
        let mut longest = 0;
        for pass in passes {
            let mut figures = Figures::default();
            self.doubtful |= figures.take(pass) | !PASS.covers(pass);
            // An advisor's pass runs on another model at its prices.
            let kind = pass.get("type").and_then(Value::as_str);
            self.doubtful |= !matches!(kind, None | Some("message" | "compaction"));
            let tokens = figures.tokens();
            longest = longest.max(tokens.prompt());
            sum = each(&sum, &tokens, |sum, pass| {
                sum.saturating_add(pass).min(MOST_TOKENS)
            });
        }
        self.passes = Some(sum);
        self.terms.longest_prompt = (passes.len() > 1).then_some(longest);
    }

    /// Whether the provider sent any figure.
    pub fn any(&self) -> bool {
        self.top != Figures::default()
    }

    /// Records that code ran in a container of the provider. Its time is charged, and `usage` may not count it.
    pub fn ran_code(&mut self) {
        self.terms.extras.raise(Item::CodeSession, 1);
    }

    /// Records the number of search results shown in the answer. `usage` counts searches as well; if its count is
    /// lower, it is unknown whether the others were charged. Failed searches are free.
    pub fn shows_searches(&mut self, shown: u64) {
        let shown = shown.min(MOST_TOKENS);
        if shown > self.terms.extras.get(Item::WebSearch) {
            self.terms.extras.raise(Item::WebSearch, shown);
            self.doubtful = true;
        }
    }

    /// Whether a figure is impossible, of an unknown kind, or priced for another model.
    pub fn doubtful(&self) -> bool {
        self.doubtful
    }

    pub fn tokens(&self) -> Tokens {
        let top = self.top.tokens();
        // If passes are listed, they contain the whole usage. The larger figure counts, in case the list is
        // incomplete.
        self.passes.map_or(top, |passes| each(&top, &passes, u64::max))
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }
}

impl Figures {
    /// Takes the figures; returns whether one was limited.
    fn take(&mut self, usage: &Value) -> bool {
        let mut cut = false;
        let mut named = |figure: &mut Option<u64>, value: Option<&Value>| {
            if let Some(count) = value.and_then(count) {
                cut |= count > MOST_TOKENS;
                if count > 0 || figure.is_none() {
                    *figure = Some(count.min(MOST_TOKENS));
                }
            }
        };
        named(&mut self.input, usage.get("input_tokens"));
        named(&mut self.output, usage.get("output_tokens"));
        named(&mut self.written, usage.get("cache_creation_input_tokens"));
        named(&mut self.read, usage.get("cache_read_input_tokens"));
        if let Some(split) = usage.get("cache_creation") {
            named(&mut self.written_5m, split.get("ephemeral_5m_input_tokens"));
            named(&mut self.written_1h, split.get("ephemeral_1h_input_tokens"));
        }
        cut
    }

    fn tokens(&self) -> Tokens {
        let five = self.written_5m.unwrap_or_default();
        let hour = self.written_1h.unwrap_or_default();
        // Cache writes beyond the split count as the shorter, cheaper kind: a provider that sends only the total
        // has no other.
        let uncovered = self.written.unwrap_or_default().saturating_sub(five + hour);
        Tokens {
            input: self.input.unwrap_or_default(),
            output: self.output.unwrap_or_default(),
            cache_write_5m: five + uncovered,
            cache_write_1h: hour,
            cache_read: self.read.unwrap_or_default(),
        }
    }
}

fn each(a: &Tokens, b: &Tokens, join: impl Fn(u64, u64) -> u64) -> Tokens {
    Tokens {
        input: join(a.input, b.input),
        output: join(a.output, b.output),
        cache_write_5m: join(a.cache_write_5m, b.cache_write_5m),
        cache_write_1h: join(a.cache_write_1h, b.cache_write_1h),
        cache_read: join(a.cache_read, b.cache_read),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::charge::Extras;

    fn tally(usages: &[Value]) -> Tally {
        let mut tally = Tally::default();
        for usage in usages {
            tally.take(usage);
        }
        tally
    }

    fn tokens(input: u64, output: u64, write: u64, long: u64, read: u64) -> Tokens {
        Tokens {
            input,
            output,
            cache_write_5m: write,
            cache_write_1h: long,
            cache_read: read,
        }
    }

    #[test]
    fn a_later_figure_replaces_an_earlier_one() {
        let start = json!({"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 7,
            "cache_creation_input_tokens": 50,
            "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30}});
        assert_eq!(
            tally(&[start.clone(), json!({"output_tokens": 90})]).tokens(),
            tokens(10, 90, 20, 30, 7)
        );
        let all = json!({"input_tokens": 11, "output_tokens": 90, "cache_creation_input_tokens": 50,
            "cache_read_input_tokens": 0});
        assert_eq!(tally(&[start.clone(), all]).tokens(), tokens(11, 90, 20, 30, 7));
        let more = json!({"cache_creation_input_tokens": 60});
        assert_eq!(tally(&[start, more]).tokens(), tokens(10, 1, 30, 30, 7));
    }

    #[test]
    fn a_bare_total_was_written_for_five_minutes() {
        assert_eq!(
            tally(&[json!({"cache_creation_input_tokens": 9})]).tokens(),
            tokens(0, 0, 9, 0, 0)
        );
        let split = json!({"cache_creation": {"ephemeral_1h_input_tokens": 4}});
        assert_eq!(tally(&[split]).tokens(), tokens(0, 0, 0, 4, 0));
    }

    #[test]
    fn what_is_no_count_is_not_named() {
        let odd = json!({"input_tokens": 12.0, "output_tokens": null, "cache_read_input_tokens": "7",
            "cache_creation_input_tokens": -3, "cache_creation": 5, "iterations": {}, "speed": 1});
        let tally = tally(&[json!({"output_tokens": 4}), odd]);
        assert_eq!(tally.tokens(), tokens(12, 4, 0, 0, 0));
        assert_eq!(tally.terms(), &Terms::default());
        assert!(!Tally::default().any() && tally.any() && !tally.doubtful());
    }

    #[test]
    fn impossible_figures_are_cut_and_doubted() {
        for absurd in [json!(1e300), json!(u64::MAX), json!(MOST_TOKENS + 1)] {
            let tally = tally(&[json!({"output_tokens": absurd})]);
            assert_eq!(tally.tokens().output, MOST_TOKENS);
            assert!(tally.doubtful());
        }
    }

    #[test]
    fn every_pass_counts() {
        let usage = json!({"input_tokens": 23_000, "output_tokens": 1_000, "iterations": [
            {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500},
            {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000}]});
        let compacted = tally(&[usage]);
        assert_eq!(compacted.tokens(), tokens(203_000, 4_500, 0, 0, 0));
        assert_eq!(compacted.terms().longest_prompt, Some(180_000));
        assert!(!compacted.doubtful());

        let one = tally(&[json!({"input_tokens": 5, "output_tokens": 6, "iterations": [
            {"type": "message", "input_tokens": 5, "output_tokens": 6}]})]);
        assert_eq!(
            (one.tokens(), one.terms().longest_prompt),
            (tokens(5, 6, 0, 0, 0), None)
        );

        let advised = tally(&[json!({"input_tokens": 5, "output_tokens": 6, "iterations": [
            {"type": "message", "input_tokens": 5, "output_tokens": 6},
            {"type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 50, "output_tokens": 60}]})]);
        assert_eq!(advised.tokens(), tokens(55, 66, 0, 0, 0));
        assert!(advised.doubtful());
    }

    #[test]
    fn an_unknown_counter_or_word_is_doubted() {
        for unknown in [
            json!({"input_tokens": 5, "server_tool_use": {"image_generation_requests": 1}}),
            json!({"input_tokens": 5, "browser_minutes": 2}),
            json!({"input_tokens": 5, "speed": "ultra"}),
            json!({"input_tokens": 5, "service_tier": "gold"}),
            json!({"input_tokens": 5, "cache_creation": {"ephemeral_1d_input_tokens": 9}}),
            json!({"input_tokens": 5, "iterations": [{"type": "message", "video_tokens": 4}]}),
        ] {
            assert!(
                tally(&[unknown.clone(), json!({"output_tokens": 3})]).doubtful(),
                "{unknown}"
            );
        }
        let known = json!({"input_tokens": 5, "server_tool_use": {"web_fetch_requests": 2, "other_requests": 0},
            "speed": "standard", "service_tier": "standard", "inference_geo": "global"});
        assert!(!tally(&[known]).doubtful());
    }

    #[test]
    fn terms_are_taken_as_named() {
        let tally = tally(&[
            json!({"service_tier": "standard", "speed": "fast", "inference_geo": "us"}),
            json!({"server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 5,
                "code_execution_requests": 3}, "service_tier": "priority"}),
            json!({"server_tool_use": {"web_search_requests": 0}}),
        ]);
        let terms = Terms {
            tier: Some("priority".to_owned()),
            fast: true,
            us_only: true,
            extras: Extras::default()
                .with(Item::WebSearch, 2)
                .with(Item::CodeSession, 1),
            ..Terms::default()
        };
        assert_eq!(tally.terms(), &terms);
    }
}
