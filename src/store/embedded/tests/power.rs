//! A power cut: what the disk had only in its cache is lost, or reaches it in part and in any order.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;

use super::*;

/// A disk with a cache, in memory.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// As it looks while the power is on.
    cached: Vec<u8>,
    /// What a power cut leaves for certain.
    durable: Vec<u8>,
    /// Written since.
    pending: Vec<(usize, Vec<u8>)>,
    /// What power cuts at several moments left, with the writes acknowledged until then.
    images: Vec<(u64, Vec<u8>)>,
    acknowledged: Arc<AtomicU64>,
    moments: u64,
}

impl Platter {
    /// The power goes now. Of what was pending, some has been written.
    fn cut(&mut self) {
        self.moments += 1;
        let mut image = self.durable.clone();
        image.resize(self.cached.len(), 0);
        for (index, (offset, bytes)) in self.pending.iter().enumerate() {
            let chance = (self.moments ^ index as u64)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(17);
            if !chance.is_multiple_of(3) {
                image[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
        }
        self.images
            .push((self.acknowledged.load(Ordering::SeqCst), image));
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.0.lock().unwrap().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        let offset = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.0.lock().unwrap().cached[offset..offset + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        let mut platter = self.0.lock().unwrap();
        let len = usize::try_from(len).unwrap();
        platter.cached.resize(len, 0);
        platter
            .pending
            .retain(|(offset, bytes)| offset + bytes.len() <= len);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        let mut platter = self.0.lock().unwrap();
        platter.cut();
        platter.durable = platter.cached.clone();
        platter.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        let mut platter = self.0.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        platter.cached[offset..offset + data.len()].copy_from_slice(data);
        platter.pending.push((offset, data.to_vec()));
        Ok(())
    }
}

fn write(number: u64) -> Vec<Command> {
    let fields = (0..20)
        .map(|field| (format!("f{field}"), number.to_string().into()))
        .collect();
    vec![
        incr("count"),
        Command::HSet {
            key: format!("record:{number}"),
            entries: fields,
        },
        Command::ZAdd {
            key: "list".into(),
            entries: vec![(number as f64, number.to_string())],
        },
        Command::Del {
            key: format!("record:{}", number.wrapping_sub(10)),
        },
    ]
}

#[tokio::test]
async fn acknowledged_writes_survive_a_power_cut() {
    const WRITES: u64 = 30;
    let disk = Disk::default();
    let acknowledged = disk.0.lock().unwrap().acknowledged.clone();
    let clock = Arc::new(Movable::at(START));
    let open: Open = Box::new({
        let disk = disk.clone();
        move || Ok(open::builder().create_with_backend(disk.clone())?)
    });
    let store = Embedded::with(clock.clone(), open).unwrap();
    // Only what happens from here on can be expected to open: before, there was no file.
    disk.0.lock().unwrap().images.clear();
    for number in 0..WRITES {
        assert_eq!(
            store.atomically(vec![], write(number)).await.unwrap(),
            Applied::Yes
        );
        acknowledged.fetch_add(1, Ordering::SeqCst);
        // And once at rest, where nothing may be pending.
        disk.0.lock().unwrap().cut();
    }
    let images = std::mem::take(&mut disk.0.lock().unwrap().images);
    assert!(images.len() as u64 >= 2 * WRITES);
    for (acknowledged, image) in images {
        let place = Place::new();
        std::fs::write(place.path(), image).unwrap();
        let store = place.open();
        let replies = store
            .run(vec![get("count"), Command::ZCard { key: "list".into() }])
            .await
            .unwrap();
        let Reply::Int(count) = replies[1] else {
            panic!("no count")
        };
        let text = if count == 0 {
            Reply::Value(None)
        } else {
            some(&count.to_string())
        };
        assert_eq!(replies[0], text, "half a batch");
        let count = u64::try_from(count).unwrap();
        assert!(
            count == acknowledged || count == acknowledged + 1,
            "{count} of {acknowledged}"
        );
        for number in count.saturating_sub(10)..count {
            let record = Command::HLen {
                key: format!("record:{number}"),
            };
            assert_eq!(
                store.run(vec![record]).await.unwrap(),
                [Reply::Int(20)],
                "record {number}"
            );
        }
    }
}
