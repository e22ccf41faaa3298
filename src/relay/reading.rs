//! Reads answers in a form of the provider's host ([`BodyReader`]) as they pass. What follows sees the accounts' protocol.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;

use crate::dialect::answer::BodyReader;
use crate::port::upstream::{Body, BodyError};

/// Puts the reader, if there is one, before the body, and adjusts the headers.
pub(super) fn read(
    answer: Response<Body>,
    reader: impl FnOnce(&HeaderMap) -> Option<Box<dyn BodyReader>>,
) -> Response<Body> {
    let Some(reader) = reader(answer.headers()) else {
        return answer;
    };
    let (mut head, body) = answer.into_parts();
    let media = HeaderValue::from_static(reader.media());
    head.headers.insert(header::CONTENT_TYPE, media);
    head.headers.remove(header::CONTENT_LENGTH);
    let body = Reading {
        inner: Some(body),
        reader,
        broken: None,
    };
    Response::from_parts(head, body.boxed_unsync())
}

struct Reading {
    /// `None` after its end.
    inner: Option<Body>,
    reader: Box<dyn BodyReader>,
    /// Why it ends after the last frame.
    broken: Option<BodyError>,
}

impl http_body::Body for Reading {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            let Some(inner) = &mut this.inner else {
                return Poll::Ready(this.broken.take().map(Err));
            };
            let mut out = Vec::new();
            let went_well = match ready!(Pin::new(inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.reader.feed(&data, &mut out),
                    Err(_) => continue,
                },
                Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
                None => {
                    this.inner = None;
                    this.reader.finish(&mut out)
                }
            };
            if let Err(why) = went_well {
                this.inner = None;
                this.broken = Some(BodyError(why));
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, stream};
    use http_body_util::StreamBody;

    use super::*;

    /// Returns each `a` in upper case, nothing of a `b`, and an error at a `c`.
    struct Letters;

    impl BodyReader for Letters {
        fn media(&self) -> &'static str {
            "text/event-stream"
        }

        fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
            for byte in chunk {
                match byte {
                    b'a' => out.push(b'A'),
                    b'c' => return Err("a c".to_owned()),
                    _ => {}
                }
            }
            Ok(())
        }

        fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
            out.push(b'.');
            Ok(())
        }
    }

    fn read_of(chunks: &[&'static str]) -> Vec<Result<String, String>> {
        let chunks: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes()))))
            .collect();
        let mut answer = Response::new(StreamBody::new(stream::iter(chunks)).boxed_unsync());
        answer
            .headers_mut()
            .insert("content-length", HeaderValue::from_static("9"));
        let answer = read(answer, |_| Some(Box::new(Letters)));
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers().get("content-length"), None);
        let mut body = answer.into_body();
        let mut frames = Vec::new();
        while let Some(frame) = body.frame().now_or_never().unwrap() {
            let text = |frame: Frame<Bytes>| String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
            frames.push(frame.map(text).map_err(|broken| broken.0));
        }
        frames
    }

    #[test]
    fn frames_without_content_are_skipped() {
        let good = |text: &str| Ok(text.to_owned());
        assert_eq!(
            read_of(&["ab", "b", "", "aa"]),
            [good("A"), good("AA"), good(".")]
        );
        assert_eq!(read_of(&[]), [good(".")]);
    }

    #[test]
    fn what_came_before_an_error_is_returned_first() {
        let bad = Err("a c".to_owned());
        assert_eq!(read_of(&["aca", "a"]), [Ok("A".to_owned()), bad.clone()]);
        assert_eq!(read_of(&["c", "a"]), [bad]);
    }

    #[test]
    fn without_a_reader_nothing_changes() {
        let body = StreamBody::new(stream::iter([Ok(Frame::data(Bytes::from_static(b"a")))]));
        let answer = read(Response::new(body.boxed_unsync()), |_| None);
        assert!(answer.headers().is_empty());
        let first = answer.into_body().frame().now_or_never().unwrap();
        assert_eq!(first.unwrap().unwrap().into_data().unwrap(), "a");
    }
}
