//! Copies of a store, and stores that are damaged.

use super::*;

#[test]
fn a_copy_is_that_of_one_moment_while_writers_go_on() {
    let (home, store) = store();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let to = home.path().join("copy.db");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                // Always a pair.
                let pair = |db: &Transaction<'_>| {
                    let sql = "INSERT INTO meta VALUES (?1, 'v')";
                    db.execute(sql, [format!("a{number}")])?;
                    db.execute(sql, [format!("b{number}")])?;
                    Ok::<_, StoreError>(())
                };
                store.note(pair).unwrap();
            }
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        let copied = copy(&home.path().join("harness.db"), &to);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        copied.unwrap();
    });
    assert_eq!(inspect(&to).unwrap().version, migrations::MIGRATIONS.len());
    let count = |letter: &str| -> usize {
        let sql = format!("SELECT count(*) FROM meta WHERE key LIKE '{letter}%'");
        Connection::open(&to).unwrap().query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert!(count("a") > 0);
    assert_eq!(count("a"), count("b"));
}

#[test]
fn a_damaged_database_is_named_whatever_the_damage() {
    let (home, store) = store();
    for number in 0..200 {
        store
            .keep_delivery(&delivery(&format!("d{number}"), Some(&format!("x{number}")), &"body".repeat(200)))
            .unwrap();
    }
    drop(store);
    let path = home.path().join("harness.db");
    let sound = std::fs::read(&path).unwrap();
    assert!(inspect(&path).is_ok());
    let mut noticed = 0;
    for page in 0..sound.len() / 4096 {
        let mut damaged = sound.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0x5a);
        std::fs::write(&path, &damaged).unwrap();
        match inspect(&path) {
            Err(StoreError::Damaged { .. }) => noticed += 1,
            Err(StoreError::Foreign { .. }) => panic!("page {page}: taken for another's"),
            Err(other) => panic!("page {page}: {other}"),
            Ok(_) => {}
        }
        // And whoever uses it nevertheless gets an answer or an error.
        if let Ok(store) = Store::open(&path) {
            let _ = store.pending_deliveries(10, 10, &|_| false);
            let _ = store.keep_delivery(&delivery("new", Some("new"), "body"));
        }
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{ending}", path.display()));
        }
    }
    let pages = sound.len() / 4096;
    assert!(noticed * 10 >= pages * 9, "{noticed} of {pages}");
}
