//! Sign-in at a provider: the page where a person grants access, and the exchange of the page's code for tokens.
//! OAuth 2.0 with PKCE, RFC 6749 §4.1 and RFC 7636.

use bytes::Bytes;
use http::Request;
use http::header::HeaderValue;
use serde::Deserialize;
use serde_json::Value;

use super::oauth;
use crate::config;
use crate::model::account::Grant;
use crate::model::secret::Secret;
use crate::model::text::is_hidden;

/// The sign-in parameters of a platform, with the operator's OAuth client.
pub struct SignIn<'a> {
    /// Prefix of the settings' variables, such as `CLAUDE_OAUTH`.
    pub variables: &'static str,
    /// The page to open in a browser.
    pub(super) page: &'a str,
    /// Further parameters of the page.
    pub(super) page_more: &'static [(&'static str, &'static str)],
    pub(super) scope: &'static str,
    pub(super) client_id: &'a str,
    pub(super) client_secret: Option<&'a Secret>,
    /// The address to which the page redirects with the code, as registered at the provider.
    pub(super) redirect_uri: &'a str,
    pub(super) token_url: &'a str,
    pub(super) exchange: Exchange,
}

/// The format of requests to the token endpoint.
pub(super) enum Exchange {
    /// A form, RFC 6749.
    Form,
    /// JSON, as Anthropic requires. `lifetime`: the requested lifetime of the token, seconds, if one may be
    /// requested.
    Json { lifetime: Option<u32> },
}

/// Why signing in is impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSignIn {
    /// This variable with the client's id is not set.
    Unset(String),
    /// The platform has no such tokens.
    OtherGrant,
}

/// The settings that signing in needs; `variables`: see [`SignIn`].
pub(super) fn client_id<'a>(variables: &str, id: Option<&'a str>) -> Result<&'a str, NoSignIn> {
    id.ok_or_else(|| NoSignIn::Unset(format!("{variables}_CLIENT_ID")))
}

/// An OAuth client at Google. The platforms differ only in these values.
pub(super) struct GoogleClient<'a> {
    pub(super) variables: &'static str,
    pub(super) id: Option<&'a str>,
    /// Google requires it although installed programs cannot keep it secret.
    pub(super) secret: Option<&'a Secret>,
    pub(super) redirect_uri: &'a str,
    pub(super) scope: &'static str,
}

pub(super) fn google<'a>(
    grant: Grant,
    google: &'a config::Gemini,
    client: GoogleClient<'a>,
) -> Result<SignIn<'a>, NoSignIn> {
    if grant != Grant::OAuth {
        return Err(NoSignIn::OtherGrant);
    }
    let unset = || NoSignIn::Unset(format!("{}_CLIENT_SECRET", client.variables));
    Ok(SignIn {
        variables: client.variables,
        page: &google.oauth_page,
        // Without the second, Google sends a refresh token only at a person's first sign-in.
        page_more: &[("access_type", "offline"), ("prompt", "consent")],
        scope: client.scope,
        client_id: client_id(client.variables, client.id)?,
        client_secret: Some(client.secret.ok_or_else(unset)?),
        redirect_uri: client.redirect_uri,
        token_url: &google.oauth_url,
        exchange: Exchange::Form,
    })
}

impl SignIn<'_> {
    /// The variables with the OAuth client.
    pub fn client_variables(&self) -> String {
        let id = format!("{}_CLIENT_ID", self.variables);
        match self.client_secret {
            Some(_) => format!("{id} and {}_CLIENT_SECRET", self.variables),
            None => id,
        }
    }

    /// The address to open in a browser.
    pub fn address(&self, state: &str, challenge: &str) -> String {
        let fixed = [
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect_uri),
            ("scope", self.scope),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
            ("state", state),
        ];
        let query = oauth::form(&[self.page_more, &fixed].concat());
        format!("{}?{query}", self.page)
    }

    /// The request that exchanges a code for tokens; `None` if the endpoint's address is invalid.
    pub fn exchange(&self, code: &str, state: &str, verifier: &str) -> Option<Request<Bytes>> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.redirect_uri),
            ("client_id", self.client_id),
            ("code_verifier", verifier),
        ];
        if let Some(secret) = self.client_secret {
            fields.push(("client_secret", secret.reveal()));
        }
        match self.exchange {
            Exchange::Form => oauth::form_post(self.token_url, &fields),
            Exchange::Json { lifetime } => {
                fields.push(("state", state));
                let texts = fields.into_iter();
                let mut body: serde_json::Map<String, Value> = texts
                    .map(|(name, value)| (name.to_owned(), value.into()))
                    .collect();
                if let Some(seconds) = lifetime {
                    body.insert("expires_in".to_owned(), seconds.into());
                }
                oauth::request(
                    self.token_url,
                    Value::Object(body).to_string(),
                    HeaderValue::from_static("application/json"),
                )
            }
        }
    }
}

/// The email address of the person who signed in, from the token endpoint's answer: Anthropic sends it beside the
/// tokens, OpenAI and Google in the identity token.
pub fn email(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        account: Value,
        #[serde(default)]
        id_token: Value,
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let beside = answer.account.get("email_address").and_then(Value::as_str);
    let claims = || oauth::claims(answer.id_token.as_str()?);
    let email = match beside {
        Some(email) => email.to_owned(),
        None => claims()?.get("email")?.as_str()?.to_owned(),
    };
    let plain = email.len() <= 100 && email.contains('@') && !email.contains(is_hidden);
    plain.then_some(email)
}

/// The error word in a refusal of the token endpoint, RFC 6749 §5.2: `{"error": "invalid_grant"}`, or an object
/// with the word. Nothing else is returned, because the answer may echo secrets.
pub fn word(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        error: Value,
    }
    let Answer { error } = serde_json::from_slice(answer).ok()?;
    let word = error
        .as_str()
        .or_else(|| error.get("code").and_then(Value::as_str))
        .or_else(|| error.get("type").and_then(Value::as_str))?;
    is_word(word).then(|| word.to_owned())
}

/// Whether the text looks like an error word, so that it is safe to show.
pub fn is_word(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn sign_in(exchange: Exchange, client_secret: Option<&Secret>) -> SignIn<'_> {
        SignIn {
            variables: "EXAMPLE_OAUTH",
            page: "https://login.example/authorize",
            page_more: &[("prompt", "consent")],
            scope: "one two",
            client_id: "the client",
            client_secret,
            redirect_uri: "http://localhost:1/callback",
            token_url: "https://login.example/token",
            exchange,
        }
    }

    #[test]
    fn the_page_is_told_the_challenge_and_not_the_verifier() {
        assert_eq!(
            sign_in(Exchange::Form, None).address("st", "ch"),
            "https://login.example/authorize?prompt=consent&response_type=code&client_id=the%20client\
             &redirect_uri=http%3A%2F%2Flocalhost%3A1%2Fcallback&scope=one%20two&code_challenge=ch\
             &code_challenge_method=S256&state=st"
        );
    }

    #[test]
    fn a_code_is_exchanged_by_form() {
        let secret = Secret::new("s&t");
        let request = sign_in(Exchange::Form, Some(&secret))
            .exchange("4/0 c", "st", "ver")
            .unwrap();
        assert_eq!(request.uri(), "https://login.example/token");
        assert_eq!(
            request.headers()["content-type"],
            "application/x-www-form-urlencoded"
        );
        assert_eq!(
            request.body(),
            "grant_type=authorization_code&code=4%2F0%20c&redirect_uri=http%3A%2F%2Flocalhost%3A1%2Fcallback\
             &client_id=the%20client&code_verifier=ver&client_secret=s%26t"
        );
    }

    #[test]
    fn a_code_is_exchanged_by_json() {
        let sent = |lifetime| {
            let request = sign_in(Exchange::Json { lifetime }, None)
                .exchange("c", "st", "ver")
                .unwrap();
            serde_json::from_slice::<Value>(request.body()).unwrap()
        };
        let mut wanted = json!({
            "grant_type": "authorization_code", "code": "c", "redirect_uri": "http://localhost:1/callback",
            "client_id": "the client", "code_verifier": "ver", "state": "st",
        });
        assert_eq!(sent(None), wanted);
        wanted["expires_in"] = json!(31_536_000);
        assert_eq!(sent(Some(31_536_000)), wanted);
    }

    #[test]
    fn who_signed_in_is_read_from_either_place() {
        let beside = json!({"access_token": "a", "account": {"uuid": "u", "email_address": "a@b.example"}});
        assert_eq!(
            email(beside.to_string().as_bytes()).as_deref(),
            Some("a@b.example")
        );
        let id = URL_SAFE_NO_PAD.encode(r#"{"email":"c@d.example"}"#);
        let claimed = json!({"access_token": "a", "id_token": format!("e30.{id}.s")});
        assert_eq!(
            email(claimed.to_string().as_bytes()).as_deref(),
            Some("c@d.example")
        );
        for odd in [
            json!({}),
            json!({"id_token": 1}),
            json!({"id_token": "opaque"}),
            json!({"account": {"email_address": "two\nlines@x"}}),
            json!([]),
        ] {
            assert_eq!(email(odd.to_string().as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn of_a_refusal_only_the_word_is_told() {
        let read = |answer: Value| word(answer.to_string().as_bytes());
        assert_eq!(
            read(json!({"error": "invalid_grant", "error_description": "s3cret"})).as_deref(),
            Some("invalid_grant")
        );
        assert_eq!(
            read(json!({"error": {"type": "invalid_request_error", "message": "s3cret"}})).as_deref(),
            Some("invalid_request_error")
        );
        assert_eq!(
            read(json!({"error": {"type": "x", "code": "token_expired"}})).as_deref(),
            Some("token_expired")
        );
        for odd in [
            json!({"error": "The code s3cret"}),
            json!({"error": 5}),
            json!({}),
            json!("x"),
        ] {
            assert_eq!(read(odd.clone()), None, "{odd}");
        }
    }
}
