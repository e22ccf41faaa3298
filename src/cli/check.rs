//! Checks: the settings before a start, the server after it.

use std::net::IpAddr;
use std::path::PathBuf;

use crs_edge::config::crs::variables::{self, Fate};
use crs_edge::config::{self, Config, StoreChoice, Vars};
use crs_edge::host::native::first_run::LayeredVars;
use serde_json::{Value, json};

use super::api::{Running, health as ask};
use super::failure::Failure;
use super::output::{Output, cell, record, table};

/// Reads the settings as a start would, and writes nothing.
pub(super) fn settings(environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let data_dir = PathBuf::from(config::data_dir(environment));
    let vars = LayeredVars::read(environment, &data_dir).map_err(Failure::Usage)?;
    vars.may_generate(&data_dir).map_err(Failure::Usage)?;
    let missing = vars.missing();
    // Missing secrets would be generated, so they are treated as set.
    let config = Config::read(&Generated {
        vars: &vars,
        missing: &missing,
    })
    .map_err(|problems| Failure::Usage(problems.to_string()))?;
    let store = match &config.store {
        StoreChoice::Embedded => "embedded".to_owned(),
        StoreChoice::Memory => "memory".to_owned(),
        StoreChoice::Redis(redis) => format!("redis {}", redis.shown),
        StoreChoice::Upstash(upstash) => format!("upstash {}", upstash.shown),
    };
    let of_crs = variables_of_crs(environment);
    let value = json!({
        "ok": true,
        "ofClaudeRelayService": of_crs,
        "listen": listen(&config),
        "dataDir": data_dir.display().to_string(),
        "store": store,
        "claudeApiUrl": config.claude.api_url,
        "timezoneOffsetMinutes": config.site.utc_offset_minutes,
        "generatedAtStart": missing,
    });
    output.result(&value, || {
        let rows = [
            ("listen", "listen"),
            ("data folder", "dataDir"),
            ("store", "store"),
            ("Claude", "claudeApiUrl"),
            ("minutes east of UTC", "timezoneOffsetMinutes"),
            ("generated at start", "generatedAtStart"),
        ];
        let rows: Vec<_> = rows
            .iter()
            .map(|(shown, field)| (*shown, cell(&value, field)))
            .collect();
        let good = format!("The settings are good.\n{}", record(&rows));
        if of_crs.is_empty() {
            return good;
        }
        let rows = of_crs
            .iter()
            .map(|(name, what)| vec![(*name).to_owned(), what.clone()]);
        format!(
            "{good}\n\nOnly claude-relay-service knows these:\n{}",
            table(&["VARIABLE", "HERE"], rows)
        )
    });
    Ok(())
}

/// Variables known only to a claude-relay-service, with what replaces them.
fn variables_of_crs(environment: &dyn Vars) -> Vec<(&'static str, String)> {
    let said = |name: &'static str| {
        let value = environment.get(name).filter(|value| !value.trim().is_empty())?;
        let what = match variables::fate(name, &value)? {
            Fate::Needless => "not needed".to_owned(),
            Fate::Moved(what) => format!("instead: {what}"),
            Fate::Lost(what) => format!("ignored: {what}"),
            Fate::Same | Fate::Differs(_) | Fate::Refused(_) => return None,
        };
        Some((name, what))
    };
    variables::only_of_crs()
        // Other programs use these, too.
        .filter(|name| !matches!(*name, "DEBUG" | "NODE_ENV" | "AWS_REGION" | "HTTPS_KEY"))
        .filter_map(said)
        .collect()
}

/// The settings with placeholders for secrets that a start would generate.
pub(super) struct Generated<'a> {
    pub(super) vars: &'a dyn Vars,
    pub(super) missing: &'a [&'static str],
}

impl Vars for Generated<'_> {
    fn get(&self, name: &str) -> Option<String> {
        if self.missing.contains(&name) {
            // Only its format matters.
            return Some("0123456789abcdef0123456789abcdef".to_owned());
        }
        self.vars.get(name)
    }
}

/// The local address of a relay with these settings.
pub(super) fn local_url(environment: &dyn Vars) -> Result<String, Failure> {
    let data_dir = PathBuf::from(config::data_dir(environment));
    let vars = LayeredVars::read(environment, &data_dir).map_err(Failure::Usage)?;
    let missing = vars.missing();
    let mut config = Config::read(&Generated {
        vars: &vars,
        missing: &missing,
    })
    .map_err(|problems| Failure::Usage(problems.to_string()))?;
    let everywhere = config
        .server
        .host
        .trim_matches(['[', ']'])
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_unspecified());
    if everywhere {
        "127.0.0.1".clone_into(&mut config.server.host);
    }
    Ok(format!("http://{}", listen(&config)))
}

fn listen(config: &Config) -> String {
    let host = &config.server.host;
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{}", config.server.port),
        _ => format!("{host}:{}", config.server.port),
    }
}

/// Asks the server on this machine, and fails if it does not serve. A degraded server serves, so that is not a
/// failure: Docker's health check runs this command, and restarting a container because its store accepts no
/// writes would lose the calls that wait for the store.
pub(super) async fn health(environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let data_dir = PathBuf::from(config::data_dir(environment));
    let url = match Running::read(&data_dir)? {
        Some(running) => running.url,
        None => return Err(nobody("no server runs on this data folder")),
    };
    let Some(health) = ask(&url).await? else {
        return Err(nobody(&format!("nothing listens at {url}")));
    };
    if !health.status.is_success() {
        let said = cell(&health.body, "status");
        return Err(Failure::Away(format!(
            "the server at {url} is not well: {}",
            if said.is_empty() {
                health.status.to_string()
            } else {
                said
            }
        )));
    }
    let mut value = health.body;
    if let Value::Object(fields) = &mut value {
        fields.insert("url".to_owned(), json!(url));
    }
    output.result(&value, || state(&value, &url));
    Ok(())
}

/// One line for people about an answer of `/health`; begins with `degraded:` if the server has a problem.
fn state(health: &Value, url: &str) -> String {
    let status = cell(health, "status");
    if status == "healthy" {
        return format!("The server at {url} is well.");
    }
    let part = |name| health.pointer(name).unwrap_or(&Value::Null);
    let (store, ledger) = (part("/components/store"), part("/components/ledger"));
    let kind = cell(store, "kind");
    let mut reasons = vec![match &*cell(store, "status") {
        "away" => format!("its {kind} store does not answer"),
        "refusing" => format!("its {kind} store takes no writes"),
        other => format!("its {kind} store is {other}"),
    }];
    let since = cell(store, "refusingSince");
    if !since.is_empty() {
        reasons.push(format!("nothing was written since {since}"));
    }
    let count = |field| {
        ledger
            .get(field)
            .and_then(Value::as_u64)
            .filter(|count| *count > 0)
    };
    if let Some(pending) = count("pending") {
        let capacity = cell(ledger, "capacity");
        reasons.push(format!("calls that wait to be recorded: {pending} of {capacity}"));
    }
    if let Some(lost) = count("lost") {
        reasons.push(format!("records of calls lost: {lost}"));
    }
    format!(
        "{status}: the server at {url} serves, but {}.",
        reasons.join("; ")
    )
}

fn nobody(what: &str) -> Failure {
    Failure::Away(format!("{what}: start it with `crs serve`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://127.0.0.1:3000";

    #[test]
    fn a_degraded_server_is_not_called_well() {
        let health = |status: &str, store: Value, ledger: Value| json!({ "status": status, "components": { "store": store, "ledger": ledger } });
        let full = health(
            "degraded",
            json!({ "status": "refusing", "kind": "embedded", "refusingSince": "2026-01-02T03:04:05.000Z" }),
            json!({ "pending": 3, "capacity": 100, "lost": 2 }),
        );
        assert_eq!(
            state(&full, URL),
            "degraded: the server at http://127.0.0.1:3000 serves, but its embedded store takes no writes; \
             nothing was written since 2026-01-02T03:04:05.000Z; \
             calls that wait to be recorded: 3 of 100; records of calls lost: 2."
        );
        let away = health(
            "degraded",
            json!({ "status": "away", "kind": "redis", "refusingSince": null }),
            json!({ "pending": 0, "capacity": 100, "lost": 0 }),
        );
        assert_eq!(
            state(&away, URL),
            "degraded: the server at http://127.0.0.1:3000 serves, but its redis store does not answer."
        );
        let well = health("healthy", json!({ "status": "up" }), json!({ "pending": 1 }));
        assert_eq!(state(&well, URL), "The server at http://127.0.0.1:3000 is well.");
    }
}
