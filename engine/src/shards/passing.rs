//! Which rows of a piece of a shard pass a predicate.
//!
//! The conjuncts of a predicate are tested in [`Step`]s: those over columns of fixed width first, for these cost next
//! to nothing to unpack, then those over texts, then what calls functions. A step over one column asks about its values
//! instead of its rows where these are fewer (see [`Answers`]). As soon as few rows are left, the other steps unpack and
//! test those only.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::{FilterBuilder, and, prep_null_mask_filter};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{ScalarValue, internal_datafusion_err};
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column as ColumnExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{conjunction, split_conjunction};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_expr_common::utils::scatter;
use datafusion::physical_plan::PhysicalExpr;

use super::packed::{Answers, Column, Domain};
use super::shard::{About, batch_of};

/// A predicate over those columns of a shard that it needs.
pub(super) struct Test {
    /// By their place in the table.
    pub(super) columns: Vec<usize>,
    steps: Vec<Step>,
    /// Values of integers that may still be asked about.
    pub(super) budget: usize,
}

/// The rows that passed a test.
pub(super) struct Passing {
    pub(super) rows: BooleanArray,
    /// Those columns of the test, by their place in it, that were unpacked for all rows.
    pub(super) unpacked: Vec<Option<ArrayRef>>,
}

impl Test {
    /// A test that every row passes.
    pub(super) fn nothing(budget: usize) -> Self {
        Self {
            columns: Vec::new(),
            steps: Vec::new(),
            budget,
        }
    }

    /// True if every row passes.
    pub(super) fn is_nothing(&self) -> bool {
        self.steps.is_empty()
    }

    /// A test of rows of a shard, which asks about no more than `budget` values of integers in all.
    pub(super) fn new(predicate: &Arc<dyn PhysicalExpr>, about: &About, budget: usize) -> Result<Self> {
        let is_needed = |conjunct: &&Arc<dyn PhysicalExpr>| !is_true(conjunct);
        let conjuncts = split_conjunction(predicate).into_iter().filter(is_needed);
        let mut conjuncts: Vec<(Turn, &Arc<dyn PhysicalExpr>)> = conjuncts
            .map(|conjunct| (Turn::of(conjunct, &about.schema), conjunct))
            .collect();
        conjuncts.sort_by_key(|(turn, _)| turn.place());
        let mut columns = Vec::new();
        let steps = conjuncts
            .chunk_by(|(one, _), (next, _)| one == next)
            .map(|together| conjunction(together.iter().map(|(_, conjunct)| Arc::clone(conjunct))))
            .map(|together| Step::new(together, about, &mut columns))
            .collect::<Result<_>>()?;
        Ok(Self {
            columns,
            steps,
            budget,
        })
    }

    /// Tests `rows` rows, or those of them that are alive; `packed` are the columns of the test.
    pub(super) fn passing(
        &mut self,
        packed: &[Column],
        rows: usize,
        alive: Option<BooleanArray>,
    ) -> Result<Passing> {
        let mut unpacked: Vec<Option<ArrayRef>> = vec![None; packed.len()];
        let all = || BooleanArray::new(BooleanBuffer::new_set(rows), None);
        let mut passed = alive.unwrap_or_else(all);
        for step in &mut self.steps {
            let left = passed.true_count();
            if left == 0 {
                break;
            }
            let looked_up = match step.columns.as_slice() {
                [column] => step.looked_up(&packed[*column], rows, &mut self.budget),
                _ => None,
            };
            passed = if let Some(looked_up) = looked_up {
                and(&passed, &looked_up)?
            } else if left * 2 > rows {
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
        Ok(Passing {
            rows: passed,
            unpacked,
        })
    }
}

/// Conjuncts that are tested together.
struct Step {
    predicate: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    /// By their place in the test.
    columns: Vec<usize>,
    /// It can be asked about values.
    has_answers: bool,
    /// Least and greatest value of its only column, until that is asked about them.
    bounds: Option<ArrayRef>,
    answers: Option<Answers>,
}

impl Step {
    /// Points the columns of a predicate over a table to their places among those that it needs, and adds these to
    /// the columns of the test.
    fn new(predicate: Arc<dyn PhysicalExpr>, about: &About, of_test: &mut Vec<usize>) -> Result<Self> {
        let has_answers = !is_volatile(&predicate);
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
            schema: Arc::new(about.schema.project(&needed)?),
            has_answers,
            bounds: match needed.as_slice() {
                [column] => bounds(about, *column),
                _ => None,
            },
            answers: None,
            columns: needed
                .into_iter()
                .map(|column| place_in(of_test, column))
                .collect(),
        })
    }

    /// Which rows of its only column pass, if its values were asked about or are now.
    fn looked_up(&mut self, column: &Column, rows: usize, budget: &mut usize) -> Option<BooleanArray> {
        let known = self.answers.as_ref().and_then(|answers| column.look_up(answers));
        if known.is_some() || !self.has_answers {
            return known;
        }
        let domain = if column.has_few_words(rows) {
            Domain::of_words(column)
        } else if column.has_distances()
            && let Some(bounds) = self.bounds.take()
        {
            let domain = Domain::between(&bounds, *budget);
            if let Ok(Some(domain)) = &domain {
                *budget = budget.saturating_sub(domain.len());
            }
            domain
        } else {
            Ok(None)
        };
        let domain = domain.ok().flatten()?;
        let passes = self.test(vec![domain.values.clone()], domain.len());
        // It may fail for a value that no row has.
        self.has_answers = passes.is_ok();
        let answers = self.answers.insert(domain.answered(&passes.ok()?));
        column.look_up(answers)
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

/// Least and greatest value of a column of a shard, as far as they are known.
fn bounds(about: &About, column: usize) -> Option<ArrayRef> {
    if !about.schema.field(column).data_type().is_primitive() {
        return None;
    }
    let of_batches = about
        .statistics
        .iter()
        .map(|batch| &batch.column_statistics[column]);
    let of_batches = of_batches.map(|known| (known.min_value.clone(), known.max_value.clone()));
    let (least, greatest) = of_batches.reduce(|one, next| (one.0.min(&next.0), one.1.max(&next.1)))?;
    let bounds = [least.get_value()?.clone(), greatest.get_value()?.clone()];
    ScalarValue::iter_to_array(bounds).ok()
}

fn is_true(conjunct: &Arc<dyn PhysicalExpr>) -> bool {
    let literal = conjunct.downcast_ref::<Literal>();
    literal.is_some_and(|literal| *literal.value() == ScalarValue::Boolean(Some(true)))
}

/// When a conjunct is tested. Those with the same turn are tested together.
#[derive(PartialEq)]
struct Turn {
    rank: u8,
    /// The only column.
    column: Option<usize>,
}

impl Turn {
    fn of(conjunct: &Arc<dyn PhysicalExpr>, table: &Schema) -> Self {
        let columns = collect_columns(conjunct);
        let is_fixed = |column: &ColumnExpr| table.field(column.index()).data_type().is_primitive();
        Self {
            rank: if !never_fails(conjunct) {
                2
            } else if columns.iter().all(is_fixed) {
                0
            } else {
                1
            },
            column: columns
                .iter()
                .next()
                .filter(|_| columns.len() == 1)
                .map(ColumnExpr::index),
        }
    }

    /// What may fail comes last, and as it was written: there the other conjuncts protect it, as they do in SQL that people
    /// write.
    fn place(&self) -> (u8, bool, usize) {
        let column = self.column.filter(|_| self.rank < 2);
        (
            self.rank,
            self.rank < 2 && column.is_none(),
            column.unwrap_or_default(),
        )
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
    use crate::shards::ShardStore;
    use crate::shards::shard::Shard;
    use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};
    use datafusion::arrow::datatypes::{DataType, Field};
    use datafusion::execution::memory_pool::UnboundedMemoryPool;
    use datafusion::physical_expr::expressions::{binary, col, in_list, is_not_null, is_null, lit};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

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

    /// Rows that pass, and which columns were unpacked for all of them, with this budget.
    fn passing(rows: &RecordBatch, predicate: &Arc<dyn PhysicalExpr>, budget: usize) -> (usize, Vec<bool>) {
        let shard = shard(rows);
        let mut test = Test::new(predicate, shard.about(), budget).unwrap();
        let columns = shard.columns(0, &test.columns).unwrap();
        let count = rows.num_rows();
        let passing = test.passing(&columns, count, None).unwrap();
        let whole = passing.unpacked.iter().map(Option::is_some).collect();
        (passing.rows.true_count(), whole)
    }

    fn shard(rows: &RecordBatch) -> Arc<Shard> {
        let store = ShardStore::new(Arc::new(UnboundedMemoryPool::default()), usize::MAX);
        let mut writer = store.start("t", "w", rows.schema());
        writer.push(rows.clone()).unwrap();
        writer.finish().unwrap().unwrap()
    }

    #[test]
    fn texts_are_unpacked_for_the_rows_that_are_left() {
        let rows = rows();
        let text = compare(&rows, "t", Operator::NotEq, "99");
        let few = compare(&rows, "n", Operator::GtEq, 90i64);
        assert_eq!(
            passing(&rows, &conjunction([text.clone(), few]), 0),
            (7, vec![true, false])
        );
        let many = compare(&rows, "n", Operator::GtEq, 10i64);
        let both = conjunction([text, many]);
        assert_eq!(passing(&rows, &both, 0), (76, vec![true, true]));
        // 99 numbers, and null.
        assert_eq!(passing(&rows, &both, 98), (76, vec![true, true]));
        assert_eq!(passing(&rows, &both, 99), (76, vec![false, true]));
    }

    #[test]
    fn what_may_fail_is_tested_where_the_rest_is_true() {
        let rows = rows();
        let schema = rows.schema();
        let minus = binary(col("n", &schema).unwrap(), Operator::Minus, lit(50i64), &schema).unwrap();
        let share = binary(lit(100i64), Operator::Divide, minus, &schema).unwrap();
        let fails = binary(share, Operator::Gt, lit(20i64), &schema).unwrap();
        let protects = compare(&rows, "n", Operator::Gt, 50i64);
        for budget in [0, 1_000] {
            // 51, 52, 53, 54 of 51..=100; 49 is unknown.
            let both = conjunction([fails.clone(), protects.clone()]);
            assert_eq!(passing(&rows, &both, budget).0, 4);
        }
    }

    #[test]
    fn a_text_that_repeats_is_asked_about_once() {
        let schema = Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8, true)]));
        let words = ["a", "b", "cc"].into_iter().map(Some).chain([None]);
        let texts = StringArray::from_iter(words.cycle().take(4_000));
        let rows = RecordBatch::try_new(schema.clone(), vec![Arc::new(texts)]).unwrap();
        let t = || col("t", &schema).unwrap();
        let cases: [(Arc<dyn PhysicalExpr>, usize); 4] = [
            (compare(&rows, "t", Operator::GtEq, "b"), 2_000),
            (is_null(t()).unwrap(), 1_000),
            (is_not_null(t()).unwrap(), 3_000),
            (
                in_list(t(), vec![lit("a"), lit("x")], &true, &schema).unwrap(),
                2_000,
            ),
        ];
        for (predicate, wanted) in cases {
            assert_eq!(
                passing(&rows, &predicate, 0),
                (wanted, vec![false]),
                "{predicate}"
            );
        }
    }

    /// Numbers that are near each other and words, with nulls, and a predicate over each.
    fn columns() -> impl Strategy<Value = (RecordBatch, i64, i64)> {
        let number = option::weighted(0.9, -40..40i64);
        let rows = vec((number, option::weighted(0.9, 0..5usize)), 1..600);
        (rows, any::<i64>(), -50..50i64, -50..50i64).prop_map(|(rows, base, one, other)| {
            let base = base.clamp(i64::MIN + 100, i64::MAX - 100);
            let numbers = rows.iter().map(|(number, _)| number.map(|number| base + number));
            let words = ["", "one", "two", "three and more than twelve bytes", "日本"];
            let texts = rows.iter().map(|(_, word)| word.map(|word| words[word]));
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("n", Arc::new(Int64Array::from_iter(numbers))),
                ("t", Arc::new(StringArray::from_iter(texts))),
            ];
            (
                RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
                    .unwrap(),
                base + one,
                base + other,
            )
        })
    }

    proptest! {
        #[test]
        fn values_say_what_rows_say((rows, one, other) in columns(), budget in prop_oneof![Just(0usize), Just(1_000)]) {
            let schema = rows.schema();
            let (n, t) = (col("n", &schema).unwrap(), col("t", &schema).unwrap());
            let or = |a, b| binary(a, Operator::Or, b, &schema).unwrap();
            let conjuncts: Vec<Arc<dyn PhysicalExpr>> = vec![
                compare(&rows, "n", Operator::Lt, one),
                or(compare(&rows, "n", Operator::NotEq, other), is_null(n.clone()).unwrap()),
                in_list(n.clone(), vec![lit(one), lit(other), lit(ScalarValue::Int64(None))], &true, &schema).unwrap(),
                compare(&rows, "t", Operator::Gt, "one"),
                or(compare(&rows, "t", Operator::Eq, ""), is_null(t).unwrap()),
                or(compare(&rows, "t", Operator::Eq, "two"), compare(&rows, "n", Operator::Gt, other)),
            ];
            for conjuncts in conjuncts.chunks(1).chain(conjuncts.windows(2)).chain(conjuncts.windows(3)) {
                let predicate = conjunction(conjuncts.iter().cloned());
                let wanted = predicate.evaluate(&rows).unwrap().into_array(rows.num_rows()).unwrap();
                let wanted = boolean(wanted).unwrap().true_count();
                prop_assert_eq!(passing(&rows, &predicate, budget).0, wanted, "{}", predicate);
            }
        }
    }
}
