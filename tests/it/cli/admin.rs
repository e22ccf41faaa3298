//! `crs admin`: the administrator's login.

use serde_json::Value;

use super::super::support::setup;
use super::{crs, crs_with};

#[tokio::test]
async fn a_new_password_ends_all_sessions() {
    let mut relay = setup().start().await;
    let session = relay.login().await;
    session.get("/web/auth/user").await.good();
    let (username, old) = relay.first_login();

    let made = crs(&mut relay, &["admin", "reset-password", "--json"])
        .await
        .json();
    assert_eq!(made["username"], username);
    session.get("/web/auth/user").await.expect(401);
    assert!(
        !relay.data().join("init.json").exists(),
        "the file of the old login misleads"
    );
    let nobody = crs_support::client::Client::new(relay.url());
    let login =
        |username: &str, password: &str| serde_json::json!({"username": username, "password": password});
    nobody
        .post("/web/auth/login", &login(&username, &old))
        .await
        .expect(401);
    let password = made["password"].as_str().unwrap();
    nobody
        .post("/web/auth/login", &login(&username, password))
        .await
        .good();

    // Without a server, with a password and a name of one's own.
    relay.terminate().await;
    let args = [
        "admin",
        "reset-password",
        "--username",
        "root",
        "--password-stdin",
    ];
    let said = crs_with(&mut relay, &args, "correct horse battery\n")
        .await
        .done();
    assert!(said.contains("root") && !said.contains("horse"), "{said}");
    let said = crs_with(
        &mut relay,
        &["admin", "reset-password", "--password-stdin"],
        "short\n",
    )
    .await
    .failed(2);
    assert!(said.contains('8'), "{said}");
    let said = crs_with(
        &mut relay,
        &["admin", "reset-password", "--password-stdin"],
        "admin1234\n",
    )
    .await
    .failed(2);
    assert!(said.contains("easy to guess"), "{said}");
    relay.start_again().await;
    let nobody = crs_support::client::Client::new(relay.url());
    nobody
        .post("/web/auth/login", &login("root", "correct horse battery"))
        .await
        .good();
}

#[tokio::test]
async fn the_reset_is_for_the_local_command_line_only() {
    let relay = setup().start().await;
    let session = relay.login().await;
    let body = serde_json::json!({"password": "correct horse battery"});
    session.post("/web/auth/reset-password", &body).await.expect(403);
    let nobody = crs_support::client::Client::new(relay.url());
    nobody.post("/web/auth/reset-password", &body).await.expect(401);
    relay.login().await;
}

#[tokio::test]
async fn a_login_link_works_once_with_a_server_and_without() {
    let mut relay = setup().start().await;
    let nobody = crs_support::client::Client::new(relay.url());
    let use_it = async |made: &Value, nobody: &crs_support::client::Client| {
        let body = serde_json::json!({ "ticket": made["ticket"] });
        nobody.post("/web/auth/login-link", &body).await
    };
    let made = crs(&mut relay, &["admin", "login-link", "--json"]).await.json();
    let link = made["url"].as_str().unwrap();
    let ticket = made["ticket"].as_str().unwrap();
    assert_eq!(link, format!("{}/admin-next/login#ticket={ticket}", relay.url()));
    let session = use_it(&made, &nobody).await.good().json();
    nobody
        .clone()
        .with_bearer(session["token"].as_str().unwrap())
        .get("/admin/api-keys")
        .await
        .good();
    assert_eq!(
        use_it(&made, &nobody).await.expect(401).json()["error"],
        "ticket_used"
    );
    // As a browser sees the relay.
    let args = [
        "admin",
        "login-link",
        "--url",
        "https://relay.example.com/",
        "--json",
    ];
    let made = crs(&mut relay, &args).await.json();
    let link = made["url"].as_str().unwrap();
    assert!(
        link.starts_with("https://relay.example.com/admin-next/login#ticket="),
        "{link}"
    );
    use_it(&made, &nobody).await.good();

    // Nobody runs: it is made all the same, and is good when somebody does.
    relay.terminate().await;
    let made = crs(&mut relay, &["admin", "login-link", "--json"]).await.json();
    relay.start_again().await;
    let nobody = crs_support::client::Client::new(relay.url());
    use_it(&made, &nobody).await.good();
    assert_eq!(
        use_it(&made, &nobody).await.expect(401).json()["error"],
        "ticket_used"
    );
    // What is shown to a person has the way without a browser, too.
    let said = crs(&mut relay, &["admin", "login-link"]).await.done();
    assert!(
        said.contains("curl ") && said.contains("/web/auth/login-link"),
        "{said}"
    );
    crs(&mut relay, &["admin", "login-link", "--url", "nonsense"])
        .await
        .failed(2);
}
