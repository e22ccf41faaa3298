use super::*;
use crate::backup::BackupReader;
use crate::port::clock::movable::Movable;
use crate::port::store::Store as _;
use crate::secrets::tests::Counting;
use crate::store::memory::Memory;
use futures_util::StreamExt as _;

const NOW: Millis = 1_769_851_800_000;

struct Bench {
    clock: Movable,
    store: Arc<Memory>,
    backups: NativeBackups,
    folder: tempfile::TempDir,
}

async fn bench(passphrase: Option<&str>) -> Bench {
    let clock = Movable::at(NOW);
    let store = Arc::new(Memory::new(Arc::new(clock.clone())));
    let set = Command::Set {
        key: "k".into(),
        value: "v".into(),
        expire_at: None,
    };
    store.run(vec![set]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let backups = NativeBackups::new(
        store.clone(),
        Arc::new(clock.clone()),
        Arc::new(Counting::new()),
        folder.path().join("b"),
        passphrase.map(Secret::new).as_ref(),
    );
    Bench {
        clock,
        store,
        backups,
        folder,
    }
}

async fn all(mut stream: FileStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend(piece.unwrap());
    }
    bytes
}

fn keys(file: &[u8], passphrase: Option<&Passphrase>) -> u64 {
    let unpack = BackupReader::read(file).unwrap().open(passphrase).unwrap();
    unpack.verify().unwrap().0.keys
}

#[tokio::test]
async fn files_are_made_listed_read_and_removed() {
    let bench = bench(None).await;
    assert!(bench.backups.state().await.unwrap().files.is_empty());
    let name = bench.backups.make(BackupReason::Manual).await.unwrap();
    let state = bench.backups.state().await.unwrap();
    assert_eq!(state.files.len(), 1);
    assert_eq!((&state.files[0].name, state.files[0].made_at), (&name, NOW));
    assert!(!state.files[0].sealed && state.failure.is_none());
    let (length, stream) = bench.backups.read(&name).await.unwrap();
    let file = all(stream).await;
    assert_eq!((file.len() as u64, state.files[0].size), (length, length));
    assert_eq!(keys(&file, None), 1);
    for odd in [
        "x",
        "../secrets.json",
        "crs-2026-01-31T09-30-00.000Z-manual.backup.part",
    ] {
        assert!(matches!(bench.backups.read(odd).await, Err(BackupError::Unknown)));
        assert!(matches!(
            bench.backups.remove(odd).await,
            Err(BackupError::Unknown)
        ));
    }
    bench.backups.remove(&name).await.unwrap();
    assert!(matches!(
        bench.backups.remove(&name).await,
        Err(BackupError::Unknown)
    ));
}

#[tokio::test]
async fn the_passphrase_of_the_settings_seals_files_and_a_given_one_an_export() {
    let bench = bench(Some("correct horse battery staple")).await;
    let name = bench.backups.make(BackupReason::Manual).await.unwrap();
    assert!(bench.backups.state().await.unwrap().files[0].sealed);
    let settings = Passphrase::existing("correct horse battery staple");
    let file = all(bench.backups.read(&name).await.unwrap().1).await;
    assert_eq!(keys(&file, Some(&settings)), 1);
    let own = "another passphrase of mine";
    let file = all(bench.backups.export(Some(Secret::new(own))).await.unwrap()).await;
    assert_eq!(keys(&file, Some(&Passphrase::existing(own))), 1);
    let weak = bench.backups.export(Some(Secret::new("password"))).await;
    assert!(matches!(weak, Err(BackupError::Refused(_))));
}

#[tokio::test]
async fn the_schedule_makes_rotates_and_tells_failures() {
    let bench = bench(None).await;
    let schedule = Schedule {
        enabled: true,
        every_hours: 1,
        keep: 2,
    };
    bench.backups.set_schedule(schedule).await.unwrap();
    bench.backups.make(BackupReason::Manual).await.unwrap();
    for hour in 1..5 {
        bench.clock.jump(NOW + hour * 3_600_000);
        bench.backups.look().await.unwrap();
        bench.backups.look().await.unwrap();
    }
    let files = bench.backups.state().await.unwrap().files;
    let why: Vec<_> = files.iter().map(|file| file.why).collect();
    assert_eq!(
        why,
        [
            BackupReason::Schedule,
            BackupReason::Schedule,
            BackupReason::Manual
        ]
    );

    // The folder becomes one that nothing can be written to.
    let path = bench.folder.path().join("b");
    std::fs::rename(&path, bench.folder.path().join("old")).unwrap();
    std::fs::write(&path, "no folder").unwrap();
    bench.clock.jump(NOW + 7 * 3_600_000);
    bench.backups.look().await.unwrap_err();
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(bench.folder.path().join("old"), &path).unwrap();
    let state = bench.backups.state().await.unwrap();
    assert!(state.overdue);
    let (at, why) = state.failure.unwrap();
    assert_eq!(at, NOW + 7 * 3_600_000);
    assert!(why.contains("BACKUP_DIR"), "{why}");
    // Not at once again, and told no more once it works.
    bench.backups.look().await.unwrap();
    assert!(bench.backups.state().await.unwrap().failure.is_some());
    bench.clock.jump(NOW + 7 * 3_600_000 + 600_000);
    bench.backups.look().await.unwrap();
    let state = bench.backups.state().await.unwrap();
    assert!(state.failure.is_none() && !state.overdue);
    assert_eq!(bench.store.kind(), "memory");
}

#[tokio::test]
async fn two_are_not_made_at_once_and_half_ones_go() {
    let bench = bench(None).await;
    let running = bench.backups.0.begin().unwrap();
    assert!(matches!(
        bench.backups.make(BackupReason::Manual).await,
        Err(BackupError::Busy)
    ));
    assert!(matches!(Backups::begin(&bench.backups), Err(BackupError::Busy)));
    assert_eq!(bench.backups.state().await.unwrap().running_since, Some(NOW));
    drop(running);
    let draft = bench.backups.0.folder.begin(NOW, BackupReason::Manual).unwrap();
    let folder = || std::fs::read_dir(bench.folder.path().join("b")).unwrap().count();
    assert_eq!(folder(), 1);
    drop(draft);
    assert_eq!(folder(), 0);
    // Of a process that was killed.
    std::fs::write(
        bench
            .folder
            .path()
            .join("b/crs-2026-01-31T09-30-00.000Z-manual.backup.part"),
        "x",
    )
    .unwrap();
    assert!(bench.backups.state().await.unwrap().files.is_empty());
    bench.backups.0.folder.tidy();
    assert_eq!(folder(), 0);
}
