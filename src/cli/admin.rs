//! The administrator's login, for the owner of the data folder.

use std::path::PathBuf;

use crs_edge::config::{self, Vars};
use crs_edge::host::native::clock::NativeClock;
use crs_edge::host::native::first_run;
use crs_edge::host::native::random::NativeRandom;
use crs_edge::model::secret::Secret;
use crs_edge::port::clock::Clock as _;
use crs_edge::secrets::{LoginTickets, TICKET_LIFETIME};

use super::failure::Failure;
use super::input::Fields;
use super::output::{Output, cell};
use super::{LoginLink, ResetPassword, api, check, input};

/// Sets a new password and ends all sessions. A generated password is shown once.
pub(super) async fn reset_password(
    args: ResetPassword,
    environment: &dyn Vars,
    output: &Output,
) -> Result<(), Failure> {
    let given = args.password_stdin.then(input::password).transpose()?;
    let password = given
        .clone()
        .unwrap_or_else(|| first_run::password(&NativeRandom));
    let body = Fields::new()
        .set("password", password.reveal())
        .maybe("username", args.username)
        .json();
    let answer = api::with(environment, async |api| {
        api.post("/web/auth/reset-password", &body).await
    })
    .await?;
    let removed = forget_first_login(environment, output);

    let username = cell(&answer, "username");
    let value = Fields::new()
        .set("username", username.clone())
        .maybe("password", given.is_none().then(|| password.reveal()))
        .json();
    output.result(&value, || {
        if given.is_none() {
            format!("username  {username}\npassword  {}", password.reveal())
        } else {
            format!("The password of {username} is changed.")
        }
    });
    output.note("All sessions are ended. The password is stored as a hash only and will not be shown again.");
    if removed {
        output.note("init.json held the old login and was removed.");
    }
    Ok(())
}

/// Makes a login ticket and shows where to use it.
///
/// If a server runs on this data folder, it makes the ticket, because it certainly knows its own secret.
/// Otherwise the ticket is made here with the secret of the environment or the data folder, without a server or
/// store.
pub(super) async fn login_link(
    args: LoginLink,
    environment: &dyn Vars,
    output: &Output,
) -> Result<(), Failure> {
    let given = args.url.as_deref().map(base).transpose()?;
    // A secret given together with an address belongs to the relay at that address.
    let elsewhere = given.is_some()
        && environment
            .get(config::JWT_SECRET)
            .is_some_and(|secret| !secret.trim().is_empty());
    let running = if elsewhere {
        None
    } else {
        api::running(environment).await?
    };
    let (ticket, base) = match running {
        Some(api) => {
            let made = api
                .post("/web/auth/login-tickets", &serde_json::json!({}))
                .await?;
            let base = given.or_else(|| api.url().map(str::to_owned));
            (cell(&made, "ticket"), base.unwrap_or_default())
        }
        None => {
            let data_dir = PathBuf::from(config::data_dir(environment));
            let vars = first_run::LayeredVars::read(environment, &data_dir).map_err(Failure::Usage)?;
            let secret = vars.get(config::JWT_SECRET).ok_or_else(|| {
                Failure::Usage(format!(
                    "JWT_SECRET is neither set nor kept in {}: set it to the relay's, or start the relay first",
                    data_dir.display()
                ))
            })?;
            let base = match given {
                Some(base) => base,
                None => check::local_url(environment)?,
            };
            let (ticket, _) = LoginTickets::new(&Secret::new(secret.trim()))
                .make(&NativeRandom, NativeClock::default().now())
                .map_err(|error| Failure::Failed(error.to_string()))?;
            (ticket, base)
        }
    };
    let link = format!("{base}/admin-next/login#ticket={ticket}");
    let body = Fields::new().set("ticket", ticket.clone()).json();
    let curl =
        format!("curl -sS '{base}/web/auth/login-link' -H 'content-type: application/json' -d '{body}'");
    let value = Fields::new()
        .set("url", link.clone())
        .set("ticket", ticket)
        .set("expiresInSeconds", TICKET_LIFETIME / 1000)
        .set("curl", curl.clone())
        .json();
    output.result(&value, || format!("{link}\n\nWithout a browser:\n{curl}"));
    output.note(&format!(
        "It logs in whoever uses it first, once, within {} minutes.",
        TICKET_LIFETIME / 60_000
    ));
    Ok(())
}

/// A relay's address without a trailing slash.
fn base(url: &str) -> Result<String, Failure> {
    config::base_url(url.trim())
        .filter(|base| !base.contains('\''))
        .ok_or_else(|| {
            Failure::Usage(
                "--url is not the http or https address of a relay, like https://relay.example.com"
                    .to_owned(),
            )
        })
}

/// Removes the file with the login of the first run, which is invalid now.
fn forget_first_login(environment: &dyn Vars, output: &Output) -> bool {
    let file = PathBuf::from(config::data_dir(environment)).join("init.json");
    match std::fs::remove_file(&file) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => {
            output.note(&format!(
                "{} holds the old login and cannot be removed: {error}",
                file.display()
            ));
            false
        }
    }
}
