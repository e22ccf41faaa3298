use super::diff::{Kind, compare};
use super::*;
use crate::port::clock::movable::Movable;
use crate::port::store::{Applied, Guard};
use crate::secrets::tests::Counting;
use crate::store::fake::FakeStore;

const NOW: Millis = 1_764_000_000_000;

fn log() -> (Arc<FakeStore>, AuditLog) {
    let store = Arc::new(FakeStore::default());
    let log = AuditLog::new(
        store.clone(),
        Arc::new(Movable::at(NOW)),
        Arc::new(Counting::new()),
        365,
    );
    (store, log)
}

fn set(text: &'static str) -> Command {
    Command::HSet {
        key: keys::API_KEYS.to_owned(),
        entries: vec![("k1".to_owned(), text.into())],
    }
}

fn guard(is: Option<&'static str>) -> Guard {
    Guard::Field {
        key: keys::API_KEYS.to_owned(),
        field: "k1".to_owned(),
        is: is.map(Into::into),
    }
}

async fn all(log: &AuditLog) -> Vec<Entry> {
    log.read(&AuditFilter::default(), None, 200)
        .await
        .unwrap()
        .entries
}

#[tokio::test]
async fn an_entry_is_written_with_the_change_or_neither_is() {
    let (_, log) = log();
    let store = AuditingStore::new(log.clone());
    let (one, two) = (
        r#"{"name":"bob","hash":"aa","dailyCostLimit":10000000}"#,
        r#"{"name":"bob","hash":"bb","dailyCostLimit":5000000}"#,
    );
    let made = store.atomically(vec![guard(None)], vec![set(one)]).await.unwrap();
    assert_eq!(made, Applied::Yes);
    assert_eq!(
        store.atomically(vec![guard(None)], vec![set(two)]).await.unwrap(),
        Applied::No { guard: 0 }
    );
    assert_eq!(all(&log).await.len(), 1);
    scope(async {
        act_as(Actor {
            actor: "root".to_owned(),
            ..Actor::system()
        });
        store
            .atomically(vec![guard(Some(one))], vec![set(two)])
            .await
            .unwrap();
    })
    .await;
    let entries = all(&log).await;
    let update = entries.iter().find(|entry| entry.by.actor == "root").unwrap();
    assert_eq!(
        (update.action.as_str(), update.subject.as_str()),
        ("key.rotate", "key:k1")
    );
    let limit = update
        .changes
        .iter()
        .find(|change| change.field == "dailyCostLimit")
        .unwrap();
    assert_eq!((&limit.from, &limit.to), (&10.0.into(), &5.0.into()));
    let hash = update
        .changes
        .iter()
        .find(|change| change.field == "hash")
        .unwrap();
    assert!(hash.secret && hash.from.is_null() && hash.to.is_null());
}

#[tokio::test]
async fn no_write_of_a_record_goes_by_the_log() {
    let (_, log) = log();
    let store = AuditingStore::new(log.clone());
    assert!(store.run(vec![set("{}")]).await.is_err());
    assert!(store.atomically(Vec::new(), vec![set("{}")]).await.is_err());
    for key in [keys::ADMIN, keys::PRICES, keys::ROUTES, keys::OEM_SETTINGS] {
        assert!(
            store
                .run(vec![Command::Del { key: key.to_owned() }])
                .await
                .is_err()
        );
    }
    assert!(all(&log).await.is_empty());
}

#[test]
fn values_of_fields_that_are_not_listed_are_never_told() {
    let text = br#"{"name":"a","credentials":{"accessToken":"top-secret"},"proxy":"top-secret","laterField":"top-secret"}"#;
    for kind in [Kind::Key, Kind::Account, Kind::Group, Kind::Site, Kind::Admin] {
        for (before, after) in [(None, Some(&text[..])), (Some(&text[..]), None)] {
            let told = format!("{:?}", compare(kind, before, after));
            assert!(
                !told.contains("top-secret") && told.contains("laterField"),
                "{told}"
            );
        }
    }
}

#[tokio::test]
async fn refused_logins_of_a_network_share_an_entry() {
    let (_, log) = log();
    for host in 0..20 {
        log.login_refused(Some(std::net::IpAddr::from([203, 0, 113, host])))
            .await;
    }
    log.login_refused(Some(std::net::IpAddr::from([198, 51, 100, 1])))
        .await;
    let mut counts: Vec<_> = all(&log).await.iter().map(|entry| entry.count).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 16]);
}

#[tokio::test]
async fn pages_join_without_a_gap() {
    let (_, log) = log();
    for number in 0..25 {
        log.event("account.reset", format!("account:{number}"), "")
            .await
            .unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut after = None;
    loop {
        let page = log.read(&AuditFilter::default(), after, 10).await.unwrap();
        seen.extend(page.entries.into_iter().map(|entry| entry.subject));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 25);
}
