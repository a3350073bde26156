//! Tables that get more of what their topics have more of: columns of newer schemas (`schema.evolve`), and topic partitions.
//!
//! The executor that meets such a schema stands in front of the message and says which columns the table should have.
//! They are put into the catalog as `ALTER TABLE` would, and executors go on when they are told of it.

use millpond_engine::error::Error;
use millpond_engine::schema::{decode_schema, encode_schema, grown};
use millpond_engine::streams::{StreamOptions, data_columns, fixed_columns, with_data_columns};
use millpond_proto::catalog::{
    AlterTopic, ChangeKind, KafkaTable, PlacePartitions, Relation, TopicBefore, TopicPartition,
};

/// The change that gives a table without a key the topic partitions that its topic has got, `count` in all, from their
/// beginnings; `None` if there is nothing to give. With a key it must be read anew: a key would be in two of them.
pub(super) fn more_partitions(relation: &Relation, table: &KafkaTable, count: u32) -> Option<ChangeKind> {
    let known = table.partitions.len() as u32;
    let may_grow = table.key.is_empty() && !table.paused && known > 0;
    (may_grow && count > known).then(|| {
        let new = |number| TopicPartition {
            number,
            added: true,
            ..TopicPartition::default()
        };
        ChangeKind::PlacePartitions(PlacePartitions {
            schema: relation.schema.clone(),
            name: relation.name.clone(),
            table_id: table.table_id.clone(),
            partitions: (known..count).map(new).collect(),
        })
    })
}

/// The change that gives a table all of the columns in `wanted`; `None` if it has them.
///
/// # Errors
/// What is in the catalog, or came from an executor, cannot be read.
pub(super) fn change(
    relation: &Relation,
    table: &KafkaTable,
    wanted: &[u8],
) -> Result<Option<ChangeKind>, Error> {
    let options = StreamOptions::parse(&table.settings)?;
    let all = decode_schema(&table.arrow_schema).map_err(Error::from_datafusion)?;
    let wanted = decode_schema(wanted).map_err(Error::from_datafusion)?;
    let own = data_columns(&all, &options.metadata);
    let key: Vec<usize> = table.key.iter().map(|place| *place as usize).collect();
    let fixed = fixed_columns(&own, &key, &options);
    let Some(columns) = grown(&own, &wanted, |name| fixed.iter().any(|fixed| fixed == name)) else {
        return Ok(None);
    };
    let schema = with_data_columns(&all, &options.metadata, &columns);
    Ok(Some(ChangeKind::AlterTopic(AlterTopic {
        schema: relation.schema.clone(),
        name: relation.name.clone(),
        table_id: table.table_id.clone(),
        settings: table.settings.clone(),
        restart: None,
        arrow_schema: encode_schema(&schema).map_err(Error::from_datafusion)?,
        before: Some(TopicBefore {
            settings: table.settings.clone(),
            arrow_schema: table.arrow_schema.clone(),
        }),
    })))
}
