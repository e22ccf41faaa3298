//! The home of machines that several processes share (`crs_durable::shared`).

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crs_durable::shared::{Answer, Request};
use crs_durable::{CallId, Millis};

use super::store::StoreError;

#[async_trait]
pub trait Home: Send + Sync {
    /// One atomic step of a machine. A request without a reply may have been accepted, or may be accepted later.
    async fn step(&self, machine: &str, request: &Request) -> Result<Step, StoreError>;

    /// The messages of processes to each other, until the connection ends; `None`: there are no messages, so waiting
    /// calls must poll.
    async fn messages(&self) -> Result<Option<BoxStream<'static, Message>>, StoreError>;

    /// `redis`, `upstash`: for health and metrics.
    fn kind(&self) -> &'static str;
}

/// The home's reply to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub answer: Answer,
    /// The home's clock, which all processes use.
    pub now: Millis,
}

/// A message of one process to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub machine: String,
    /// Calls that must ask again.
    pub wake: Vec<CallId>,
    /// Every process with waiting calls must look.
    pub news: bool,
}

impl Message {
    /// The wire format.
    pub fn text(&self) -> String {
        let mut text = self.machine.clone();
        for call in &self.wake {
            text.push(' ');
            text.push_str(&hex::encode(call.0.to_be_bytes()));
        }
        if self.news {
            text.push_str(" *");
        }
        text
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let machine = words.next().filter(|name| !name.is_empty())?.to_owned();
        let mut message = Self {
            machine,
            wake: Vec::new(),
            news: false,
        };
        for word in words {
            match word {
                "*" => message.news = true,
                call => message.wake.push(CallId(u128::from_str_radix(call, 16).ok()?)),
            }
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_parsed_back() {
        for message in [
            Message {
                machine: "pool:claude".into(),
                wake: Vec::new(),
                news: true,
            },
            Message {
                machine: "gate:00ff".into(),
                wake: vec![CallId(1), CallId(u128::MAX)],
                news: false,
            },
        ] {
            assert_eq!(Message::parse(&message.text()), Some(message));
        }
        assert_eq!(Message::parse(""), None);
        assert_eq!(Message::parse("pool:claude x"), None);
    }
}
