//! Turns the parts of an answer into content blocks.
//!
//! Adjacent parts of one kind become one block, because a stream may cut them anywhere. [`carry`] stores the
//! positions of Gemini's signatures in the blocks, so that the next request can rebuild the same parts.
//!
//! If Gemini may search the web, the text is held until the answer ends: Gemini names the sources only there, and
//! the Messages API has them before the text. Signatures of such texts are dropped, like those of every last
//! text.

use serde_json::value::RawValue;

use super::search::{Grounding, Source};
use super::{Call, Media, Part};

use crate::convert::messages::names::Names;
use crate::convert::messages_to_gemini::carry::{self, Mark, Owner};
use crate::convert::messages_to_gemini::error::UnusableAnswer;
use crate::convert::messages_to_gemini::json::Json;
use crate::convert::messages_to_gemini::request::Context;
use crate::convert::messages_to_gemini::vendor::Model;

/// An event of the message.
pub(super) enum Event<'e> {
    Start(Block<'e>),
    Text(&'e str),
    Thinking(&'e str),
    Signature(&'e str),
    Citation(Citation<'e>),
    Input(&'e str),
    Stop,
}

pub(super) enum Block<'e> {
    Text,
    Thinking,
    Redacted {
        data: &'e str,
    },
    Call {
        id: &'e str,
        name: &'e str,
    },
    /// A search that was made.
    Search {
        id: &'e str,
        name: &'e str,
    },
    Found {
        id: &'e str,
        sources: &'e [Source],
    },
    /// An image, for client protocols that have them.
    Image {
        kind: &'e str,
        data: &'e str,
    },
}

/// The source of a text.
pub(super) struct Citation<'e> {
    pub source: &'e Source,
    pub words: &'e str,
}

pub(super) trait Sink {
    fn event(&mut self, event: Event<'_>);
}

#[derive(Debug)]
pub(super) struct Composer {
    vendor: String,
    names: Names,
    seed: String,
    open: Open,
    /// Signatures that still need a place.
    pending: Vec<Mark>,
    /// There was text or a call.
    content: bool,
    texts: usize,
    calls: usize,
    search: Option<Search>,
    images: bool,
    /// Bytes that may still be held or generated.
    room: usize,
    failure: Option<UnusableAnswer>,
}

/// A search that Gemini may make.
#[derive(Debug)]
struct Search {
    /// The client's name for it.
    name: String,
    grounding: Grounding,
    /// The text of the answer.
    held: String,
}

/// Limit for signatures, held text and generated blocks, bytes. An answer of 65,536 tokens has about 300 KB of
/// text.
const ROOM: usize = 16 << 20;

/// Limit for the quoted text of a citation, bytes. Anthropic quotes up to 150 characters.
const WORDS: usize = 150;

/// The open block.
#[derive(Debug, PartialEq, Eq)]
enum Open {
    None,
    Thinking,
    /// Length so far, bytes.
    Text(usize),
}

impl Composer {
    /// `seed`: letters and digits, unique per answer.
    pub(super) fn new(context: &Context, seed: String) -> Self {
        Self {
            vendor: Model::of(&context.model).vendor().to_owned(),
            names: context.names.clone(),
            seed,
            open: Open::None,
            pending: Vec::new(),
            content: false,
            texts: 0,
            calls: 0,
            search: context.search.clone().map(|name| Search {
                name,
                grounding: Grounding::default(),
                held: String::new(),
            }),
            images: context.images,
            room: ROOM,
            failure: None,
        }
    }

    /// The reason why the answer cannot be converted.
    pub(super) fn failure(&mut self) -> Option<UnusableAnswer> {
        self.failure.take()
    }

    /// Number of web searches.
    pub(super) fn searches(&self) -> usize {
        self.search
            .as_ref()
            .map_or(0, |search| search.grounding.searches())
    }

    pub(super) fn grounded(&mut self, grounding: Grounding) {
        if let Some(search) = &mut self.search {
            search.grounding.take(grounding);
        }
    }

    pub(super) fn has_content(&self) -> bool {
        self.content
    }

    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    pub(super) fn part(&mut self, part: Part<'_>, sink: &mut impl Sink) {
        let signature = part.signature.map(|signature| signature.0.into_owned());
        if let Some(call) = part.call {
            self.call(&call, signature, sink);
        } else if part.thought {
            self.thought(&part.text.unwrap_or_default(), signature, sink);
        } else if let Some(media) = part.media {
            self.media(&media, sink);
        } else {
            let text = part.text.unwrap_or_default();
            if text.is_empty() || !self.hold(&text) {
                self.text(&text, signature, sink);
            }
        }
    }

    /// Closes the last block.
    pub(super) fn end(&mut self, sink: &mut impl Sink) {
        self.release(sink);
        self.close(sink);
    }

    /// Holds the text until the end if it may cite a search. Returns false if it is not held.
    fn hold(&mut self, text: &str) -> bool {
        if self.search.is_none() {
            return false;
        }
        if self.takes(text.len())
            && let Some(search) = &mut self.search
        {
            search.held.push_str(text);
            self.content = true;
        }
        true
    }

    /// Reserves this many bytes; false if the limit is exceeded, which makes the answer unusable.
    fn takes(&mut self, bytes: usize) -> bool {
        match self.room.checked_sub(bytes) {
            Some(room) => {
                self.room = room;
                true
            }
            None => {
                self.failure.get_or_insert(UnusableAnswer::TooLarge);
                false
            }
        }
    }

    /// Writes the search results and then the held text.
    pub(super) fn release(&mut self, sink: &mut impl Sink) {
        let Some(search) = &mut self.search else {
            return;
        };
        let Search {
            name,
            grounding,
            held,
        } = search;
        let (name, held) = (name.clone(), std::mem::take(held));
        let grounding = std::mem::take(grounding);
        self.searched(&name, &grounding, sink);
        for piece in grounding.pieces(&held) {
            self.close(sink);
            self.texts += 1;
            sink.event(Event::Start(Block::Text));
            self.open = Open::Text(piece.text.len());
            sink.event(Event::Text(piece.text));
            let words = piece.text.trim();
            let words = words.get(..words.floor_char_boundary(WORDS)).unwrap_or_default();
            let sources = piece
                .sources
                .iter()
                .filter_map(|number| grounding.sources.get(*number));
            for source in sources {
                if !self.takes(source.url.len() + source.title.len() + words.len()) {
                    break;
                }
                sink.event(Event::Citation(Citation { source, words }));
            }
        }
        if let Some(search) = &mut self.search {
            // [`Self::searches`] counts from it later.
            search.grounding = grounding;
        }
    }

    /// Writes each search with its result.
    fn searched(&mut self, name: &str, grounding: &Grounding, sink: &mut impl Sink) {
        for number in 0..grounding.searches() {
            self.close(sink);
            let id = &carry::search_id(&self.seed, number);
            sink.event(Event::Start(Block::Search { id, name }));
            let query = grounding.queries.get(number).map_or("", String::as_str);
            let input = Json::map([("query", Json::text(query))]).to_bytes();
            sink.event(Event::Input(std::str::from_utf8(&input).unwrap_or("{}")));
            sink.event(Event::Stop);
            let sources = if number == 0 { &*grounding.sources } else { &[] };
            sink.event(Event::Start(Block::Found { id, sources }));
            sink.event(Event::Stop);
        }
    }

    fn media(&mut self, media: &Media<'_>, sink: &mut impl Sink) {
        if !self.images || !media.kind.starts_with("image/") {
            let kind = crate::convert::messages::error::bounded(&media.kind, 100);
            self.failure.get_or_insert(UnusableAnswer::Media(kind));
            return;
        }
        self.close(sink);
        self.content = true;
        sink.event(Event::Start(Block::Image {
            kind: &media.kind,
            data: &media.data,
        }));
        sink.event(Event::Stop);
    }

    fn thought(&mut self, text: &str, signature: Option<String>, sink: &mut impl Sink) {
        if self.open != Open::Thinking {
            if text.is_empty() && signature.is_none() {
                return;
            }
            self.close(sink);
            sink.event(Event::Start(Block::Thinking));
            self.open = Open::Thinking;
        }
        if !text.is_empty() {
            sink.event(Event::Thinking(text));
        }
        if signature.is_some() {
            self.mark(Owner::Thought, signature);
            self.close(sink);
        }
    }

    fn text(&mut self, text: &str, signature: Option<String>, sink: &mut impl Sink) {
        let start = match self.open {
            Open::Text(len) => len,
            Open::Thinking if text.is_empty() => {
                if signature.is_some() {
                    self.mark(Owner::Empty, signature);
                    self.close(sink);
                }
                return;
            }
            Open::None if text.is_empty() => return,
            Open::Thinking | Open::None => {
                self.texts += 1;
                0
            }
        };
        let owner = Owner::Text {
            block: self.texts - 1,
            start,
            len: text.len(),
        };
        // Before the thinking block closes, because it carries the signature.
        self.mark(owner, signature);
        if start == 0 && !matches!(self.open, Open::Text(_)) {
            self.close(sink);
            sink.event(Event::Start(Block::Text));
        }
        self.open = Open::Text(start + text.len());
        if !text.is_empty() {
            self.content = true;
            sink.event(Event::Text(text));
        }
    }

    fn call(&mut self, call: &Call<'_>, signature: Option<String>, sink: &mut impl Sink) {
        self.mark(Owner::Call(self.calls), signature);
        self.close(sink);
        if !self.pending.is_empty() {
            let data = &self.token();
            sink.event(Event::Start(Block::Redacted { data }));
            sink.event(Event::Stop);
        }
        let id = carry::call_id(&self.seed, self.calls, call.id.as_deref());
        self.calls += 1;
        self.content = true;
        sink.event(Event::Start(Block::Call {
            id: &id,
            name: self.names.restore(&call.name),
        }));
        let args = call.args.map_or("{}", RawValue::get);
        // Gemini sends `null` for a call without arguments.
        sink.event(Event::Input(if args.starts_with('{') { args } else { "{}" }));
        sink.event(Event::Stop);
    }

    fn mark(&mut self, owner: Owner, signature: Option<String>) {
        if let Some(signature) = signature
            && self.takes(signature.len() + size_of::<Mark>())
        {
            self.pending.push(Mark { owner, signature });
        }
    }

    fn token(&mut self) -> String {
        carry::token(&self.vendor, &std::mem::take(&mut self.pending))
    }

    /// Closes the open block.
    fn close(&mut self, sink: &mut impl Sink) {
        match std::mem::replace(&mut self.open, Open::None) {
            Open::Thinking => {
                sink.event(Event::Signature(&self.token()));
                sink.event(Event::Stop);
            }
            Open::Text(_) => sink.event(Event::Stop),
            Open::None => {}
        }
    }
}
