//! Gemini models for clients that speak another provider's protocol.

pub mod convert;
