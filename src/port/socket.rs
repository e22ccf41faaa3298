//! A client's WebSocket, as a host has it.

use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;

/// What comes over a WebSocket. Pings and pongs are the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Text(Bytes),
    /// A message that is not text.
    Binary,
    /// A message above the limit; nothing can be read after it.
    TooLarge,
    /// The host ends, or needs the connection for others: no new turn may begin. Told once.
    Ending,
    /// The other side has left. Nothing is read after it.
    Gone,
}

/// The other side is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// A code for closing (RFC 6455, 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    Normal,
    /// The server goes down.
    Away,
    TooLarge,
    /// The client does what it must not do.
    Policy,
}

impl Close {
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Away => 1001,
            Self::Policy => 1008,
            Self::TooLarge => 1009,
        }
    }
}

#[async_trait]
pub trait Socket: Send {
    /// The next thing that came. Answers pings meanwhile.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Received>;

    /// Sends a text frame; resolves when there is room for another.
    async fn send(&mut self, text: String) -> Result<(), Gone>;

    /// A turn begins or ends: without one, the connection is idle.
    fn busy(&mut self, is_busy: bool);

    async fn close(&mut self, close: Close, reason: &'static str);
}
