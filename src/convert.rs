//! Converters between two protocols: bytes in, bytes out.
//!
//! | module | from the client's protocol to the account's |
//! | --- | --- |
//! | [`chat_to_messages`] | OpenAI's Chat Completions to Anthropic's Messages |
//! | [`messages_to_gemini`] | Anthropic's Messages to Google's `generateContent` |

pub mod chat_to_messages;
#[cfg(test)]
mod growth;
pub mod messages_to_gemini;
