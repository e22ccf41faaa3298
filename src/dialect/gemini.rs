//! Google's `generateContent`, as the Gemini API and Code Assist have it.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`envelope`] | adds or removes Code Assist's envelope around an answer as it passes |
//! | [`error`] | the relay's own errors, as Google's clients expect them |
//! | [`forms`] | turns an object, a list or a stream of events into another of these |
//! | [`reading`] | where answers name their usage |

pub(crate) mod envelope;
pub(crate) mod error;
pub(crate) mod forms;
pub(crate) mod reading;
