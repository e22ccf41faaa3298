//! Parses the text that a person pastes from a provider's page: the address that the browser was sent to, or the code
//! that the page showed.

use subtle::ConstantTimeEq as _;

use crate::account::sign_in::is_word;
use crate::http::api_error::ApiError;
use crate::model::percent;

const FIELD: &str = "codeOrCallbackUrl";

/// Above the length of every code and address.
const LONGEST: usize = 8192;

/// The code, if it belongs to the sign-in with this state. Errors quote nothing of the text except the provider's
/// error word.
pub(super) fn code(text: &str, state: &str) -> Result<String, ApiError> {
    let text = text.trim();
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unfit(
            "must be the code that the page showed, or the address that it led to, without blanks",
        ));
    }
    let read = if let Some((_, query)) = text.split_once('?') {
        of_query(query)
    } else if text.starts_with("code=") || text.starts_with("error=") || text.starts_with("state=") {
        of_query(text)
    } else if text.contains("://") {
        // Some providers send the answer in the fragment.
        of_query(text.split_once('#').map_or("", |(_, fragment)| fragment))
    } else {
        bare(text)
    };
    let PastedAnswer {
        code,
        state: pasted_state,
        error,
        whole,
    } = read;
    match &pasted_state {
        Some(pasted_state) if !bool::from(pasted_state.as_bytes().ct_eq(state.as_bytes())) => {
            let mut error = unfit(
                "belongs to another sign-in: paste what came of the page that this one's `authUrl` leads to",
            );
            error.code = "wrong_state";
            return Err(error);
        }
        None if whole && (code.is_some() || error.is_some()) => {
            return Err(unfit(
                "has no `state`: paste the whole address, or nothing but the code",
            ));
        }
        _ => {}
    }
    if let Some(word) = error {
        return Err(refused(&word));
    }
    code.filter(|code| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or_else(|| unfit("has no code: paste the address that the page led to after it was allowed"))
}

#[derive(Default)]
struct PastedAnswer {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    /// It is a whole address, which must contain the state.
    whole: bool,
}

/// `code`, `code#state` (shown by Claude's page), or the part of an address after `code=`.
fn bare(text: &str) -> PastedAnswer {
    if let Some((code, tail)) = text.split_once('&') {
        let tail = of_query(tail);
        return PastedAnswer {
            code: percent::decoded(code),
            whole: false,
            ..tail
        };
    }
    let (code, state) = match text.split_once('#') {
        Some((code, state)) => (code, Some(state).filter(|state| !state.is_empty())),
        None => (text, None),
    };
    PastedAnswer {
        code: percent::decoded(code),
        state: state.map(str::to_owned),
        ..PastedAnswer::default()
    }
}

fn of_query(query: &str) -> PastedAnswer {
    let query = query.split('#').next().unwrap_or_default();
    let mut read = PastedAnswer {
        whole: true,
        ..PastedAnswer::default()
    };
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = match name {
            "code" => &mut read.code,
            "state" => &mut read.state,
            "error" => &mut read.error,
            _ => continue,
        };
        *place = Some(percent::decoded(value).unwrap_or_default());
    }
    read
}

fn unfit(why: &str) -> ApiError {
    ApiError::invalid(FIELD, format!("`{FIELD}` {why}"))
}

/// Explains the error words of RFC 6749 §4.1.2.1.
fn refused(word: &str) -> ApiError {
    let why = match word {
        "access_denied" => "it was not allowed at the provider's page",
        "invalid_scope" => "the client may not ask for these rights",
        "unauthorized_client" | "unsupported_response_type" | "invalid_request" => {
            "the provider does not take this client's request"
        }
        "server_error" | "temporarily_unavailable" => "the provider is in trouble: try again later",
        _ => "see the provider's page",
    };
    let named = if is_word(word) {
        format!(" ({word})")
    } else {
        String::new()
    };
    let mut error = ApiError::invalid(FIELD, format!("The provider refused the sign-in{named}: {why}."));
    error.code = "sign_in_refused";
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> (&'static str, String) {
        let error = code(text, "st-1").unwrap_err();
        assert_eq!(
            (error.status.as_u16(), error.field.as_deref()),
            (422, Some(FIELD))
        );
        (error.code, error.message)
    }

    #[test]
    fn every_form_of_a_code_is_read() {
        for text in [
            "4/0c",
            " 4/0c\n",
            "4/0c#st-1",
            "4/0c#",
            "4%2F0c",
            "4/0c&scope=x",
            "4%2F0c&state=st-1&scope=x",
            "http://localhost:1455/auth/callback?code=4/0c&state=st-1",
            "https://platform.claude.com/oauth/code/callback?state=st-1&code=4%2F0c&scope=a+b#",
            "https://h/#code=4/0c&state=st-1",
            "?code=4/0c&state=st-1",
            "code=4/0c&state=st-1",
            "state=st-1&code=4/0c",
        ] {
            assert_eq!(code(text, "st-1").unwrap(), "4/0c", "{text}");
        }
    }

    #[test]
    fn another_sign_ins_state_is_refused() {
        for text in [
            "s3cret#st-2",
            "s3cret#st-1x",
            "https://h/?code=s3cret&state=st-2",
            "https://h/?code=s3cret&state=",
            "https://h/?error=access_denied&state=st-2",
            "s3cret&state=st-2",
        ] {
            let (kind, message) = wrong(text);
            assert_eq!(kind, "wrong_state", "{text}");
            assert!(!message.contains("s3cret"), "{message}");
        }
        assert!(wrong("https://h/?code=s3cret").1.contains("no `state`"));
        assert!(wrong("https://h/?error=access_denied").1.contains("no `state`"));
    }

    #[test]
    fn the_providers_refusal_is_told() {
        let (kind, message) =
            wrong("http://localhost/cb?error=access_denied&error_description=s3cret&state=st-1");
        assert_eq!(kind, "sign_in_refused");
        assert_eq!(
            message,
            "The provider refused the sign-in (access_denied): it was not allowed at the provider's page."
        );
        let (kind, message) = wrong("http://localhost/cb?error=S3CRET%20text&state=st-1");
        assert_eq!(kind, "sign_in_refused");
        assert!(!message.contains("S3CRET"), "{message}");
    }

    #[test]
    fn what_is_no_code_is_refused_without_being_repeated() {
        for text in [
            "",
            "  ",
            "two s3crets",
            "s3crét",
            "https://h/s3cret",
            "https://h/?state=st-1",
            "https://h/?code=&state=st-1",
            "https://h/?code=%0As3cret&state=st-1",
            "#st-1",
            "%zzs3cret",
            &"s3cret".repeat(2000),
        ] {
            let (kind, message) = wrong(text);
            assert_eq!(kind, "invalid_field", "{text}");
            assert!(!message.contains("s3cr"), "{message}");
        }
    }
}
