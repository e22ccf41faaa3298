//! The administrator's login, for who can read the data folder.

use std::path::PathBuf;

use crs_edge::config::{self, Vars};
use crs_edge::host::native::first_run;
use crs_edge::host::native::random::NativeRandom;

use super::failure::Failure;
use super::input::Fields;
use super::output::{Output, cell};
use super::{ResetPassword, api, input};

/// Sets a new password and ends all sessions. A password that is made up here is shown once.
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

/// The login of the first run is no login any more, so its file would only mislead.
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
