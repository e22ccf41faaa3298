//! On the edge: `fetch`, which handles connections and TLS and reports few details about them.

use bytes::BytesMut;
use futures_util::StreamExt as _;
use reqwest::{Client, Request};
use send_wrapper::SendWrapper;

use super::{Answer, Fault, LARGEST, head, reason};

pub(in super::super) struct Wire {
    client: Client,
}

impl Wire {
    pub(in super::super) fn new() -> Result<Wire, String> {
        let client = Client::builder().build().map_err(reason)?;
        Ok(Wire { client })
    }

    /// The future is only polled on the thread that made it: an isolate has one thread.
    pub(in super::super) fn post(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Answer, Fault>> + Send + use<> {
        let client = self.client.clone();
        SendWrapper::new(async move {
            // `fetch` does not say whether the connection failed.
            let lost = |error| Fault::Lost {
                sent: true,
                reason: reason(error),
            };
            let response = client.execute(request).await.map_err(lost)?;
            let (status, retry_after) = head(&response)?;
            let mut body = BytesMut::new();
            let mut pieces = response.bytes_stream();
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(lost)?;
                if body.len() + piece.len() > LARGEST {
                    return Err(Fault::TooLarge);
                }
                body.extend_from_slice(&piece);
            }
            Ok(Answer {
                status,
                retry_after,
                body: body.freeze(),
            })
        })
    }
}
