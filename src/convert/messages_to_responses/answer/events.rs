//! Serialises Anthropic's stream events.

use super::usage::Figures;

use crate::dialect::wire::events::named;
use crate::dialect::wire::json::Json;

/// Writes server-sent events and counts the blocks.
#[derive(Debug, Default)]
pub(in crate::convert) struct Events {
    out: Vec<u8>,
    blocks: u64,
}

impl Events {
    /// Returns the bytes written since the last call.
    pub(in crate::convert) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(in crate::convert) fn message_start(&mut self, id: &str, model: &str) {
        let message = Json::map([
            ("id", Json::text(id)),
            ("type", Json::text("message")),
            ("role", Json::text("assistant")),
            ("model", Json::text(model)),
            ("content", Json::List(Vec::new())),
            ("stop_reason", Json::Null),
            ("stop_sequence", Json::Null),
            // OpenAI sends the usage at the end.
            ("usage", Figures::default().to_json()),
        ]);
        self.write("message_start", [("message", message)]);
    }

    pub(in crate::convert) fn block_start(&mut self, block: Json<'_>) {
        let index = Json::Number(self.blocks.into());
        self.blocks += 1;
        self.write(
            "content_block_start",
            [("index", index), ("content_block", block)],
        );
    }

    /// Adds to the open block.
    pub(in crate::convert) fn delta(&mut self, kind: &str, member: &str, text: &str) {
        let delta = Json::map([("type", Json::text(kind)), (member, Json::text(text))]);
        let index = self.last();
        self.write("content_block_delta", [("index", index), ("delta", delta)]);
    }

    pub(in crate::convert) fn block_stop(&mut self) {
        let index = self.last();
        self.write("content_block_stop", [("index", index)]);
    }

    pub(in crate::convert) fn message_end(&mut self, stop_reason: &str, figures: Figures) {
        let delta = Json::map([
            ("stop_reason", Json::text(stop_reason)),
            ("stop_sequence", Json::Null),
        ]);
        self.write("message_delta", [("delta", delta), ("usage", figures.to_json())]);
        self.write("message_stop", []);
    }

    /// `body`: Anthropic's error object.
    pub(in crate::convert) fn error(&mut self, body: &[u8]) {
        named(&mut self.out, "error", body);
    }

    fn last(&self) -> Json<'static> {
        Json::Number(self.blocks.saturating_sub(1).into())
    }

    fn write<const N: usize>(&mut self, name: &str, members: [(&str, Json<'_>); N]) {
        let mut data = Json::map([("type", Json::text(name))]);
        for (member, value) in members {
            data.put(member, value);
        }
        named(&mut self.out, name, &data.to_bytes());
    }
}
