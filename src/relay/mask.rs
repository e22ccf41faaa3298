//! An account's own secrets, hidden in what its provider says.
//!
//! A provider may repeat what it was sent: in an error, in an error event, in a header. What it says is hidden
//! here before it is judged, stored, logged or passed on, so that nothing later has to think of it. A secret is
//! overwritten by as many asterisks: lengths and JSON stay what they were.

mod events;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderMap;
use memchr::memmem;
use serde_json::Value;

pub(super) use self::events::EventMask;
use crate::store::accounts::{Credentials, LiveAccount};

/// Shorter secrets are words that may be meant otherwise, and no secrets, bytes.
const SHORTEST: usize = 8;

/// What has to be hidden, in every form in which it may be written.
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
        // The longest first: one may be the beginning of another.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self(forms)
    }

    /// A whole body, or its beginning. The same bytes if there is nothing to hide.
    pub(crate) fn body(&self, body: Bytes) -> Bytes {
        let hidden = self.raw(body);
        self.escaped(&hidden).map_or(hidden, Bytes::from)
    }

    /// As [`Self::body`], and as long as it was.
    fn raw(&self, body: Bytes) -> Bytes {
        self.hidden(&body).map_or(body, Bytes::from)
    }

    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.hidden(text.as_bytes()) {
            // Forms are whole UTF-8, and so is what is left.
            Some(hidden) => Cow::Owned(String::from_utf8_lossy(&hidden).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// `None`: there is nothing to hide.
    fn hidden(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut hidden: Option<Vec<u8>> = None;
        for form in &self.0 {
            let found: Vec<usize> = memmem::find_iter(hidden.as_deref().unwrap_or(text), form).collect();
            for at in found {
                let hidden = hidden.get_or_insert_with(|| text.to_vec());
                if let Some(place) = hidden.get_mut(at..at + form.len()) {
                    place.fill(b'*');
                }
            }
            // A text that was cut may end within one.
            let end = hidden.as_deref().unwrap_or(text);
            let cut = (SHORTEST..form.len().min(end.len() + 1)).rev();
            let cut = cut.into_iter().find(|length| {
                let beginning = form.get(..*length);
                beginning.is_some_and(|beginning| end.ends_with(beginning))
            });
            if let Some(length) = cut {
                let hidden = hidden.get_or_insert_with(|| text.to_vec());
                let from = hidden.len() - length;
                if let Some(place) = hidden.get_mut(from..) {
                    place.fill(b'*');
                }
            }
        }
        hidden
    }

    /// JSON may write every letter as an escape: then its strings are looked at as they are read.
    fn escaped(&self, body: &[u8]) -> Option<Vec<u8>> {
        memchr::memchr(b'\\', body)?;
        let mut json: Value = serde_json::from_slice(body).ok()?;
        self.value(&mut json).then(|| json.to_string().into_bytes())
    }

    /// Says whether there was something to hide.
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

/// Takes away the headers that repeat a secret. In most answers no value is long enough to be looked at.
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

fn secrets(account: &LiveAccount) -> impl Iterator<Item = &str> {
    let own = match &account.credentials {
        Credentials::ApiKey { api_key, .. } => [Some(api_key), None],
        Credentials::OAuth {
            access_token,
            refresh_token,
            ..
        } => [Some(access_token), refresh_token.as_ref()],
    };
    let proxy = account.proxy.as_deref();
    let login = proxy.map(|proxy| [proxy.username.as_deref(), proxy.password.as_deref()]);
    let own = own.into_iter().flatten().map(crate::config::Secret::reveal);
    own.chain(login.into_iter().flatten().flatten())
        .filter(|secret| secret.len() >= SHORTEST)
}

fn add_forms(forms: &mut Vec<Vec<u8>>, secret: &str) {
    use std::fmt::Write as _;
    if secret.len() < SHORTEST {
        return;
    }
    forms.push(secret.as_bytes().to_vec());
    let (mut upper, mut lower) = (String::new(), String::new());
    for byte in secret.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            upper.push(char::from(byte));
            lower.push(char::from(byte));
        } else {
            let _ = write!(upper, "%{byte:02X}");
            let _ = write!(lower, "%{byte:02x}");
        }
    }
    let json = Value::from(secret).to_string();
    let json = json.trim_matches('"');
    for form in [upper.as_str(), &lower, json, &json.replace('/', "\\/")] {
        if form != secret {
            forms.push(form.as_bytes().to_vec());
        }
    }
}

#[cfg(test)]
mod tests;
