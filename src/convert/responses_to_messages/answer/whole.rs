//! Converts a whole message into a whole response.

use super::stream::Stream;

use crate::convert::responses_to_messages::error::UnusableAnswer;
use crate::convert::responses_to_messages::request::Context;
use crate::dialect::answer::is_object;
use crate::dialect::body::mended;
use crate::dialect::messages::forms;
use crate::dialect::wire::object::Object;

/// A whole answer in both forms.
#[derive(Debug)]
pub struct Answer {
    pub response: Vec<u8>,
    pub events: Vec<u8>,
}

/// Converts a message, or the events of one. `id`, `created`: see [`Stream::new`].
pub fn answer(body: &[u8], context: &Context, id: &str, created: u64) -> Result<Answer, UnusableAnswer> {
    let from;
    let events = if is_object(body) {
        let read = mended(body);
        let outer = Object::parse(&read).map_err(|_| UnusableAnswer::Unreadable)?;
        if outer.raw("error").is_some() {
            return Err(UnusableAnswer::read(&outer));
        }
        from = forms::streamed(body).map_err(|_| UnusableAnswer::Unreadable)?;
        &*from
    } else {
        body
    };
    let mut stream = Stream::new(context, id, created);
    let mut made = stream.feed(events).to_vec();
    made.extend_from_slice(&stream.finish());
    match (stream.response(), stream.failure()) {
        (Some(response), _) => Ok(Answer {
            response,
            events: made,
        }),
        (None, Some(failure)) => Err(failure.clone()),
        (None, None) => Err(UnusableAnswer::Unfinished),
    }
}
