//! Facts about Claude shared by the converters to Anthropic's Messages API: the capabilities of its models,
//! thinking parameters, accepted schemas, and the parts of a turn.

pub(in crate::convert) mod model;
pub(in crate::convert) mod schema;
pub(in crate::convert) mod thinking;
pub(in crate::convert) mod turns;
