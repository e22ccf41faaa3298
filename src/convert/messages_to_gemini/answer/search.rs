//! Converts Gemini's search results into those of the Messages API.
//!
//! Gemini's `groundingMetadata` comes at the end of an answer. It lists the queries, the sources, and the
//! passages of the answer with their sources. The Messages API puts the sources first: a `server_tool_use` and a
//! `web_search_tool_result` for each query, then the text in blocks, each with its `citations`. Gemini does not
//! say which query found a source, so the first result has them all.

use crate::convert::messages_to_gemini::object::{List, Object};
use crate::convert::messages_to_gemini::text::Text;

/// `groundingMetadata`.
#[derive(Debug, Default)]
pub(super) struct Grounding {
    pub queries: Vec<String>,
    pub sources: Vec<Source>,
    supports: Vec<Support>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub url: String,
    pub title: String,
}

/// A passage of the answer and the indexes of its sources.
#[derive(Debug)]
struct Support {
    /// Offset into the answer, bytes.
    start: usize,
    end: usize,
    text: String,
    sources: Vec<usize>,
}

/// A piece of the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'t> {
    pub text: &'t str,
    /// Indexes into the sources.
    pub sources: Vec<usize>,
}

impl Grounding {
    pub(super) fn read(metadata: &Object<'_>) -> Self {
        let objects = |key| {
            let list: List<'_> = metadata.get(key).unwrap_or_default();
            list.into_iter().filter_map(|item| Object::of(item.get()))
        };
        let queries: List<'_> = metadata.get("webSearchQueries").unwrap_or_default();
        let queries = queries.into_iter();
        Self {
            queries: queries
                .filter_map(|query| serde_json::from_slice::<Text<'_>>(query.get().as_bytes()).ok())
                .map(|query| query.0.into_owned())
                .collect(),
            // Passages refer to sources by index, so an entry that is not a web page keeps its place.
            sources: objects("groundingChunks")
                .map(|chunk| Source::read(&chunk))
                .collect(),
            supports: objects("groundingSupports")
                .map(|support| Support::read(&support))
                .collect(),
        }
    }

    /// Replaces the lists that a later event repeats; the others stay.
    pub(super) fn take(&mut self, later: Self) {
        fn newer<T>(held: &mut Vec<T>, later: Vec<T>) {
            if !later.is_empty() {
                *held = later;
            }
        }
        newer(&mut self.queries, later.queries);
        newer(&mut self.sources, later.sources);
        newer(&mut self.supports, later.supports);
    }

    /// Number of searches.
    pub(super) fn searches(&self) -> usize {
        let unnamed = usize::from(!self.sources.is_empty());
        self.queries.len().max(unnamed)
    }

    /// Splits the answer where its passages begin and end. No piece is blank, because the Messages API refuses
    /// blank texts.
    pub(super) fn pieces<'t>(&self, text: &'t str) -> Vec<Piece<'t>> {
        if text.is_empty() {
            return Vec::new();
        }
        let mut spans: Vec<(usize, usize, &[usize])> = Vec::new();
        let mut anywhere: Vec<usize> = Vec::new();
        for support in &self.supports {
            match support.place(text) {
                Some((start, end)) => spans.push((start, end, &support.sources)),
                None => anywhere.extend(&support.sources),
            }
        }
        spans.sort_by_key(|(start, end, _)| (*start, *end));
        let mut cuts: Vec<(usize, usize, Vec<usize>)> = Vec::new();
        let mut at = 0;
        for (start, end, sources) in spans {
            let start = start.max(at);
            match cuts.last_mut() {
                // The passage lies inside the one before.
                Some((.., before)) if end <= start => before.extend(sources),
                None if end <= start => anywhere.extend(sources),
                _ => {
                    let between = text.get(at..start).unwrap_or_default();
                    let blank = between.trim().is_empty();
                    if !blank {
                        cuts.push((at, start, Vec::new()));
                    }
                    cuts.push((if blank { at } else { start }, end, sources.to_vec()));
                    at = end;
                }
            }
        }
        let rest = text.get(at..).unwrap_or_default();
        match cuts.last_mut() {
            Some((_, end, _)) if rest.trim().is_empty() => *end = text.len(),
            _ => cuts.push((at, text.len(), Vec::new())),
        }
        if let Some((.., sources)) = cuts.last_mut() {
            sources.extend(anywhere);
        }
        let pieces = cuts.into_iter().map(|(start, end, mut sources)| {
            sources.retain(|number| *number < self.sources.len());
            sources.sort_unstable();
            sources.dedup();
            Piece {
                text: text.get(start..end).unwrap_or_default(),
                sources,
            }
        });
        pieces.collect()
    }
}

impl Source {
    fn read(chunk: &Object<'_>) -> Self {
        let web: Option<Object<'_>> = chunk.get("web");
        let text = |key| {
            let text: Option<Text<'_>> = web.as_ref().and_then(|web| web.get(key));
            text.unwrap_or_default().0.into_owned()
        };
        Self {
            url: text("uri"),
            title: text("title"),
        }
    }
}

impl Support {
    fn read(support: &Object<'_>) -> Self {
        let segment: Option<Object<'_>> = support.get("segment");
        let number = |key| segment.as_ref().and_then(|segment| segment.get(key)).unwrap_or(0);
        let text: Option<Text<'_>> = segment.as_ref().and_then(|segment| segment.get("text"));
        Self {
            start: number("startIndex"),
            end: number("endIndex"),
            text: text.unwrap_or_default().0.into_owned(),
            sources: support.get("groundingChunkIndices").unwrap_or_default(),
        }
    }

    /// Finds the passage in the text. Hosts count offsets differently, so the words decide.
    fn place(&self, text: &str) -> Option<(usize, usize)> {
        let named = text.get(self.start..self.end);
        if named.is_some_and(|named| !named.is_empty() && (self.text.is_empty() || named == self.text)) {
            return Some((self.start, self.end));
        }
        let found = Some(&*self.text).filter(|words| !words.is_empty())?;
        let start = text.find(found)?;
        Some((start, start + found.len()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pieces(text: &str, supports: &Value) -> Vec<(String, Vec<usize>)> {
        let chunk = json!({ "web": { "uri": "u", "title": "t" } });
        let metadata = json!({
            "webSearchQueries": ["q"], "groundingChunks": [chunk, chunk, chunk], "groundingSupports": supports,
        })
        .to_string();
        let grounding = Grounding::read(&Object::of(&metadata).unwrap());
        let pieces = grounding.pieces(text);
        let whole: String = pieces.iter().map(|piece| piece.text).collect();
        assert_eq!(whole, text, "nothing is lost");
        pieces
            .into_iter()
            .map(|piece| (piece.text.to_owned(), piece.sources))
            .collect()
    }

    fn support(start: usize, end: usize, text: &str, sources: &[usize]) -> Value {
        json!({ "segment": { "startIndex": start, "endIndex": end, "text": text }, "groundingChunkIndices": sources })
    }

    fn expected(pieces: &[(&str, &[usize])]) -> Vec<(String, Vec<usize>)> {
        pieces
            .iter()
            .map(|(text, sources)| ((*text).to_owned(), sources.to_vec()))
            .collect()
    }

    #[test]
    fn an_answer_is_cut_where_its_support_is() {
        assert_eq!(
            pieces(
                "Größe is 5. So.",
                &json!([support(0, 13, "Größe is 5.", &[1, 0, 9])])
            ),
            expected(&[("Größe is 5.", &[0, 1]), (" So.", &[])])
        );
        // Blanks are no piece.
        assert_eq!(
            pieces(
                "One. Two.\n",
                &json!([support(5, 9, "Two.", &[2]), support(0, 4, "One.", &[0])])
            ),
            expected(&[("One.", &[0]), (" Two.\n", &[2])])
        );
        // Overlapping, and one inside another.
        assert_eq!(
            pieces(
                "abcdef",
                &json!([
                    support(0, 4, "", &[0]),
                    support(1, 2, "", &[1]),
                    support(2, 6, "", &[2])
                ])
            ),
            expected(&[("abcd", &[0, 1]), ("ef", &[2])])
        );
        // Offsets of another count, and words that are not there.
        assert_eq!(
            pieces(
                "ab cd",
                &json!([support(40, 42, "cd", &[1]), support(0, 3, "xyz", &[2])])
            ),
            expected(&[("ab ", &[]), ("cd", &[1, 2])])
        );
        assert_eq!(pieces("plain", &json!([])), expected(&[("plain", &[])]));
        assert_eq!(pieces("", &json!([support(0, 1, "x", &[0])])), []);
    }
}
