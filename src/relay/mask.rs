//! Masks an account's secrets in its provider's output.
//!
//! A provider may echo what it was sent: in an error, an error event, a header. Its output is masked before it is
//! judged, stored, logged or forwarded, so later steps need not care. A secret is overwritten with asterisks of
//! the same length, so that lengths and JSON stay valid.

mod stream;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use memchr::memmem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

pub(super) use self::stream::StreamMask;
use crate::model::account::live::{Credentials, LiveAccount};
use crate::model::percent::{self, COMPONENT};

/// Shorter secrets are not masked, since they could be ordinary words, bytes.
const SHORTEST: usize = 8;

/// The secrets to mask, in every encoding in which they may appear.
pub(crate) struct SecretMask(Vec<Vec<u8>>);

impl SecretMask {
    pub(crate) fn of(account: &LiveAccount) -> Self {
        let mut forms = Vec::new();
        for secret in secrets(account) {
            add_forms(&mut forms, secret);
        }
        if let Some(proxy) = account.proxy.as_deref()
            && let (Some(user), Some(password)) = (&proxy.username, &proxy.password)
        {
            let login = format!("{user}:{password}");
            add_forms(&mut forms, &STANDARD.encode(&login));
            add_forms(&mut forms, &URL_SAFE_NO_PAD.encode(&login));
        }
        // Longest first, because one may be a prefix of another. Equal ones are neighbours.
        forms.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        forms.dedup();
        Self(forms)
    }

    /// Masks a whole body or its beginning. Returns the same bytes if it has no secret.
    pub(crate) fn body(&self, body: Bytes) -> Bytes {
        let hidden = self.raw(body);
        self.escaped(&hidden).map_or(hidden, Bytes::from)
    }

    /// Like [`Self::body`], keeping the length.
    fn raw(&self, body: Bytes) -> Bytes {
        self.hidden(&body).map_or(body, Bytes::from)
    }

    /// Like [`Self::raw`] for a text that continues: an incomplete secret at its end is kept.
    fn within(&self, text: Bytes) -> Bytes {
        self.overwritten(&text).map_or(text, Bytes::from)
    }

    /// Number of bytes at the text's end that may begin a secret.
    fn begun_at_the_end(&self, text: &[u8]) -> usize {
        let begun = self.0.iter().map(|form| stream::begun(text, form));
        begun.max().unwrap_or(0)
    }

    /// Masks data lines whose JSON writes a secret with escapes.
    fn escaped_events(&self, events: Bytes) -> Bytes {
        if memchr::memchr(b'\\', &events).is_none() {
            return events;
        }
        let lines = events.split_inclusive(|byte| *byte == b'\n');
        let lines: Vec<_> = lines
            .map(|line| {
                (
                    line,
                    line.strip_prefix(b"data:").and_then(|json| self.escaped(json)),
                )
            })
            .collect();
        if lines.iter().all(|(_, hidden)| hidden.is_none()) {
            return events;
        }
        let mut masked = BytesMut::with_capacity(events.len());
        for (line, hidden) in lines {
            match hidden {
                Some(json) => {
                    masked.extend_from_slice(b"data: ");
                    masked.extend_from_slice(&json);
                    masked.extend_from_slice(line.get(line.trim_ascii_end().len()..).unwrap_or_default());
                }
                None => masked.extend_from_slice(line),
            }
        }
        masked.freeze()
    }

    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.hidden(text.as_bytes()) {
            // The forms are whole UTF-8 characters, and so is the rest.
            Some(hidden) => Cow::Owned(String::from_utf8_lossy(&hidden).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// The masked text; `None` if it has no secret.
    fn hidden(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut hidden = self.overwritten(text);
        // A truncated text may end inside a secret.
        for form in &self.0 {
            let length = stream::begun(hidden.as_deref().unwrap_or(text), form);
            if length >= SHORTEST {
                let hidden = hidden.get_or_insert_with(|| text.to_vec());
                let from = hidden.len() - length;
                if let Some(place) = hidden.get_mut(from..) {
                    place.fill(b'*');
                }
            }
        }
        hidden
    }

    /// Masks whole secrets only.
    fn overwritten(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut hidden: Option<Vec<u8>> = None;
        for form in &self.0 {
            let found: Vec<usize> = memmem::find_iter(hidden.as_deref().unwrap_or(text), form).collect();
            for at in found {
                let hidden = hidden.get_or_insert_with(|| text.to_vec());
                if let Some(place) = hidden.get_mut(at..at + form.len()) {
                    place.fill(b'*');
                }
            }
        }
        hidden
    }

    /// Masks secrets whose JSON string uses escapes, by comparing decoded strings.
    fn escaped(&self, body: &[u8]) -> Option<Vec<u8>> {
        memchr::memchr(b'\\', body)?;
        let mut json: Value = serde_json::from_slice(body).ok()?;
        self.value(&mut json).then(|| json.to_string().into_bytes())
    }

    /// Returns whether something was masked.
    fn value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => match self.text(text) {
                Cow::Owned(hidden) => {
                    *text = hidden;
                    true
                }
                Cow::Borrowed(_) => false,
            },
            Value::Array(list) => list.iter_mut().fold(false, |any, value| self.value(value) | any),
            Value::Object(map) => {
                let mut any = map.values_mut().fold(false, |any, value| self.value(value) | any);
                let names: Vec<String> = map
                    .keys()
                    .filter(|name| matches!(self.text(name), Cow::Owned(_)))
                    .cloned()
                    .collect();
                for name in names {
                    map.remove(&name);
                    any = true;
                }
                any
            }
            _ => false,
        }
    }
}

/// Removes headers that contain a secret. Most answers have no value long enough to check.
pub(super) fn hide_headers(account: &LiveAccount, headers: &mut HeaderMap) {
    let repeats = |value: &[u8]| {
        let mut secrets = secrets(account);
        secrets.any(|secret| value.len() >= secret.len() && memmem::find(value, secret.as_bytes()).is_some())
    };
    let names: Vec<_> = headers
        .iter()
        .filter(|(_, value)| repeats(value.as_bytes()))
        .map(|(name, _)| name.clone())
        .collect();
    for name in names {
        headers.remove(name);
    }
}

fn secrets<'a>(account: &'a LiveAccount) -> impl Iterator<Item = &'a str> {
    let of = |credentials: &'a Credentials| match credentials {
        Credentials::ApiKey { api_key, .. } => [Some(api_key), None],
        Credentials::AccessKeys(keys) => [Some(&keys.secret_access_key), keys.session_token.as_ref()],
        Credentials::ServiceAccount(account) => [Some(&account.private_key), account.access_token.as_ref()],
        Credentials::EntraApp(app) => [Some(&app.client_secret), app.access_token.as_ref()],
        Credentials::OAuth {
            access_token,
            refresh_token,
            ..
        } => [Some(access_token), refresh_token.as_ref()],
    };
    let own = [Some(&account.credentials), account.replaced.as_deref()];
    let own = own.into_iter().flatten().flat_map(of);
    let proxy = account.proxy.as_deref();
    let login = proxy.map(|proxy| [proxy.username.as_deref(), proxy.password.as_deref()]);
    let own = own.flatten().map(crate::model::secret::Secret::reveal);
    own.chain(login.into_iter().flatten().flatten())
        .filter(|secret| secret.len() >= SHORTEST)
}

fn add_forms(forms: &mut Vec<Vec<u8>>, secret: &str) {
    if secret.len() < SHORTEST {
        return;
    }
    forms.push(secret.as_bytes().to_vec());
    // Encoders differ in the punctuation that they leave as it is.
    for set in [COMPONENT, NON_ALPHANUMERIC] {
        forms.push(percent::encoded(secret, set).into_bytes());
        forms.push(percent_encoded_in_lower_case(secret, set).into_bytes());
    }
    let json = Value::from(secret).to_string();
    let json = json.trim_matches('"');
    // Without the last characters, which depend on the bytes that follow in the encoded text.
    let whole = secret.get(..secret.len() - secret.len() % 3).unwrap_or(secret);
    let (base64, url) = (STANDARD.encode(whole), URL_SAFE_NO_PAD.encode(whole));
    let hex = hex::encode(secret);
    for form in [json, &json.replace('/', "\\/"), &base64, &url, &hex] {
        forms.push(form.as_bytes().to_vec());
    }
}

fn percent_encoded_in_lower_case(secret: &str, set: &'static AsciiSet) -> String {
    let pieces = utf8_percent_encode(secret, set).map(|piece| match piece.strip_prefix('%') {
        Some(_) => piece.to_ascii_lowercase(),
        None => piece.to_owned(),
    });
    pieces.collect()
}

#[cfg(test)]
mod tests;
