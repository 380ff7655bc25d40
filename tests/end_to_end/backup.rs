//! Does a home come back from its backup: taken while it is served, into an empty home, with what else it takes.

use std::fs;

use serde_json::json;

use crate::harness::Harness;
use crate::stage::Stage;

#[test]
fn a_home_comes_back_from_a_backup_that_was_taken_while_it_was_served() {
    let stage = Stage::connected();
    let _serving = stage.host.serve(&[]);
    let file = stage.host.folder().join("harness.backup");
    let path = file.to_string_lossy().into_owned();
    let backed_up = stage.host.run(&["backup", &path]).expect(0);
    assert_eq!(backed_up["connections"], json!(["demo"]), "{backed_up:#}");
    assert!(backed_up["needed"].to_string().contains("vault.key"), "{backed_up:#}");
    let token = stage.jira.account("admin").token;
    let bytes = fs::read(&file).expect("the backup is there");
    assert!(!bytes.windows(token.len()).any(|part| part == token.as_bytes()), "secrets are sealed in it");
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).expect("read").permissions()) & 0o777,
        0o600
    );
    stage.host.run(&["backup", &path]).fails(2, "host.backup-exists");
    stage.host.run(&["backup", &path, "--overwrite"]).expect(0);
    stage.host.run(&["restore", &path]).fails(2, "host.serving-already");

    let other = Harness::fresh();
    let restored = other.run(&["restore", &path]).expect(0);
    assert!(restored["needed"].to_string().contains("the key file"), "{restored:#}");
    let closed = other.run(&["connection", "list"]);
    assert_eq!(closed.code, 1, "{closed:#?}");
    assert!(closed.stdout.contains("key file"), "{closed:#?}");
    fs::copy(stage.host.home().join("vault.key"), other.home().join("vault.key")).expect("the key can be copied");
    assert_eq!(other.run(&["connection", "check", "demo"]).code, 0);
    other.run(&["restore", &path]).fails(2, "host.home-not-empty");
    let replaced = other.run(&["restore", &path, "--replace"]).expect(0);
    assert!(replaced["former"].as_str().is_some_and(|former| fs::metadata(former).is_ok()), "{replaced:#}");
    assert_eq!(replaced["needed"], json!([]));
}

#[test]
fn the_key_goes_along_only_where_that_is_asked_for() {
    let stage = Stage::connected();
    let file = stage.host.folder().join("harness.backup");
    let path = file.to_string_lossy().into_owned();
    stage.host.run(&["backup", &path]).expect(0);
    let key = stage.host.folder().join("harness.backup.key");
    assert!(!key.exists());
    stage.host.run(&["backup", &path, "--overwrite", "--with-key"]).expect(0);
    assert!(key.exists());
    let other = Harness::fresh();
    assert_eq!(other.run(&["restore", &path]).expect(0)["needed"], json!([]));
    assert_eq!(other.run(&["connection", "check", "demo"]).code, 0);
}

#[test]
fn what_is_no_sound_backup_is_refused_and_leaves_the_home_as_it_was() {
    let stage = Stage::connected();
    let file = stage.host.folder().join("harness.backup");
    let path = file.to_string_lossy().into_owned();
    stage.host.run(&["backup", &path]).expect(0);
    let sound = fs::read(&file).expect("the backup is there");
    let mut damaged = sound.clone();
    damaged[sound.len() / 2..sound.len() / 2 + 4096].fill(0x5a);
    let foreign = stage.host.folder().join("foreign.db");
    let foreign_db = rusqlite::Connection::open(&foreign).expect("a database");
    foreign_db.execute_batch("CREATE TABLE theirs (x)").expect("a table");
    drop(foreign_db);
    let foreign = fs::read(foreign).expect("read");
    let other = Harness::fresh();
    for bytes in
        [&sound[..sound.len() / 2], &damaged, b"", b"not a database, though it is long enough for one", &foreign]
    {
        fs::write(&file, bytes).expect("written");
        other.run(&["restore", &path]).fails(2, "host.backup-unusable");
        assert!(!other.home().join("harness.db").exists());
    }
    other.run(&["restore", "missing.db"]).fails(2, "host.backup-missing");
    other.run(&["backup", "some.db"]).fails(2, "host.home-empty");
    assert_eq!(stage.host.run(&["alarms"]).expect(0), json!([]));
}
