//! The operator's test of one account: the smallest real call, marked in the ledger.

use std::sync::Arc;

use bytes::Bytes;
use crs_durable::gate::KeyPolicy;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response};
use tracing::Instrument as _;

use super::flight::Flight;
use super::{attempts, refusal, span, stream};
use crate::account::Trial;
use crate::app::App;
use crate::dialect::body;
use crate::dialect::body::tools::HostedTools;
use crate::dialect::call::Call;
use crate::error::{Code, Failure};
use crate::model::name::ModelName;
use crate::plan::Plan;
use crate::port::gates::KeyHash;
use crate::port::random;
use crate::port::upstream::Body;

/// Key id and name of tests in the ledger.
pub const PROBE_KEY: &str = "account-test";

/// Sends a minimal call to `account`, whatever its state. Returns the provider's success. A refusal is a failure
/// with its status and the provider's words, since it goes to the operator and not to a client.
pub async fn probe(
    app: &App,
    plan: &'static Plan,
    account: &str,
    trial: Trial,
) -> Result<Response<Body>, Failure> {
    let call = call(app, account, trial)?;
    let span = span::of_call(call.id);
    probe_call(app, plan, call).instrument(span).await
}

async fn probe_call(app: &App, plan: &'static Plan, call: Call) -> Result<Response<Body>, Failure> {
    let mut flight = Flight::new(app, plan, call);
    let policy = KeyPolicy {
        id: PROBE_KEY.to_owned(),
        name: PROBE_KEY.to_owned(),
        active: true,
        ..KeyPolicy::default()
    };
    flight.admitted(Arc::new(policy), 0);
    match attempts(app, plan, &mut flight).await {
        Ok(answer) if answer.metered => Ok(stream::respond(answer, flight)),
        Ok(answer) => {
            let failure = refusal::as_failure(&answer);
            flight.answered(answer.status.as_u16(), None, false);
            flight.failed(&failure);
            Err(failure)
        }
        Err(failure) => {
            flight.failed(&failure);
            Err(failure)
        }
    }
}

fn call(app: &App, account: &str, trial: Trial) -> Result<Call, Failure> {
    let model = ModelName::parse(&trial.model)
        .map_err(|why| Failure::new(Code::InvalidBody, format!("The model's name {why}.")))?;
    let sent = Bytes::from(trial.body.to_string());
    let fields =
        body::scan(&sent).map_err(|_| Failure::new(Code::Internal, "The test call could not be made."))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("crs-edge/", env!("CARGO_PKG_VERSION"))),
    );
    let at = app.ports.clock.now();
    Ok(Call {
        id: random::call_id(at, &*app.ports.random),
        at,
        started: app.ports.clock.ticks(),
        // No client key: the gate is never asked, and ignores the report of an unknown call.
        key: KeyHash([0; 32]),
        endpoint: trial.endpoint,
        headers,
        query: None,
        fields,
        body: sent,
        packed: None,
        model,
        stream: trial.stream,
        session: None,
        refers_to: Vec::new(),
        stored: false,
        background: false,
        object: None,
        max_output: None,
        hosted: HostedTools::default(),
        only: Some(account.to_owned()),
    })
}
