//! The protocols that clients speak. Values in, values out: no I/O, no clock, no accounts.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`messages`] | Anthropic's Messages |
//! | [`openai`] | OpenAI's Responses and Chat Completions |
//! | [`gemini`] | Google's `generateContent`, and Code Assist's envelope around it |
//! | [`call`] | a parsed call, whatever its protocol |
//! | [`body`] | request bodies: finds fields without parsing, edits them in place |
//! | [`session`], [`origin`] | the conversation of a call, and the provider's objects that it refers to |
//! | [`answer`] | answers that are rewritten for the client, whole or piece by piece |
//! | [`refusal`] | errors of the relay's own |
//! | [`meter`] | reads usage from an answer's bytes as they pass |
//! | [`wire`] | JSON and event streams, as all protocols use them |

pub mod answer;
pub mod body;
pub mod call;
pub mod gemini;
pub mod messages;
pub mod meter;
pub mod openai;
pub mod origin;
pub mod refusal;
pub mod session;
pub(crate) mod wire;
