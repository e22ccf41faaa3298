//! Amazon's request signatures, version 4: an HMAC over method, path, query, some headers and body.
//!
//! Source: AWS documentation, "Create a signed AWS API request" (Identity and Access Management). The tests use AWS'
//! published vectors, and the scripted provider checks every signature with AWS' own crate. The crate is not used
//! here because it would add 80 KiB (compressed) to the Worker.

use bytes::Bytes;
use chrono::DateTime;
use crs_durable::Millis;
use hmac::{Hmac, Mac as _};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use sha2::{Digest as _, Sha256};

use super::Unsendable;
use super::outgoing::secret;
use crate::model::account::amazon::Bedrock;
use crate::model::account::live::AccessKeys;
use crate::model::percent::{self, COMPONENT};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// The scope of a signature.
struct Scope<'a> {
    /// `20150830T123600Z`
    at: String,
    region: &'a str,
    service: &'a str,
}

/// Signs the request, which must not change afterwards. Amazon accepts the signature for five minutes.
pub(super) fn sign(
    request: &mut Request<Bytes>,
    keys: &AccessKeys,
    bedrock: &Bedrock,
    now: Millis,
) -> Result<(), Unsendable> {
    let scope = Scope {
        at: stamp(now)?,
        region: &bedrock.region,
        service: bedrock.service(),
    };
    let at = HeaderValue::from_str(&scope.at).map_err(|_| invalid_time())?;
    request.headers_mut().insert(X_AMZ_DATE, at);
    if let Some(token) = &keys.session_token {
        let token = secret(token.reveal())?;
        request.headers_mut().insert(X_AMZ_SECURITY_TOKEN, token);
    }
    let authorization = authorization(request, keys, &scope)?;
    request
        .headers_mut()
        .insert(header::AUTHORIZATION, secret(&authorization)?);
    Ok(())
}

fn stamp(now: Millis) -> Result<String, Unsendable> {
    let moment = i64::try_from(now).ok().and_then(DateTime::from_timestamp_millis);
    let moment = moment.ok_or_else(invalid_time)?;
    Ok(moment.format("%Y%m%dT%H%M%SZ").to_string())
}

fn invalid_time() -> Unsendable {
    Unsendable::Account("the relay's clock shows an invalid time, so the request cannot be signed".to_owned())
}

fn authorization(
    request: &Request<Bytes>,
    keys: &AccessKeys,
    scope: &Scope<'_>,
) -> Result<String, Unsendable> {
    let headers = signed_headers(request.uri(), request.headers());
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let mut lines = String::new();
    for (name, value) in &headers {
        lines.extend([name, ":", value, "\n"]);
    }
    let canonical = [
        request.method().as_str(),
        &path(request.uri()),
        &query(request.uri()),
        &lines,
        &names,
        &hex::encode(Sha256::digest(request.body())),
    ]
    .join("\n");
    let day = scope.at.split('T').next().unwrap_or_default();
    let range = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = [
        ALGORITHM,
        &scope.at,
        &range,
        &hex::encode(Sha256::digest(canonical)),
    ]
    .join("\n");

    let mut key = format!("AWS4{}", keys.secret_access_key.reveal()).into_bytes();
    for part in [day, scope.region, scope.service, "aws4_request"] {
        key = mac(&key, part)?;
    }
    let signature = hex::encode(mac(&key, &text)?);
    let id = &keys.access_key_id;
    Ok(format!(
        "{ALGORITHM} Credential={id}/{range}, SignedHeaders={names}, Signature={signature}"
    ))
}

fn mac(key: &[u8], text: &str) -> Result<Vec<u8>, Unsendable> {
    let mac = Hmac::<Sha256>::new_from_slice(key);
    let mut mac =
        mac.map_err(|_| Unsendable::Account("the account's secret access key cannot sign".to_owned()))?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

/// The signed headers, sorted by name: those required by Amazon, but none that a proxy may change.
fn signed_headers(uri: &Uri, headers: &HeaderMap) -> Vec<(String, String)> {
    let mut signed = vec![("host".to_owned(), host(uri))];
    for (name, value) in headers {
        if *name == header::CONTENT_TYPE || name.as_str().starts_with("x-amz-") {
            let value = String::from_utf8_lossy(value.as_bytes());
            let value: Vec<&str> = value.split_ascii_whitespace().collect();
            signed.push((name.as_str().to_owned(), value.join(" ")));
        }
    }
    signed.sort();
    signed
}

/// The `host` header as HTTP clients send it: without the default port of the scheme.
fn host(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    match uri.port_u16().filter(|port| *port != default) {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// The path as sent, encoded once more; every service except S3 requires this.
fn path(uri: &Uri) -> String {
    let segments: Vec<String> = uri
        .path()
        .split('/')
        .map(|part| percent::encoded(part, COMPONENT))
        .collect();
    segments.join("/")
}

fn query(uri: &Uri) -> String {
    let plain = |text: &str| {
        let text = percent::decoded(text).unwrap_or_else(|| text.to_owned());
        percent::encoded(&text, COMPONENT)
    };
    let pairs = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::account::amazon::Endpoint;
    use crate::model::secret::Secret;

    /// 2015-08-30T12:36:00Z, the time of AWS' vectors.
    const AT: Millis = 1_440_938_160_000;

    fn keys(token: Option<&str>) -> AccessKeys {
        AccessKeys {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: token.map(Secret::new),
            region: "us-east-1".to_owned(),
            base_url: None,
        }
    }

    fn request(method: &str, target: &str) -> Request<Bytes> {
        let uri = format!("https://example.amazonaws.com{target}");
        Request::builder()
            .method(method)
            .uri(uri)
            .body(Bytes::new())
            .unwrap()
    }

    /// Signs a request that already has the vector's headers.
    fn signature(request: &Request<Bytes>, keys: &AccessKeys) -> String {
        let scope = Scope {
            at: stamp(AT).unwrap(),
            region: "us-east-1",
            service: "service",
        };
        let text = authorization(request, keys, &scope).unwrap();
        text.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn signatures_match_the_published_vectors() {
        for (name, method, target, expected) in [
            (
                "get-vanilla",
                "GET",
                "/",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "post-vanilla",
                "POST",
                "/",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "get-vanilla-query-order-encoded",
                "GET",
                "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
                "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
            ),
        ] {
            let mut request = request(method, target);
            let at = HeaderValue::from_static("20150830T123600Z");
            request.headers_mut().insert(X_AMZ_DATE, at);
            assert_eq!(signature(&request, &keys(None)), expected, "{name}");
        }
    }

    #[test]
    fn a_session_token_is_sent_and_signed() {
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let keys = keys(Some(token));
        let bedrock = Bedrock {
            endpoint: Endpoint::Runtime,
            region: "us-east-1".to_owned(),
        };
        let mut request = request("POST", "/");
        sign(&mut request, &keys, &bedrock, AT).unwrap();
        assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
        assert_eq!(request.headers()["x-amz-security-token"], token);
        let shown = request.headers()["authorization"].to_str().unwrap();
        let begin = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, \
                     SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=";
        assert!(shown.starts_with(begin), "{shown}");
        // "post-sts-header-before"
        assert_eq!(
            signature(&request, &keys),
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
        );
    }

    #[test]
    fn the_signed_parts_have_a_canonical_form() {
        let uri: Uri = "https://Host.example:8443/test/@connections/JBDvjfGEIAMCERw%3D?b&a=%7e+"
            .parse()
            .unwrap();
        assert_eq!(host(&uri), "host.example:8443");
        // "double-encode-path"
        assert_eq!(path(&uri), "/test/%40connections/JBDvjfGEIAMCERw%253D");
        assert_eq!(query(&uri), "a=~%2B&b=");
        assert_eq!(host(&"http://127.0.0.1:80/".parse().unwrap()), "127.0.0.1");
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(" application/json;   charset=utf-8"),
        );
        headers.insert(header::USER_AGENT, HeaderValue::from_static("x"));
        assert_eq!(
            signed_headers(&uri, &headers),
            [
                (
                    "content-type".to_owned(),
                    "application/json; charset=utf-8".to_owned()
                ),
                ("host".to_owned(), "host.example:8443".to_owned())
            ]
        );
    }
}
