use super::*;
use crate::model::account::Platform;

/// 2026-01-31, noon in UTC.
const NOW: Millis = 1_769_860_800_000;

fn context(edition: Edition) -> Context {
    Context {
        edition,
        now: NOW,
        accounts: [
            ("claude-1", Platform::Claude),
            ("bedrock-1", Platform::Claude),
            ("gemini-1", Platform::Gemini),
            ("anti-1", Platform::Antigravity),
            ("openai-1", Platform::OpenAi),
        ]
        .map(|(id, platform)| (id.to_owned(), platform))
        .into(),
        groups: [(
            "twins".to_owned(),
            [
                (Platform::Gemini, "twins".to_owned()),
                (Platform::Antigravity, "twins-2".to_owned()),
            ]
            .into(),
        )]
        .into(),
        users: [("here".to_owned(), true), ("off".to_owned(), false)].into(),
        claude_fallback: edition == Edition::Fork,
        queue: None,
        claude_code_only: false,
        prefix: "cr_".to_owned(),
    }
}

fn read_in(context: &Context, fields: &[(&str, &str)]) -> (Key, Remarks) {
    let mut raw = RawKey {
        id: "k".to_owned(),
        ..RawKey::default()
    };
    raw.fields = Fields::of([("name", "name"), ("isActive", "true")]);
    raw.fields.0.insert("apiKey".to_owned(), "ab".repeat(32));
    for (name, value) in fields {
        raw.fields.0.insert((*name).to_owned(), (*value).to_owned());
    }
    let mut remarks = Remarks::default();
    let key = key(&raw, context, &Secret::new("pepper"), &mut remarks).unwrap();
    (key, remarks)
}

fn fork(fields: &[(&str, &str)]) -> Key {
    read_in(&context(Edition::Fork), fields).0
}

fn upstream(fields: &[(&str, &str)]) -> Key {
    read_in(&context(Edition::Upstream), fields).0
}

#[test]
fn permissions_never_get_wider() {
    use Service::{Claude, OpenAi};
    for (text, permissions) in [
        ("[]", vec![]),
        ("", vec![]),
        ("all", vec![]),
        (r#"["all"]"#, vec![]),
        ("claude", vec![Claude]),
        (r#"["openai","claude"]"#, vec![Claude, OpenAi]),
        (r#"["claude","droid"]"#, vec![Claude]),
    ] {
        let key = fork(&[("permissions", text)]);
        assert_eq!(key.permissions, permissions, "{text}");
        assert!(key.is_active, "{text}");
    }
    for text in [r#"["droid"]"#, "droid", r#"["nonsense"]"#] {
        assert!(!fork(&[("permissions", text)]).is_active, "{text}");
    }
    // The fork refuses every call of such a key; the later line reads it.
    assert!(!fork(&[("permissions", "claude,openai")]).is_active);
    let key = upstream(&[("permissions", "claude,openai")]);
    assert!(key.is_active && key.permissions == [Claude, OpenAi]);
}

#[test]
fn limits_are_those_that_held() {
    let key = fork(&[
        ("rateLimitWindow", "60"),
        ("rateLimitRequests", "7"),
        ("rateLimitCost", "1.5"),
        ("tokenLimit", "0"),
        ("dailyCostLimit", "2.25"),
        ("totalCostLimit", "NaN"),
        ("concurrencyLimit", "-3"),
        ("weeklyOpusCostLimit", "10"),
    ]);
    assert_eq!((key.rate_limit_window, key.rate_limit_requests), (60, 7));
    assert_eq!(
        (key.rate_limit_cost, key.money[MoneyLimit::Day]),
        (MicroUsd(1_500_000), MicroUsd(2_250_000))
    );
    assert_eq!(
        (key.money[MoneyLimit::Total], key.concurrency_limit),
        (MicroUsd(0), 0)
    );
    assert_eq!(
        (key.money[MoneyLimit::WeekOpus], key.money[MoneyLimit::Week]),
        (MicroUsd(10_000_000), MicroUsd(0))
    );
    // Tokens switch the cost of a window off; without a window nothing of one holds.
    let key = fork(&[
        ("rateLimitWindow", "60"),
        ("rateLimitCost", "1"),
        ("tokenLimit", "9"),
    ]);
    assert_eq!((key.rate_limit_cost, key.token_limit), (MicroUsd(0), 9));
    let key = fork(&[
        ("rateLimitRequests", "7"),
        ("tokenLimit", "9"),
        ("rateLimitCost", "1"),
    ]);
    assert_eq!(
        (key.rate_limit_requests, key.token_limit, key.rate_limit_cost),
        (0, 0, MicroUsd(0))
    );
    // The later line counts all of Claude's models by the week.
    let weekly = [
        ("weeklyOpusCostLimit", "10"),
        ("weeklyResetDay", "5"),
        ("weeklyResetHour", "25"),
        ("permissions", "claude"),
    ];
    let (key, remarks) = read_in(&context(Edition::Upstream), &weekly);
    assert_eq!(
        (key.money[MoneyLimit::Week], key.money[MoneyLimit::WeekOpus]),
        (MicroUsd(10_000_000), MicroUsd(0))
    );
    assert_eq!((key.weekly_reset_day, key.weekly_reset_hour), (5, 23));
    assert!(remarks.list().is_empty());
    let (_, remarks) = read_in(&context(Edition::Upstream), &weekly[..3]);
    assert_eq!(remarks.list()[0].matter, Matter::Stricter);
}

#[test]
fn an_end_that_cannot_be_read_is_never_no_end() {
    assert_eq!(
        fork(&[("expiresAt", "2026-02-01T00:00:00.000Z")]).expires_at,
        Some(1_769_904_000_000)
    );
    assert_eq!(fork(&[("expiresAt", "null")]).expires_at, None);
    assert!(!fork(&[("expiresAt", "soon")]).is_active);
    let unused = [
        ("expirationMode", "activation"),
        ("isActivated", "false"),
        ("activationDays", "0"),
    ];
    let key = fork(&unused);
    assert_eq!(
        (key.expiration_mode, key.activation_days, key.activated_at),
        (ExpirationMode::Activation, 30, None)
    );
    // Used: what it was extended to counts, not the days.
    let key = fork(&[
        ("expirationMode", "activation"),
        ("isActivated", "true"),
        ("activationDays", "7"),
        ("expiresAt", "2026-02-01T00:00:00.000Z"),
    ]);
    assert_eq!(
        (key.expiration_mode, key.expires_at),
        (ExpirationMode::Fixed, Some(1_769_904_000_000))
    );
    // Used at a moment that is lost: it must not begin anew.
    assert!(!fork(&[("expirationMode", "activation"), ("isActivated", "true")]).is_active);
    // In the other mode both fields mean nothing.
    let key = fork(&[
        ("isActivated", "true"),
        ("activatedAt", "2026-01-01T00:00:00.000Z"),
    ]);
    assert_eq!((key.activated_at, key.is_active), (None, true));
}

#[test]
fn restrictions_hold_or_the_key_is_inactive() {
    let on = ("enableClientRestriction", "true");
    let key = fork(&[on, ("allowedClients", "[]")]);
    assert!(
        key.is_active && !key.enable_client_restriction,
        "nobody there was kept out"
    );
    let key = fork(&[on, ("allowedClients", r#"["codex_cli","droid_cli"]"#)]);
    assert_eq!(key.allowed_clients, ["codex_cli"]);
    assert!(!fork(&[on, ("allowedClients", r#"["droid_cli"]"#)]).is_active);
    assert!(!fork(&[on, ("allowedClients", "[broken")]).is_active);
    let models = ("restrictedModels", r#"["claude-opus-4"]"#);
    let key = fork(&[("enableModelRestriction", "true"), models]);
    assert!(key.enable_model_restriction && key.model_restriction_mode == ModelMode::Deny);
    assert!(!fork(&[models]).enable_model_restriction);
    assert!(!fork(&[("enableModelRestriction", "true"), ("restrictedModels", "{")]).is_active);
    let mut only = context(Edition::Fork);
    only.claude_code_only = true;
    let (key, _) = read_in(&only, &[("permissions", "claude")]);
    assert_eq!(key.allowed_clients, ["claude_code"]);
    assert!(
        !read_in(&only, &[("permissions", "openai")])
            .0
            .enable_client_restriction
    );
}

#[test]
fn a_binding_that_has_no_home_does_not_open_the_pool() {
    let key = fork(&[("claudeAccountId", "claude-1")]);
    assert_eq!(key.bindings[&Platform::Claude], "claude-1");
    assert!(key.binding_fallback && !upstream(&[("claudeAccountId", "claude-1")]).binding_fallback);
    let key = fork(&[("bedrockAccountId", "bedrock-1")]);
    assert!(key.is_active && key.bindings[&Platform::Claude] == "bedrock-1");
    let key = fork(&[("claudeAccountId", "claude-1"), ("bedrockAccountId", "bedrock-1")]);
    assert_eq!(key.bindings[&Platform::Claude], "claude-1");
    for fields in [
        [("claudeAccountId", "gone")],
        [("claudeAccountId", "openai-1")],
        [("claudeAccountId", "group:gone")],
        [("bedrockAccountId", "gone")],
        [("openaiAccountId", "responses:gone")],
        [("geminiAccountId", "api:gone")],
    ] {
        let key = fork(&fields);
        assert!(!key.is_active && key.bindings.is_empty(), "{fields:?}");
    }
    let key = fork(&[
        ("openaiAccountId", "responses:openai-1"),
        ("geminiAccountId", "anti-1"),
    ]);
    assert_eq!(key.bindings[&Platform::OpenAi], "openai-1");
    assert_eq!(key.bindings[&Platform::Antigravity], "anti-1");
    assert!(!key.binding_fallback, "OpenAI never falls back");
    let key = fork(&[("geminiAccountId", "group:twins")]);
    assert_eq!(key.bindings[&Platform::Gemini], "group:twins");
    assert_eq!(key.bindings[&Platform::Antigravity], "group:twins-2");
    assert!(!key.binding_fallback);
    // Stored by CRS, and never obeyed.
    assert!(fork(&[("azureOpenaiAccountId", "x"), ("droidAccountId", "y")]).is_active);
    // Of two, the first is used.
    let key = fork(&[
        ("claudeAccountId", "claude-1"),
        ("claudeConsoleAccountId", "gone"),
    ]);
    assert!(key.is_active);
}

#[test]
fn owners_deletion_and_names() {
    assert!(fork(&[("userId", "here")]).is_active);
    assert!(!fork(&[("userId", "off")]).is_active);
    assert!(!fork(&[("userId", "nobody")]).is_active);
    let key = fork(&[
        ("isActive", "false"),
        ("isDeleted", "true"),
        ("deletedAt", "2026-01-01T00:00:00.000Z"),
    ]);
    assert_eq!((key.is_active, key.deleted_at), (true, Some(1_767_225_600_000)));
    let key = fork(&[("name", "a\nb"), ("tags", r#"["x","x",""]"#)]);
    assert_eq!(
        (key.name.as_str(), key.tags.as_slice()),
        ("a b", &["x".to_owned()][..])
    );
    assert_eq!(fork(&[("name", "undefined")]).name, "key k");
    assert_eq!(fork(&[("name", &"名".repeat(200))]).name.chars().count(), 100);
}

#[test]
fn what_was_stored_of_the_secret_is_its_hash() {
    let raw = |secret: &str| RawKey {
        id: "k".to_owned(),
        fields: Fields::of([("apiKey", secret)]),
        ..RawKey::default()
    };
    let read = |secret: &str| {
        let read = key(
            &raw(secret),
            &context(Edition::Fork),
            &Secret::new("pepper"),
            &mut Remarks::default(),
        );
        read.map(|key| key.hash)
    };
    assert_eq!(read(&"AB".repeat(32)), Ok("ab".repeat(32)));
    assert_eq!(
        read("cr_plain-key-of-old"),
        Ok(old_hash("cr_plain-key-of-old", "pepper").hex())
    );
    for bad in ["", "[REDACTED]", "cr_1234567...[REDACTED]", "short"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_queue_is_of_keys_with_a_limit() {
    let mut queued = context(Edition::Fork);
    queued.queue = Queue::of(&serde_json::json!({
        "concurrentRequestQueueEnabled": true,
        "concurrentRequestQueueMaxSize": 3,
        "concurrentRequestQueueMaxSizeMultiplier": 2.5,
        "concurrentRequestQueueTimeoutMs": 900_000,
    }));
    let (key, _) = read_in(&queued, &[("concurrencyLimit", "2")]);
    assert_eq!(
        (key.concurrency_queue_size, key.concurrency_queue_timeout),
        (5, 300_000)
    );
    assert_eq!(read_in(&queued, &[]).0.concurrency_queue_size, 0);
    assert_eq!(
        Queue::of(&serde_json::json!({ "concurrentRequestQueueEnabled": false })),
        None
    );
}
