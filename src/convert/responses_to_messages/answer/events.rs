//! Serialises OpenAI's stream events.

use crate::dialect::wire::events::named;
use crate::dialect::wire::json::Json;

/// Writes server-sent events and numbers them.
#[derive(Debug, Default)]
pub(super) struct Events {
    out: Vec<u8>,
    number: u64,
}

impl Events {
    /// Returns the bytes written since the last call.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn write<const N: usize>(&mut self, name: &str, members: [(&str, Json<'_>); N]) {
        let mut data = Json::map([
            ("type", Json::text(name)),
            ("sequence_number", Json::Number(self.number.into())),
        ]);
        self.number += 1;
        for (member, value) in members {
            data.put(member, value);
        }
        named(&mut self.out, name, &data.to_bytes());
    }
}
