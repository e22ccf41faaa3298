//! Natively: HTTP/1.1 with kept connections, over TLS with the public roots.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use reqwest::redirect::Policy;
use reqwest::{Client, Request};

use super::{Answer, Fault, LARGEST, head, reason};

/// Connections unused for longer may be dead and are not reused.
const IDLE: Duration = Duration::from_secs(20);

pub(in super::super) struct Wire {
    client: Client,
}

impl Wire {
    pub(in super::super) fn new() -> Result<Wire, String> {
        let mut roots = rustls::RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            // Without redirects, because a token must not go to another host.
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(reason)?;
        Ok(Wire { client })
    }

    pub(in super::super) async fn post(&self, request: Request) -> Result<Answer, Fault> {
        let mut response = self.client.execute(request).await.map_err(fault)?;
        let (status, retry_after) = head(&response)?;
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(fault)? {
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
    }
}

fn fault(error: reqwest::Error) -> Fault {
    Fault::Lost {
        sent: !error.is_connect(),
        reason: reason(error),
    }
}
