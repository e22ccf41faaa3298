//! The admin API: over a socket to the server running on this data folder, or in process on the same router if
//! none runs.
//!
//! While it listens, the server keeps `server.json` in the data folder; whoever can read that file has full
//! access. A file left behind by a crash is recognised because nothing answers there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use crs_edge::config::{self, StoreChoice, Vars};
use crs_edge::dialect::wire::events::Lines;
use crs_edge::host::native::{Native, Setup, StartError, first_run};
use crs_edge::http::extract::FromThisMachine;
use crs_edge::model::percent::{self, COMPONENT};
use crs_edge::model::secret::Secret;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt as _;

use super::failure::Failure;

/// Time limit for connecting to a server on this machine.
const CONNECT: Duration = Duration::from_secs(2);

/// Time limit for a server's health check.
const HELLO: Duration = Duration::from_secs(5);

/// Time limit for a request that calls no provider.
const ANSWER: Duration = Duration::from_mins(1);

/// Maximum size of an answer; the longest page of a list is far smaller.
const LARGEST: usize = 64 << 20;

pub(super) struct Api {
    way: Way,
    token: Secret,
}

enum Way {
    Server {
        client: Client<HttpConnector, Body>,
        url: String,
    },
    Here {
        native: Box<Native>,
        router: Router,
    },
}

/// The content of `server.json`.
#[derive(Deserialize)]
pub(super) struct Running {
    pub(super) url: String,
    token: String,
    /// The machine or container that it runs on.
    #[serde(default)]
    host: Option<String>,
}

/// Maximum number of processes on one data folder.
const MOST: usize = 64;

impl Running {
    /// Reads the file of a server on this machine, which may no longer run. Skips the files of other containers in a
    /// shared data folder.
    pub(super) fn read(data_dir: &Path) -> Result<Option<Self>, Failure> {
        let here = first_run::host_name();
        for number in 1..=MOST {
            let Some(found) = Self::read_file(&data_dir.join(first_run::server_file(number)))? else {
                continue;
            };
            if found.host.is_none() || here.is_none() || found.host == here {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn read_file(file: &Path) -> Result<Option<Self>, Failure> {
        match std::fs::read(file) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| Failure::Away(format!("{} cannot be understood: {error}", file.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::Away(format!(
                "{} cannot be read ({error}): run this as the user that runs the server",
                file.display()
            ))),
        }
    }
}

/// An answer of `/health`.
pub(super) struct Health {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Api {
    /// Finds the running server, or opens the store.
    async fn find(environment: &dyn Vars) -> Result<Self, Failure> {
        if let Some(api) = running(environment).await? {
            return Ok(api);
        }
        let setup = Setup::prepare(environment).map_err(unready)?;
        if matches!(setup.config.store, StoreChoice::Memory) {
            return Err(Failure::Away(
                "with STORE=memory the data is in the server, and none runs on this data folder: start it with `crs serve`"
                    .to_owned(),
            ));
        }
        let native = Native::open(&setup).await.map_err(unready)?;
        let token = native.app.local_token.clone().ok_or_else(|| {
            Failure::Failed("the store is open, but this process has no rights on it".to_owned())
        })?;
        let router = crs_edge::http::router(native.app.clone());
        Ok(Self {
            way: Way::Here {
                native: Box::new(native),
                router,
            },
            token,
        })
    }

    /// The address of the running server; `None` if there is none.
    pub(super) fn url(&self) -> Option<&str> {
        match &self.way {
            Way::Server { url, .. } => Some(url),
            Way::Here { .. } => None,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// All records of a list, over all its pages.
    pub(super) async fn list(&self, path: &str, query: &[(&str, String)]) -> Result<Vec<Value>, Failure> {
        let fixed = query.iter().fold(String::new(), |fixed, (name, value)| {
            fixed + "&" + name + "=" + &percent::encoded(value, COMPONENT)
        });
        let mut all = Vec::new();
        for page in 1_u32.. {
            let mut answer = self
                .get(&format!("{path}?pageSize=100&page={page}{fixed}"))
                .await?;
            let pages = answer.get("totalPages").and_then(Value::as_u64).unwrap_or(0);
            match answer.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => all.extend(items),
                _ => return Err(Failure::Failed("the server answered no list".to_owned())),
            }
            if u64::from(page) >= pages {
                break;
            }
        }
        Ok(all)
    }

    /// The record with this id, or the only one with this name.
    pub(super) async fn named(&self, path: &str, what: &str, which: &str) -> Result<Value, Failure> {
        let looks_like_id = which.len() == 36 && which.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        if looks_like_id {
            match self.get(&format!("{path}/{which}")).await {
                Err(Failure::Missing(_)) => {}
                done => return done,
            }
        }
        let found = self.list(path, &[("search", which.to_owned())]).await?;
        let mut found: Vec<Value> = found
            .into_iter()
            .filter(|record| record.get("name").and_then(Value::as_str) == Some(which))
            .collect();
        match (found.pop(), found.len()) {
            (Some(record), 0) => Ok(record),
            (None, _) => Err(Failure::Missing(format!(
                "there is no {what} with the id or name {which}"
            ))),
            (Some(_), others) => Err(Failure::Usage(format!(
                "{} {what}s have the name {which}: say which one by its id (crs {what} list)",
                others + 1
            ))),
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let work = async {
            let answer = self.send(method, path, body).await?;
            let (head, body) = answer.into_parts();
            let bytes = collect(body).await?;
            if !head.status.is_success() {
                return Err(refusal(head.status, &bytes));
            }
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&bytes)
                .map_err(|error| Failure::Failed(format!("the server answered no JSON: {error}")))
        };
        tokio::time::timeout(ANSWER, work)
            .await
            .unwrap_or_else(|_| Err(Failure::Away("the server did not answer in time".to_owned())))
    }

    /// Sends a request whose answer is an event stream; calls `event` with the data of each event.
    pub(super) async fn stream(
        &self,
        path: &str,
        body: &Value,
        mut event: impl FnMut(Value),
    ) -> Result<(), Failure> {
        let answer = self.send(Method::POST, path, Some(body)).await?;
        let (head, mut body) = answer.into_parts();
        if !head.status.is_success() {
            return Err(refusal(head.status, &collect(body).await?));
        }
        let mut lines = Lines::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::Failed(format!("the answer broke off: {error}")))?;
            if let Some(data) = frame.data_ref() {
                lines
                    .feed(data, |data| json(data).into_iter().for_each(&mut event))
                    .map_err(|_| Failure::Failed("the answer has an event that is too long".to_owned()))?;
            }
        }
        lines.finish(|data| json(data).into_iter().for_each(&mut event));
        Ok(())
    }

    /// Sends a request whose answer is a file; calls `write` with each piece.
    pub(super) async fn download(
        &self,
        path: &str,
        body: &Value,
        mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let answer = self.send(Method::POST, path, Some(body)).await?;
        let (head, mut body) = answer.into_parts();
        if !head.status.is_success() {
            return Err(refusal(head.status, &collect(body).await?));
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Failure::Failed(format!(
                    "the answer broke off, the server's log says why: {error}"
                ))
            })?;
            if let Some(data) = frame.data_ref() {
                write(data)?;
            }
        }
        Ok(())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Body>, Failure> {
        let base = match &self.way {
            Way::Server { url, .. } => url.as_str(),
            Way::Here { .. } => "",
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{base}{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.reveal()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.map_or_else(Body::empty, |value| Body::from(value.to_string())))
            .map_err(|error| Failure::Failed(format!("this cannot be asked: {error}")))?;
        match &self.way {
            Way::Server { client, .. } => client
                .request(request)
                .await
                .map(|answer| answer.map(Body::new))
                .map_err(|error| Failure::Away(format!("the server cannot be asked: {error}"))),
            Way::Here { router, .. } => {
                let mut request = request;
                request.extensions_mut().insert(FromThisMachine::in_process());
                let Ok(answer) = router.clone().oneshot(request).await;
                Ok(answer)
            }
        }
    }

    async fn close(self) {
        if let Way::Here { native, router } = self.way {
            drop(router);
            native.close().await;
        }
    }
}

/// The server that runs on this data folder, if one does.
pub(super) async fn running(environment: &dyn Vars) -> Result<Option<Api>, Failure> {
    let data_dir = PathBuf::from(config::data_dir(environment));
    let Some(running) = Running::read(&data_dir)? else {
        return Ok(None);
    };
    if !is_ours(&running).await? {
        return Ok(None);
    }
    tracing::debug!(url = running.url, "a server runs");
    Ok(Some(Api {
        way: Way::Server {
            client: client(),
            url: running.url,
        },
        token: Secret::new(running.token),
    }))
}

/// Runs `work` with the admin API, and closes a store opened for it, whatever the result.
pub(super) async fn with<T>(
    environment: &dyn Vars,
    work: impl AsyncFnOnce(&Api) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let api = Api::find(environment).await?;
    let done = work(&api).await;
    api.close().await;
    done
}

/// Whether the listening server is the one of this data folder. After a crash another program may have its port:
/// it does not know the token, and must receive nothing confidential. The token itself died with its server.
pub(super) async fn is_ours(running: &Running) -> Result<bool, Failure> {
    let Some(said) = ask(&running.url, "/web/auth/user", Some(&running.token)).await? else {
        return Ok(false);
    };
    let local = said.body.pointer("/user/username").and_then(Value::as_str) == Some("local");
    Ok(said.status == StatusCode::OK && local)
}

/// The health report of the server at `url`; `None` if nothing listens there.
pub(super) async fn health(url: &str) -> Result<Option<Health>, Failure> {
    ask(url, "/health", None).await
}

async fn ask(url: &str, path: &str, token: Option<&str>) -> Result<Option<Health>, Failure> {
    let asked = async {
        let mut request = Request::get(format!("{url}{path}"));
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Body::empty())
            .map_err(|error| Failure::Away(format!("{url} is not an address: {error}")))?;
        let answer = match client().request(request).await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Ok(None),
            Err(error) => return Err(Failure::Away(format!("{url} does not answer: {error}"))),
        };
        let status = answer.status();
        let body = collect(Body::new(answer.into_body())).await?;
        Ok(Some(Health {
            status,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }))
    };
    tokio::time::timeout(HELLO, asked).await.unwrap_or_else(|_| {
        Err(Failure::Away(format!(
            "{url} does not answer within {} s",
            HELLO.as_secs()
        )))
    })
}

fn client() -> Client<HttpConnector, Body> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    Client::builder(TokioExecutor::new()).build(connector)
}

async fn collect(body: Body) -> Result<Bytes, Failure> {
    let read = Limited::new(body, LARGEST).collect().await;
    read.map(http_body_util::Collected::to_bytes)
        .map_err(|error| Failure::Failed(format!("the answer broke off: {error}")))
}

pub(super) fn unready(error: StartError) -> Failure {
    match error {
        StartError::Settings(problems) => Failure::Usage(problems.to_string()),
        StartError::Other(text) | StartError::RecordsUnconfirmed(text) => Failure::Away(text),
    }
}

/// Converts an error body of the admin API into a message.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let message = body.get("message").and_then(Value::as_str);
    let text = message.map_or_else(|| format!("the server answered {status}"), str::to_owned);
    match status {
        StatusCode::NOT_FOUND => Failure::Missing(text),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Failure::Usage(text),
        StatusCode::SERVICE_UNAVAILABLE => Failure::Away(text),
        _ => Failure::Failed(text),
    }
}

/// The JSON of an event's data, if it is JSON.
fn json(data: &[u8]) -> Option<Value> {
    serde_json::from_slice(data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_asked_for_as_they_are() {
        assert_eq!(percent::encoded("Ä b&c=1#", COMPONENT), "%C3%84%20b%26c%3D1%23");
    }

    #[test]
    fn a_refusal_keeps_the_message_and_gets_its_code() {
        let body = br#"{"error":"invalid_field","message":"`name` is required","field":"name"}"#;
        let failure = refusal(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!((failure.code(), failure.text()), (2, "`name` is required"));
        assert_eq!(refusal(StatusCode::NOT_FOUND, b"").code(), 3);
        assert_eq!(refusal(StatusCode::SERVICE_UNAVAILABLE, b"").code(), 4);
        let odd = refusal(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(
            (odd.code(), odd.text()),
            (1, "the server answered 502 Bad Gateway")
        );
    }

    #[test]
    fn the_file_of_a_server_is_read_or_said_to_be_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Running::read(folder.path()).unwrap().is_none());
        let file = folder.path().join("server.json");
        std::fs::write(&file, r#"{"pid":1,"url":"http://127.0.0.1:9","token":"t"}"#).unwrap();
        assert_eq!(
            Running::read(folder.path()).unwrap().unwrap().url,
            "http://127.0.0.1:9"
        );
        // Of another container on the same folder.
        std::fs::write(
            &file,
            r#"{"url":"http://127.0.0.1:9","token":"t","host":"another one"}"#,
        )
        .unwrap();
        assert!(Running::read(folder.path()).unwrap().is_none());
        std::fs::write(&file, "{").unwrap();
        assert_eq!(Running::read(folder.path()).err().unwrap().code(), 4);
    }
}
