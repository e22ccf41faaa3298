//! A data set with one of everything, odd values included.

use super::{Crs, DAY, Edition, Kind, iso, seal_bedrock, seal_old};

/// Ids of accounts of a full data set.
impl Crs {
    pub const CONSOLE: &'static str = "a0000000-0000-4000-8000-000000000001";
    pub const LOGIN: &'static str = "a0000000-0000-4000-8000-000000000002";
    pub const OLD_LOGIN: &'static str = "a0000000-0000-4000-8000-000000000003";
    pub const ODD_PROXY: &'static str = "a0000000-0000-4000-8000-000000000004";
    pub const ANTIGRAVITY: &'static str = "a0000000-0000-4000-8000-000000000005";
    pub const GEMINI: &'static str = "a0000000-0000-4000-8000-000000000006";
    pub const BEDROCK: &'static str = "a0000000-0000-4000-8000-000000000013";
    pub const GROUP: &'static str = "b0000000-0000-4000-8000-000000000001";

    /// A CRS with one of everything. Its Console account calls `provider`.
    pub fn full(edition: Edition, encryption_key: &str, provider: &str) -> Self {
        let mut crs = Self::empty(edition, encryption_key);
        crs.accounts(provider);
        crs.account_groups();
        crs.all_keys();
        crs.rest();
        crs
    }

    /// Adds an account at `key` and `id` with the fields that CRS gives a new one, and these.
    pub fn account(&mut self, key: &str, id: &str, fields: &[(&str, &str)]) {
        let at = format!("{key}{id}");
        let created = iso(self.now - DAY * 50);
        self.hash(
            &at,
            &[
                ("id", id),
                ("name", id),
                ("description", "undefined"),
                ("isActive", "true"),
                ("accountType", "shared"),
                ("priority", "50"),
                ("schedulable", "true"),
                ("status", "active"),
                ("proxy", ""),
                ("createdAt", &created),
                ("subscriptionExpiresAt", ""),
            ],
        );
        self.hash(&at, fields);
    }

    fn accounts(&mut self, provider: &str) {
        let api_key = self.seal(Kind::Console, "sk-ant-from-crs");
        self.account(
            "claude_console_account:",
            Self::CONSOLE,
            &[
                ("name", "控制台"),
                ("apiUrl", &format!("{provider}/v1/messages")),
                ("apiKey", &api_key),
                ("supportedModels", "{}"),
                ("maxConcurrentTasks", "3"),
                ("dailyQuota", "0"),
                // Its own machinery stopped it; the operator did not.
                ("isActive", "false"),
                ("schedulable", "false"),
                ("rateLimitAutoStopped", "true"),
                ("status", "rate_limited"),
            ],
        );
        let soon = (self.now + 3_600_000).to_string();
        let access = self.seal(Kind::Claude, "at-current");
        let refresh = self.seal(Kind::Claude, "rt-current");
        let stale = self.seal(
            Kind::Claude,
            r#"{"accessToken":"at-first","refreshToken":"rt-first","expiresAt":1,"scopes":[]}"#,
        );
        self.account(
            "claude:account:",
            Self::LOGIN,
            &[
                ("name", "login"),
                ("accessToken", &access),
                ("refreshToken", &refresh),
                ("claudeAiOauth", &stale),
                ("expiresAt", &soon),
                ("maxConcurrency", "5"),
                ("schedulable", "false"),
            ],
        );
        let old = seal_old(&self.encryption_key, "at-old-cipher");
        self.account(
            "claude:account:",
            Self::OLD_LOGIN,
            &[
                ("accessToken", &old),
                ("refreshToken", ""),
                ("accountType", "group"),
                (
                    "proxy",
                    r#"{"type":"socks5","host":"127.0.0.1","port":"1080","username":"u","password":"p w"}"#,
                ),
            ],
        );
        let again = self.seal(Kind::Console, "plain-third-party");
        self.account(
            "claude_console_account:",
            Self::ODD_PROXY,
            &[
                ("apiUrl", "https://relay.example.com/"),
                ("apiKey", &again),
                (
                    "supportedModels",
                    r#"{"claude-x":"their-x","claude-y":"claude-y"}"#,
                ),
                ("proxy", r#"{"type":"ssh","host":"h","port":22}"#),
                ("accountType", "dedicated"),
            ],
        );
        for (id, provider) in [(Self::ANTIGRAVITY, "antigravity"), (Self::GEMINI, "")] {
            let access = self.seal(Kind::Gemini, "ya29.token");
            let refresh = self.seal(Kind::Gemini, "1//refresh");
            self.account(
                "gemini_account:",
                id,
                &[
                    ("accessToken", &access),
                    ("refreshToken", &refresh),
                    ("oauthProvider", provider),
                    ("projectId", ""),
                    ("tempProjectId", "project-1"),
                    ("supportedModels", "gemini-2.5-pro,gemini-2.5-flash"),
                    ("accountType", "group"),
                ],
            );
        }
        let key = self.seal(Kind::GeminiApi, "AIza-key");
        self.account(
            "gemini_api_account:",
            "a0000000-0000-4000-8000-000000000007",
            &[
                ("apiKey", &key),
                ("baseUrl", "https://generativelanguage.googleapis.com"),
                ("supportedModels", "[]"),
            ],
        );
        let key = self.seal(Kind::Responses, "sk-openai");
        self.account(
            "openai_responses_account:",
            "a0000000-0000-4000-8000-000000000008",
            &[
                ("apiKey", &key),
                ("baseApi", "https://api.openai.com/v1"),
                ("dailyQuota", "5.5"),
                ("quotaResetTime", "08:00"),
            ],
        );
        let access = self.seal(Kind::OpenAi, "e30.eyJleHAiOjE4OTM0NTYwMDB9.x");
        let refresh = self.seal(Kind::OpenAi, "rt-openai");
        self.account(
            "openai:account:",
            "a0000000-0000-4000-8000-000000000009",
            &[
                ("accessToken", &access),
                ("refreshToken", &refresh),
                ("accountId", "chatgpt-1"),
                ("expiresAt", "2027-01-01T00:00:00.000Z"),
            ],
        );
        let broken = "000102030405060708090a0b0c0d0e0f:00000000000000000000000000000000";
        self.account(
            "claude:account:",
            "a0000000-0000-4000-8000-000000000010",
            &[
                ("name", "undecryptable"),
                ("accessToken", broken),
                ("refreshToken", broken),
            ],
        );
        for (prefix, kind) in [
            ("ccr_account:", Kind::Ccr),
            ("azure_openai:account:", Kind::Azure),
            ("droid:account:", Kind::Droid),
        ] {
            let secret = self.seal(kind, "homeless-secret");
            self.account(
                prefix,
                "a0000000-0000-4000-8000-000000000011",
                &[("apiKey", &secret)],
            );
        }
        self.command(&[
            "SET",
            "bedrock_account:a0000000-0000-4000-8000-000000000012",
            r#"{"id":"x","isActive":true,"priority":50,"awsCredentials":{"encrypted":"00","iv":"00"}}"#,
        ]);
        let keys = seal_bedrock(
            &self.encryption_key,
            r#"{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","secretAccessKey":"from/crs+=","sessionToken":""}"#,
        );
        self.command(&[
            "SET",
            &format!("bedrock_account:{}", Self::BEDROCK),
            &format!(
                r#"{{"id":"{}","name":"bedrock","region":"eu-west-1","isActive":true,"accountType":"dedicated","priority":50,"schedulable":true,"credentialType":"access_key","awsCredentials":{keys}}}"#,
                Self::BEDROCK
            ),
        ]);
    }

    fn account_groups(&mut self) {
        for (id, name, platform, members) in [
            (
                Self::GROUP,
                "双子",
                "gemini",
                vec![Self::GEMINI, Self::ANTIGRAVITY, "gone"],
            ),
            (
                "b0000000-0000-4000-8000-000000000002",
                "old",
                "claude",
                vec![Self::OLD_LOGIN],
            ),
            ("b0000000-0000-4000-8000-000000000003", "droids", "droid", vec![]),
        ] {
            self.command(&["SADD", "account_groups", id]);
            self.hash(
                &format!("account_group:{id}"),
                &[("id", id), ("name", name), ("platform", platform)],
            );
            for member in members {
                self.command(&["SADD", &format!("account_group_members:{id}"), member]);
            }
        }
    }

    fn all_keys(&mut self) {
        let past = iso(self.now - 86_400_000);
        let future = iso(self.now + DAY * 30);
        let group = format!("group:{}", Self::GROUP);
        let long = "名".repeat(200);
        let mut key = |name: &str, fields: &[(&str, &str)]| self.key(name, fields);
        key("plain", &[("tags", r#"["团队","a,b"]"#), ("lastUsedAt", &past)]);
        key(
            "limited",
            &[("totalCostLimit", "2.000001"), ("dailyCostLimit", "100")],
        );
        key(
            "slots",
            &[
                ("concurrencyLimit", "2"),
                ("rateLimitWindow", "60"),
                ("rateLimitRequests", "2"),
                ("tokenLimit", "0"),
            ],
        );
        key("no window", &[("rateLimitRequests", "7"), ("rateLimitCost", "1")]);
        key("expired", &[("expiresAt", &past)]);
        key("later", &[("expiresAt", &future)]);
        key("unreadable end", &[("expiresAt", "tomorrow")]);
        key(
            "unused",
            &[
                ("expirationMode", "activation"),
                ("isActivated", "false"),
                ("activatedAt", ""),
                ("activationDays", "0"),
                ("activationUnit", "hours"),
            ],
        );
        key(
            "used",
            &[
                ("expirationMode", "activation"),
                ("activationDays", "7"),
                ("expiresAt", &future),
            ],
        );
        key("off", &[("isActive", "false")]);
        key(
            "deleted",
            &[("isActive", "false"), ("isDeleted", "true"), ("deletedAt", &past)],
        );
        key("droid only", &[("permissions", r#"["droid"]"#)]);
        key(
            "claude only",
            &[("permissions", "claude"), ("weeklyOpusCostLimit", "10")],
        );
        key("two", &[("permissions", r#"["claude","openai","droid"]"#)]);
        key("bound", &[("claudeConsoleAccountId", Self::CONSOLE)]);
        key("bound to nobody", &[("claudeAccountId", "gone")]);
        key("bound to a group", &[("geminiAccountId", &group)]);
        key(
            "restricted",
            &[
                ("enableModelRestriction", "true"),
                ("restrictedModels", r#"["claude-opus-4"]"#),
            ],
        );
        key("any client", &[("enableClientRestriction", "true")]);
        key(
            "droid client",
            &[
                ("enableClientRestriction", "true"),
                ("allowedClients", r#"["droid_cli"]"#),
            ],
        );
        key(
            &long,
            &[("icon", "data:image/png;base64,AAAA"), ("description", "null")],
        );
        key(
            "of a user",
            &[
                ("userId", "0123456789abcdef0123456789abcdef"),
                ("userUsername", "left"),
            ],
        );
        key(
            "bedrock",
            &[("bedrockAccountId", "a0000000-0000-4000-8000-000000000012")],
        );
        // A record without an id of its own, and not in the map.
        let id = "00000000-0000-4000-8000-999999999999";
        let hash = self.key_hash("cr_nobody-knows-this-one");
        self.hash(
            &format!("apikey:{id}"),
            &[("name", "bare"), ("apiKey", &hash), ("isActive", "true")],
        );
        self.hash("apikey:hash_map", &[("00ff", "gone")]);
    }

    fn rest(&mut self) {
        self.command(&[
            "SET",
            "oem:settings",
            r#"{"siteName":"旧站","siteIcon":"","siteIconData":"","showAdminButton":false,"updatedAt":"2026-01-01T00:00:00.000Z"}"#,
        ]);
        self.command(&[
            "SET",
            "webhook_config:default",
            r#"{"enabled":true,"platforms":[]}"#,
        ]);
        self.command(&[
            "SET",
            "claude_relay_config",
            r#"{"claudeCodeOnlyEnabled":false,"concurrentRequestQueueEnabled":false}"#,
        ]);
        self.command(&[
            "SET",
            "user:0123456789abcdef0123456789abcdef",
            r#"{"id":"0123456789abcdef0123456789abcdef","username":"left","isActive":false}"#,
        ]);
        let ids: Vec<String> = self.keys.iter().map(|key| key.id.clone()).collect();
        self.spend(&ids[0], "claude-sonnet-4-5", 3, 123_456);
        self.spend(&ids[0], "weird:model:name", 1, 7);
        // All but spent: one micro-USD is left of its limit.
        self.spend(&ids[1], "claude-opus-4", 2, 2_000_001);
        let (.., day, _) = self.labels(self.now);
        for (name, figure) in [
            ("requests", "4"),
            ("inputTokens", "4000"),
            ("outputTokens", "800"),
        ] {
            self.command(&[
                "HSET",
                &format!("account_usage:{}", Self::CONSOLE),
                &format!("total{}{}", name[..1].to_uppercase(), &name[1..]),
                figure,
            ]);
            self.command(&[
                "HSET",
                &format!("account_usage:daily:{}:{day}", Self::CONSOLE),
                name,
                figure,
            ]);
            self.command(&[
                "HSET",
                &format!(
                    "account_usage:model:daily:{}:claude-sonnet-4-5:{day}",
                    Self::CONSOLE
                ),
                name,
                figure,
            ]);
        }
        let record = format!(
            r#"{{"timestamp":"{}","model":"claude-sonnet-4-5","accountId":"{}","accountType":"claude-console","inputTokens":1000,"outputTokens":200,"cacheCreateTokens":30,"cacheReadTokens":500,"ephemeral1hTokens":10,"cost":0.041152}}"#,
            iso(self.now - 60_000),
            Self::CONSOLE
        );
        self.command(&["LPUSH", &format!("usage:records:{}", ids[0]), &record]);
        // Indexes and caches, which are no records.
        self.command(&["SADD", "apikey:tags:all", "x"]);
        self.command(&["ZADD", "cost_rank:today", "1", &ids[0]]);
        self.command(&[
            "HSET",
            "usage:daily:00000000-0000-4000-8000-777777777777:2026-01-01",
            "requests",
            "5",
        ]);
    }
}
