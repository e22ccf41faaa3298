//! OpenAI's protocols.

pub mod chat;
