//! The home of machines that processes share: one command per step.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::{KIND, Upstash};
use crate::port::store::StoreError;
use crate::store::home::Server;
use crate::store::redis::{Args, Value};

#[async_trait]
impl Server for Upstash {
    fn name(&self) -> &'static str {
        KIND
    }

    async fn send(&self, request: Args) -> Result<Value, StoreError> {
        self.one(&request, false).await
    }

    /// Each listener would be a request that never ends.
    async fn listen(&self, _: &str) -> Result<Option<BoxStream<'static, Bytes>>, StoreError> {
        Ok(None)
    }
}
