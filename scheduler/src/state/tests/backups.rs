//! Backup and restore.

use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;
use object_store::path::Path;

use super::super::load::load;
use super::super::store::Store;
use super::super::{CatalogState, Error, Existing, backup, restore};
use super::changes::{create_schema, create_view};
use super::{open, stores};

/// A store with some history in a folder, and a file name for its backup.
async fn filled() -> (Store, CatalogState, tempfile::TempDir, PathBuf) {
    let store = Store::in_memory();
    let log = open(&store, "w").await;
    log.commit(vec![create_schema("s")]).await.unwrap();
    for n in 0..9 {
        log.commit(vec![create_view("s", &format!("v{n}"))])
            .await
            .unwrap();
    }
    log.check_lease().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.backup");
    (store, log.current().as_ref().clone(), folder, file)
}

fn alter(file: &FilePath, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = std::fs::read(file).unwrap();
    change(&mut content);
    std::fs::write(file, content).unwrap();
}

#[tokio::test]
async fn a_restored_store_has_the_same_catalog_and_is_writable() {
    let (store, state, _folder, file) = filled().await;
    let other = Path::from("other/object");
    store.put_new(&other, Bytes::from_static(b"kept")).await.unwrap();
    let written = backup(&store, &file).await.unwrap();
    assert_eq!(
        (written.version, written.schemas, written.relations),
        (state.version, 2, 9)
    );

    for (target, _folder) in stores() {
        assert_eq!(restore(&file, &target, Existing::Keep).await.unwrap(), written);
        let restored = open(&target, "next").await;
        assert_eq!(restored.current().relations, state.relations);
        assert_eq!(restored.current().schemas, state.schemas);
        assert_eq!(target.get(&other).await.unwrap().unwrap(), "kept");
        restored.commit(vec![create_view("s", "more")]).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_there_is_kept_unless_told_otherwise() {
    let (store, state, _folder, file) = filled().await;
    backup(&store, &file).await.unwrap();
    let target = Store::in_memory();
    let running = open(&target, "running").await;
    running
        .commit(vec![create_view("public", "other")])
        .await
        .unwrap();

    let error = restore(&file, &target, Existing::Keep).await.unwrap_err();
    assert!(matches!(error, Error::NotEmpty { objects: 2 }), "{error}");
    running.check_lease().await.unwrap();

    restore(&file, &target, Existing::Replace).await.unwrap();
    assert_eq!(load(&target).await.unwrap().state.relations, state.relations);
    let error = running
        .commit(vec![create_view("public", "late")])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
    assert_eq!(
        load(&target).await.unwrap().state.relations,
        state.relations,
        "its entry is not read"
    );
}

#[tokio::test]
async fn a_store_that_cannot_be_read_can_be_replaced() {
    let (store, state, _folder, file) = filled().await;
    backup(&store, &file).await.unwrap();
    let paths = store.list().await.unwrap();
    store.delete(paths.clone()).await.unwrap();
    for path in &paths {
        store.put_new(path, Bytes::from_static(b"garbage")).await.unwrap();
    }
    load(&store).await.unwrap_err();
    restore(&file, &store, Existing::Replace).await.unwrap();
    assert_eq!(load(&store).await.unwrap().state.relations, state.relations);
}

#[tokio::test]
async fn a_damaged_backup_is_refused_before_anything_is_touched() {
    let (store, _, _folder, file) = filled().await;
    backup(&store, &file).await.unwrap();
    let target = Store::in_memory();
    let length = std::fs::metadata(&file).unwrap().len() as usize;
    alter(&file, |content| content[length / 2] ^= 1);
    assert!(matches!(
        restore(&file, &target, Existing::Keep).await,
        Err(Error::Damaged { .. })
    ));
    alter(&file, |content| content[length / 2] ^= 1);
    alter(&file, |content| content.truncate(length - 1));
    assert!(matches!(
        restore(&file, &target, Existing::Keep).await,
        Err(Error::Damaged { .. })
    ));
    assert!(target.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_is_never_empty() {
    let (store, _, _folder, file) = filled().await;
    std::fs::write(&file, "precious").unwrap();
    assert!(matches!(backup(&store, &file).await, Err(Error::File { .. })));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    let nothing = backup(&Store::in_memory(), &file.with_extension("other")).await;
    assert!(matches!(nothing, Err(Error::Empty)), "{nothing:?}");
}

#[tokio::test]
async fn a_damaged_store_is_not_backed_up_as_if_it_were_whole() {
    let (store, _, _folder, file) = filled().await;
    let last = store
        .list()
        .await
        .unwrap()
        .into_iter()
        .filter(|path| path.as_ref().contains("/log/"))
        .max();
    let last = last.unwrap();
    store.delete(vec![last.clone()]).await.unwrap();
    store
        .put_new(&last, Bytes::from_static(b"garbage"))
        .await
        .unwrap();
    let outcome = backup(&store, &file).await;
    assert!(
        matches!(outcome, Err(Error::Damaged { .. })),
        "{last}: {outcome:?}"
    );
    assert!(!file.exists());
}
