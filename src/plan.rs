//! How a call is served: the client's protocol, whose accounts, and the converters between the two.
//!
//! | plan | clients speak | accounts |
//! | --- | --- | --- |
//! | [`MESSAGES_ON_CLAUDE`] | Anthropic's Messages | Claude's |
//! | [`MESSAGES_ON_GEMINI`] | Anthropic's Messages | Gemini's |
//! | [`MESSAGES_ON_ANTIGRAVITY`] | Anthropic's Messages | Antigravity's |
//! | [`MESSAGES_ON_OPENAI`] | Anthropic's Messages | OpenAI's |
//! | [`OPENAI`] | Responses and Chat Completions | OpenAI's |
//! | [`RESPONSES_ON_CLAUDE`] | Responses | Claude's |
//! | [`CHAT_ON_CLAUDE`] | Chat Completions | Claude's |
//! | [`CHAT_ON_GEMINI`] | Chat Completions | Gemini's, by way of Messages |
//! | [`GEMINI`] | `generateContent` and Code Assist | Gemini's |
//!
//! A route names its plan ([`Plans`]), and may name another for models of another provider's. Without a converter
//! bytes pass as they are.

use bytes::Bytes;
use crs_durable::gate::Service;
use http::{Extensions, HeaderMap, HeaderName, Request, StatusCode, header};

use crate::account::antigravity::Antigravity;
use crate::account::{self, Accounts, Unsendable};
use crate::config::Config;
use crate::convert::Converter;
use crate::convert::chat_to_messages::{ChatToMessages, Target};
use crate::convert::messages_to_gemini::{Form, MessagesToGemini};
use crate::convert::messages_to_responses::MessagesToResponses;
use crate::convert::responses_to_messages::ResponsesToMessages;
use crate::dialect::answer::{Rewrite, Whole};
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::meter::{Meter, streams};
use crate::dialect::wire::marks;
use crate::dialect::{self, Dialect};
use crate::model::account::live::{Credentials, LiveAccount};
use crate::model::account::{AccountKind, Platform};
use crate::model::name::ModelName;
use crate::model::price::Family;

/// See the module.
pub struct Plan {
    /// The client's protocol.
    pub dialect: &'static dyn Dialect,
    /// From the client's protocol to the accounts', in the order in which a request takes them.
    converters: &'static [&'static dyn Converter],
    pub accounts: &'static dyn Accounts,
}

/// Most hosts of Gemini's models take JSON Schema.
static TO_GEMINI: MessagesToGemini = MessagesToGemini {
    schemas: Form::JsonSchema,
};

/// Antigravity has other vendors' models too, which accept the older form of schemas only.
static TO_ANTIGRAVITY: MessagesToGemini = MessagesToGemini {
    schemas: Form::OpenApi,
};

static CHAT_FOR_CLAUDE: ChatToMessages = ChatToMessages {
    target: Target::Claude,
};

static CHAT_FOR_GEMINI: ChatToMessages = ChatToMessages {
    target: Target::Gemini,
};

pub static MESSAGES_ON_CLAUDE: Plan = Plan {
    dialect: &dialect::messages::Messages,
    converters: &[],
    accounts: &account::claude::Claude,
};

pub static MESSAGES_ON_GEMINI: Plan = Plan {
    dialect: &dialect::messages::Messages,
    converters: &[&TO_GEMINI],
    accounts: &account::gemini::Gemini,
};

pub static MESSAGES_ON_ANTIGRAVITY: Plan = Plan {
    dialect: &dialect::messages::Messages,
    converters: &[&TO_ANTIGRAVITY],
    accounts: &Antigravity,
};

pub static MESSAGES_ON_OPENAI: Plan = Plan {
    dialect: &dialect::messages::Messages,
    converters: &[&MessagesToResponses],
    accounts: &account::openai::OpenAi,
};

pub static OPENAI: Plan = Plan {
    dialect: &dialect::openai::OpenAi,
    converters: &[],
    accounts: &account::openai::OpenAi,
};

pub static RESPONSES_ON_CLAUDE: Plan = Plan {
    dialect: &dialect::openai::OpenAi,
    converters: &[&ResponsesToMessages],
    accounts: &account::claude::Claude,
};

pub static CHAT_ON_CLAUDE: Plan = Plan {
    dialect: &dialect::openai::OpenAi,
    converters: &[&CHAT_FOR_CLAUDE],
    accounts: &account::claude::Claude,
};

pub static CHAT_ON_GEMINI: Plan = Plan {
    dialect: &dialect::openai::OpenAi,
    converters: &[&CHAT_FOR_GEMINI, &TO_GEMINI],
    accounts: &account::gemini::Gemini,
};

pub static GEMINI: Plan = Plan {
    dialect: &dialect::gemini::Gemini,
    converters: &[],
    accounts: &account::gemini::Gemini,
};

/// The plans of a route: what the accounts of its own platform serve, and what those of another do.
#[derive(Clone, Copy)]
pub struct Plans {
    pub own: &'static Plan,
    /// For models of this family, if the key may use that platform.
    other: Option<(Family, &'static Plan)>,
}

/// Anthropic's Messages: models of OpenAI's are served by OpenAI's accounts.
pub static MESSAGES: Plans = Plans {
    own: &MESSAGES_ON_CLAUDE,
    other: Some((Family::OpenAi, &MESSAGES_ON_OPENAI)),
};

/// OpenAI's Responses: Claude's models are served by Claude's accounts.
pub static RESPONSES: Plans = Plans {
    own: &OPENAI,
    other: Some((Family::Claude, &RESPONSES_ON_CLAUDE)),
};

impl From<&'static Plan> for Plans {
    fn from(own: &'static Plan) -> Self {
        Self { own, other: None }
    }
}

impl Plans {
    /// The plan for this model, and the one to go by if the key may not use that platform.
    pub fn of(self, model: &ModelName) -> (&'static Plan, Option<&'static Plan>) {
        match self.other {
            Some((family, other)) if Family::of_name(model.canonical()) == Some(family) => {
                (other, Some(self.own))
            }
            _ => (self.own, None),
        }
    }

    /// All of them: which one it is is known when the model is.
    pub fn all(self) -> impl Iterator<Item = &'static Plan> {
        let other = self.other.map(|(_, other)| other);
        std::iter::once(self.own).chain(other)
    }
}

/// The plan by which the operator's test of an account is served.
pub fn of_trial(platform: Platform) -> &'static Plan {
    match platform {
        Platform::Claude => &MESSAGES_ON_CLAUDE,
        Platform::OpenAi => &OPENAI,
        Platform::Gemini => &GEMINI,
        Platform::Antigravity => &MESSAGES_ON_ANTIGRAVITY,
    }
}

impl Plan {
    pub fn platform(&self) -> Platform {
        self.accounts.platform()
    }

    /// The permission that a key needs.
    pub fn service(&self) -> Service {
        self.accounts.service()
    }

    /// The kinds of accounts that can serve such a call, as their roster names them. `None`: every kind.
    pub fn kinds(&self, endpoint: Endpoint) -> Option<Vec<String>> {
        let target = self.target(endpoint);
        let serves = |kind: &AccountKind| self.accounts.serves(*kind, target);
        if AccountKind::ALL.iter().all(serves) {
            return None;
        }
        let kinds = AccountKind::ALL.into_iter().filter(serves);
        Some(kinds.map(|kind| kind.name().to_owned()).collect())
    }

    pub fn converts(&self) -> bool {
        !self.converters.is_empty()
    }

    /// Whether making the request reads and writes the whole body, which takes time if it is long.
    pub fn is_slow(&self, call: &Call) -> bool {
        self.converts() || self.accounts.edits_long(call)
    }

    /// The endpoint of the call as the accounts get it.
    pub fn target(&self, endpoint: Endpoint) -> Endpoint {
        self.converters
            .iter()
            .fold(endpoint, |endpoint, converter| converter.target(endpoint))
    }

    /// See [`Accounts::lookup`].
    pub fn lookup(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Option<Result<Request<Bytes>, Unsendable>> {
        if !self.converts() {
            return self.accounts.lookup(call, account, config);
        }
        // Otherwise there is nothing to ask.
        let Credentials::OAuth { tenant: None, .. } = &account.credentials else {
            return None;
        };
        let target = call.translated(self.target(call.endpoint));
        self.accounts.lookup(&target, account, config)
    }

    /// The request to send for this call on this account. Its extensions are not sent: they are what the answer is
    /// converted with.
    pub fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Result<Request<Bytes>, Unsendable> {
        let Some((target, kept)) = self.converted(call, account).map_err(Unsendable::Call)? else {
            return self.accounts.request(call, account, config);
        };
        let mut request = self.accounts.request(&target, account, config)?;
        request.extensions_mut().extend(kept);
        Ok(request)
    }

    /// The call as the accounts get it, and what its answer is converted with. `None`: it is not converted.
    fn converted(&self, call: &Call, account: &LiveAccount) -> Result<Option<(Call, Extensions)>, String> {
        let Some((first, others)) = self.converters.split_first() else {
            return Ok(None);
        };
        let mut kept = Extensions::new();
        let mut target = first.request(call, account, &mut kept)?;
        for converter in others {
            target = converter.request(&target, account, &mut kept)?;
        }
        Ok(Some((target, kept)))
    }

    /// Whether a response header may reach the client.
    pub fn passes_back(&self, name: &HeaderName) -> bool {
        if self.converts() {
            *name == header::CONTENT_TYPE
                || *name == header::RETRY_AFTER
                || *name == header::CACHE_CONTROL
                || name.as_str() == "x-should-retry"
        } else {
            self.accounts.passes_back(name)
        }
    }

    /// Converts the answer piece by piece. `None`: it passes byte for byte. `kept`: the request's extensions.
    pub fn rewrite(
        &self,
        call: &Call,
        account: &LiveAccount,
        headers: &HeaderMap,
        kept: &Extensions,
    ) -> Option<Box<dyn Rewrite>> {
        if !self.converts() {
            return self.accounts.rewrite(call, account, headers);
        }
        if !(call.stream && streams(headers)) {
            return None;
        }
        let mut rewrite = None;
        for converter in self.converters.iter().rev() {
            rewrite = Some(converter.stream(call, kept, rewrite)?);
        }
        rewrite
    }

    /// Whether a success must be complete before anything of it can be sent, see [`Self::gathered`]. `first`: the
    /// first bytes of its body, at least one.
    pub fn gathers(&self, call: &Call, headers: &HeaderMap, first: &[u8]) -> bool {
        if self.converts() {
            !(call.stream && streams(headers))
        } else {
            self.dialect.has_other_form(call, headers, first)
        }
    }

    /// A whole answer as the client asked for it, or why there is none. `kept`: the request's extensions.
    pub fn gathered(&self, call: &Call, kept: &Extensions, whole: Bytes) -> Result<Whole, String> {
        self.gathered_by(self.converters, call, kept, whole)
    }

    fn gathered_by(
        &self,
        converters: &[&dyn Converter],
        call: &Call,
        kept: &Extensions,
        whole: Bytes,
    ) -> Result<Whole, String> {
        let Some((converter, others)) = converters.split_first() else {
            return self.accounts.dialect().in_asked_form(call, whole);
        };
        let source = if converter.reads_any_form() {
            whole
        } else {
            let target = call.translated(converter.target(call.endpoint));
            self.gathered_by(others, &target, kept, whole)?.told
        };
        converter.whole(call, kept, source)
    }

    /// The account's own error in the client's protocol. `None`: it is that already.
    pub fn passed_on(&self, status: StatusCode, error: &[u8]) -> Option<Bytes> {
        self.converters.iter().rev().fold(None, |told, converter| {
            Some(converter.error(status, told.as_deref().unwrap_or(error)))
        })
    }

    /// Reads the answer as the client gets it, or as a rewrite has it measured. `None` for calls that use nothing.
    /// Usage is read from it if there is no [`Self::source_meter`].
    pub fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        match self.converters.first() {
            Some(converter) => converter.meter(call, headers),
            None => self.dialect.meter(call.endpoint, call.stream, headers),
        }
    }

    /// Reads usage from the provider's own bytes, before they are converted: a conversion may fail, and the client's
    /// protocol may have no place for all that is billed. `headers`: the provider's. `None`: nothing is converted,
    /// or the call uses nothing.
    pub fn source_meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        if !self.converts() {
            return None;
        }
        let endpoint = self.target(call.endpoint);
        self.accounts.dialect().meter(endpoint, call.stream, headers)
    }

    /// Bytes that keep the client of a converted stream waiting. `None`: the answer passes as it comes. `began`: the
    /// client has received a part of it.
    pub fn heartbeat(&self, call: &Call, began: bool) -> Option<&'static [u8]> {
        let is_converted = self.converts() && call.stream && call.endpoint.takes_slot();
        is_converted.then(|| self.dialect.heartbeat(began))
    }

    /// See [`Accounts::unreadable`]. A converted call has such items only if the client carries them.
    pub fn unreadable(
        &self,
        call: &Call,
        account: &LiveAccount,
        status: StatusCode,
        error: &[u8],
    ) -> Vec<Bytes> {
        if !self.converts() {
            return self.accounts.unreadable(call, status, error);
        }
        if !marks::are_in(&call.body) {
            return Vec::new();
        }
        match self.converted(call, account) {
            Ok(Some((target, _))) => self.accounts.unreadable(&target, status, error),
            _ => Vec::new(),
        }
    }

    /// See [`Accounts::without_unreadable`]. `items`: all of the call's encrypted items.
    pub fn without_unreadable(
        &self,
        call: &Call,
        items: &[Bytes],
        readable: &[bool],
    ) -> Option<(Bytes, u32)> {
        let Some(converter) = self.converters.first() else {
            return self.accounts.without_unreadable(call, readable);
        };
        let mut readable = readable.iter().copied();
        let unreadable = items.iter().filter(|_| !readable.next().unwrap_or(false));
        let unreadable: Vec<Bytes> = unreadable.cloned().collect();
        converter.without_sealed(call, &unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&Plan; 9] = [
        &MESSAGES_ON_CLAUDE,
        &MESSAGES_ON_GEMINI,
        &MESSAGES_ON_ANTIGRAVITY,
        &MESSAGES_ON_OPENAI,
        &OPENAI,
        &RESPONSES_ON_CLAUDE,
        &CHAT_ON_CLAUDE,
        &CHAT_ON_GEMINI,
        &GEMINI,
    ];

    #[test]
    fn accounts_are_of_the_platform_that_they_are_found_by() {
        for platform in Platform::ALL {
            assert_eq!(account::of(platform).platform(), platform);
            assert_eq!(of_trial(platform).platform(), platform);
        }
    }

    /// The table of what is served by whom, as it was found out by asking the providers.
    #[test]
    fn a_call_is_asked_of_the_kinds_that_serve_it() {
        use crate::dialect::call::{Assist, Surface};
        let assist = Endpoint::Assist(Assist::LoadCodeAssist);
        let models = Endpoint::Assist(Assist::FetchAvailableModels);
        let internal = Endpoint::Generate(Surface::Internal);
        let any: Option<&[&str]> = None;
        let (key, login, nobody): (_, _, Option<&[&str]>) =
            (Some(&["key"][..]), Some(&["login"][..]), Some(&[]));
        for (plan, endpoint, expected) in [
            (&MESSAGES_ON_CLAUDE, Endpoint::Messages, any),
            (&MESSAGES_ON_CLAUDE, Endpoint::CountTokens, any),
            (&MESSAGES_ON_CLAUDE, Endpoint::Responses, nobody),
            (&MESSAGES_ON_GEMINI, Endpoint::Messages, any),
            (&MESSAGES_ON_GEMINI, Endpoint::CountTokens, any),
            (&MESSAGES_ON_ANTIGRAVITY, Endpoint::Messages, login),
            (&MESSAGES_ON_ANTIGRAVITY, Endpoint::CountTokens, login),
            (&MESSAGES_ON_ANTIGRAVITY, models, login),
            (&MESSAGES_ON_OPENAI, Endpoint::Messages, any),
            (&MESSAGES_ON_OPENAI, Endpoint::CountTokens, key),
            (&OPENAI, Endpoint::Responses, any),
            (&OPENAI, Endpoint::CompactResponses, any),
            (&OPENAI, Endpoint::ChatCompletions, key),
            (&RESPONSES_ON_CLAUDE, Endpoint::Responses, any),
            (&CHAT_ON_CLAUDE, Endpoint::ChatCompletions, any),
            (&CHAT_ON_GEMINI, Endpoint::ChatCompletions, any),
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
    fn a_model_of_another_provider_is_served_by_its_accounts() {
        for (model, platform) in [
            ("claude-sonnet-4-5", Platform::Claude),
            ("gpt-5.4", Platform::OpenAi),
            ("openai/o3", Platform::OpenAi),
            ("glm-5", Platform::Claude),
        ] {
            let (plan, otherwise) = MESSAGES.of(&ModelName::parse(model).unwrap());
            assert_eq!(plan.platform(), platform, "{model}");
            let moved = platform != Platform::Claude;
            assert_eq!(otherwise.map(Plan::platform), moved.then_some(Platform::Claude));
            let (plan, otherwise) = Plans::from(&MESSAGES_ON_GEMINI).of(&ModelName::parse(model).unwrap());
            assert_eq!((plan.platform(), otherwise.is_some()), (Platform::Gemini, false));
            let (plan, _) = RESPONSES.of(&ModelName::parse(model).unwrap());
            let claude = model.starts_with("claude");
            assert_eq!(plan.platform() == Platform::Claude, claude, "{model}");
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
        let told = |plan: &Plan| plan.passed_on(StatusCode::BAD_REQUEST, google);
        assert_eq!(told(&GEMINI), None);
        let message = String::from_utf8(told(&MESSAGES_ON_GEMINI).unwrap().to_vec()).unwrap();
        assert!(
            message.contains(r#""type":"error""#) && message.contains("too long"),
            "{message}"
        );
        let chat = String::from_utf8(told(&CHAT_ON_GEMINI).unwrap().to_vec()).unwrap();
        assert!(
            chat.contains("too long") && !chat.contains(r#"{"type":"error""#),
            "{chat}"
        );
    }
}
