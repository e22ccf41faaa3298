//! What the converters to Anthropic's Messages API know of Claude: what a model takes, how it is told to think,
//! what schemas it holds an answer to, and what turns are made of.

pub(in crate::convert) mod model;
pub(in crate::convert) mod schema;
pub(in crate::convert) mod thinking;
pub(in crate::convert) mod turns;
