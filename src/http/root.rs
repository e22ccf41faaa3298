//! Routes outside of every prefix: the front page, model calls of clients whose base URL lacks its prefix, and
//! the answers for unknown paths.

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::{self, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use serde_json::json;

use super::api_error::ApiError;
use super::console::{self, takes_html};
use super::dialect::{X_REQUEST_ID, refuse_outside, wrong_method};
use super::{about, claude, gemini, openai};
use crate::app::App;
use crate::dialect::Dialect;
use crate::dialect::call::{Surface, request_id};
use crate::dialect::gemini::Gemini;
use crate::dialect::messages::Messages;
use crate::dialect::openai::OpenAi;
use crate::error::{Code, Failure};
use crate::model::price::Family;
use crate::model::route::Client;
use crate::port::random;

const PAGE: &str = include_str!("../../assets/root.html");

/// Allows only the page's own style.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

/// Maximum length of a path repeated in an answer, characters.
const LONGEST_PATH: usize = 200;

/// The front page, the console's files, and calls whose path alone determines their protocol: these are served on
/// the protocol's own platform, whatever the model.
pub(super) fn routes() -> Router<App> {
    let files = if console::HERE {
        Router::new()
            .route("/admin-next", get(console_home))
            .route(console::HOME, get(console_page))
            .route("/admin-next/{*path}", get(console_page))
    } else {
        Router::new()
    };
    files
        .route("/", get(front))
        .route("/apiStats", get(statistics))
        .merge(claude::unprefixed())
        .merge(openai::unprefixed())
        .merge(gemini::unprefixed())
        .route("/v1/models", get(models))
        .route(
            "/v1/models/{*model}",
            gemini::calls_of_model(Surface::V1).get(model),
        )
}

async fn console_home(state: State<App>, uri: OriginalUri, headers: HeaderMap) -> Response<Body> {
    if console::BUILT {
        return console::redirect();
    }
    console_page(state, None, uri, headers).await
}

async fn console_page(
    state: State<App>,
    path: Option<Path<String>>,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Response<Body> {
    let path = path.map(|Path(path)| path).unwrap_or_default();
    match console::page(&path, &headers) {
        Some(response) => response,
        None => nothing(state, uri, headers).await,
    }
}

/// CRS's address of the page for key holders, with CRS's query: `apiId`, `apiIds`.
async fn statistics(OriginalUri(asked): OriginalUri) -> Response<Body> {
    let page = match asked.query() {
        Some(query) => format!("{}?{query}", console::STATISTICS),
        None => console::STATISTICS.to_owned(),
    };
    let page = HeaderValue::try_from(page);
    console::redirect_to(page.unwrap_or(HeaderValue::from_static(console::STATISTICS)))
}

/// Redirects a browser to the console; programs, and browsers without a console, get a description.
async fn front(headers: HeaderMap) -> Response<Body> {
    if console::BUILT && takes_html(&headers) {
        return console::redirect();
    }
    let mut response = if takes_html(&headers) {
        ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
    } else {
        let body = json!({
            "service": "crs-edge",
            "version": env!("CARGO_PKG_VERSION"),
            "health": "/health",
            "adminApi": "/openapi.json",
            "console": if console::BUILT { console::HOME } else { "/admin-next/ (not in this build)" },
            "baseUrls": {
                "claude": "/api", "codex": "/openai", "openai": "/openai/v1", "gemini": "/gemini",
            },
        });
        axum::Json(body).into_response()
    };
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::VARY, "accept"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in fixed {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The list of models, in the protocol that the headers indicate.
async fn models(State(app): State<App>, asked: Parts) -> Response<Body> {
    match protocol_of_headers(&asked.headers, asked.uri.query()) {
        Protocol::Anthropic => {
            about::answered(&app, &Messages, &asked, |app, _, key| {
                let names = about::routed_names(app, &key, Family::Claude, Client::Messages)?;
                Ok(about::list(&names, "anthropic"))
            })
            .await
        }
        Protocol::OpenAi => {
            about::answered(&app, &OpenAi, &asked, |app, _, key| {
                Ok(about::list(&openai::names(app, &key)?, "openai"))
            })
            .await
        }
        Protocol::Google => about::answered(&app, &Gemini, &asked, |_, _, key| gemini::list(&key)).await,
    }
}

/// One model, for Google's clients. Clients of other protocols only get the list.
async fn model(State(app): State<App>, asked: Parts) -> Response<Body> {
    match protocol_of_headers(&asked.headers, asked.uri.query()) {
        Protocol::Google => about::answered(&app, &Gemini, &asked, gemini::one).await,
        other => {
            let message = format!(
                "This relay tells nothing of single models, /v1/models lists them. {}",
                other.hint()
            );
            refuse_outside(&app, other.dialect(), &Failure::new(Code::NotFound, message))
        }
    }
}

/// Client protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Anthropic,
    OpenAi,
    Google,
}

impl Protocol {
    fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::Anthropic => &Messages,
            Self::OpenAi => &OpenAi,
            Self::Google => &Gemini,
        }
    }

    /// The base URL for its clients.
    fn hint(self) -> &'static str {
        match self {
            Self::Anthropic => {
                "The base URL for Claude Code and Anthropic's SDKs is the address of this relay and /api."
            }
            Self::OpenAi => {
                "The base URL for Codex is the address of this relay and /openai, for OpenAI's SDKs /openai/v1."
            }
            Self::Google => {
                "The base URL for Gemini CLI and Google's SDKs is the address of this relay and /gemini."
            }
        }
    }
}

/// Anthropic's clients send a protocol version, Google's have their own header for the key; all others are
/// OpenAI's.
fn protocol_of_headers(headers: &HeaderMap, query: Option<&str>) -> Protocol {
    let has = |name: &str| headers.contains_key(name);
    let key_in_query = query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("key=")));
    if has("anthropic-version") || has("x-api-key") {
        Protocol::Anthropic
    } else if has("x-goog-api-key") || key_in_query {
        Protocol::Google
    } else {
        Protocol::OpenAi
    }
}

/// The protocol of a path without a known prefix; `None` if it is not a model call.
fn protocol_of(path: &str, headers: &HeaderMap, query: Option<&str>) -> Option<Protocol> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let first = segments.clone().next()?;
    let method = path.rsplit_once(':').map(|(_, method)| method);
    let google = first.starts_with("v1beta")
        || first.starts_with("v1alpha")
        || first.starts_with("v1internal")
        || method.is_some_and(|method| {
            let lower = method.to_ascii_lowercase();
            lower.contains("generatecontent")
                || lower.contains("counttokens")
                || lower.contains("embedcontent")
        });
    let anthropic = |segment: &str| matches!(segment, "messages" | "complete" | "count_tokens");
    let openai = |segment: &str| {
        matches!(
            segment,
            "responses"
                | "chat"
                | "completions"
                | "embeddings"
                | "images"
                | "audio"
                | "moderations"
                | "assistants"
                | "threads"
                | "realtime"
        )
    };
    if google {
        Some(Protocol::Google)
    } else if segments.clone().any(anthropic) {
        Some(Protocol::Anthropic)
    } else if segments.any(openai) {
        Some(Protocol::OpenAi)
    } else {
        (first == "v1").then(|| protocol_of_headers(headers, query))
    }
}

/// 404 for unknown paths, in the caller's protocol if there is one.
pub(super) async fn nothing(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response<Body> {
    let path: String = uri.path().chars().take(LONGEST_PATH).collect();
    if let Some(protocol) = protocol_of(uri.path(), &headers, uri.query()) {
        let message = format!("There is nothing at {path}. {}", protocol.hint());
        return refuse_outside(&app, protocol.dialect(), &Failure::new(Code::NotFound, message));
    }
    let message = if console::is_below(&path) && !console::BUILT {
        "This relay was built without its console: scripts/build-console builds it, and needs npm. Until then the command line `crs` does the same; with a login link, use the curl line that `crs admin login-link` prints.".to_owned()
    } else if console::is_below(&path) {
        format!("The console has no file {path}. If it was upgraded a moment ago, load its page again.")
    } else {
        format!(
            "There is nothing at {path}. Model calls are below /api, /openai and /gemini; / says which client needs which. The admin API is described by /openapi.json, and /health says how the relay is."
        )
    };
    error_response(&app, &ApiError::new(StatusCode::NOT_FOUND, "not_found", message))
}

/// 405 for a path with other methods; the router adds the `allow` header.
pub(super) async fn other_method(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response<Body> {
    match protocol_of(uri.path(), &headers, uri.query()) {
        Some(protocol) => refuse_outside(&app, protocol.dialect(), &wrong_method()),
        None => error_response(
            &app,
            &ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This address does not support this method; see the `allow` header.",
            ),
        ),
    }
}

fn error_response(app: &App, error: &ApiError) -> Response<Body> {
    let id = request_id(random::call_id(app.ports.clock.now(), &*app.ports.random));
    let mut response = error.response(Some(&id));
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANTHROPIC: Option<Protocol> = Some(Protocol::Anthropic);
    const OPENAI: Option<Protocol> = Some(Protocol::OpenAi);
    const GOOGLE: Option<Protocol> = Some(Protocol::Google);

    #[test]
    fn a_path_says_whose_protocol_it_is() {
        let of = |path: &str, header: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header, HeaderValue::from_static("x"));
            protocol_of(path, &headers, None)
        };
        for (path, header, protocol) in [
            ("/v2/messages", "a", ANTHROPIC),
            ("/anthropic/v1/messages", "a", ANTHROPIC),
            ("/v1/complete", "a", ANTHROPIC),
            ("/v1/embeddings", "a", OPENAI),
            ("/x/chat/completions", "x-api-key", OPENAI),
            ("/v1beta/files", "a", GOOGLE),
            ("/v1beta1/models/m", "a", GOOGLE),
            ("/v1internal:nothing", "a", GOOGLE),
            ("/x/v1/models/m:generateContent", "a", GOOGLE),
            ("/v1/models/m", "anthropic-version", ANTHROPIC),
            ("/v1/models/m", "x-goog-api-key", GOOGLE),
            ("/v1/models/m", "authorization", OPENAI),
            ("/v1", "authorization", OPENAI),
            ("/", "authorization", None),
            ("/nowhere", "x-api-key", None),
            ("/robots.txt", "a", None),
        ] {
            assert_eq!(of(path, header), protocol, "{path} {header}");
        }
        assert_eq!(
            protocol_of("/v1/files", &HeaderMap::new(), Some("a=b&key=c")),
            GOOGLE
        );
    }
}
