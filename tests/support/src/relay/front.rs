//! A front like Upstash's before a relay's Redis.

use crate::redis_server::RedisServer;
use crate::upstash::UpstashFront;

pub(super) struct Front(UpstashFront);

impl Front {
    pub(super) async fn start(redis: &RedisServer) -> Self {
        Self(UpstashFront::start(redis).await)
    }

    pub(super) fn upstash(&self) -> &UpstashFront {
        &self.0
    }

    /// What the Worker is given to reach it.
    pub(super) fn bindings(&self) -> [(&'static str, String); 2] {
        [
            ("UPSTASH_REDIS_REST_URL", self.0.url()),
            ("UPSTASH_REDIS_REST_TOKEN", self.0.token().to_owned()),
        ]
    }
}
