use super::*;

#[test]
fn the_deny_list_holds_exact_names() {
    let policy = KeyPolicy {
        model_restriction: true,
        restricted_models: vec!["Claude-Opus-4".into(), "ccr,kimi".into()],
        ..policy(1)
    };
    for model in [
        "claude-opus-4",
        "CLAUDE-OPUS-4",
        "ccr,claude-opus-4",
        "CCR, claude-opus-4",
        "kimi",
        "ccr,kimi",
    ] {
        assert!(policy.denies(model, None), "{model}");
    }
    for model in [
        "claude-opus-4-1",
        "opus",
        "",
        "ccr,",
        "vendor,claude-opus-4",
        "日本語",
        "cé",
    ] {
        assert!(!policy.denies(model, None), "{model}");
    }
    assert!(
        !KeyPolicy {
            model_restriction: false,
            ..policy
        }
        .denies("claude-opus-4", None)
    );
}

#[test]
fn an_allow_list_allows_what_is_on_it_alone() {
    let policy = KeyPolicy {
        model_restriction: true,
        model_mode: ModelMode::Allow,
        restricted_models: vec!["Claude-Sonnet-4".into(), "ccr,kimi".into()],
        ..policy(1)
    };
    for model in ["claude-sonnet-4", "ccr,Claude-Sonnet-4", "kimi"] {
        assert!(!policy.denies(model, None), "{model}");
    }
    for model in ["claude-opus-4", "claude-sonnet-4-5", ""] {
        assert!(policy.denies(model, None), "{model}");
    }
    let off = KeyPolicy {
        model_restriction: false,
        ..policy.clone()
    };
    assert!(!off.denies("claude-opus-4", None));
    let empty = KeyPolicy {
        restricted_models: vec![],
        ..policy
    };
    assert!(empty.denies("claude-sonnet-4", None));
}

#[test]
fn every_name_of_a_listed_model_is_on_the_list() {
    let deny = KeyPolicy {
        model_restriction: true,
        restricted_models: vec!["claude-opus-4-5".into()],
        restricted_canonical: vec!["claude-opus-4-5".into()],
        ..policy(1)
    };
    let allow = KeyPolicy {
        model_mode: ModelMode::Allow,
        ..deny.clone()
    };
    for (raw, canonical, listed) in [
        ("claude-opus-4-5-20251101", Some("claude-opus-4-5"), true),
        ("claude-opus-4-5", Some("claude-opus-4-5"), true),
        ("claude-opus-4-5", None, true),
        ("claude-opus-4-1", Some("claude-opus-4-1"), false),
        ("claude-opus-4-5-20251101", None, false),
    ] {
        assert_eq!(deny.denies(raw, canonical), listed, "{raw}");
        assert_eq!(allow.denies(raw, canonical), !listed, "{raw}");
    }
    let mut gate = gate(deny);
    let dated = Admit {
        model: Some("claude-opus-4-5-20251101".into()),
        canonical: Some("claude-opus-4-5".into()),
        ..ask(1)
    };
    let model = "claude-opus-4-5-20251101".to_owned();
    assert_eq!(gate.refusal(T, dated), Refusal::ModelRestricted { model });
}

#[test]
fn a_model_is_refused_whatever_the_service() {
    let mut gate = gate(KeyPolicy {
        model_restriction: true,
        model_mode: ModelMode::Allow,
        restricted_models: vec!["gpt-5".into()],
        ..policy(1)
    });
    for service in [Service::Claude, Service::Gemini, Service::OpenAi] {
        let ask = |model: Option<&str>| Admit {
            service,
            model: model.map(str::to_owned),
            slot: false,
            ..ask(1)
        };
        let model = "gemini-3".to_owned();
        assert_eq!(
            gate.refusal(T, ask(Some("gemini-3"))),
            Refusal::ModelRestricted { model }
        );
        gate.granted(T, ask(Some("GPT-5")));
        gate.granted(T, ask(None));
    }
}

#[test]
fn only_the_clients_on_the_list_are_let_in() {
    let from = |client: Option<&str>| Admit {
        client: client.map(str::to_owned),
        ..ask(1)
    };
    let allowed = vec!["claude_code".to_owned(), "codex_cli".to_owned()];
    let mut gate = gate(KeyPolicy {
        allowed_clients: Some(allowed.clone()),
        ..policy(1)
    });
    gate.granted(T, from(Some("claude_code")));
    gate.granted(T, from(Some("Codex_CLI")));
    for client in [None, Some("gemini_cli"), Some("claude_code_fake"), Some("")] {
        assert_eq!(
            gate.refusal(T, from(client)),
            Refusal::ClientNotAllowed {
                client: client.map(str::to_owned),
                allowed: allowed.clone(),
            }
        );
    }
    let mut version = 1;
    let mut now_allows = |gate: &mut Gate, allowed_clients| {
        version += 1;
        gate.learns(
            T,
            Some(KeyPolicy {
                allowed_clients,
                ..policy(version)
            }),
        );
    };
    now_allows(&mut gate, Some(vec![]));
    assert!(matches!(
        gate.refusal(T, from(Some("claude_code"))),
        Refusal::ClientNotAllowed { .. }
    ));
    now_allows(&mut gate, None);
    gate.granted(T, from(None));
}

#[test]
fn a_record_of_an_older_version_restricts_nothing_new() {
    let old = r#"{"id":"k","name":"key","version":3,"active":true,"expires_at":null,"concurrency_limit":2,
        "permissions":["claude"],"model_restriction":true,"restricted_models":["opus"]}"#;
    let read: KeyPolicy = serde_json::from_str(old).unwrap();
    let expected = KeyPolicy {
        permissions: vec![Service::Claude],
        model_restriction: true,
        restricted_models: vec!["opus".into()],
        ..policy(3)
    };
    assert_eq!(read, expected);
    let admit = r#"{"call":7,"service":"claude","model":null,"slot":true,"ttl_ms":60000,"learned_since":1,
        "note":null}"#;
    let mut gate = gate(read);
    gate.granted(T, serde_json::from_str(admit).unwrap());
}

#[test]
fn one_service_of_several_is_enough_and_with_routes_the_host_decides() {
    let only = |routes: &str| {
        gate(KeyPolicy {
            permissions: vec![Service::Gemini],
            routes: routes.to_owned(),
            ..policy(1)
        })
    };
    let asking = |or_services: &[Service], by_routes| Admit {
        or_services: or_services.to_vec(),
        by_routes,
        slot: false,
        ..ask(1)
    };
    let service = Service::Claude;
    let refused = Refusal::NotPermitted { service };
    assert_eq!(only("").refusal(T, asking(&[Service::OpenAi], true)), refused);
    only("").granted(T, asking(&[Service::OpenAi, Service::Gemini], false));
    only("[{}]").granted(T, asking(&[], true));
    assert_eq!(only("[{}]").refusal(T, asking(&[], false)), refused);
}
