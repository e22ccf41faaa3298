//! Decodes Upstash's answers: first the status, then the JSON.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::wire::Answer;
use super::{KIND, away, escape, failed};
use crate::port::store::StoreError;
use crate::store::redis::{Value, refusal};

/// Maximum length of their text in our messages, characters.
const SHOWN: usize = 200;

const STRANGER: &str = "it answered with something that is not Upstash's";

/// Why there are no values.
#[derive(Debug)]
pub(super) struct FailedRequest {
    pub(super) error: StoreError,
    /// The minimum pause before the next request.
    pub(super) rest: Option<Duration>,
}

impl From<StoreError> for FailedRequest {
    fn from(error: StoreError) -> Self {
        Self { error, rest: None }
    }
}

/// Decodes the answer to one command. `secret` is removed from error texts in case they repeat it.
pub(super) fn one(answer: Answer, secret: &str) -> Result<Value, FailedRequest> {
    // Only single commands report a failure by the status.
    if matches!(answer.status, 200 | 400) {
        let value = parsed::<Item>(&answer)?.value(secret).ok_or_else(stranger)?;
        return match value {
            Value::Error { code, message } if is_quota(&message) => Err(quota(&code, &message)),
            value => Ok(value),
        };
    }
    Err(status(&answer, secret))
}

/// Decodes the answers to `count` commands.
pub(super) fn many(answer: Answer, count: usize, secret: &str) -> Result<Vec<Value>, FailedRequest> {
    if answer.status != 200 {
        return Err(match one(answer, secret) {
            Err(refused) => refused,
            Ok(Value::Error { code, message }) => refusal(KIND, &code, &message).into(),
            Ok(_) => stranger(),
        });
    }
    let values: Option<Vec<Value>> = parsed::<Vec<Item>>(&answer)?
        .into_iter()
        .map(|item| item.value(secret))
        .collect();
    let values = values
        .filter(|values| values.len() == count)
        .ok_or_else(stranger)?;
    for value in &values {
        if let Value::Error { code, message } = value
            && is_quota(message)
        {
            return Err(quota(code, message));
        }
    }
    Ok(values)
}

fn stranger() -> FailedRequest {
    failed(STRANGER).into()
}

fn parsed<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<T, FailedRequest> {
    serde_json::from_slice(&answer.body).map_err(|_| {
        failed(&match answer.status {
            200 => STRANGER.to_owned(),
            status => format!("{STRANGER} (status {status})"),
        })
        .into()
    })
}

fn status(answer: &Answer, secret: &str) -> FailedRequest {
    let reported = parsed::<Item>(answer)
        .ok()
        .and_then(|item| item.error)
        .map(|text| format!(": {}", shown(&text, secret)))
        .unwrap_or_default();
    match answer.status {
        401 | 403 => failed(&format!(
            "it refuses the token (status {}): check UPSTASH_REDIS_REST_TOKEN",
            answer.status
        ))
        .into(),
        429 => FailedRequest {
            error: away(format!("it has had too many requests{reported}")),
            rest: Some(answer.retry_after.unwrap_or_default()),
        },
        500..=599 => away(format!("it answered with status {}{reported}", answer.status)).into(),
        status => failed(&format!("{STRANGER} (status {status})")).into(),
    }
}

/// A limit of the plan depends on time or money, not on the command.
fn is_quota(message: &str) -> bool {
    message.contains("max daily request limit exceeded") || message.contains("max requests limit exceeded")
}

fn quota(code: &str, message: &str) -> FailedRequest {
    FailedRequest {
        error: away(format!("{code} {message}")),
        rest: Some(Duration::ZERO),
    }
}

/// `{"result": ...}` or `{"error": "..."}`.
#[derive(Deserialize)]
struct Item {
    #[serde(default, deserialize_with = "some")]
    result: Option<ResultValue>,
    error: Option<String>,
}

/// `null` is a valid result.
fn some<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ResultValue>, D::Error> {
    ResultValue::deserialize(from).map(Some)
}

impl Item {
    fn value(self, secret: &str) -> Option<Value> {
        match (self.result, self.error) {
            (_, Some(text)) => Some(error(&shown(&text, secret))),
            (result, None) => result.map(|held| held.0),
        }
    }
}

/// The first word is the code if it looks like one.
fn error(text: &str) -> Value {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let is_code = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_uppercase());
    let (code, message) = if is_code { (first, rest) } else { ("ERR", text) };
    Value::Error {
        code: code.to_owned(),
        message: message.to_owned(),
    }
}

/// Their text in a form suitable for our messages.
fn shown(text: &str, secret: &str) -> String {
    let text = if secret.is_empty() {
        text.to_owned()
    } else {
        text.replace(secret, "...")
    };
    text.chars()
        .take(SHOWN)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A result: base64 texts, numbers, lists, null.
struct ResultValue(Value);

impl<'de> Deserialize<'de> for ResultValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Results).map(ResultValue)
    }
}

struct Results;

impl<'de> Visitor<'de> for Results {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, is: bool) -> Result<Value, E> {
        Ok(Value::Int(is.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "more than any count: it can only be a score"
    )]
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Double(number as f64), Value::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Double(number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        // Never encoded, and not valid base64 either.
        if text == "OK" {
            return Ok(Value::Text(Bytes::from_static(b"OK")));
        }
        STANDARD
            .decode(text)
            .map(|bytes| Value::Text(escape::unescaped(bytes)))
            .map_err(|_| E::custom("a text that is not base64"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::with_capacity(items.size_hint().unwrap_or_default());
        while let Some(ResultValue(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status,
            retry_after: None,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn good(body: &'static str) -> Value {
        one(answer(200, body), "secret").unwrap()
    }

    fn refused(status: u16, body: &'static str) -> StoreError {
        one(answer(status, body), "secret").unwrap_err().error
    }

    fn text(text: &'static str) -> Value {
        Value::Text(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn results_of_every_shape() {
        assert_eq!(good(r#"{"result":null}"#), Value::Nil);
        assert_eq!(
            good(r#"{"result":9007199254740993}"#),
            Value::Int(9_007_199_254_740_993)
        );
        assert_eq!(good(r#"{"result":-9223372036854775808}"#), Value::Int(i64::MIN));
        assert_eq!(good(r#"{"result":1e300}"#), Value::Double(1e300));
        assert_eq!(good(r#"{"result":"OK"}"#), text("OK"));
        assert_eq!(good(r#"{"result":"T0s="}"#), text("OK"));
        assert_eq!(good(r#"{"result":""}"#), text(""));
        assert_eq!(
            good(r#"{"result":["YQ==",[null,7],"OK"]}"#),
            Value::List(vec![
                text("a"),
                Value::List(vec![Value::Nil, Value::Int(7)]),
                text("OK")
            ])
        );
    }

    #[test]
    fn an_error_has_a_code() {
        let error = |body| match one(answer(400, body), "secret").unwrap() {
            Value::Error { code, message } => (code, message),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            error(r#"{"error":"WRONGTYPE Operation against a key"}"#),
            ("WRONGTYPE".into(), "Operation against a key".into())
        );
        assert_eq!(
            error(r#"{"error":"the secret\nis out"}"#),
            ("ERR".into(), "the ... is out".into())
        );
        let long = Box::leak(format!(r#"{{"error":"ERR {}"}}"#, "x".repeat(5_000)).into_boxed_str());
        assert!(error(long).1.len() < 300);
    }

    #[test]
    fn what_is_not_theirs_is_refused() {
        for body in [
            "",
            "<html>",
            "{}",
            "[]",
            r#"{"result":"no base64"}"#,
            r#"{"result":{"a":1}}"#,
            r#"{"result":[1"#,
            r#"[{"result":1}]"#,
        ] {
            let error = refused(200, body);
            assert!(
                matches!(&error, StoreError::Failed { reason, .. } if reason == STRANGER),
                "{body}: {error}"
            );
        }
        for body in [r#"{"result":1}"#, "[]", r#"[{"result":1},{"result":2}]"#] {
            assert!(matches!(
                many(answer(200, body), 1, "secret").unwrap_err().error,
                StoreError::Failed { .. }
            ));
        }
        for status in [204, 301, 404] {
            assert!(matches!(
                refused(status, r#"{"result":1}"#),
                StoreError::Failed { .. }
            ));
        }
    }

    #[test]
    fn a_status_says_whose_turn_it_is() {
        let token = refused(401, r#"{"error":"Unauthorized secret"}"#).to_string();
        assert!(
            token.contains("check UPSTASH_REDIS_REST_TOKEN") && !token.contains("secret"),
            "{token}"
        );
        assert!(matches!(refused(500, ""), StoreError::Away { .. }));
        assert!(matches!(
            refused(503, r#"{"error":"soon"}"#),
            StoreError::Away { .. }
        ));
        let mut busy = answer(429, "");
        busy.retry_after = Some(Duration::from_secs(3));
        let refused = one(busy, "secret").unwrap_err();
        assert!(matches!(refused.error, StoreError::Away { .. }));
        assert_eq!(refused.rest, Some(Duration::from_secs(3)));
        let quota = r#"{"error":"ERR max daily request limit exceeded. Limit: 10000, Usage: 10000"}"#;
        let refused = one(answer(400, quota), "secret").unwrap_err();
        assert!(matches!(refused.error, StoreError::Away { .. }) && refused.rest.is_some());
        let whole = many(
            answer(400, r#"{"error":"ERR max request size exceeded"}"#),
            1,
            "secret",
        );
        assert!(matches!(whole.unwrap_err().error, StoreError::Failed { .. }));
    }
}
