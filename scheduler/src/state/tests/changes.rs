//! Changes to try.

use millpond_proto::catalog::{Change, ChangeKind, Relation, RelationKind, RelationRef, SchemaRef, View};

fn schema_ref(schema: &str) -> SchemaRef {
    SchemaRef {
        schema: schema.to_string(),
    }
}

fn change(kind: ChangeKind) -> Change {
    Change { kind: Some(kind) }
}

pub(in crate::state) fn create_schema(schema: &str) -> Change {
    change(ChangeKind::CreateSchema(schema_ref(schema)))
}

pub(in crate::state) fn drop_schema(schema: &str) -> Change {
    change(ChangeKind::DropSchema(schema_ref(schema)))
}

pub(in crate::state) fn drop_empty_schema(schema: &str) -> Change {
    change(ChangeKind::DropEmptySchema(schema_ref(schema)))
}

pub(in crate::state) fn create_view(schema: &str, name: &str) -> Change {
    change(ChangeKind::CreateRelation(view(schema, name, "select 1")))
}

pub(in crate::state) fn put_view(schema: &str, name: &str, definition: &str) -> Change {
    change(ChangeKind::PutRelation(view(schema, name, definition)))
}

pub(in crate::state) fn drop_view(schema: &str, name: &str) -> Change {
    change(ChangeKind::DropRelation(RelationRef {
        schema: schema.to_string(),
        name: name.to_string(),
    }))
}

pub(in crate::state) fn view(schema: &str, name: &str, definition: &str) -> Relation {
    Relation {
        schema: schema.to_string(),
        name: name.to_string(),
        created_at_ms: 1,
        owner: "someone".to_string(),
        kind: Some(RelationKind::View(View {
            default_schema: "public".to_string(),
            definition: definition.to_string(),
        })),
        cache: None,
    }
}
