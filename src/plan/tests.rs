use super::*;

const ALL: [&Plan; 14] = [
    &MESSAGES_ON_CHAT_HOSTS,
    &RESPONSES_ON_CHAT_HOSTS,
    &MESSAGES_ON_CLAUDE,
    &MESSAGES_ON_GEMINI,
    &MESSAGES_ON_ANTIGRAVITY,
    &MESSAGES_ON_OPENAI,
    &OPENAI,
    &RESPONSES_ON_CLAUDE,
    &RESPONSES_ON_GEMINI,
    &RESPONSES_ON_ANTIGRAVITY,
    &CHAT_ON_CLAUDE,
    &CHAT_ON_GEMINI,
    &CHAT_ON_ANTIGRAVITY,
    &GEMINI,
];

#[test]
fn accounts_are_of_the_platform_that_they_are_found_by() {
    for platform in Platform::ALL {
        assert_eq!(account::of(platform).platform(), platform);
        assert_eq!(of_trial(platform).platform(), platform);
    }
}

/// Kinds that serve each endpoint, as found by calling the providers.
#[test]
fn a_call_is_asked_of_the_kinds_that_serve_it() {
    use crate::dialect::call::{Assist, Surface};
    let assist = Endpoint::Assist(Assist::LoadCodeAssist);
    let models = Endpoint::Assist(Assist::FetchAvailableModels);
    let internal = Endpoint::Generate(Surface::Internal);
    let any: Option<&[&str]> = None;
    let (login, nobody): (_, Option<&[&str]>) = (Some(&["login"][..]), Some(&[]));
    let key = Some(&["key"][..]);
    // Amazon's runtime does not count tokens and serves only Claude; chat hosts exist only on platform `openai`.
    let counting = Some(&["key", "login", "chatHost"][..]);
    let chat = Some(&["key", "chatHost"][..]);
    let natively = Some(&["key", "login", "bedrockRuntime"][..]);
    for (plan, endpoint, expected) in [
        (&MESSAGES_ON_CLAUDE, Endpoint::Messages, any),
        (&MESSAGES_ON_CLAUDE, Endpoint::CountTokens, counting),
        (&MESSAGES_ON_CLAUDE, Endpoint::Responses, nobody),
        (&MESSAGES_ON_GEMINI, Endpoint::Messages, any),
        (&MESSAGES_ON_GEMINI, Endpoint::CountTokens, any),
        (&MESSAGES_ON_ANTIGRAVITY, Endpoint::Messages, login),
        (&MESSAGES_ON_ANTIGRAVITY, Endpoint::CountTokens, login),
        (&MESSAGES_ON_ANTIGRAVITY, models, login),
        (&MESSAGES_ON_OPENAI, Endpoint::Messages, any),
        (&MESSAGES_ON_OPENAI, Endpoint::CountTokens, key),
        (&OPENAI, Endpoint::Responses, any),
        (&OPENAI, Endpoint::CompactResponses, natively),
        (&OPENAI, Endpoint::ChatCompletions, chat),
        (&RESPONSES_ON_CLAUDE, Endpoint::Responses, any),
        (&CHAT_ON_CLAUDE, Endpoint::ChatCompletions, any),
        (&CHAT_ON_GEMINI, Endpoint::ChatCompletions, any),
        (&CHAT_ON_ANTIGRAVITY, Endpoint::ChatCompletions, login),
        (&RESPONSES_ON_GEMINI, Endpoint::Responses, any),
        (&GEMINI, internal, any),
        (&GEMINI, Endpoint::CountContent(Surface::V1), any),
        (&GEMINI, assist, login),
    ] {
        let kinds = plan.kinds(endpoint);
        let kinds: Option<Vec<&str>> = kinds
            .as_ref()
            .map(|kinds| kinds.iter().map(String::as_str).collect());
        assert_eq!(kinds.as_deref(), expected, "{:?} {endpoint:?}", plan.platform());
    }
}

#[test]
fn chat_hosts_have_their_own_plan() {
    let of = |plan: &'static Plan, kind, endpoint| std::ptr::from_ref(plan.on(kind, endpoint));
    let (key, chat) = (AccountKind::Key, AccountKind::ChatHost);
    for (plan, kind, endpoint, expected) in [
        (&MESSAGES_ON_OPENAI, key, Endpoint::Messages, &MESSAGES_ON_OPENAI),
        (
            &MESSAGES_ON_OPENAI,
            chat,
            Endpoint::Messages,
            &MESSAGES_ON_CHAT_HOSTS,
        ),
        (&OPENAI, key, Endpoint::Responses, &OPENAI),
        (&OPENAI, chat, Endpoint::Responses, &RESPONSES_ON_CHAT_HOSTS),
        (&OPENAI, chat, Endpoint::ChatCompletions, &OPENAI),
        (&MESSAGES_ON_CLAUDE, key, Endpoint::Messages, &MESSAGES_ON_CLAUDE),
    ] {
        assert_eq!(
            of(plan, kind, endpoint),
            std::ptr::from_ref(expected),
            "{kind:?} {endpoint:?}"
        );
    }
    let kinds = MESSAGES_ON_OPENAI.kinds(Endpoint::CountTokens);
    assert_eq!(kinds, Some(vec!["key".to_owned()]), "only keys count");
}

#[test]
fn every_protocol_reaches_every_platform() {
    for client in Client::ALL {
        for platform in Platform::ALL {
            assert_eq!(of_pair(client, platform).platform(), platform, "{client:?}");
        }
    }
}

#[test]
fn only_converted_streams_keep_their_clients_waiting_with_signs_of_life() {
    let mut call = crate::dialect::call::tests::call(Endpoint::Messages);
    call.stream = true;
    for plan in ALL {
        assert_eq!(
            plan.heartbeat(&call, false).is_some(),
            plan.converts(),
            "{:?}",
            plan.platform()
        );
    }
    call.stream = false;
    assert!(ALL.iter().all(|plan| plan.heartbeat(&call, false).is_none()));
}

#[test]
fn an_error_passes_every_converter_and_else_stays_as_it_is() {
    let google = br#"{"error":{"code":400,"message":"too long","status":"INVALID_ARGUMENT"}}"#;
    let passed_on = |plan: &Plan| plan.passed_on(StatusCode::BAD_REQUEST, &HeaderMap::new(), google);
    assert_eq!(passed_on(&GEMINI), None);
    let message = String::from_utf8(passed_on(&MESSAGES_ON_GEMINI).unwrap().to_vec()).unwrap();
    assert!(
        message.contains(r#""type":"error""#) && message.contains("too long"),
        "{message}"
    );
    let chat = String::from_utf8(passed_on(&CHAT_ON_GEMINI).unwrap().to_vec()).unwrap();
    assert!(
        chat.contains("too long") && !chat.contains(r#"{"type":"error""#),
        "{chat}"
    );
}
