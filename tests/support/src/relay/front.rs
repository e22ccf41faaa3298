//! What speaks like Upstash in front of a relay's Redis.

use crate::redis_server::RedisServer;

pub(super) struct Front {
    url: String,
    token: String,
}

impl Front {
    pub(super) async fn start(redis: &RedisServer) -> Self {
        std::future::ready(Self {
            url: format!("http://127.0.0.1:{}", redis.port()),
            token: redis.password().to_owned(),
        })
        .await
    }

    /// What the Worker is given to reach it.
    pub(super) fn bindings(&self) -> [(&'static str, String); 2] {
        [
            ("UPSTASH_REDIS_REST_URL", self.url.clone()),
            ("UPSTASH_REDIS_REST_TOKEN", self.token.clone()),
        ]
    }
}
