//! What the converters from Anthropic's Messages API have in common: how its blocks are read, what its models know
//! of tools without being told, and how its errors are written.

pub(in crate::convert) mod blocks;
pub(in crate::convert) mod error;
pub(in crate::convert) mod loading;
pub(in crate::convert) mod names;
pub(in crate::convert) mod searched;
pub(in crate::convert) mod trained;
