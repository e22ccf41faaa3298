//! Reads the server's whole database with `store::scan`.

use std::time::Duration;

use async_trait::async_trait;

use super::{KIND, Tcp};
use crate::port::store::StoreError;
use crate::port::whole::{Parts, Whole};
use crate::store::redis::{Args, Value};
use crate::store::scan::{self, Raw, Scan};

#[async_trait]
impl Whole for Tcp {
    async fn parts<'a>(&'a self) -> Result<Box<dyn Parts + 'a>, StoreError> {
        Ok(Box::new(Scan::new(self)))
    }

    async fn size(&self) -> Result<u64, StoreError> {
        scan::size(self).await
    }
}

#[async_trait]
impl Raw for Tcp {
    fn backend(&self) -> &'static str {
        KIND
    }

    async fn ask(&self, requests: &[Args]) -> Result<Vec<Value>, StoreError> {
        Tcp::ask(self, requests.to_vec(), true).await
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
