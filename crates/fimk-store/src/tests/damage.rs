//! Bytes that are not what was written: a sentence, never a panic, never an empty database.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
};

use tempfile::{TempDir, tempdir};

use super::*;
use crate::{
    StoreError,
    batch::Batch,
    codec::{self, SCHEMA},
    open::{EVENTS, META, RECORDS, SCHEMA_KEY},
};

/// A database whose records and events are in tables, not only in the WAL.
fn settled() -> TempDir {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    for n in 0..200 {
        let put = vec![(path(&format!("/etc/{n:04}")), records().remove(n % 4))];
        store
            .commit(Commit {
                put,
                remove: vec![],
                events: vec![change()],
            })
            .unwrap();
    }
    store.sync().unwrap();
    drop(store);
    // RocksDB writes what it recovers from the WAL into tables.
    drop(open(dir.path()));
    assert!(files(dir.path(), ".sst").len() >= 3);
    dir
}

fn copy(from: &Path) -> TempDir {
    let to = tempdir().unwrap();
    fs::create_dir(to.path().join("rocksdb")).unwrap();
    fs::copy(from.join("synced"), to.path().join("synced")).unwrap();
    for file in files(from, "") {
        fs::copy(
            &file,
            to.path().join("rocksdb").join(file.file_name().unwrap()),
        )
        .unwrap();
    }
    to
}

/// The files a database that was closed in order cannot do without, and their names.
fn vital_files(dir: &Path) -> Vec<(PathBuf, String)> {
    let named = files(dir, "").into_iter().map(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        (file, name)
    });
    named
        .filter(|(_, name)| {
            name.starts_with("MANIFEST") || name == "CURRENT" || name.contains(".sst")
        })
        .collect()
}

/// Reads everything.
fn survey(dir: &Path) -> Result<(usize, usize), StoreError> {
    let (store, opened) = Store::open(dir)?;
    assert_eq!(opened.lost, None, "nothing is silently missing");
    let records = store.records(None).collect::<Result<Vec<_>, _>>()?.len();
    store.verify_chain(0)?;
    Ok((records, store.events_after(0, 1000)?.len()))
}

fn assert_whole_or_damaged(dir: &Path, what: &str) {
    match survey(dir) {
        Ok(counts) => assert_eq!(counts, (200, 200), "{what}"),
        Err(StoreError::Damaged { .. }) => {}
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn a_flipped_byte_in_any_file_is_damage_or_harmless() {
    let sound = settled();
    let mut damaged = 0;
    for (file, name) in vital_files(sound.path()) {
        let bytes = fs::read(&file).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len().div_ceil(12)) {
            let dir = copy(sound.path());
            let file = dir.path().join("rocksdb").join(&name);
            fs::OpenOptions::new()
                .write(true)
                .open(&file)
                .unwrap()
                .write_all_at(&[!bytes[at]], at as u64)
                .unwrap();
            assert_whole_or_damaged(dir.path(), &format!("{name} at {at}"));
            damaged += usize::from(survey(dir.path()).is_err());
        }
    }
    assert!(damaged >= 20, "only {damaged} were noticed");
}

#[test]
fn a_missing_or_cut_file_is_damage_and_never_an_empty_database() {
    let sound = settled();
    for (_, name) in vital_files(sound.path()) {
        for half in [false, true] {
            let dir = copy(sound.path());
            let file = dir.path().join("rocksdb").join(&name);
            if half {
                let length = fs::metadata(&file).unwrap().len();
                fs::OpenOptions::new()
                    .write(true)
                    .open(&file)
                    .unwrap()
                    .set_len(length / 2)
                    .unwrap();
            } else {
                fs::remove_file(&file).unwrap();
            }
            let error = survey(dir.path()).expect_err(&name);
            assert!(
                matches!(error, StoreError::Damaged { .. }),
                "{name}: {error}"
            );
            assert!(error.to_string().contains("move it aside"), "{error}");
        }
    }
}

#[test]
fn a_database_moved_aside_is_a_new_one_and_a_loss() {
    let dir = settled();
    fs::rename(dir.path().join("rocksdb"), dir.path().join("aside")).unwrap();
    let (store, opened) = Store::open(dir.path()).unwrap();
    assert!(opened.created);
    assert_eq!(
        opened.lost.map(|lost| (lost.synced, lost.found)),
        Some((Some(200), 0))
    );
    assert_eq!(store.next_sequence(), 201);
}

#[test]
fn a_creation_that_was_cut_short_is_finished() {
    let dir = tempdir().unwrap();
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    let mut db = rocksdb::DB::open(&options, dir.path().join("rocksdb")).unwrap();
    db.create_cf(RECORDS, &options).unwrap();
    drop(db);
    let (mut store, opened) = Store::open(dir.path()).unwrap();
    assert!(opened.created);
    add_events(&mut store, 1);
    drop(store);
    assert!(!Store::open(dir.path()).unwrap().1.created);
}

impl codec::Stored for String {}
impl codec::Stored for Vec<Event> {}
impl codec::Stored for BytePath {}

/// Puts one value into one family of a sound database.
fn plant(family: &'static str, key: &[u8], value: &[u8]) -> TempDir {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    let put = vec![
        (path("/a"), records().remove(2)),
        (path("/b"), records().remove(2)),
    ];
    store
        .commit(Commit {
            put,
            remove: vec![],
            events: vec![change()],
        })
        .unwrap();
    let mut batch = Batch::default();
    batch.put(family, key, value.to_vec()).unwrap();
    store.write(batch).unwrap();
    dir
}

#[test]
fn a_newer_schema_is_refused_with_the_way_out() {
    let dir = plant(META, SCHEMA_KEY, &[SCHEMA + 1, 9, 9]);
    let error = Store::open(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Newer {
                found,
                supported: SCHEMA,
                ..
            } if found == SCHEMA + 1
        ),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("start the newer fimk, or move the database aside"),
        "{error}"
    );
}

#[test]
fn a_newer_schema_with_families_of_its_own_is_newer_and_not_damaged() {
    let dir = plant(META, SCHEMA_KEY, &[SCHEMA + 1]);
    let names =
        rocksdb::DB::list_cf(&rocksdb::Options::default(), dir.path().join("rocksdb")).unwrap();
    let mut db = rocksdb::DB::open_cf(
        &rocksdb::Options::default(),
        dir.path().join("rocksdb"),
        names,
    )
    .unwrap();
    db.create_cf("later", &rocksdb::Options::default()).unwrap();
    drop(db);
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { .. }), "{error}");
}

#[test]
fn a_schema_that_never_was_is_damage() {
    for value in [&[][..], &[0], &[SCHEMA, 0]] {
        let error = Store::open(plant(META, SCHEMA_KEY, value).path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_database_without_its_schema_or_a_family_is_damaged() {
    let dir = plant(META, b"x", b"");
    let names =
        rocksdb::DB::list_cf(&rocksdb::Options::default(), dir.path().join("rocksdb")).unwrap();
    for lost in [RECORDS, META] {
        let dir = copy(dir.path());
        let options = rocksdb::Options::default();
        let mut db = rocksdb::DB::open_cf(&options, dir.path().join("rocksdb"), &names).unwrap();
        db.drop_cf(lost).unwrap();
        drop(db);
        for _ in 0..2 {
            let error = Store::open(dir.path()).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }
}

#[test]
fn a_record_cut_anywhere_is_damage_and_the_next_one_is_still_read() {
    for record in records() {
        let whole = codec::encode(&record).unwrap();
        for length in 0..whole.len() {
            let fault = codec::decode::<Record>(&whole[..length]).unwrap_err();
            assert!(
                matches!(fault, codec::Fault::Damaged(_)),
                "cut to {length}: {fault:?}"
            );
        }
        let longer = [&whole[..], b"x"].concat();
        assert!(matches!(
            codec::decode::<Record>(&longer),
            Err(codec::Fault::Damaged(_))
        ));
    }
    let dir = plant(RECORDS, b"/a", &[SCHEMA, 0]);
    let store = open(dir.path());
    let error = store.record(&path("/a")).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let read: Vec<_> = store.records(None).map(|item| item.is_ok()).collect();
    assert_eq!(read, [false, true]);
}

#[test]
fn garbage_in_place_of_a_value_never_panics() {
    // A xorshift generator: the same bytes each time.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut byte = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[3]
    };
    for length in 0..400 {
        let mut garbage: Vec<u8> = (0..length).map(|_| byte()).collect();
        let _ = codec::decode::<Record>(&garbage);
        if let Some(first) = garbage.first_mut() {
            *first = SCHEMA;
        }
        let _ = codec::decode::<Record>(&garbage);
        let _ = codec::decode::<Event>(&garbage);
        let _ = crate::chain::unseal(&garbage, &garbage);
    }
    let whole = codec::encode(&change()).unwrap();
    for at in 1..whole.len() {
        for value in [0, 1, 250, 251, 252, 253, 254, 255] {
            let mut altered = whole.clone();
            altered[at] = value;
            let _ = codec::decode::<Event>(&altered);
        }
    }
}

#[test]
fn a_length_that_is_a_lie_takes_no_memory() {
    for length in [u64::MAX, 1 << 62, 1 << 40, 60 << 20] {
        // 253 announces a length of eight bytes.
        let mut lie = vec![SCHEMA, 253];
        lie.extend_from_slice(&length.to_le_bytes());
        lie.extend_from_slice(&[b'x'; 64]);
        assert!(matches!(
            codec::decode::<String>(&lie),
            Err(codec::Fault::Damaged(_))
        ));
        assert!(matches!(
            codec::decode::<Vec<u8>>(&lie),
            Err(codec::Fault::Damaged(_))
        ));
        assert!(matches!(
            codec::decode::<Vec<Event>>(&lie),
            Err(codec::Fault::Damaged(_))
        ));
        assert!(matches!(
            codec::decode::<BytePath>(&lie),
            Err(codec::Fault::Damaged(_))
        ));
    }
}

#[test]
fn an_event_under_a_strange_key_is_damage() {
    for key in [&b"x"[..], &[0xff; 9]] {
        let dir = plant(EVENTS, key, &[SCHEMA; 60]);
        let error = Store::open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    let dir = plant(EVENTS, &[0; 3], b"");
    let store = open(dir.path());
    assert!(store.verify_chain(0).is_err());
}

#[test]
fn a_directory_that_may_not_be_used_is_a_sentence() {
    let dir = tempdir().unwrap();
    let missing = Store::open(&dir.path().join("none")).unwrap_err();
    assert!(matches!(missing, StoreError::Io { .. }), "{missing}");

    let file = dir.path().join("rocksdb");
    fs::write(&file, "").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");

    let dir = settled();
    let locked = fs::Permissions::from_mode(0o000);
    fs::set_permissions(dir.path().join("rocksdb"), locked).unwrap();
    // Root may do it all the same.
    match Store::open(dir.path()) {
        Ok(_) => {}
        Err(error) => assert!(matches!(error, StoreError::Permission { .. }), "{error}"),
    }
    fs::set_permissions(
        dir.path().join("rocksdb"),
        fs::Permissions::from_mode(0o700),
    )
    .unwrap();
}
