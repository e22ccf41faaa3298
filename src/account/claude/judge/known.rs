//! Known error messages about accounts, keys and requests.

use crate::account::known::{KnownMessage, Pattern, Subject};

const GOOGLE_REASON: &str = "google.api.ErrorReason, in Google's documentation of its API errors";

/// A reason of Google's about the account.
const fn google(reason: &'static str, source: &'static str) -> KnownMessage {
    KnownMessage {
        status: 403,
        says: Pattern::Word(reason),
        about: Subject::Account,
        source,
    }
}

/// Known error messages of Anthropic, and of the clouds that serve its models, and their subjects.
pub(super) const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        status: 400,
        says: Pattern::Begins("your credit balance is too low"),
        about: Subject::Account,
        source: "reported in public threads (Aider-AI/aider#804)",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Begins("this organization has been disabled"),
        about: Subject::Account,
        source: "reported in public threads (anthropics/claude-code#19028)",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Begins("you have reached your specified api usage limits"),
        about: Subject::Account,
        source: "Claude API documentation, Errors: spend limit reached",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("invalid x-api-key"),
        about: Subject::Credentials,
        source: "what people report of a mistyped key; not in the documentation",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("invalid bearer token"),
        about: Subject::Credentials,
        source: "what people report of a wrong OAuth token; not in the documentation",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("invalid authentication credentials"),
        about: Subject::Credentials,
        source: "what people report of ended logins; not in the documentation",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("oauth token has expired"),
        about: Subject::Credentials,
        source: "reported in public threads (winfunc/opcode#91)",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("oauth token has been revoked"),
        about: Subject::Credentials,
        source: "the words of the 403 (anthropics/claude-code#9635)",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("invalid oauth token"),
        about: Subject::Credentials,
        source: "reported in public threads (anthropics/claude-code#3247)",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("oauth authentication is currently not allowed for this organization"),
        about: Subject::Account,
        source: "reported in public threads (winfunc/opcode#91)",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("oauth authentication is currently not supported"),
        about: Subject::Request,
        source: "reported in public threads (anthropics/claude-code#6131): what this request's headers want",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("this authentication style is incompatible with"),
        about: Subject::Request,
        source: "reported by a tester of this relay",
    },
    KnownMessage {
        status: 402,
        says: Pattern::Word("billing_error"),
        about: Subject::Account,
        source: "Claude API documentation, Errors",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("this organization has been disabled"),
        about: Subject::Account,
        source: "the words of the 400, with the status that fits them",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("oauth token has been revoked"),
        about: Subject::Credentials,
        source: "reported in public threads (anthropics/claude-code#9635)",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("oauth authentication is currently not allowed for this organization"),
        about: Subject::Account,
        source: "reported in public threads (anthropics/claude-code#65714)",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("oauth token does not meet scope requirement any_of(user:inference"),
        about: Subject::Account,
        source: "reported in public threads (can1357/oh-my-pi#38)",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins(
            "oauth token lacks required scopes. token must have the following scopes: user:inference",
        ),
        about: Subject::Account,
        source: "reported in public threads (anomalyco/opencode#2026)",
    },
    // Amazon's accounts, signatures and access keys.
    KnownMessage {
        status: 404,
        says: Pattern::Begins("model use case details have not been submitted"),
        about: Subject::Account,
        source: "AWS documentation, Troubleshooting Amazon Bedrock API error codes: FTUFormNotFilled",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("the security token included in the request is invalid"),
        about: Subject::Credentials,
        source: "AWS documentation, Troubleshooting Amazon Bedrock API error codes: UnrecognizedClientException",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("the security token included in the request is expired"),
        about: Subject::Credentials,
        source: "AWS documentation, Common errors: ExpiredTokenException",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins(
            "the request signature we calculated does not match the signature you provided",
        ),
        about: Subject::Credentials,
        source: "AWS documentation, Troubleshoot Signature Version 4 requests",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("signature expired"),
        about: Subject::Account,
        source: "AWS documentation, Troubleshoot Signature Version 4 requests: the relay's clock is behind",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("signature not yet current"),
        about: Subject::Account,
        source: "AWS documentation, Troubleshoot Signature Version 4 requests: the relay's clock is ahead",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("you don't have access to the model with the specified model id"),
        about: Subject::Request,
        source: "AWS re:Post, Resolve InvokeModel API errors in Amazon Bedrock: another account may have the model",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("your account is not authorized to invoke this api operation"),
        about: Subject::Account,
        source: "AWS re:Post, Resolve InvokeModel API errors in Amazon Bedrock",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Begins("the model returned the following errors: invalid beta flag"),
        about: Subject::Request,
        source: "reported in public threads (BerriAI/litellm#19877): a beta that this host does not know",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Begins("invalid beta flag"),
        about: Subject::Request,
        source: "reported in public threads (anthropics/claude-code#49370): the same from newer models",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Begins("the provided model doesn't support counting tokens"),
        about: Subject::Request,
        source: "reported in public threads (Boise-State-Development/agentcore-public-stack#430)",
    },
    // Google's, of service accounts.
    KnownMessage {
        status: 400,
        says: Pattern::Begins("unexpected value(s)"),
        about: Subject::Request,
        source: "reported in public threads (anthropics/claude-code#21625): a beta that this host does not know",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Word("FAILED_PRECONDITION"),
        about: Subject::Request,
        source: "Vertex AI documentation, API errors; reported in public threads (yym68686/uni-api#41): the model is not \
                 enabled, not in this region, or forbidden by the organization",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Word("ACCESS_TOKEN_EXPIRED"),
        about: Subject::Credentials,
        source: GOOGLE_REASON,
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("request had invalid authentication credentials"),
        about: Subject::Credentials,
        source: "Google's answer to a token that is none or has ended",
    },
    google("SERVICE_DISABLED", GOOGLE_REASON),
    google("BILLING_DISABLED", GOOGLE_REASON),
    google("CONSUMER_SUSPENDED", GOOGLE_REASON),
    google("CONSUMER_INVALID", GOOGLE_REASON),
    google("ACCESS_TOKEN_SCOPE_INSUFFICIENT", GOOGLE_REASON),
    KnownMessage {
        status: 403,
        says: Pattern::Begins("permission 'aiplatform.endpoints.predict' denied"),
        about: Subject::Account,
        source: "reported in public threads (rpurinton/gemini-php#2): the role Vertex AI User is missing",
    },
    KnownMessage {
        status: 404,
        says: Pattern::Begins("publisher model `"),
        about: Subject::Request,
        source: "reported in public threads (truefoundry/models#946): no such model in this region or project",
    },
    KnownMessage {
        status: 429,
        says: Pattern::Begins("extra usage is required"),
        about: Subject::Request,
        source: "reported in public threads (router-for-me/CLIProxyAPI#2464)",
    },
    KnownMessage {
        status: 429,
        says: Pattern::Begins("long context requests require"),
        about: Subject::Request,
        source: "a guess: the words above in another order",
    },
    KnownMessage {
        status: 429,
        says: Pattern::Begins("number of request tokens has exceeded"),
        about: Subject::Size,
        source: "reported in public threads (brianpetro/obsidian-smart-connections#725)",
    },
    KnownMessage {
        status: 429,
        says: Pattern::Begins("this request would exceed"),
        about: Subject::Size,
        source: "reported in public threads (continuedev/continue#12057)",
    },
];
