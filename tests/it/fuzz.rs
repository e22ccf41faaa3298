//! The checks of the fuzz targets, each on generated input and on its seeds: a smoke test of what cargo-fuzz runs for
//! hours with a nightly compiler.

use proptest::prelude::*;

#[allow(unreachable_pub, reason = "they are a crate of their own for cargo-fuzz")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use targets::{address, body, bridge, converters, headers, key, model_name, query, schema, stream};

/// An address that must be refused, and more: spelled in one of the ways that there are.
fn spelled() -> impl Strategy<Value = String> {
    let bits = prop_oneof![
        Just(0xa9fe_a9fe_u32),
        Just(0x7f00_0001),
        Just(0x0a00_0001),
        Just(0x6464_64c8),
        Just(0xa83f_8110),
        Just(0),
        any::<u32>(),
    ];
    (bits, 0..9_u8).prop_map(|(bits, way)| {
        let [a, b, c, d] = bits.to_be_bytes();
        let (high, low) = (bits >> 16, bits & 0xffff);
        match way {
            0 => format!("{a}.{b}.{c}.{d}"),
            1 => format!("{bits}"),
            2 => format!("0x{bits:x}"),
            3 => format!("0{bits:o}."),
            4 => format!("{a}.0x{b:X}.{low}"),
            5 => format!("[::ffff:{a}.{b}.{c}.{d}]"),
            6 => format!("64:ff9b::{high:x}:{low:x}"),
            7 => format!("[2002:{high:x}:{low:x}::1]"),
            _ => format!("０{bits:o}"),
        }
    })
}

proptest! {
    #[test]
    fn address_of_any_text(text in "\\PC{0,40}") {
        address::check(text.as_bytes());
    }

    #[test]
    fn address_of_what_looks_like_one(text in "\\[?([0-9]{1,11}|0[xX][0-9a-f]{0,9}|[0-9a-f]{0,4}|[.:%]){0,9}\\]?") {
        address::check(text.as_bytes());
    }

    #[test]
    fn address_in_every_spelling(text in spelled()) {
        address::check(text.as_bytes());
    }

    #[test]
    fn address_of_ipv6(bits in prop_oneof![any::<u128>(), any::<u128>().prop_map(|bits| bits & 0xffff_ffff_ffff)]) {
        address::check(std::net::Ipv6Addr::from(bits).to_string().as_bytes());
    }

    #[test]
    fn bridge_of_any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
        bridge::check(&data);
    }

    #[test]
    fn bridge_of_a_request_and_an_answer(
        text in "\\PC{0,20}",
        answer in "\\PC{0,40}",
        frames in prop::collection::vec("(data: )?\\{\"candidates\":\\[\\{\"content\":\\{\"parts\":\\[\\{\"text\":\"[a-z]{0,5}\"\\}\\]\\}\\}\\]\\}\n{0,2}", 0..4),
    ) {
        let asked = serde_json::json!({
            "model": "gemini-2.5-pro", "max_tokens": 1, "messages": [{ "role": "user", "content": text }],
        });
        let (asked, answered) = (asked.to_string(), format!("{answer}{}", frames.concat()));
        // The first byte cuts the rest in 256ths.
        let cut = asked.len() * 256 / (asked.len() + answered.len()).max(1);
        let mut data = vec![u8::try_from(cut.min(255)).unwrap()];
        data.extend(asked.bytes().chain(answered.bytes()));
        bridge::check(&data);
    }
}

proptest! {
    #[test]
    fn query_of_any_text(text in "\\PC{0,80}") {
        query::check(text.as_bytes());
    }

    #[test]
    fn query_of_what_looks_like_one(
        text in "(((%24|\\$)?(a|%61|A)(l|%6c)t|key|%6bey|access_token|page(S|%53)ize)(=|%3d|==)(sse|json|x|%ff|\\+|%26key%3d1|y{250,260})?[&;]{0,2}){0,6}",
    ) {
        query::check(text.as_bytes());
    }

    #[test]
    fn headers_of_any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        headers::check(&data);
    }

    #[test]
    fn headers_of_what_looks_like_some(
        lines in prop::collection::vec(
            "(Authorization|x-goog-api-key|anthropic-(beta|version|organization-id)|x-stainless-(os)?|content-type|accept(-encoding)?): ?((application/(json|\\*|x)|text/event-stream|\\*/\\*|[a-z/]{0,9})[;,]? ?){0,3}",
            0..5,
        ),
    ) {
        headers::check(lines.join("\n").as_bytes());
    }

    #[test]
    fn model_name_of_any_text(text in "\\PC{0,60}") {
        model_name::check(text.as_bytes());
    }

    #[test]
    fn model_name_of_what_looks_like_one(
        text in "( |ccr,|models/|anthropic/|us\\.|anthropic\\.|~){0,3}(claude-|gpt-|gemini-)?([a-zA-Z0-9._:@/-]{1,8}|%2[fFeE]|\\.\\.|/|n{180,199}){0,3}(-latest|@default|-20250929|-2025-09-29|-0613|-001|-preview-06-05|-v1:0|-thinking|-high|\\[1m\\]){0,4}",
    ) {
        model_name::check(text.as_bytes());
    }

    #[test]
    fn schema_of_any_text(text in "[\\[\\]{}\",:0-9a-z$#/ ]{0,60}") {
        schema::check(text.as_bytes());
    }
}

/// A schema of what the converter knows, as JSON.
fn any_schema() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("true".to_owned()),
        Just("{}".to_owned()),
        Just(r#"{"type":["string","array","null"],"items":{"type":"string"}}"#.to_owned()),
        Just(r#"{"type":"array"}"#.to_owned()),
        Just(r#"{"enum":["a",1,true,null]}"#.to_owned()),
        Just(r##"{"$ref":"#"}"##.to_owned()),
        "[a-c]".prop_map(|name| format!(r##"{{"$ref":"#/$defs/{name}"}}"##)),
        "\\PC{0,9}".prop_map(|text| serde_json::json!({ "const": text, "description": text }).to_string()),
        "[\u{1}-\u{1f}]{0,40}".prop_map(|text| serde_json::json!({ "pattern": text }).to_string()),
    ];
    leaf.prop_recursive(5, 60, 5, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..5).prop_map(|list| list.join(","));
        let map = prop::collection::vec(("[a-c]", inner.clone()), 0..5).prop_map(|members| {
            let members = members
                .iter()
                .map(|(name, schema)| format!(r#""{name}":{schema}"#));
            members.collect::<Vec<_>>().join(",")
        });
        prop_oneof![
            (
                prop::sample::select(vec![
                    "allOf",
                    "anyOf",
                    "oneOf",
                    "prefixItems",
                    "items",
                    "required"
                ]),
                list
            )
                .prop_map(|(keyword, list)| format!(r#"{{"{keyword}":[{list}]}}"#)),
            (map.clone(), map).prop_map(|(properties, defs)| format!(
                r#"{{"properties":{{{properties}}},"$defs":{{{defs}}},"required":["a"]}}"#
            )),
            inner.prop_map(|more| format!(r#"{{"additionalProperties":{more},"items":{more}}}"#)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn schema_of_what_looks_like_one(
        schema in any_schema(),
        defs in prop::collection::vec(any_schema(), 3),
    ) {
        let (a, b, c) = (&defs[0], &defs[1], &defs[2]);
        schema::check(format!(r#"{{"allOf":[{schema}],"$defs":{{"a":{a},"b":{b},"c":{c}}}}}"#).as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// What a reference leads to is long to write, or long to read.
    #[test]
    fn schema_whose_references_repeat_what_is_long(
        references in 1..3_000_usize,
        length in 1..20_000_usize,
        target in 0..4_u8,
        place in prop::sample::select(vec![
            r##"{"$ref":"#/$defs/a"}"##,
            r##"{"allOf":[{"$ref":"#/$defs/a"}]}"##,
            r##"{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}"##,
        ]),
    ) {
        let target = match target {
            0 => format!(r#"{{"type":"string","description":"{}"}}"#, "x".repeat(length)),
            1 => format!(r#"{{"$comment":1{}}}"#, r#","x":1"#.repeat(length)),
            2 => format!(r#"{{"required":[1{}]}}"#, ",1".repeat(length)),
            _ => format!(r##"{{"$ref":"#/{}"}}"##, "x".repeat(length)),
        };
        let properties: Vec<String> = (0..references).map(|at| format!(r#""p{at}":{place}"#)).collect();
        let properties = properties.join(",");
        let schema = format!(r#"{{"type":"object","$defs":{{"a":{target}}},"properties":{{{properties}}}}}"#);
        schema::check(schema.as_bytes());
    }
}

#[test]
fn the_known_forms_of_a_metadata_address() {
    for host in [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "fd00:ec2::254",
        "metadata.google.internal.",
        "fe80::1%25eth0",
        "①⑥⑨.254.169.254",
        "169。254。169。254",
        "%31%36%39.254.169.254",
    ] {
        address::check(host.as_bytes());
    }
}

/// The inputs that fuzzing starts from, each checked by its target.
#[test]
fn each_seed() {
    type Check = fn(&[u8]);
    let targets: [(&str, Check); 8] = [
        ("body", body::check),
        ("bridge", bridge::check),
        ("chat", converters::chat),
        ("headers", headers::check),
        ("key", key::check),
        ("query", query::check),
        ("responses", converters::responses),
        ("stream", stream::check),
    ];
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (target, check) in targets {
        for entry in std::fs::read_dir(seeds.join(target)).unwrap() {
            check(&std::fs::read(entry.unwrap().path()).unwrap());
        }
    }
}

/// The files of `tests/fixtures` as inputs: what answers a call, for each protocol, cut here and there.
#[test]
fn stream_of_each_captured_answer() {
    for (is_stream, bytes) in captured() {
        let form = if is_stream { 0 } else { 128 };
        for protocol in 0..5 {
            for cut in [0, 77, 200] {
                stream::check(&[&[form + protocol, cut], &bytes[..]].concat());
            }
        }
    }
}

#[test]
fn converters_of_each_captured_answer() {
    for (_, bytes) in captured() {
        let input = [&[0], &bytes[..]].concat();
        bridge::check(&input);
        converters::responses(&input);
        converters::chat(&input);
    }
}

/// All files of `tests/fixtures/<provider>`, and whether each is a stream.
fn captured() -> Vec<(bool, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut files = Vec::new();
    for provider in ["anthropic", "openai", "gemini", "antigravity"] {
        for entry in std::fs::read_dir(folder.join(provider)).unwrap() {
            let path = entry.unwrap().path();
            let is_stream = path.extension().is_some_and(|end| end == "sse");
            files.push((is_stream, std::fs::read(&path).unwrap()));
        }
    }
    assert!(files.len() > 30);
    files
}

/// The body of a call, with what it may hold in any order, and a little of it gone.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let member = prop::sample::select(vec![
        r#""model":"gpt-5.4""#,
        r#""m\u006fdel" : "x""#,
        r#""stream":true"#,
        r#""max_tokens":9"#,
        r#""system":[{"type":"text","text":"a \"b\" {"}]"#,
        r#""messages":[{"role":"user","content":"\ud83d hi \ud83d\ude00"}]"#,
        r#""input":[{"type":"reasoning","encrypted_content":"gAAAA=="},{"file_id":"file-1"}]"#,
        r#""tools":[{"type":"web_search"},{"googleSearch":{}},{"name":"t","input_schema":{}}]"#,
        r#""previous_response_id":"resp_1""#,
        r#""stream_options":{"include_usage":true}"#,
        r#""thinking":{"type":"enabled","budget_tokens":1024}"#,
        r#""request":{"contents":[{"parts":[{"text":"hi"}]}],"cachedContent":"c/1"}"#,
    ]);
    (
        prop::collection::vec(member, 0..8),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(members, at, whole)| {
            let mut body = format!("{{{}}}", members.join(" , ")).into_bytes();
            if !whole {
                body.remove(at.index(body.len()));
            }
            body
        })
}

proptest! {
    #[test]
    fn body_of_any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        body::check(&data);
    }

    #[test]
    fn body_of_what_looks_like_one(body in any_body()) {
        body::check(&body);
    }

    #[test]
    fn converters_of_a_request_and_an_answer(asked in any_body(), answered in "\\PC{0,60}") {
        let cut = asked.len() * 256 / (asked.len() + answered.len()).max(1);
        let data = [&[u8::try_from(cut.min(255)).unwrap()], &asked[..], answered.as_bytes()].concat();
        converters::responses(&data);
        converters::chat(&data);
    }

    #[test]
    fn key_with_a_part_replaced(at in any::<u8>(), length in 0..4_u8, put in "[0-9a-f]{0,3}|\\PC{0,40}") {
        key::check(&[&[at, length], put.as_bytes()].concat());
    }

    #[test]
    fn stream_of_any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
        stream::check(&data);
    }
}
