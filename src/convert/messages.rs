//! Shared by the converters from Anthropic's Messages API: reading content blocks, tool names, Anthropic-defined
//! tools, tools loaded during a conversation, and error bodies.

pub(in crate::convert) mod blocks;
pub(in crate::convert) mod client_tools;
pub(in crate::convert) mod error;
pub(in crate::convert) mod loaded_tools;
pub(in crate::convert) mod names;
pub(in crate::convert) mod server_tools;
