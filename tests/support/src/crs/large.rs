//! A CRS with many keys and a long history, written as it is made.

use super::{Crs, DAY, Edition, Wire};
use crate::redis_server::RedisServer;

const MODELS: [&str; 3] = [
    "claude-sonnet-4-5-20250929",
    "claude-opus-4-1-20250805",
    "gemini-2.5-pro",
];

/// Rows of usage that a key has for each day: of its model, of all models, and its cost.
pub const ROWS_A_DAY: u64 = 3;

/// Fills a database with `keys` keys, each of which was used on the last `days` days.
pub fn load(redis: &RedisServer, database: u32, encryption_key: &str, keys: u64, days: u64) {
    let mut crs = Crs::empty(Edition::Fork, encryption_key);
    crs.load(redis, database);
    let mut wire = Wire::connect(redis, database);
    let labels: Vec<String> = (0..days).map(|day| crs.labels(crs.now - day * DAY).1).collect();
    for number in 0..keys {
        crs.commands.clear();
        let key = crs.key(
            &format!("key {number}"),
            &[("dailyCostLimit", "5"), ("concurrencyLimit", "3")],
        );
        for (row, day) in labels.iter().enumerate() {
            let model = MODELS[(number as usize + row) % MODELS.len()];
            let input = (1_000 + number).to_string();
            let counts = [
                ("inputTokens", input.as_str()),
                ("outputTokens", "200"),
                ("cacheCreateTokens", "30"),
                ("cacheReadTokens", "500"),
                ("requests", "1"),
            ];
            crs.hash(&format!("usage:{}:model:daily:{model}:{day}", key.id), &counts);
            crs.hash(&format!("usage:daily:{}:{day}", key.id), &counts);
            crs.command(&["SET", &format!("usage:cost:daily:{}:{day}", key.id), "0.0061"]);
        }
        wire.all(&crs.commands);
    }
}
