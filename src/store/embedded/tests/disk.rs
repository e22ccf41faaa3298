//! The file: its lock, its permissions, damage, and disks that fail.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::*;

#[tokio::test]
async fn the_file_belongs_to_one_store() {
    let place = Place::new();
    let store = place.open();
    let second = place.try_open().map(drop).unwrap_err();
    assert!(matches!(second, OpenError::InUse));
    assert_eq!(
        second.to_string(),
        "the data file is in use by another crs process"
    );
    store.run(vec![set("k", "v")]).await.unwrap();
    drop(store);
    assert_eq!(place.open().run(vec![get("k")]).await.unwrap(), [some("v")]);
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new();
    drop(place.open());
    let mode = fs::metadata(place.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_no_data_file_is_told_from_one_that_cannot_be_reached() {
    let place = Place::new();
    fs::write(place.path(), "an operator's notes\n".repeat(1_000)).unwrap();
    assert!(matches!(
        place.try_open().map(drop),
        Err(OpenError::Unreadable { .. })
    ));
    assert!(
        fs::read_to_string(place.path())
            .unwrap()
            .starts_with("an operator's notes"),
        "left as it was"
    );

    let other = Place::new();
    let table: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("theirs");
    let database = Database::create(other.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = other.try_open().map(drop).unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");

    let newer = Place::new();
    drop(newer.open());
    let database = Database::create(newer.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(layout::ABOUT)
        .unwrap()
        .insert(layout::LAYOUT, b"2".as_slice())
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = newer.try_open().map(drop).unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");

    let nowhere = Embedded::open(
        &place.directory.path().join("none/crs.redb"),
        Arc::new(Movable::at(START)),
    );
    assert!(matches!(nowhere.map(drop), Err(OpenError::Io(_))));
    let directory = Embedded::open(place.directory.path(), Arc::new(Movable::at(START)));
    assert!(matches!(directory.map(drop), Err(OpenError::Io(_))));
}

/// A disk that counts and can be told to fail.
#[derive(Clone, Debug, Default)]
struct Switch {
    full: Arc<AtomicBool>,
    syncs: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Disk {
    file: FileBackend,
    switch: Switch,
}

impl Disk {
    fn check(&self) -> Result<(), std::io::Error> {
        if self.switch.full.load(Ordering::SeqCst) {
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        } else {
            Ok(())
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.check()?;
        self.switch.syncs.fetch_add(1, Ordering::SeqCst);
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.check()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> Result<(), std::io::Error> {
        self.file.close()
    }

    fn try_lock_range(
        &self,
        start: std::ops::Bound<u64>,
        end: std::ops::Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(
        &self,
        start: std::ops::Bound<u64>,
        end: std::ops::Bound<u64>,
    ) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

fn on_disk(place: &Place, switch: &Switch) -> Embedded {
    let (path, switch) = (place.path(), switch.clone());
    let open: Open = Box::new(move || {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = FileBackend::new(file.map_err(OpenError::Io)?)?;
        Ok(open::builder().create_with_backend(Disk {
            file,
            switch: switch.clone(),
        })?)
    });
    Embedded::with(Arc::new(place.clock.clone()), open).unwrap()
}

#[tokio::test]
async fn what_is_acknowledged_has_been_synced() {
    let (place, switch) = (Place::new(), Switch::default());
    let store = on_disk(&place, &switch);
    for n in 0..5 {
        let before = switch.syncs.load(Ordering::SeqCst);
        store.run(vec![set(&format!("k{n}"), "v")]).await.unwrap();
        assert_eq!(switch.syncs.load(Ordering::SeqCst), before + 1);
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_gets_well_again() {
    let (place, switch) = (Place::new(), Switch::default());
    let store = on_disk(&place, &switch);
    store.run(vec![set("k", "before"), set("n", "0")]).await.unwrap();
    for _ in 0..3 {
        switch.full.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            let outcome = store.run(vec![set("k", "during")]).await;
            assert!(
                matches!(outcome, Err(StoreError::Away { kind: "embedded", .. })),
                "{outcome:?}"
            );
            let outcome = store.atomically(vec![], vec![incr("n")]).await;
            assert!(matches!(outcome, Err(StoreError::Away { .. })), "{outcome:?}");
        }
        switch.full.store(false, Ordering::SeqCst);
        // The first write finds the file closed at worst; it is opened anew for the next.
        let _ = store.run(vec![set("other", "v")]).await;
        store.ping().await.unwrap();
        assert_eq!(
            store.run(vec![get("k"), get("n")]).await.unwrap(),
            [some("before"), some("0")]
        );
        store.run(vec![set("other", "v")]).await.unwrap();
    }
    store.run(vec![set("k", "after")]).await.unwrap();
    drop(store);
    assert_eq!(place.open().run(vec![get("k")]).await.unwrap(), [some("after")]);
}

/// A file whose end is missing (a copy that broke off, a damaged file system) is refused, not guessed at.
#[tokio::test]
async fn a_file_that_was_cut_is_refused() {
    let place = Place::new();
    let store = place.open();
    for n in 0..200 {
        store
            .run(vec![set(&format!("k{n}"), &"v".repeat(1_000))])
            .await
            .unwrap();
    }
    drop(store);
    let whole = fs::read(place.path()).unwrap();
    for part in [
        1,
        10,
        100,
        4_096,
        whole.len() / 4,
        whole.len() / 2,
        whole.len() - 4_096,
    ] {
        fs::write(place.path(), &whole[..part]).unwrap();
        match place.try_open().map(drop) {
            Err(OpenError::Unreadable { .. } | OpenError::Io(_)) => {}
            Err(other) => panic!("{part} bytes: {other}"),
            Ok(()) => panic!("{part} bytes of {} were opened", whole.len()),
        }
    }
}
