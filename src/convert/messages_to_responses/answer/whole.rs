//! Converts a whole answer into a whole message.

use super::stream::{State, Stream};

use crate::convert::messages_to_responses::error::UnusableAnswer;
use crate::convert::messages_to_responses::request::Context;
use crate::dialect::answer::is_object;
use crate::dialect::body::mended;
use crate::dialect::wire::object::Object;

/// Converts a whole answer, an object or an unrequested stream, into events. `id`: see [`Stream::new`].
pub fn events(body: &[u8], context: &Context, id: &str) -> Result<Vec<u8>, UnusableAnswer> {
    if !is_object(body) {
        let mut stream = Stream::new(context, id);
        let mut events = stream.feed(body).to_vec();
        events.extend_from_slice(&stream.finish());
        return match stream.failure() {
            Some(failure) => Err(failure.clone()),
            None => Ok(events),
        };
    }
    let body = mended(body);
    let response = Object::parse(&body).map_err(|_| UnusableAnswer::Unreadable)?;
    if response.raw("error").is_some() {
        return Err(UnusableAnswer::read(&response));
    }
    if response.raw("output").is_none() {
        return Err(UnusableAnswer::Unreadable);
    }
    let mut state = State::new(context, id);
    state.end(&response);
    match state.failed() {
        Some(failure) => Err(failure),
        None => Ok(state.take()),
    }
}

/// Converts a whole answer into an Anthropic message.
#[cfg(test)]
pub fn answer(body: &[u8], context: &Context, id: &str) -> Result<Vec<u8>, UnusableAnswer> {
    let events = events(body, context, id)?;
    crate::dialect::messages::forms::whole(&events).map_err(|_| UnusableAnswer::Unreadable)
}
