use std::time::Duration;

use super::*;
use crate::secrets::tests::{Counting, keyring};
use crate::secrets::verify_password;
use crate::store::fake::FakeStore;

fn admins() -> (Arc<FakeStore>, Admins) {
    let store = Arc::new(FakeStore::default());
    (
        store.clone(),
        Admins::new(store, Arc::new(keyring()), Arc::new(Counting::new())),
    )
}

fn variables(username: Option<&str>, password: Option<&str>) -> config::Admin {
    config::Admin {
        username: username.map(str::to_owned),
        password: password.map(Secret::new),
        session: Duration::from_mins(1),
        session_max: Duration::from_mins(1),
    }
}

fn generated() -> Login {
    Login {
        username: "cr_admin_1".to_owned(),
        password: Secret::new("made-by-the-host"),
    }
}

async fn opens(admins: &Admins, username: &str, password: &str) -> bool {
    let admin = admins.get().await.unwrap().unwrap();
    admin.username == username && verify_password(&admin.password, &Secret::new(password)).unwrap()
}

#[tokio::test]
async fn the_first_start_takes_the_variables() {
    let (store, admins) = admins();
    let set = variables(Some("root"), Some("a good password"));
    assert_eq!(
        admins.ensure(&set, Some(&generated()), 1).await.unwrap(),
        LoginChange::Created
    );
    assert!(opens(&admins, "root", "a good password").await);
    assert!(!store.ever_done().contains("a good password"));
    assert_eq!(
        admins.ensure(&set, None, 2).await.unwrap(),
        LoginChange::Unchanged
    );
    assert_eq!(admins.get().await.unwrap().unwrap().epoch, 1);
}

#[tokio::test]
async fn the_first_start_without_variables_takes_the_generated_login() {
    let (_, admins) = admins();
    let none = variables(None, None);
    assert!(matches!(
        admins.ensure(&none, None, 1).await,
        Err(AdminError::NoLogin)
    ));
    assert_eq!(
        admins.ensure(&none, Some(&generated()), 1).await.unwrap(),
        LoginChange::Created
    );
    assert!(opens(&admins, "cr_admin_1", "made-by-the-host").await);
    // A generated login is for the first start only.
    let other = Login {
        username: "x".to_owned(),
        password: Secret::new("yyyyyyyy"),
    };
    assert_eq!(
        admins.ensure(&none, Some(&other), 2).await.unwrap(),
        LoginChange::Unchanged
    );
    assert!(opens(&admins, "cr_admin_1", "made-by-the-host").await);
}

#[tokio::test]
async fn variables_that_changed_are_adopted_and_end_all_sessions() {
    let (_, admins) = admins();
    admins
        .ensure(&variables(Some("root"), Some("first password")), None, 1)
        .await
        .unwrap();
    let changed = variables(Some("root"), Some("second password"));
    assert_eq!(
        admins.ensure(&changed, None, 2).await.unwrap(),
        LoginChange::Adopted
    );
    assert!(opens(&admins, "root", "second password").await);
    assert_eq!(admins.get().await.unwrap().unwrap().epoch, 2);
    assert_eq!(
        admins.ensure(&changed, None, 3).await.unwrap(),
        LoginChange::Unchanged
    );
    // Only one of the two.
    let renamed = variables(Some("boss"), None);
    assert_eq!(
        admins.ensure(&renamed, None, 4).await.unwrap(),
        LoginChange::Adopted
    );
    assert!(opens(&admins, "boss", "second password").await);
    // Variables removed: the login stays.
    assert_eq!(
        admins.ensure(&variables(None, None), None, 5).await.unwrap(),
        LoginChange::Unchanged
    );
}

#[tokio::test]
async fn a_password_set_by_hand_stays_while_the_variables_do() {
    let (_, admins) = admins();
    let set = variables(Some("root"), Some("from the variables"));
    admins.ensure(&set, None, 1).await.unwrap();
    let phc = hash_password(&Counting::new(), &Secret::new("by hand")).unwrap();
    let new = NewLogin {
        username: None,
        password: Some(phc),
    };
    assert_eq!(admins.replace(new, None, 2).await.unwrap().unwrap().epoch, 2);
    assert_eq!(
        admins.ensure(&set, None, 3).await.unwrap(),
        LoginChange::Unchanged
    );
    assert!(opens(&admins, "root", "by hand").await);
}

#[tokio::test]
async fn two_first_starts_at_once_make_one_login() {
    let (_, admins) = admins();
    let set = variables(Some("root"), Some("a good password"));
    let (a, b) = tokio::join!(admins.ensure(&set, None, 1), admins.ensure(&set, None, 1));
    let mut both = [a.unwrap(), b.unwrap()];
    both.sort_by_key(|ensured| *ensured == LoginChange::Unchanged);
    assert_eq!(both, [LoginChange::Created, LoginChange::Unchanged]);
    assert_eq!(admins.get().await.unwrap().unwrap().epoch, 1);
}

#[tokio::test]
async fn a_change_made_of_an_old_password_is_not_done() {
    let (_, admins) = admins();
    admins
        .ensure(&variables(Some("root"), Some("a good password")), None, 1)
        .await
        .unwrap();
    let old = admins.get().await.unwrap().unwrap().password;
    let new = |n: &str| NewLogin {
        username: None,
        password: Some(n.to_owned()),
    };
    assert!(admins.replace(new("one"), Some(&old), 2).await.unwrap().is_some());
    assert!(admins.replace(new("two"), Some(&old), 3).await.unwrap().is_none());
    assert_eq!(admins.get().await.unwrap().unwrap().password, "one");
}

#[tokio::test]
async fn a_session_can_be_ended_alone() {
    let (_, admins) = admins();
    admins
        .ensure(&variables(Some("root"), Some("a good password")), None, 1)
        .await
        .unwrap();
    admins.end_session("s1", 1000).await.unwrap();
    assert!(admins.with_session("s1").await.unwrap().1);
    let (admin, ended) = admins.with_session("s2").await.unwrap();
    assert_eq!((admin.unwrap().epoch, ended), (1, false));
}
