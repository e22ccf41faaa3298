//! Amazon Bedrock's gateway: checks signatures with AWS' own crate and refuses requests that the runtime refuses.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::json;

use super::FakeProvider;
use super::request::Request;
use super::script::Script;

/// The clock skew that Amazon accepts (AWS documentation, "Troubleshoot Signature Version 4 requests").
const SKEW: Duration = Duration::from_mins(5);

#[derive(Default)]
pub(super) struct AmazonState {
    /// Secret and session token by access key id.
    keys: HashMap<String, (String, Option<String>)>,
}

/// `AWS4-HMAC-SHA256 Credential=ID/DAY/REGION/SERVICE/aws4_request, SignedHeaders=a;b, Signature=HEX`
struct Authorization<'a> {
    id: &'a str,
    day: &'a str,
    region: &'a str,
    service: &'a str,
    headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn read(authorization: &'a str) -> Option<Self> {
        let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
        let (credential, rest) = rest.split_once(", SignedHeaders=")?;
        let (headers, signature) = rest.split_once(", Signature=")?;
        let parts: Vec<&str> = credential.split('/').collect();
        let [id, day, region, service, "aws4_request"] = parts[..] else {
            return None;
        };
        Some(Self {
            id,
            day,
            region,
            service,
            headers: headers.split(';').collect(),
            signature,
        })
    }
}

/// The access key id of a signed request.
pub(super) fn key_of(authorization: &str) -> Option<&str> {
    Authorization::read(authorization).map(|signed| signed.id)
}

impl FakeProvider {
    /// Accepts requests signed with these access keys of Amazon's, and refuses other signed requests.
    pub fn takes_access_keys(&self, id: &str, secret: &str, session_token: Option<&str>) {
        self.shared.state().amazon.add(id, secret, session_token);
    }
}

impl AmazonState {
    pub(super) fn add(&mut self, id: &str, secret: &str, token: Option<&str>) {
        let keys = (secret.to_owned(), token.map(str::to_owned));
        self.keys.insert(id.to_owned(), keys);
    }

    /// The refusal of a signed request, if Amazon would refuse it.
    pub(super) fn objection(&self, request: &Request) -> Option<Script> {
        let authorization = request.header("authorization")?;
        authorization.starts_with("AWS4-").then_some(())?;
        let refused = |message: &str| Some(Script::json(json!({ "message": message })).status(403));
        let Some(signed) = Authorization::read(authorization) else {
            return Some(Script::json(json!({ "message": "the header is not a signature" })).status(400));
        };
        let Some((secret, token)) = self.keys.get(signed.id) else {
            return refused("The security token included in the request is invalid.");
        };
        let at = moment(request.header("x-amz-date").unwrap_or_default());
        let now = SystemTime::now();
        let apart = at.map(|at| now.duration_since(at).or_else(|_| at.duration_since(now)));
        if !matches!(apart, Some(Ok(apart)) if apart <= SKEW) {
            return refused("Signature expired: the time of the request is not the time here.");
        }
        if request.header("x-amz-security-token") != token.as_deref() {
            return refused("The security token included in the request is invalid.");
        }
        let expected = at.and_then(|at| signature(request, &signed, secret, token.as_deref(), at));
        if expected.as_deref() != Some(signed.signature) {
            return refused(
                "The request signature we calculated does not match the signature you provided. Check your AWS \
                 Secret Access Key and signing method. Consult the service documentation for details.",
            );
        }
        if signed.service == "bedrock" {
            return runtime_refusal(request);
        }
        None
    }
}

/// The refusal of a request that the runtime refuses but Mantle serves; see `account::claude::bedrock` of the relay.
fn runtime_refusal(request: &Request) -> Option<Script> {
    if request.path().ends_with("/count_tokens") {
        return Some(Script::json(
            json!({ "Output": { "__type": "com.amazon.coral.service#UnknownOperationException" } }),
        ));
    }
    let body = request.try_json()?;
    let user = body["metadata"]["user_id"].as_str()?;
    let accepted =
        |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c);
    let why = "Request metadata contains a value that violates the regular expression";
    let error = Script::error_saying(400, "invalid_request_error", why);
    (user.len() > 256 || !user.chars().all(accepted)).then_some(error)
}

/// The signature of AWS' signer for the same request.
fn signature(
    request: &Request,
    signed: &Authorization<'_>,
    secret: &str,
    token: Option<&str>,
    at: SystemTime,
) -> Option<String> {
    // The day must be that of the moment.
    let date = request.header("x-amz-date")?;
    date.starts_with(signed.day).then_some(())?;
    // The signer adds these itself.
    let own = ["host", "x-amz-date", "x-amz-security-token"];
    let names = signed.headers.iter().filter(|name| !own.contains(name));
    let headers: Vec<(&str, &str)> = names
        .map(|name| Some((*name, request.header(name)?)))
        .collect::<Option<_>>()?;
    let url = format!("http://{}{}", request.header("host")?, request.target);
    let identity = Credentials::new(signed.id, secret, token.map(str::to_owned), None, "provider").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(signed.region)
        .name(signed.service)
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .ok()?;
    let body = SignableBody::Bytes(&request.body);
    let signable = SignableRequest::new(&request.method, url, headers.into_iter(), body).ok()?;
    let signed = sign(signable, &params.into()).ok()?;
    Some(signed.signature().to_owned())
}

/// `20150830T123600Z`
fn moment(text: &str) -> Option<SystemTime> {
    let digits = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (digits(0, 4)?, digits(4, 6)?, digits(6, 8)?);
    let (hour, minute, second) = (digits(9, 11)?, digits(11, 13)?, digits(13, 15)?);
    // Howard Hinnant's days_from_civil, for days after 1970.
    let year = year - u64::from(month <= 2);
    let of_era = year % 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = year / 400 * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let seconds = days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_amazon_writes_it() {
        let at = |text| moment(text).map(super::super::epoch);
        assert_eq!(at("20150830T123600Z"), Some(1_440_938_160));
        assert_eq!(at("19700101T000000Z"), Some(0));
        assert_eq!(at("20280229T235959Z"), Some(1_835_481_599));
        assert_eq!(at("soon"), None);
    }
}
