use super::*;
use crate::port::whole::{Content, Part};
use crate::secrets::tests::Counting;

mod pairs;

const PASSPHRASE: &str = "correct horse battery staple";

fn parts() -> Vec<Part> {
    let part = |key: &str, end, begins, content| Part {
        key: key.to_owned(),
        end,
        begins,
        content,
    };
    vec![
        part("text", None, true, Content::Text("v".into())),
        part("空", Some(7), true, Content::Text(vec![0xff, 0, 1].into())),
        part(
            "hash",
            None,
            true,
            Content::Hash(vec![("a".into(), "1".into()), (String::new(), "".into())]),
        ),
        part(
            "hash",
            None,
            false,
            Content::Hash(vec![("b".into(), "x".repeat(300).into())]),
        ),
        part("set", Some(u64::MAX), true, Content::Set(vec!["m".into()])),
        part(
            "sorted",
            None,
            true,
            Content::Sorted(vec![(f64::NEG_INFINITY, "low".into()), (-0.5, "m".into())]),
        ),
    ]
}

fn head() -> Head {
    Head::new(
        1,
        "2026-01-31T00:00:00Z".to_owned(),
        "memory",
        Some("00a1".to_owned()),
    )
}

fn packed(parts: &[Part], passphrase: Option<&Passphrase>) -> (Vec<u8>, Summary) {
    let mut head = head();
    if passphrase.is_some() {
        head.sealed(&Counting::new());
        // What is tested is not how long a guess takes.
        head.weaken();
    }
    let mut pack = Pack::begin(head, passphrase, &Counting::new()).unwrap();
    let mut file = Vec::new();
    for part in parts {
        pack.add(part).unwrap();
        file.extend(pack.take());
    }
    let (rest, summary) = pack.end(2).unwrap();
    file.extend(rest);
    (file, summary)
}

fn read(file: &[u8], passphrase: Option<&Passphrase>) -> Result<(Vec<Part>, Summary), BadFile> {
    let mut unpack = BackupReader::read(file)?.open(passphrase)?;
    let mut parts = Vec::new();
    while let Some(part) = unpack.part()? {
        parts.push(part);
    }
    Ok((parts, unpack.verify()?.0))
}

/// One byte at a time.
struct Trickle<'a>(&'a [u8]);
impl std::io::Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        std::io::Read::read(&mut self.0, &mut into[..1])
    }
}

#[test]
fn what_was_packed_is_unpacked() {
    let sealed = Passphrase::existing(PASSPHRASE);
    for passphrase in [None, Some(&sealed)] {
        let (file, summary) = packed(&parts(), passphrase);
        let (found, said) = read(&file, passphrase).unwrap();
        assert_eq!(found, parts());
        assert_eq!(said, summary);
        assert_eq!((said.keys, said.records, said.left_out), (5, 8, 2));
        let head = BackupReader::read(file.as_slice()).unwrap().head;
        assert_eq!((head.schema, head.fingerprint.as_deref()), (1, Some("00a1")));
        assert_eq!(head.sealed.is_some(), passphrase.is_some());
        assert_eq!(memchr::memmem::find(&file, b"xxxx"), None);
    }
}

#[test]
fn a_file_of_many_pieces_is_read_in_any_pieces() {
    let value = |n: u32| {
        // Nothing that zstd makes small.
        let mut bytes = vec![0; 3_000];
        crate::port::random::Random::fill(&Counting(u64::from(n).into()), &mut bytes);
        Content::Text(bytes.into())
    };
    let parts: Vec<Part> = (0..200)
        .map(|n| Part {
            key: format!("k{n}"),
            end: None,
            begins: true,
            content: value(n * 100),
        })
        .collect();
    let sealed = Passphrase::existing(PASSPHRASE);
    for passphrase in [None, Some(&sealed)] {
        let (file, summary) = packed(&parts, passphrase);
        assert!(file.len() > 8 * (64 << 10), "{}", file.len());
        assert_eq!(read(&file, passphrase).unwrap().0, parts);
        let trickle = BackupReader::read(Trickle(&file))
            .unwrap()
            .open(passphrase)
            .unwrap();
        assert_eq!(trickle.verify().unwrap().0, summary);
        // Pieces are swapped, left out, and taken from another file of the same passphrase.
        let first = file.len() - 5 * ((64 << 10) + 36);
        for damaged in [
            [&file[..first], &file[first + 70_000..]].concat(),
            [&file[..first], &file[first - 70_000..first], &file[first..]].concat(),
        ] {
            assert!(read(&damaged, passphrase).is_err());
        }
    }
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let sealed = Passphrase::existing(PASSPHRASE);
    for passphrase in [None, Some(&sealed)] {
        let (file, _) = packed(&parts(), passphrase);
        for end in 0..file.len() {
            let error = read(&file[..end], passphrase).unwrap_err();
            let good = match end {
                0 => matches!(error, BadFile::Stranger),
                _ => matches!(error, BadFile::Cut { at } if at == end as u64),
            };
            assert!(good, "{end}: {error}");
        }
        let longer = [file.as_slice(), b"\0"].concat();
        assert!(matches!(read(&longer, passphrase), Err(BadFile::Damaged { .. })));
    }
}

#[test]
fn a_file_changed_at_any_byte_is_refused() {
    let sealed = Passphrase::existing(PASSPHRASE);
    for passphrase in [None, Some(&sealed)] {
        let (file, _) = packed(&parts(), passphrase);
        for at in 0..file.len() {
            for bit in [1, 0x80] {
                let mut changed = file.clone();
                changed[at] ^= bit;
                let error = read(&changed, passphrase).expect_err(&format!("byte {at}"));
                let told = error.to_string();
                assert!(!told.is_empty(), "{at}");
                if at < MAGIC.len() {
                    assert!(matches!(error, BadFile::Stranger), "{at}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_sealed_file_opens_with_its_passphrase_only() {
    let right = Passphrase::existing(PASSPHRASE);
    let (file, _) = packed(&parts(), Some(&right));
    assert!(matches!(read(&file, None), Err(BadFile::PassphraseNeeded)));
    let wrong = Passphrase::existing("correct horse battery stable");
    assert!(matches!(read(&file, Some(&wrong)), Err(BadFile::WrongPassphrase)));
    // The same records, sealed twice, are two different files; a passphrase too many does no harm.
    let mut again = head();
    again.sealed(&Counting(99.into()));
    again.weaken();
    let other = Pack::begin(again, Some(&right), &Counting::new())
        .unwrap()
        .end(0)
        .unwrap()
        .0;
    assert!(read(&other, Some(&right)).is_ok());
    let (plain, _) = packed(&parts(), None);
    assert!(read(&plain, Some(&wrong)).is_ok());
    assert!(Passphrase::new("password").is_err());
    assert!(Passphrase::new(PASSPHRASE).is_ok());
}

#[test]
fn strangers_and_newer_files_are_named_as_such() {
    for file in [&b"PK\x03\x04"[..], b"{\"a\":1}", b"", b"crs backup of mine"] {
        assert!(matches!(read(file, None), Err(BadFile::Stranger)), "{file:?}");
    }
    let text = br#"{"format":2,"by":"crs 9.0.0","what":"else"}"#;
    let mut file = MAGIC.to_vec();
    file.extend((text.len() as u32).to_be_bytes());
    file.extend(text);
    let error = read(&file, None).unwrap_err().to_string();
    assert!(error.contains("use crs 9.0.0 or later"), "{error}");
    // A head that asks for all memory.
    let (file, _) = packed(&parts(), Some(&Passphrase::existing(PASSPHRASE)));
    let head = String::from_utf8_lossy(&file).replacen("\"memoryKib\":8,", "\"memoryKib\":4000000000,", 1);
    let end = head.find('}').unwrap() + 2;
    let text = &head.as_bytes()[15..end];
    let mut file = MAGIC.to_vec();
    file.extend((text.len() as u32).to_be_bytes());
    file.extend(text);
    let error = read(&file, Some(&Passphrase::existing(PASSPHRASE))).unwrap_err();
    assert!(matches!(error, BadFile::Damaged { .. }), "{error}");
}
