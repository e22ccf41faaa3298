//! Reads the whole database with `store::scan`. Each key costs at least three commands.

use std::time::Duration;

use async_trait::async_trait;

use super::line::To;
use super::{KIND, Upstash, answer, body, spoken};
use crate::port::store::StoreError;
use crate::port::whole::{Parts, Whole};
use crate::store::redis::{Args, Value};
use crate::store::scan::{self, Raw, Scan};

#[async_trait]
impl Whole for Upstash {
    async fn parts<'a>(&'a self) -> Result<Box<dyn Parts + 'a>, StoreError> {
        Ok(Box::new(Scan::new(self)))
    }

    async fn size(&self) -> Result<u64, StoreError> {
        scan::size(self).await
    }
}

#[async_trait]
impl Raw for Upstash {
    fn backend(&self) -> &'static str {
        KIND
    }

    async fn ask(&self, requests: &[Args]) -> Result<Vec<Value>, StoreError> {
        let count = requests.len();
        let body = body(&requests.iter().map(spoken).collect::<Vec<_>>())?;
        let read = move |answer, secret: &str| answer::many(answer, count, secret);
        self.line.ask(To::Pipeline, body, count as u64, true, read).await
    }

    async fn pause(&self, time: Duration) {
        self.line.clock.sleep(time).await;
    }
}
