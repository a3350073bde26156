//! Folders as former versions have written them. They are kept as files and never change.

use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;
use millpond_proto::catalog::{
    Change, ChangeKind, Entry, FORMAT, FileTable, Relation, RelationKind, RelationRef, SchemaRef, Snapshot,
    View,
};
use object_store::path::Path;

use super::super::store::{Kind, Store};
use super::super::{CatalogLog, sealed::seal};
use super::changes::create_view;
use super::open;

fn fixture(format: u32) -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/state/fixtures/format-{format}"))
}

/// Copies a fixture into memory, because opening a log writes to it.
async fn copy_of(format: u32) -> Store {
    let url = url::Url::from_directory_path(fixture(format)).unwrap();
    let files = Store::open(&url, &[]).unwrap();
    let copy = Store::in_memory();
    for path in files.list().await.unwrap() {
        let content = files.get(&path).await.unwrap().unwrap();
        copy.put_new(&path, content).await.unwrap();
    }
    copy
}

fn campaign(owner: &str) -> Relation {
    Relation {
        schema: "public".into(),
        name: "campaign".into(),
        created_at_ms: 1_700_000_000_000,
        owner: owner.into(),
        kind: Some(RelationKind::Files(FileTable {
            format: "CSV".into(),
            location: "/data/campaign.csv".into(),
            options: HashMap::from([("format.has_header".to_string(), "true".to_string())]),
            arrow_schema: vec![1, 2, 3],
            partition_columns: vec!["day".into()],
            definition: "CREATE EXTERNAL TABLE campaign STORED AS CSV LOCATION '/data/campaign.csv'".into(),
        })),
        cache: None,
    }
}

fn spenders(owner: &str) -> Relation {
    Relation {
        schema: "sales".into(),
        name: "spenders".into(),
        created_at_ms: 1_700_000_001_000,
        owner: owner.into(),
        kind: Some(RelationKind::View(View {
            default_schema: "public".into(),
            definition: "CREATE VIEW sales.spenders AS SELECT * FROM campaign".into(),
        })),
        cache: None,
    }
}

fn entry(format: u32, version: u64, changes: Vec<ChangeKind>) -> (Path, Bytes) {
    let entry = Entry {
        format,
        writer_id: "writer-1".into(),
        nonce: format!("nonce-{version}"),
        written_at_ms: 1_700_000_000_000 + version,
        changes: changes
            .into_iter()
            .map(|kind| Change { kind: Some(kind) })
            .collect(),
        written_by: "0.1.0".into(),
    };
    (Kind::Log.path(version), seal(&entry))
}

/// What the current format makes of a short history. A fixture of a new format is written from these bytes once.
fn objects(format: u32, owner: &str) -> Vec<(Path, Bytes)> {
    let schema = |name: &str| SchemaRef { schema: name.into() };
    let snapshot = Snapshot {
        format,
        version: 2,
        schemas: vec![schema("public"), schema("sales")],
        relations: vec![campaign(owner)],
        written_by: "0.1.0".into(),
        pipelines: Vec::new(),
        models: Vec::new(),
    };
    let gone = RelationRef {
        schema: "public".into(),
        name: "gone".into(),
    };
    let of_gone = Relation {
        name: "gone".into(),
        ..campaign(owner)
    };
    vec![
        (Kind::Snapshot.path(2), seal(&snapshot)),
        entry(format, 3, vec![]),
        entry(
            format,
            4,
            vec![
                ChangeKind::CreateRelation(of_gone),
                ChangeKind::CreateRelation(spenders(owner)),
            ],
        ),
        entry(
            format,
            5,
            vec![
                ChangeKind::DropRelation(gone),
                ChangeKind::PutRelation(campaign(owner)),
            ],
        ),
        entry(
            format,
            6,
            vec![
                ChangeKind::CreateSchema(schema("empty")),
                ChangeKind::DropEmptySchema(schema("empty")),
            ],
        ),
    ]
}

/// Reads a fixture and goes on from it.
async fn check(format: u32, owner: &str) {
    let store = copy_of(format).await;
    let log: CatalogLog = open(&store, "next").await;
    let state = log.current();
    assert_eq!(state.version, 7, "six versions and the lease");
    assert_eq!(state.schemas.keys().collect::<Vec<_>>(), ["public", "sales"]);
    let relations: Vec<Relation> = state
        .relations
        .values()
        .map(|relation| relation.as_ref().clone())
        .collect();
    assert_eq!(relations, [campaign(owner), spenders(owner)]);

    log.commit(vec![create_view("sales", "more")]).await.unwrap();
    assert_eq!(open(&store, "later").await.current().relations.len(), 3);
}

/// Format 0 is the draft of format 1. It had no owners and left no store behind but this one.
#[tokio::test]
async fn format_0_is_read_and_its_relations_have_no_owner() {
    check(0, "").await;
}

#[tokio::test]
async fn format_1_is_read() {
    check(1, "someone").await;
}

#[test]
fn the_current_format_has_not_changed_by_accident() {
    for (path, content) in objects(FORMAT, "someone") {
        let kept = std::fs::read(fixture(FORMAT).join(path.as_ref())).unwrap();
        assert!(
            content == kept,
            "{path} is written differently: raise FORMAT and add a folder for the new one"
        );
    }
}
