//! One exchange with a provider's token endpoint, over the account's own proxy.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};

use super::gather::read_bounded;
use super::unpack;
use crate::app::App;
use crate::model::account::Proxy;
use crate::port::clock::within;
use crate::port::upstream::{BodyError, Route, UpstreamError};

/// Time limit for the whole exchange.
const EXCHANGE: Duration = Duration::from_secs(30);

/// The answer is missing or incomplete. The text contains nothing of the request.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error(transparent)]
    Away(#[from] UpstreamError),
    #[error(transparent)]
    Broke(#[from] BodyError),
    #[error("the token endpoint did not answer in time")]
    Late,
}

/// Returns the status and body of the answer, whatever they are.
pub async fn ask(
    app: &App,
    request: Request<Bytes>,
    proxy: Option<Arc<Proxy>>,
) -> Result<(StatusCode, Bytes), NoAnswer> {
    let route = Route {
        proxy,
        connect_timeout: app.config.relay.connect,
        head_timeout: EXCHANGE,
    };
    let exchange = async {
        let answer = app.ports.upstream.send(request, &route).await?;
        let (head, body) = unpack::opened(answer).map_err(BodyError)?.into_parts();
        let body = read_bounded(body, super::ERROR_BODY_LIMIT).await?;
        Ok((head.status, body))
    };
    within(&*app.ports.clock, EXCHANGE, exchange)
        .await
        .unwrap_or(Err(NoAnswer::Late))
}
