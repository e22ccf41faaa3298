use std::collections::HashMap;

use super::{Config, StoreChoice};

const GOOD: [(&str, &str); 2] = [
    ("JWT_SECRET", "kq8Zb1mVtY5cWx0Rg7Lp3Nh9Sd2Fj6Ua"),
    ("ENCRYPTION_KEY", "Vx4Tg9Qm1Zr7Kc3Hd8Wb5Yn0Lp6Sf2Ja"),
];

fn read(more: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let vars: HashMap<String, String> = GOOD
        .iter()
        .chain(more)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::read(&vars).map_err(|problems| problems.0)
}

/// The one problem these settings have.
fn problem(more: &[(&str, &str)]) -> String {
    let problems = read(more).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[test]
fn defaults_are_those_of_crs() {
    let config = read(&[]).unwrap();
    assert_eq!(
        (config.server.host.as_str(), config.server.port),
        ("0.0.0.0", 3000)
    );
    assert_eq!(config.keys.prefix, "cr_");
    assert_eq!(config.site.utc_offset_minutes, 480);
    assert_eq!(config.relay.max_body, 100 << 20);
    assert_eq!(config.relay.first_byte.as_millis(), 600_000);
    assert!(matches!(config.store, StoreChoice::Embedded));
}

#[test]
fn an_offset_of_zero_is_utc() {
    assert_eq!(
        read(&[("TIMEZONE_OFFSET", "0")]).unwrap().site.utc_offset_minutes,
        0
    );
    assert_eq!(
        read(&[("TIMEZONE_OFFSET", "-3.5")])
            .unwrap()
            .site
            .utc_offset_minutes,
        -210
    );
    assert!(problem(&[("TIMEZONE_OFFSET", "Europe/Berlin")]).starts_with("TIMEZONE_OFFSET"));
}

#[test]
fn missing_short_and_sample_secrets_are_refused_by_name() {
    let problems = Config::read(&HashMap::new()).unwrap_err().0;
    assert_eq!(problems.len(), 2);
    assert!(problems[0].starts_with("JWT_SECRET is missing: set it"));
    assert!(problem(&[("JWT_SECRET", "short")]).starts_with("JWT_SECRET has 5 characters"));
    assert!(
        problem(&[("JWT_SECRET", "your-jwt-secret-here-change-me-please-now")]).contains("published sample")
    );
    assert!(problem(&[("ENCRYPTION_KEY", "CHANGE-THIS-32-CHARACTER-KEY-NOW")]).contains("published sample"));
    assert!(problem(&[("ENCRYPTION_KEY", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]).contains("published sample"));
    assert!(
        problem(&[("ENCRYPTION_KEY", "Vx4Tg9Qm1Zr7Kc3H")]).starts_with("ENCRYPTION_KEY has 16 characters")
    );
    assert!(problem(&[("ADMIN_PASSWORD", "hunter2")]).contains("fewer than 8"));
    assert!(problem(&[("ADMIN_PASSWORD", "admin1234")]).contains("easy to guess"));
    let own_name = [
        ("ADMIN_USERNAME", "operator-of-this"),
        ("ADMIN_PASSWORD", "operator-of-this1"),
    ];
    assert!(problem(&own_name).contains("easy to guess"));
}

#[test]
fn pages_are_kept_to_the_letter_and_odd_ones_named() {
    let redirect = "http://localhost:8085/callback/";
    let config = read(&[("GEMINI_OAUTH_REDIRECT_URI", redirect)]).unwrap();
    assert_eq!(config.gemini.oauth_redirect, redirect);
    for odd in ["localhost:8085", "https://h/?a=b", "https://user@h/cb"] {
        let told = problem(&[("CLAUDE_OAUTH_AUTHORIZE_URL", odd)]);
        assert!(told.starts_with("CLAUDE_OAUTH_AUTHORIZE_URL is not"), "{told}");
    }
}

#[test]
fn a_scope_of_entra_is_a_default_one() {
    for odd in [
        "https://cognitiveservices.azure.us",
        "openid https://cognitiveservices.azure.us/.default",
    ] {
        let told = problem(&[("ENTRA_SCOPE", odd)]);
        assert!(told.starts_with("ENTRA_SCOPE does not end"), "{told}");
    }
    let config = read(&[("ENTRA_URL", "https://login.microsoftonline.us/")]).unwrap();
    assert_eq!(config.openai.entra_url, "https://login.microsoftonline.us");
}

#[test]
fn a_problem_never_repeats_a_secret() {
    let problems = read(&[
        ("JWT_SECRET", "s3cr3t-of-mine"),
        ("REDIS_URL", "http://user:s3cr3t-of-mine@host"),
    ])
    .unwrap_err();
    assert!(
        problems.iter().all(|line| !line.contains("s3cr3t")),
        "{problems:?}"
    );
    let config = read(&[("REDIS_URL", "redis://:s3cr3t@cache:6380/2")]).unwrap();
    assert!(!format!("{config:?}").contains("s3cr3t"));
    assert!(!format!("{config:?}").contains("kq8Zb1mV"));
}

#[test]
fn redis_by_url_or_by_parts() {
    let StoreChoice::Redis(redis) = read(&[("REDIS_URL", "rediss://:p@cache:6380/2")]).unwrap().store else {
        panic!()
    };
    assert_eq!(redis.shown, "cache:6380/2");
    let parts = [
        ("REDIS_HOST", "redis"),
        ("REDIS_PASSWORD", "a@b:c"),
        ("REDIS_DB", "3"),
        ("REDIS_ENABLE_TLS", "true"),
    ];
    let StoreChoice::Redis(redis) = read(&parts).unwrap().store else {
        panic!()
    };
    assert_eq!(redis.url.reveal(), "rediss://:a%40b%3Ac@redis:6379/3");
    assert!(problem(&[("REDIS_URL", "mysql://x")]).starts_with("REDIS_URL"));
    assert!(problem(&[("REDIS_HOST", "h"), ("REDIS_PORT", "x")]).starts_with("REDIS_PORT"));
}

#[test]
fn redis_by_sentinels() {
    let url = ("REDIS_URL", "rediss+sentinel://:s3cr3t@one,two:7/main/2");
    let redis = |vars: &[(&str, &str)]| match read(vars).unwrap().store {
        StoreChoice::Redis(redis) => redis,
        other => panic!("{other:?}"),
    };
    let without = redis(&[url]);
    assert_eq!(without.shown, "one:26379,two:7/main/2");
    assert_eq!(without.url.reveal(), url.1);
    let own = redis(&[url, ("REDIS_SENTINEL_PASSWORD", "a&b")]);
    assert_eq!(own.url.reveal(), format!("{}?sentinel_password=a%26b", url.1));
    assert_eq!(own.shown, without.shown);
    let told = problem(&[("REDIS_URL", "redis+sentinel://:s3cr3t@one")]);
    assert!(told.starts_with("REDIS_URL does not name the master"), "{told}");
    assert!(!told.contains("s3cr3t"));
}

const UPSTASH_URL: (&str, &str) = ("UPSTASH_REDIS_REST_URL", "https://kind-cat-1.upstash.io/");
const UPSTASH_TOKEN: (&str, &str) = ("UPSTASH_REDIS_REST_TOKEN", "AbCd_s3cr3t==");

#[test]
fn upstash_by_name_or_by_its_address() {
    for more in [
        &[][..],
        &[("STORE", "upstash")],
        &[("STORE", "upstash"), ("REDIS_HOST", "h")],
    ] {
        let config = read(&[&[UPSTASH_URL, UPSTASH_TOKEN], more].concat()).unwrap();
        let StoreChoice::Upstash(upstash) = &config.store else {
            panic!("{more:?}")
        };
        assert_eq!(upstash.url, "https://kind-cat-1.upstash.io");
        assert_eq!(upstash.token.reveal(), "AbCd_s3cr3t==");
        assert_eq!(upstash.shown, "kind-cat-1.upstash.io");
        assert!(!format!("{config:?}").contains("s3cr3t"));
    }
    // Another store that is named is used, and so is the Redis of an older set-up.
    for (other, store) in [(("STORE", "memory"), "Memory"), (("REDIS_HOST", "h"), "Redis")] {
        let config = read(&[UPSTASH_URL, UPSTASH_TOKEN, other]).unwrap();
        assert!(format!("{:?}", config.store).starts_with(store));
    }
}

#[test]
fn upstash_needs_both_of_its_variables_and_a_safe_way() {
    for more in [&[][..], &[("STORE", "upstash")]] {
        assert!(problem(&[&[UPSTASH_URL], more].concat()).starts_with("UPSTASH_REDIS_REST_TOKEN is missing"));
        assert!(problem(&[&[UPSTASH_TOKEN], more].concat()).starts_with("UPSTASH_REDIS_REST_URL is missing"));
    }
    assert_eq!(read(&[("STORE", "upstash")]).unwrap_err().len(), 2);
    let at = |url| read(&[("UPSTASH_REDIS_REST_URL", url), UPSTASH_TOKEN]);
    for url in [
        "http://127.0.0.1:8079",
        "http://localhost",
        "http://[::1]:8079",
        "https://a.b/path/",
    ] {
        assert!(matches!(at(url).unwrap().store, StoreChoice::Upstash(_)), "{url}");
    }
    for url in [
        "http://kind-cat-1.upstash.io",
        "http://localhost.evil.example",
        "rediss://host:6379",
        "https://user:pass@host",
        "kind-cat-1.upstash.io",
    ] {
        let problems = at(url).unwrap_err();
        assert!(
            problems[0].starts_with("UPSTASH_REDIS_REST_URL is not https"),
            "{url}"
        );
    }
    let token = problem(&[UPSTASH_URL, ("UPSTASH_REDIS_REST_TOKEN", "s3 cr3t")]);
    assert!(token.starts_with("UPSTASH_REDIS_REST_TOKEN") && !token.contains("s3 cr3t"));
}

#[test]
fn provider_addresses_are_taken_as_crs_users_write_them() {
    let api = |value| read(&[("CLAUDE_API_URL", value)]).unwrap().claude.api_url;
    assert_eq!(
        api("https://api.anthropic.com/v1/messages"),
        "https://api.anthropic.com"
    );
    assert_eq!(api("http://127.0.0.1:9/base/"), "http://127.0.0.1:9/base");
    let oauth = |value| read(&[("CLAUDE_OAUTH_URL", value)]).unwrap().claude.oauth_url;
    assert_eq!(oauth("http://127.0.0.1:9"), "http://127.0.0.1:9/v1/oauth/token");
    assert_eq!(oauth("http://127.0.0.1:9/token"), "http://127.0.0.1:9/token");
    for bad in [
        "api.anthropic.com",
        "ftp://x",
        "https://user@host",
        "https://host/?q=1",
        "https://",
    ] {
        assert!(
            problem(&[("CLAUDE_API_URL", bad)]).starts_with("CLAUDE_API_URL"),
            "{bad}"
        );
    }
}

#[test]
fn hosts_and_ports_that_cannot_be_are_refused() {
    for host in ["not a host", "999.1.1.1", "::g", "a/b"] {
        assert!(problem(&[("HOST", host)]).starts_with("HOST"), "{host}");
    }
    for host in ["127.0.0.1", "::1", "[::]", "localhost", "my-box.lan"] {
        assert_eq!(read(&[("HOST", host)]).unwrap().server.host, host);
    }
    assert!(problem(&[("CLAUDE_API_URL", "http://x:99999")]).starts_with("CLAUDE_API_URL"));
    assert!(problem(&[("REDIS_URL", "redis://:p@127.0.0.1:99999/0")]).starts_with("REDIS_URL"));
    assert!(problem(&[("REDIS_HOST", "h"), ("REDIS_USERNAME", "u")]).starts_with("REDIS_USERNAME"));
    let StoreChoice::Redis(redis) = read(&[("REDIS_HOST", "::1")]).unwrap().store else {
        panic!()
    };
    assert_eq!(redis.url.reveal(), "redis://[::1]:6379/0");
    let api = read(&[("CLAUDE_API_URL", "https://api.anthropic.com/v1")])
        .unwrap()
        .claude;
    assert_eq!(api.api_url, "https://api.anthropic.com");
}

#[test]
fn a_password_of_ones_own_comes_with_a_name_one_knows() {
    let admin = read(&[("ADMIN_PASSWORD", "correct horse battery")])
        .unwrap()
        .admin;
    assert_eq!(admin.username.as_deref(), Some("admin"));
    assert_eq!(read(&[]).unwrap().admin.username, None);
}

#[test]
fn malformed_values_name_their_variable() {
    for (name, value) in [
        ("PORT", "70000"),
        ("PORT", "http"),
        ("TRUST_PROXY", "maybe"),
        ("LOG_LEVEL", "loud"),
        ("REQUEST_MAX_SIZE_MB", "0"),
        ("REQUEST_TIMEOUT", "-1"),
        ("API_KEY_PREFIX", "a b"),
        ("STORE", "sqlite"),
        ("ADMIN_SESSION_TIMEOUT", "1"),
        ("ADMIN_SESSION_MAX", "1"),
    ] {
        assert!(problem(&[(name, value)]).starts_with(name), "{name}={value}");
    }
    assert_eq!(read(&[("PORT", " ")]).unwrap().server.port, 3000);
}

/// `(name, value)` of every setting in `.env.example`, commented out or not, in its order.
fn example() -> Vec<(&'static str, &'static str)> {
    include_str!("../../.env.example")
        .lines()
        .filter_map(|line| line.trim_start_matches('#').split_once('='))
        .filter(|(name, _)| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        })
        .collect()
}

#[test]
fn the_example_names_every_variable_that_is_read_and_no_other() {
    /// Remembers what it was asked for.
    struct Asked(
        std::cell::RefCell<std::collections::BTreeSet<String>>,
        HashMap<String, String>,
    );
    impl super::Vars for Asked {
        fn get(&self, name: &str) -> Option<String> {
            self.0.borrow_mut().insert(name.to_owned());
            self.1.get(name).cloned()
        }
    }
    // What is asked for depends on the store, so once without it, once by parts and once by sentinels.
    let asked = Asked(std::cell::RefCell::default(), HashMap::new());
    let _ = Config::read(&asked);
    super::data_dir(&asked);
    let mut names = asked.0.into_inner();
    let parts =
        HashMap::from([("REDIS_HOST", "h"), ("REDIS_PASSWORD", "p")].map(|(n, v)| (n.into(), v.into())));
    let sentinels = HashMap::from([("REDIS_URL", "redis+sentinel://h/m")].map(|(n, v)| (n.into(), v.into())));
    for vars in [parts, sentinels] {
        let asked = Asked(std::cell::RefCell::default(), vars);
        let _ = Config::read(&asked);
        names.extend(asked.0.into_inner());
    }

    let listed: std::collections::BTreeSet<String> =
        example().into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, listed, "left: read by Config; right: in .env.example");
    assert_eq!(
        listed.len(),
        example().len(),
        "a variable stands in .env.example twice"
    );
}

#[test]
fn the_example_is_in_the_order_of_config() {
    // Each variable stands in backquotes in the documentation of the field it fills.
    let source = include_str!("../config.rs");
    let place = |name: &str| {
        source
            .find(&format!("`{name}`"))
            .unwrap_or_else(|| panic!("src/config.rs does not say in backquotes which field {name} fills"))
    };
    let listed: Vec<&str> = example()
        .into_iter()
        .map(|(name, _)| name)
        // Asked for before the rest, by a function of its own at the end of the file.
        .filter(|name| *name != "DATA_DIR")
        .collect();
    let mut ordered = listed.clone();
    ordered.sort_by_key(|name| place(name));
    assert_eq!(
        listed, ordered,
        "left: .env.example; right: the order of src/config.rs"
    );
}

#[test]
fn the_example_states_the_true_defaults_and_a_meaning_for_each() {
    // With every line taken as it stands, nothing changes; the two secrets have no default.
    let lines: Vec<_> = example()
        .into_iter()
        .filter(|(name, _)| !super::GENERATED.contains(name))
        .collect();
    let shown = format!("{:?}", read(&lines).unwrap());
    assert_eq!(shown, format!("{:?}", read(&[]).unwrap()));
    assert!(
        example().contains(&("DATA_DIR", super::data_dir(&HashMap::new()).as_str())),
        "the default of DATA_DIR"
    );

    let mut meaning = false;
    for line in include_str!("../../.env.example").lines() {
        if line.starts_with("# ") && !line.starts_with("# ---") {
            meaning = true;
        } else if line.contains('=') {
            assert!(meaning, "{line}: say what it means in the line above");
            assert!(line.starts_with('#'), "{line}: every setting is commented out");
            meaning = false;
        } else {
            meaning = false;
        }
    }
}

#[test]
fn memory_for_bodies_follows_the_largest_body() {
    for (vars, megabytes) in [
        (&[][..], 400),
        (&[("REQUEST_MAX_SIZE_MB", "10")], 40),
        (&[("REQUEST_MAX_SIZE_MB", "10"), ("BODY_MEMORY_MB", "25")], 25),
        (&[("REQUEST_MAX_SIZE_MB", "10"), ("BODY_MEMORY_MB", "5")], 10),
    ] {
        assert_eq!(read(vars).unwrap().relay.body_memory, megabytes << 20, "{vars:?}");
    }
    assert!(problem(&[("BODY_MEMORY_MB", "much")]).starts_with("BODY_MEMORY_MB"));
}
