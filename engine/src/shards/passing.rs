//! Which rows of a piece of a shard pass a predicate.
//!
//! The conjuncts of a predicate are tested in [`Step`]s: those over columns of fixed width first, for these cost next
//! to nothing to unpack, then those over texts, then what calls functions or is filled at run time. As soon as few rows
//! are left, a step unpacks and tests those only.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::compute::{FilterBuilder, FilterPredicate, and, prep_null_mask_filter};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column as ColumnExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{conjunction, split_conjunction};
use datafusion::physical_expr_common::utils::scatter;
use datafusion::physical_plan::PhysicalExpr;

use super::packed::Column;
use super::shard::batch_of;

/// A predicate over those columns of a table that it needs.
pub(super) struct Test {
    /// By their place in the table.
    pub(super) columns: Vec<usize>,
    steps: Vec<Step>,
}

/// The rows that passed a test.
pub(super) struct Passing {
    pub(super) rows: FilterPredicate,
    /// Those columns of the test, by their place in it, that were unpacked for all rows.
    pub(super) unpacked: Vec<Option<ArrayRef>>,
}

impl Test {
    /// A test that every row passes.
    pub(super) fn nothing() -> Self {
        Self {
            columns: Vec::new(),
            steps: Vec::new(),
        }
    }

    pub(super) fn new(predicate: &Arc<dyn PhysicalExpr>, table: &Schema) -> Result<Self> {
        let mut conjuncts = split_conjunction(predicate);
        conjuncts.sort_by_key(|conjunct| turn_of(conjunct, table));
        let mut columns = Vec::new();
        let steps = conjuncts
            .chunk_by(|one, next| turn_of(one, table) == turn_of(next, table))
            .map(|together| conjunction(together.iter().map(|conjunct| Arc::clone(conjunct))))
            .map(|together| Step::new(together, table, &mut columns))
            .collect::<Result<_>>()?;
        Ok(Self { columns, steps })
    }

    /// Tests `rows` rows, or those of them that are alive; `packed` are the columns of the test.
    pub(super) fn passing(
        &self,
        packed: &[Column],
        rows: usize,
        alive: Option<BooleanArray>,
    ) -> Result<Passing> {
        let mut unpacked: Vec<Option<ArrayRef>> = vec![None; packed.len()];
        let mut passed = alive.unwrap_or_else(|| BooleanArray::from(vec![true; rows]));
        for step in &self.steps {
            let left = passed.true_count();
            if left == 0 {
                break;
            }
            passed = if left * 2 > rows {
                let values = step.columns.iter().map(|column| {
                    let values = unpacked[*column]
                        .take()
                        .map_or_else(|| packed[*column].unpack(), Ok);
                    values.map(|values| unpacked[*column].insert(values).clone())
                });
                let values = values.collect::<Result<_>>()?;
                and(&passed, &step.test(values, rows)?)?
            } else {
                let few = FilterBuilder::new(&passed).optimize().build();
                let values = step.columns.iter().map(|column| match &unpacked[*column] {
                    Some(values) => Ok(few.filter(values)?),
                    None => packed[*column].filter(&few)?.unpack(),
                });
                let values = values.collect::<Result<_>>()?;
                boolean(scatter(&passed, &step.test(values, left)?)?)?
            };
        }
        let rows = FilterBuilder::new(&passed).optimize().build();
        Ok(Passing { rows, unpacked })
    }
}

/// Conjuncts that are tested together.
struct Step {
    predicate: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    /// By their place in the test.
    columns: Vec<usize>,
}

impl Step {
    /// Points the columns of a predicate over a table to their places among those that it needs, and adds these to
    /// the columns of the test.
    fn new(predicate: Arc<dyn PhysicalExpr>, table: &Schema, of_test: &mut Vec<usize>) -> Result<Self> {
        let mut needed: Vec<usize> = Vec::new();
        let moved = predicate.transform(|expr| {
            let Some(column) = expr.downcast_ref::<ColumnExpr>() else {
                return Ok(Transformed::no(expr));
            };
            let place = place_in(&mut needed, column.index());
            let moved: Arc<dyn PhysicalExpr> = Arc::new(ColumnExpr::new(column.name(), place));
            Ok(Transformed::yes(moved))
        });
        Ok(Self {
            predicate: moved?.data,
            schema: Arc::new(table.project(&needed)?),
            columns: needed
                .into_iter()
                .map(|column| place_in(of_test, column))
                .collect(),
        })
    }

    /// Which rows pass; none is unknown.
    fn test(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<BooleanArray> {
        let batch = batch_of(self.schema.clone(), columns, rows)?;
        boolean(self.predicate.evaluate(&batch)?.into_array(rows)?)
    }
}

fn place_in(columns: &mut Vec<usize>, column: usize) -> usize {
    let known = columns.iter().position(|known| *known == column);
    known.unwrap_or_else(|| {
        columns.push(column);
        columns.len() - 1
    })
}

fn boolean(passed: ArrayRef) -> Result<BooleanArray> {
    let passed = passed.as_any().downcast_ref::<BooleanArray>();
    let passed = passed.ok_or_else(|| internal_datafusion_err!("a predicate that is not boolean"))?;
    Ok(if passed.null_count() == 0 {
        passed.clone()
    } else {
        prep_null_mask_filter(passed)
    })
}

/// When a conjunct is tested. What may fail comes last, where the other conjuncts protect it as they do in SQL that
/// people write.
fn turn_of(conjunct: &Arc<dyn PhysicalExpr>, table: &Schema) -> u8 {
    let is_fixed = |column: &ColumnExpr| table.field(column.index()).data_type().is_primitive();
    if !never_fails(conjunct) {
        2
    } else if collect_columns(conjunct).iter().all(is_fixed) {
        0
    } else {
        1
    }
}

fn never_fails(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let known = match expr.downcast_ref::<BinaryExpr>() {
        Some(binary) => matches!(
            binary.op(),
            Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
                | Operator::IsDistinctFrom
                | Operator::IsNotDistinctFrom
                | Operator::And
                | Operator::Or
        ),
        None => {
            expr.downcast_ref::<ColumnExpr>().is_some()
                || expr.downcast_ref::<Literal>().is_some()
                || expr.downcast_ref::<InListExpr>().is_some()
                || expr.downcast_ref::<IsNullExpr>().is_some()
                || expr.downcast_ref::<IsNotNullExpr>().is_some()
                || expr.downcast_ref::<NotExpr>().is_some()
                || expr.downcast_ref::<LikeExpr>().is_some()
        }
    };
    known && expr.children().into_iter().all(never_fails)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};
    use datafusion::arrow::datatypes::{DataType, Field};
    use datafusion::physical_expr::expressions::{binary, col, lit};

    /// Columns `t` = the number as a text, `n` = 0..100 with every seventh unknown.
    fn rows() -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("t", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
        ]);
        let numbers = Int64Array::from_iter((0..100).map(|number| (number % 7 != 0).then_some(number)));
        let texts = StringArray::from_iter_values((0..100).map(|number| number.to_string()));
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(texts), Arc::new(numbers)]).unwrap()
    }

    fn compare<T: datafusion::logical_expr::Literal>(
        rows: &RecordBatch,
        column: &str,
        op: Operator,
        value: T,
    ) -> Arc<dyn PhysicalExpr> {
        binary(
            col(column, &rows.schema()).unwrap(),
            op,
            lit(value),
            &rows.schema(),
        )
        .unwrap()
    }

    fn passing(rows: &RecordBatch, predicate: &Arc<dyn PhysicalExpr>) -> (usize, Vec<bool>) {
        let test = Test::new(predicate, &rows.schema()).unwrap();
        let columns = test.columns.iter().map(|place| Column::pack(rows.column(*place)));
        let columns: Vec<Column> = columns.collect::<Result<_>>().unwrap();
        let passing = test.passing(&columns, rows.num_rows(), None).unwrap();
        let whole = passing.unpacked.iter().map(Option::is_some).collect();
        (passing.rows.count(), whole)
    }

    #[test]
    fn texts_are_unpacked_for_the_rows_that_are_left() {
        let rows = rows();
        let text = compare(&rows, "t", Operator::NotEq, "99");
        let few = compare(&rows, "n", Operator::GtEq, 90i64);
        assert_eq!(
            passing(&rows, &conjunction([text.clone(), few])),
            (7, vec![true, false])
        );
        let many = compare(&rows, "n", Operator::GtEq, 10i64);
        assert_eq!(passing(&rows, &conjunction([text, many])), (76, vec![true, true]));
    }

    #[test]
    fn what_may_fail_is_tested_where_the_rest_is_true() {
        let rows = rows();
        let schema = rows.schema();
        let minus = binary(col("n", &schema).unwrap(), Operator::Minus, lit(50i64), &schema).unwrap();
        let share = binary(lit(100i64), Operator::Divide, minus, &schema).unwrap();
        let fails = binary(share, Operator::Gt, lit(20i64), &schema).unwrap();
        let protects = compare(&rows, "n", Operator::Gt, 50i64);
        // 51, 52, 53, 54 of 51..=100; 49 is unknown.
        assert_eq!(passing(&rows, &conjunction([fails, protects])).0, 4);
    }
}
