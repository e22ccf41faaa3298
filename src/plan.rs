//! Plans: the client's protocol, the serving platform, and the converters between them.
//!
//! | plan | client protocol | accounts |
//! | --- | --- | --- |
//! | [`MESSAGES_ON_CLAUDE`] | Anthropic's Messages | Claude's |
//! | [`MESSAGES_ON_GEMINI`] | Anthropic's Messages | Gemini's |
//! | [`MESSAGES_ON_ANTIGRAVITY`] | Anthropic's Messages | Antigravity's |
//! | [`MESSAGES_ON_OPENAI`] | Anthropic's Messages | OpenAI's |
//! | [`OPENAI`] | Responses and Chat Completions | OpenAI's |
//! | [`MESSAGES_ON_CHAT_HOSTS`], [`RESPONSES_ON_CHAT_HOSTS`] | Messages, and Responses via Messages | OpenAI's, on hosts that support only Chat Completions |
//! | [`RESPONSES_ON_CLAUDE`] | Responses | Claude's |
//! | [`RESPONSES_ON_GEMINI`], [`RESPONSES_ON_ANTIGRAVITY`] | Responses | Gemini's and Antigravity's, via Messages |
//! | [`CHAT_ON_CLAUDE`] | Chat Completions | Claude's |
//! | [`CHAT_ON_GEMINI`], [`CHAT_ON_ANTIGRAVITY`] | Chat Completions | Gemini's and Antigravity's, via Messages |
//! | [`GEMINI`] | `generateContent` and Code Assist | Gemini's |
//!
//! A path has a fixed plan, or a protocol for which the operator's routes or the model's name choose the plan
//! ([`choice`]). Without a converter bytes are forwarded unchanged.

mod choice;
#[cfg(test)]
mod pairs;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use http::{Extensions, HeaderMap, HeaderName, Request, StatusCode, header};

use crate::account::antigravity::Antigravity;
use crate::account::{self, Accounts, Unsendable};
use crate::config::Config;
use crate::convert::Converter;
use crate::convert::chat_to_messages::{ChatToMessages, Target};
use crate::convert::messages_to_chat::MessagesToChat;
use crate::convert::messages_to_gemini::{Form, MessagesToGemini};
use crate::convert::messages_to_responses::MessagesToResponses;
use crate::convert::responses_to_messages::ResponsesToMessages;
use crate::dialect::answer::{BodyReader, Rewrite, Whole};
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::meter::{Meter, streams};
use crate::dialect::wire::marks;
use crate::dialect::{self, Dialect};
use crate::model::account::live::{Credentials, LiveAccount};
use crate::model::account::{AccountKind, Platform};
use crate::model::route::Client;

pub use self::choice::{CHAT, Choice, MESSAGES, Plans, RESPONSES, RouteStep, Rule};

/// How a call is served; see the module.
pub struct Plan {
    /// The client's protocol.
    pub dialect: &'static dyn Dialect,
    /// The converters from the client's protocol to the accounts', in the order in which a request passes them.
    converters: &'static [&'static dyn Converter],
    pub accounts: &'static dyn Accounts,
    /// The plan for accounts whose host supports only Chat Completions.
    chat_hosts: Option<&'static Plan>,
}

/// Most hosts of Gemini's models accept JSON Schema.
static TO_GEMINI: MessagesToGemini = MessagesToGemini {
    schemas: Form::JsonSchema,
};

/// Antigravity also has models of other vendors, which accept only the older schema form.
static TO_ANTIGRAVITY: MessagesToGemini = MessagesToGemini {
    schemas: Form::OpenApi,
};

static CHAT_FOR_CLAUDE: ChatToMessages = ChatToMessages {
    target: Target::Claude,
};

static CHAT_FOR_GEMINI: ChatToMessages = ChatToMessages {
    target: Target::Gemini,
};

static RESPONSES_FOR_CLAUDE: ResponsesToMessages = ResponsesToMessages {
    target: Target::Claude,
};

static RESPONSES_FOR_OTHERS: ResponsesToMessages = ResponsesToMessages {
    target: Target::Gemini,
};

pub static MESSAGES_ON_CLAUDE: Plan = Plan {
    dialect: &dialect::messages::Messages,
    converters: &[],
    accounts: &account::claude::Claude,
    chat_hosts: None,
};

pub static MESSAGES_ON_GEMINI: Plan = Plan {
    dialect: &dialect::messages::Messages,
    converters: &[&TO_GEMINI],
    accounts: &account::gemini::Gemini,
    chat_hosts: None,
};

pub static MESSAGES_ON_ANTIGRAVITY: Plan = Plan {
    dialect: &dialect::messages::Messages,
    converters: &[&TO_ANTIGRAVITY],
    accounts: &Antigravity,
    chat_hosts: None,
};

static MESSAGES_ON_OPENAI: Plan = Plan {
    dialect: &dialect::messages::Messages,
    converters: &[&MessagesToResponses],
    accounts: &account::openai::OpenAi,
    chat_hosts: Some(&MESSAGES_ON_CHAT_HOSTS),
};

pub static OPENAI: Plan = Plan {
    dialect: &dialect::openai::OpenAi,
    converters: &[],
    accounts: &account::openai::OpenAi,
    chat_hosts: Some(&RESPONSES_ON_CHAT_HOSTS),
};

static MESSAGES_ON_CHAT_HOSTS: Plan = Plan {
    dialect: &dialect::messages::Messages,
    converters: &[&MessagesToChat],
    accounts: &account::openai::OpenAi,
    chat_hosts: None,
};

static RESPONSES_ON_CHAT_HOSTS: Plan = Plan {
    dialect: &dialect::openai::OpenAi,
    converters: &[&RESPONSES_FOR_OTHERS, &MessagesToChat],
    accounts: &account::openai::OpenAi,
    chat_hosts: None,
};

static RESPONSES_ON_CLAUDE: Plan = Plan {
    dialect: &dialect::openai::OpenAi,
    converters: &[&RESPONSES_FOR_CLAUDE],
    accounts: &account::claude::Claude,
    chat_hosts: None,
};

static RESPONSES_ON_GEMINI: Plan = Plan {
    dialect: &dialect::openai::OpenAi,
    converters: &[&RESPONSES_FOR_OTHERS, &TO_GEMINI],
    accounts: &account::gemini::Gemini,
    chat_hosts: None,
};

static RESPONSES_ON_ANTIGRAVITY: Plan = Plan {
    dialect: &dialect::openai::OpenAi,
    converters: &[&RESPONSES_FOR_OTHERS, &TO_ANTIGRAVITY],
    accounts: &Antigravity,
    chat_hosts: None,
};

pub static CHAT_ON_CLAUDE: Plan = Plan {
    dialect: &dialect::openai::OpenAi,
    converters: &[&CHAT_FOR_CLAUDE],
    accounts: &account::claude::Claude,
    chat_hosts: None,
};

pub static CHAT_ON_GEMINI: Plan = Plan {
    dialect: &dialect::openai::OpenAi,
    converters: &[&CHAT_FOR_GEMINI, &TO_GEMINI],
    accounts: &account::gemini::Gemini,
    chat_hosts: None,
};

static CHAT_ON_ANTIGRAVITY: Plan = Plan {
    dialect: &dialect::openai::OpenAi,
    converters: &[&CHAT_FOR_GEMINI, &TO_ANTIGRAVITY],
    accounts: &Antigravity,
    chat_hosts: None,
};

pub static GEMINI: Plan = Plan {
    dialect: &dialect::gemini::Gemini,
    converters: &[],
    accounts: &account::gemini::Gemini,
    chat_hosts: None,
};

/// The plan of a client's protocol on the accounts of a platform.
fn of_pair(client: Client, platform: Platform) -> &'static Plan {
    match (client, platform) {
        (Client::Messages, Platform::Claude) => &MESSAGES_ON_CLAUDE,
        (Client::Messages, Platform::OpenAi) => &MESSAGES_ON_OPENAI,
        (Client::Messages, Platform::Gemini) => &MESSAGES_ON_GEMINI,
        (Client::Messages, Platform::Antigravity) => &MESSAGES_ON_ANTIGRAVITY,
        (Client::Responses | Client::Chat, Platform::OpenAi) => &OPENAI,
        (Client::Responses, Platform::Claude) => &RESPONSES_ON_CLAUDE,
        (Client::Responses, Platform::Gemini) => &RESPONSES_ON_GEMINI,
        (Client::Responses, Platform::Antigravity) => &RESPONSES_ON_ANTIGRAVITY,
        (Client::Chat, Platform::Claude) => &CHAT_ON_CLAUDE,
        (Client::Chat, Platform::Gemini) => &CHAT_ON_GEMINI,
        (Client::Chat, Platform::Antigravity) => &CHAT_ON_ANTIGRAVITY,
    }
}

/// The plan for the operator's test of an account.
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

    /// The account kinds that can serve such a call, as named in the roster. `None`: every kind.
    pub fn kinds(&self, endpoint: Endpoint) -> Option<Vec<String>> {
        let serves = |kind: &AccountKind| {
            let of_chat = self.chat_hosts.filter(|_| *kind == AccountKind::ChatHost);
            self.serves(*kind, endpoint) || of_chat.is_some_and(|plan| plan.serves(*kind, endpoint))
        };
        if AccountKind::ALL.iter().all(serves) {
            return None;
        }
        let kinds = AccountKind::ALL.into_iter().filter(serves);
        Some(kinds.map(|kind| kind.name().to_owned()).collect())
    }

    /// The plan for such a call on a picked account of this kind.
    pub fn on(&'static self, kind: AccountKind, endpoint: Endpoint) -> &'static Self {
        let of_chat = self.chat_hosts.filter(|plan| plan.serves(kind, endpoint));
        match of_chat {
            Some(plan) if !self.serves(kind, endpoint) => plan,
            _ => self,
        }
    }

    fn serves(&self, kind: AccountKind, endpoint: Endpoint) -> bool {
        self.accounts.serves(kind, self.target(endpoint))
    }

    pub fn converts(&self) -> bool {
        !self.converters.is_empty()
    }

    /// Whether building the request reads and writes the whole body, which is slow for a long one.
    pub fn is_slow(&self, call: &Call) -> bool {
        self.converts() || self.accounts.edits_long(call)
    }

    /// The endpoint of the call in the accounts' protocol.
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
        // API keys and accounts with a known tenant need no lookup.
        let Credentials::OAuth { tenant: None, .. } = &account.credentials else {
            return None;
        };
        let target = call.translated(self.target(call.endpoint));
        self.accounts.lookup(&target, account, config)
    }

    /// Builds the request for this call on this account; `now` is the time for signatures. Its extensions are not
    /// sent; they are needed to convert the answer.
    pub fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
        now: Millis,
    ) -> Result<Request<Bytes>, Unsendable> {
        let Some((target, kept)) = self.converted(call, account).map_err(Unsendable::Call)? else {
            return self.accounts.request(call, account, config, now);
        };
        let mut request = self.accounts.request(&target, account, config, now)?;
        request.extensions_mut().extend(kept);
        Ok(request)
    }

    /// Whether this call may go to the account over a WebSocket: with the client's own words only.
    pub fn has_socket(&self, call: &Call, account: &LiveAccount, config: &Config) -> bool {
        !self.converts() && self.accounts.has_socket(call, account, config)
    }

    /// The call in the accounts' protocol and the data to convert its answer. `None` if nothing is converted.
    fn converted(&self, call: &Call, account: &LiveAccount) -> Result<Option<(Call, Extensions)>, String> {
        let Some((first, others)) = self.converters.split_first() else {
            return Ok(None);
        };
        let mut kept = Extensions::new();
        let mut target = first.request(call, account, &mut kept)?;
        for converter in others {
            target = converter.request(&target, account, &mut kept)?;
        }
        // What is converted fits the version that accounts send by themselves. Newer ones refuse some of it.
        target.headers.remove("anthropic-version");
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

    /// See [`Accounts::reader`].
    pub fn reader(
        &self,
        call: &Call,
        account: &LiveAccount,
        headers: &HeaderMap,
    ) -> Option<Box<dyn BodyReader>> {
        self.accounts.reader(self.target(call.endpoint), account, headers)
    }

    /// Converts the answer piece by piece. `None` if it is forwarded unchanged. `kept`: the request's extensions.
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

    /// Whether a success must be read completely before anything is sent, see [`Self::gathered`]. `first`: the
    /// first bytes of its body, at least one.
    pub fn gathers(&self, call: &Call, headers: &HeaderMap, first: &[u8]) -> bool {
        if self.converts() {
            !(call.stream && streams(headers))
        } else {
            self.dialect.has_other_form(call, headers, first)
        }
    }

    /// Converts a whole answer for the client, or returns why that is impossible. `kept`: the request's
    /// extensions.
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
            self.gathered_by(others, &target, kept, whole)?.body
        };
        converter.whole(call, kept, source)
    }

    /// Converts the account's error into the client's protocol. `None` if the protocols are the same. `headers`: the
    /// provider's.
    pub fn passed_on(&self, status: StatusCode, headers: &HeaderMap, error: &[u8]) -> Option<Bytes> {
        let own = self.accounts.translated_error(status, headers, error);
        self.converters.iter().rev().fold(own, |body, converter| {
            Some(converter.error(status, body.as_deref().unwrap_or(error)))
        })
    }

    /// A meter for the bytes that the client gets, or that a rewrite returns for metering. `None` for calls
    /// without usage. Provides the usage if there is no [`Self::source_meter`].
    pub fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        match self.converters.first() {
            Some(converter) => converter.meter(call, headers),
            None => self.dialect.meter(call.endpoint, call.stream, headers),
        }
    }

    /// A meter for the provider's bytes before their conversion: a conversion may fail, and the client's protocol
    /// may lack some of the billed usage. `headers`: the provider's. `None` if nothing is converted or the call
    /// has no usage.
    pub fn source_meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        if !self.converts() {
            return None;
        }
        let endpoint = self.target(call.endpoint);
        self.accounts.dialect().meter(endpoint, call.stream, headers)
    }

    /// The heartbeat for clients of a converted stream. `None` if the answer is forwarded unchanged. `began`: the
    /// client has received a part of it.
    pub fn heartbeat(&self, call: &Call, began: bool) -> Option<&'static [u8]> {
        let is_converted = self.converts() && call.stream && call.endpoint.takes_slot();
        is_converted.then(|| self.dialect.heartbeat(began))
    }

    /// See [`Accounts::unreadable`]. A converted call has such items only if the client returned them in its own
    /// protocol.
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
