use super::*;
use crate::model::account::live::AccessKeys;
use crate::model::secret::Secret;

const NOW: Millis = 1_769_860_800_000;

fn read_as(kind: Kind, fields: &[(&str, &str)]) -> (Result<OpenAccount, &'static str>, Remarks) {
    let mut raw = RawAccount {
        kind,
        id: "a".to_owned(),
        fields: Fields::of([("name", "name"), ("isActive", "true"), ("schedulable", "true")]),
    };
    for (name, value) in fields {
        raw.fields.0.insert((*name).to_owned(), (*value).to_owned());
    }
    let mut remarks = Remarks::default();
    let ciphers = Ciphers::new(Secret::new("0123456789abcdef0123456789abcdef"));
    (account(&raw, &ciphers, NOW, &mut remarks), remarks)
}

fn console(fields: &[(&str, &str)]) -> OpenAccount {
    let mut all = vec![
        ("apiKey", "sk-ant-plain"),
        ("apiUrl", "https://api.example.com/v1/messages/"),
    ];
    all.extend(fields);
    read_as(Kind::Console, &all).0.unwrap()
}

fn login(fields: &[(&str, &str)]) -> OpenAccount {
    let mut all = vec![("accessToken", "sk-ant-oat-now"), ("refreshToken", "rt-now")];
    all.extend(fields);
    read_as(Kind::Claude, &all).0.unwrap()
}

#[test]
fn a_stop_by_its_own_machinery_is_no_pause() {
    assert!(
        !login(&[("schedulable", "false")]).schedulable,
        "the operator's own"
    );
    for mark in [
        "rateLimitAutoStopped",
        "fiveHourAutoStopped",
        "tempErrorAutoStopped",
        "quotaAutoStopped",
    ] {
        assert!(
            login(&[("schedulable", "false"), (mark, "true")]).schedulable,
            "{mark}"
        );
        assert!(
            !login(&[("schedulable", "false"), (mark, "false")]).schedulable,
            "{mark}"
        );
    }
    assert!(
        login(&[
            ("schedulable", "false"),
            ("autoStoppedAt", "x"),
            ("stoppedReason", "y")
        ])
        .schedulable
    );
    assert!(!console(&[("isActive", "false")]).is_active);
    assert!(console(&[("isActive", "false"), ("quotaAutoStopped", "true")]).is_active);
    let stopped = [
        ("apiKey", "k-plain-key"),
        ("schedulable", "false"),
        ("status", "rateLimited"),
    ];
    assert!(read_as(Kind::Responses, &stopped).0.unwrap().schedulable);
    assert!(!read_as(Kind::Responses, &stopped[..2]).0.unwrap().schedulable);
}

#[test]
fn a_proxy_that_is_not_understood_is_never_a_direct_call() {
    let good = console(&[(
        "proxy",
        r#"{"type":"socks5","host":"p","port":"1080","username":"u","password":"x"}"#,
    )]);
    let proxy = good.proxy.unwrap();
    assert_eq!(
        (proxy.scheme, proxy.port, proxy.password.as_deref()),
        (ProxyScheme::Socks5, 1080, Some("x"))
    );
    let within = r#""{\"type\":\"http\",\"host\":\"p\",\"port\":80}""#;
    assert!(console(&[("proxy", within)]).proxy.is_some());
    for odd in [
        "{broken",
        r#"{"type":"ssh","host":"p","port":22}"#,
        r#"{"host":"p"}"#,
        r#"{"type":"http","host":"p","port":0}"#,
    ] {
        assert!(!console(&[("proxy", odd)]).is_active, "{odd}");
    }
    for none in ["", "null", "{}"] {
        let account = console(&[("proxy", none)]);
        assert!(account.is_active && account.proxy.is_none(), "{none}");
    }
}

#[test]
fn current_tokens_win_over_the_login_of_the_first_day() {
    let stale = (
        "claudeAiOauth",
        r#"{"accessToken":"at-first","refreshToken":"rt-first","expiresAt":5}"#,
    );
    let account = login(&[stale, ("expiresAt", "1769860800123")]);
    let Credentials::OAuth {
        access_token,
        refresh_token,
        expires_at,
        ..
    } = account.credentials
    else {
        panic!()
    };
    assert_eq!(
        (access_token.reveal(), refresh_token.unwrap().reveal()),
        ("sk-ant-oat-now", "rt-now")
    );
    assert_eq!(expires_at, Some(1_769_860_800_123));
    let account = login(&[stale, ("accessToken", "")]);
    let Credentials::OAuth { access_token, .. } = account.credentials else {
        panic!()
    };
    assert_eq!(access_token.reveal(), "at-first");
    let (read, _) = read_as(
        Kind::Claude,
        &[("refreshToken", "rt-only"), ("status", "created")],
    );
    assert!(read.unwrap_err().contains("access token"));
    assert!(!login(&[("refreshToken", "")]).is_refreshed(), "a setup token");
}

#[test]
fn tokens_of_openai_know_when_they_end() {
    let jwt = "e30.eyJleHAiOjE4OTM0NTYwMDB9.x";
    let fields = [
        ("accessToken", jwt),
        ("expiresAt", "2099-01-01T00:00:00Z"),
        ("accountId", "chatgpt"),
    ];
    let Credentials::OAuth {
        expires_at, tenant, ..
    } = read_as(Kind::OpenAi, &fields).0.unwrap().credentials
    else {
        panic!()
    };
    assert_eq!(
        (expires_at, tenant.as_deref()),
        (Some(1_893_456_000_000), Some("chatgpt"))
    );
}

#[test]
fn models_come_in_three_forms() {
    let names = |account: &OpenAccount| {
        account
            .supported_models
            .clone()
            .map(|names| names.into_iter().collect::<Vec<_>>())
    };
    let account = console(&[("supportedModels", r#"{"x":"y","z":"z"}"#)]);
    assert_eq!(names(&account), Some(vec!["x".to_owned(), "z".to_owned()]));
    assert_eq!(account.model_mapping, [("x".to_owned(), "y".to_owned())].into());
    for all in ["{}", "[]", "", "null"] {
        assert_eq!(names(&console(&[("supportedModels", all)])), None, "{all}");
    }
    assert_eq!(
        names(&console(&[("supportedModels", "a, b,")])),
        Some(vec!["a".to_owned(), "b".to_owned()])
    );
    let broken = console(&[("supportedModels", "{broken")]);
    assert!(!broken.is_active, "an unknown list must not become every model");
}

#[test]
fn kinds_and_limits_find_their_homes() {
    let account = console(&[
        ("maxConcurrentTasks", "3"),
        ("priority", "0"),
        ("dailyQuota", "1.5"),
        ("accountType", "dedicated"),
    ]);
    assert_eq!(
        (account.max_concurrency, account.priority, account.daily_quota),
        (3, 50, MicroUsd(1_500_000))
    );
    assert!(!account.shared);
    let Credentials::ApiKey { base_url, .. } = account.credentials else {
        panic!()
    };
    assert_eq!(base_url.as_deref(), Some("https://api.example.com"));
    assert_eq!(
        login(&[("maxConcurrency", "5")]).max_concurrency,
        0,
        "it is no limit of parallel calls"
    );
    let gemini = |provider: &str| {
        let fields = [
            ("accessToken", "ya29"),
            ("oauthProvider", provider),
            ("tempProjectId", "p"),
        ];
        let account = read_as(Kind::Gemini, &fields).0.unwrap();
        let Credentials::OAuth { tenant, .. } = account.credentials else {
            panic!()
        };
        (account.platform, tenant)
    };
    assert_eq!(
        gemini("antigravity"),
        (Platform::Antigravity, Some("p".to_owned()))
    );
    assert_eq!(gemini(""), (Platform::Gemini, Some("p".to_owned())));
    for kind in [Kind::Ccr, Kind::Droid] {
        assert!(read_as(kind, &[("apiKey", "secret-key")]).0.is_err(), "{kind:?}");
    }
    let template = [
        ("apiKey", "AIza"),
        ("baseUrl", "https://x.example/{model}:{action}"),
    ];
    assert!(read_as(Kind::GeminiApi, &template).0.is_err());
    assert!(!console(&[("subscriptionExpiresAt", "someday")]).is_active);
    assert!(
        read_as(
            Kind::Console,
            &[("apiKey", "k"), ("apiUrl", "https://u:p@x.example")]
        )
        .0
        .is_err()
    );
}

#[test]
fn bedrock_accounts_keep_their_keys_or_token() {
    let keys = r#"{"accessKeyId":"AKIATEST","secretAccessKey":"secret/+=","sessionToken":""}"#;
    let sealed = r#"{"encrypted":"72b2d8c8a9d46cda89b45738c1729247839cc3faeb62dbe0d24e81d424e9c0b0b9b7cfe58d2963fb303b66300d5956a3738e3e0ed532ab2603f89a680148aa8e9b43eeefea49cff4ced8267731e3dc31","iv":"000102030405060708090a0b0c0d0e0f"}"#;
    let token = r#"{"encrypted":"6be6f4ecb215bde5c4fd9c96df6f13d447960e7f00a15fec79b7d79444cb3f5e","iv":"000102030405060708090a0b0c0d0e0f"}"#;
    let of = |fields: &[(&str, &str)]| read_as(Kind::Bedrock, fields).0.unwrap();
    for stored in [keys, sealed] {
        let account = of(&[
            ("awsCredentials", stored),
            ("region", "eu-west-1"),
            ("credentialType", "access_key"),
        ]);
        assert!(account.is_active && account.platform == Platform::Claude);
        let expected = AccessKeys {
            access_key_id: "AKIATEST".to_owned(),
            secret_access_key: Secret::new("secret/+="),
            session_token: None,
            region: "eu-west-1".to_owned(),
            base_url: Some("https://bedrock-runtime.eu-west-1.amazonaws.com".to_owned()),
        };
        assert_eq!(account.credentials, Credentials::AccessKeys(expected));
    }
    // The stored token counts, whatever the type says; CRS's region is its default.
    let account = of(&[("bearerToken", token), ("credentialType", "access_key")]);
    let expected = Credentials::ApiKey {
        api_key: Secret::new("bedrock-api-key-x"),
        base_url: Some("https://bedrock-runtime.us-east-1.amazonaws.com".to_owned()),
    };
    assert_eq!(account.credentials, expected);
    assert_eq!(account.key_header, None);
    let both = [("awsCredentials", sealed), ("bearerToken", token)];
    assert!(matches!(of(&both).credentials, Credentials::AccessKeys(_)));
    let chosen = [both[0], both[1], ("credentialType", "bearer_token")];
    assert!(matches!(of(&chosen).credentials, Credentials::ApiKey { .. }));
    let session = r#"{"accessKeyId":"ASIATEST","secretAccessKey":"s","sessionToken":"t=="}"#;
    let Credentials::AccessKeys(session) = of(&[("awsCredentials", session)]).credentials else {
        panic!()
    };
    assert_eq!(session.session_token, Some(Secret::new("t==")));

    let (_, remarks) = read_as(
        Kind::Bedrock,
        &[
            ("awsCredentials", keys),
            ("defaultModel", "us.anthropic.claude-sonnet-4-20250514-v1:0"),
        ],
    );
    assert!(format!("{remarks:?}").contains("default model"));
    let damaged =
        r#"{"encrypted":"00000000000000000000000000000000","iv":"000102030405060708090a0b0c0d0e0f"}"#;
    for (fields, why) in [
        (vec![], "no access keys"),
        (vec![("awsCredentials", damaged)], "ENCRYPTION_KEY"),
        (vec![("awsCredentials", "not JSON")], "ENCRYPTION_KEY"),
        (
            vec![("awsCredentials", keys), ("region", "us-east-1.example/")],
            "region",
        ),
        (
            vec![("awsCredentials", r#"{"accessKeyId":"a b","secretAccessKey":"s"}"#)],
            "no access keys",
        ),
    ] {
        let refused = read_as(Kind::Bedrock, &fields).0.unwrap_err();
        assert!(refused.contains(why), "{fields:?}: {refused}");
    }
}

#[test]
fn a_secret_that_does_not_open_is_no_secret() {
    let damaged = format!("{}:{}", "00".repeat(16), "00".repeat(16));
    let (read, _) = read_as(
        Kind::Console,
        &[("apiKey", &damaged), ("apiUrl", "https://x.example")],
    );
    assert!(read.unwrap_err().contains("ENCRYPTION_KEY"));
}

#[test]
fn a_key_is_sent_as_it_was() {
    assert_eq!(console(&[]).key_header, None);
    let other = console(&[("apiKey", "0123.abc")]);
    assert_eq!(other.key_header, Some(KeyHeader::Authorization));
    let azure = [
        ("apiKey", "azure-key"),
        ("azureEndpoint", "https://mine.openai.azure.com/"),
        ("deploymentName", "my-gpt"),
        ("supportedModels", r#"["gpt-5"]"#),
    ];
    let azure = read_as(Kind::Azure, &azure).0.unwrap();
    assert_eq!(azure.platform, Platform::OpenAi);
    assert_eq!(azure.key_header, Some(KeyHeader::ApiKey));
    let Credentials::ApiKey { base_url, .. } = &azure.credentials else {
        panic!()
    };
    assert_eq!(
        base_url.as_deref(),
        Some("https://mine.openai.azure.com/openai/v1")
    );
    assert_eq!(
        azure.model_mapping.get("gpt-5").map(String::as_str),
        Some("my-gpt")
    );
}

#[test]
fn a_user_agent_of_its_own_comes_along_and_another_products_does_not() {
    let own = console(&[("userAgent", "our-gateway/1.0")]);
    assert_eq!(own.user_agent.as_deref(), Some("our-gateway/1.0"));
    let other = console(&[("userAgent", "claude-cli/1.0.69 (external, cli)")]);
    assert_eq!(other.user_agent, None);
}
