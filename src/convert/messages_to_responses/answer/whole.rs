//! A whole answer as a whole message.

use super::stream::{State, Stream};

use crate::convert::messages_to_responses::error::Unusable;
use crate::convert::messages_to_responses::request::Context;
use crate::dialect::answer::is_object;
use crate::dialect::body::mended;
use crate::dialect::wire::object::Object;

/// The events of an answer that is whole: an object, or a stream that nobody asked for. `id`: see [`Stream::new`].
pub fn events(body: &[u8], context: &Context, id: &str) -> Result<Vec<u8>, Unusable> {
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
    let response = Object::parse(&body).map_err(|_| Unusable::Unreadable)?;
    if response.raw("error").is_some() {
        return Err(Unusable::read(&response));
    }
    if response.raw("output").is_none() {
        return Err(Unusable::Unreadable);
    }
    let mut state = State::new(context, id);
    state.end(&response);
    match state.failed() {
        Some(failure) => Err(failure),
        None => Ok(state.take()),
    }
}

/// An Anthropic message of a whole answer.
#[cfg(test)]
pub fn answer(body: &[u8], context: &Context, id: &str) -> Result<Vec<u8>, Unusable> {
    let events = events(body, context, id)?;
    crate::dialect::messages::forms::whole(&events).map_err(|_| Unusable::Unreadable)
}
