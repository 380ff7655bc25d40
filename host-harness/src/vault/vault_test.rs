use std::fs;

use super::*;
use crate::clock::SystemClock;

struct Home {
    folder: tempfile::TempDir,
    store: Arc<Store>,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("harness.db")).unwrap());
        Self { folder, store }
    }

    fn open(&self) -> Result<Vault, VaultError> {
        Vault::open(&self.folder.path().join("vault.key"), self.store.clone(), SystemClock::shared())
    }

    fn sealed(&self, owner: &str) -> Vec<u8> {
        let query = "SELECT sealed FROM secret WHERE owner = ?1";
        self.store.read(|c| c.query_row(query, [owner], |row| row.get(0)).map_err(StoreError::from)).unwrap()
    }

    fn set_sealed(&self, owner: &str, sealed: &[u8]) {
        self.store
            .write(|t| {
                t.execute("UPDATE secret SET sealed = ?2 WHERE owner = ?1", (owner, sealed)).map_err(StoreError::from)
            })
            .unwrap();
    }
}

fn fake(text: &str) -> Secret {
    Secret::new(text)
}

#[test]
fn a_secret_comes_back_as_it_was_put_and_is_gone_when_removed() {
    let home = Home::new();
    let vault = home.open().unwrap();
    vault.put(Space::Connection, "c1", "token", &fake("not-a-real-token")).unwrap();
    vault.put(Space::Connection, "c1", "token", &fake("not-a-real-token-2")).unwrap();
    let again = home.open().unwrap();
    assert_eq!(again.get(Space::Connection, "c1", "token").unwrap(), Some(fake("not-a-real-token-2")));
    assert_eq!(again.get(Space::Registration, "c1", "token").unwrap(), None);
    again.remove_all(Space::Connection, "c1").unwrap();
    assert_eq!(again.get(Space::Connection, "c1", "token").unwrap(), None);
}

#[test]
fn nothing_of_a_secret_is_in_the_database_or_in_what_is_printed() {
    let home = Home::new();
    let vault = home.open().unwrap();
    let secret = fake("canary-canary-canary");
    vault.put(Space::Connection, "c1", "token", &secret).unwrap();
    assert!(!home.sealed("c1").windows(6).any(|window| window == b"canary"));
    assert!(!format!("{secret:?} {vault:?}").contains("canary"));
}

#[test]
fn k4_every_changed_byte_is_noticed() {
    let home = Home::new();
    let vault = home.open().unwrap();
    vault.put(Space::Connection, "c1", "token", &fake("not-a-real-token")).unwrap();
    let sealed = home.sealed("c1");
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << bit;
            home.set_sealed("c1", &changed);
            assert!(matches!(vault.get(Space::Connection, "c1", "token"), Err(VaultError::Damaged { .. })));
        }
    }
    for length in 0..sealed.len() {
        home.set_sealed("c1", &sealed[..length]);
        assert!(vault.get(Space::Connection, "c1", "token").is_err());
    }
}

#[test]
fn k4_a_secret_moved_to_another_connection_does_not_open() {
    let home = Home::new();
    let vault = home.open().unwrap();
    vault.put(Space::Connection, "c1", "token", &fake("not-a-real-token-1")).unwrap();
    vault.put(Space::Connection, "c2", "token", &fake("not-a-real-token-2")).unwrap();
    let (first, second) = (home.sealed("c1"), home.sealed("c2"));
    home.set_sealed("c1", &second);
    home.set_sealed("c2", &first);
    for owner in ["c1", "c2"] {
        assert!(matches!(vault.get(Space::Connection, owner, "token"), Err(VaultError::Damaged { .. })));
    }
}

#[test]
fn k4_a_missing_or_foreign_key_fails_closed_and_says_what_to_do() {
    let home = Home::new();
    let key = home.folder.path().join("vault.key");
    home.open().unwrap().put(Space::Connection, "c1", "token", &fake("not-a-real-token")).unwrap();
    let right = fs::read(&key).unwrap();

    fs::remove_file(&key).unwrap();
    assert!(matches!(home.open(), Err(VaultError::KeyMissing { .. })));
    assert!(!key.exists());

    write_private(&key, "00".repeat(32).as_bytes());
    assert!(matches!(home.open(), Err(VaultError::KeyWrong { .. })));
    write_private(&key, b"not a key");
    assert!(matches!(home.open(), Err(VaultError::KeyMalformed { .. })));

    write_private(&key, &right);
    assert!(home.open().is_ok());
}

#[test]
fn one_damaged_secret_keeps_no_other_shut() {
    let home = Home::new();
    let vault = home.open().unwrap();
    for owner in ["c1", "c2"] {
        vault.put(Space::Connection, owner, "token", &fake("not-a-real-token")).unwrap();
    }
    home.set_sealed("c1", b"damaged");
    let vault = home.open().unwrap();
    assert!(matches!(vault.get(Space::Connection, "c1", "token"), Err(VaultError::Damaged { .. })));
    assert!(vault.get(Space::Connection, "c2", "token").unwrap().is_some());
    home.set_sealed("c2", b"damaged");
    assert!(home.open().is_ok(), "the key is still known to be the right one");
}

#[cfg(unix)]
#[test]
fn the_key_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.open().unwrap();
    let key = home.folder.path().join("vault.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(home.open(), Err(VaultError::KeyMalformed { .. })));
}

#[test]
fn every_sealing_draws_another_nonce() {
    let home = Home::new();
    let vault = home.open().unwrap();
    let mut nonces = std::collections::HashSet::new();
    let place = Place { space: "connection", owner: "c1", name: "token" };
    for _ in 0..100_000 {
        let sealed = vault.used().key.seal(&place, &fake("x"), &vault.clock).unwrap();
        assert!(nonces.insert(sealed[1..13].to_vec()));
    }
}

#[test]
fn k4_another_key_takes_the_place_of_the_first_while_others_use_the_vault() {
    let home = Home::new();
    let (vault, other) = (home.open().unwrap(), home.open().unwrap());
    let key = home.folder.path().join("vault.key");
    for owner in ["c1", "c2"] {
        vault.put(Space::Connection, owner, "token", &fake(&format!("not-a-real-token-{owner}"))).unwrap();
    }
    let (print, first) = (vault.fingerprint(&fake("x")), fs::read(&key).unwrap());
    home.set_sealed("c2", b"damaged");
    assert_eq!(vault.rotate().unwrap(), Rotated { sealed: 1, damaged: 1 });
    assert_eq!(other.rotate().unwrap(), Rotated { sealed: 2, damaged: 1 });
    assert_ne!(fs::read(&key).unwrap(), first);
    vault.put(Space::Connection, "c3", "token", &fake("not-a-real-token-c3")).unwrap();
    for vault in [&vault, &other, &home.open().unwrap()] {
        let get = |owner| vault.get(Space::Connection, owner, "token");
        assert_eq!(get("c1").unwrap(), Some(fake("not-a-real-token-c1")));
        assert_eq!(get("c3").unwrap(), Some(fake("not-a-real-token-c3")));
        assert!(matches!(get("c2"), Err(VaultError::Damaged { .. })));
        assert_eq!(vault.fingerprint(&fake("x")), print, "what is known of an account stays known");
    }
    write_private(&key, &first);
    assert!(matches!(home.open(), Err(VaultError::KeyWrong { .. })));
    let stale = fs::read_dir(home.folder.path()).unwrap().flatten();
    assert!(!stale.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().ends_with(".new")));
}

#[test]
fn k4_a_change_of_the_key_that_breaks_off_leaves_a_vault_that_opens() {
    let home = Home::new();
    let vault = home.open().unwrap();
    let key = home.folder.path().join("vault.key");
    vault.put(Space::Connection, "c1", "token", &fake("not-a-real-token")).unwrap();
    let opens =
        || home.open().unwrap().get(Space::Connection, "c1", "token").unwrap() == Some(fake("not-a-real-token"));
    // Before the secrets were sealed anew: the file has a key more, which nothing is sealed with.
    let old = Key::read_all(&key).unwrap().pop().unwrap();
    Key::replace(&key, &[&Key::draw(&SystemClock::shared()), &old]).unwrap();
    assert!(opens());
    // And after: the old key is still there.
    vault.rotate().unwrap();
    let new = Key::read_all(&key).unwrap().pop().unwrap();
    Key::replace(&key, &[&new, &old]).unwrap();
    assert!(opens());
    vault.rotate().unwrap();
    assert!(opens() && Key::read_all(&key).unwrap().len() == 1);
    // A key file that cannot be written to leaves all as it was.
    let away = home.folder.path().join("away");
    fs::rename(&key, &away).unwrap();
    fs::create_dir(&key).unwrap();
    assert!(matches!(vault.rotate(), Err(VaultError::KeyFile { .. })));
    fs::remove_dir(&key).unwrap();
    fs::rename(&away, &key).unwrap();
    assert!(opens());
}

fn write_private(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}
