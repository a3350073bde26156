//! The pictures, as SVG.

use std::io;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::look::{Correlations, Look, Shape};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

const INK: RGBColor = RGBColor(58, 66, 77);
const BAR: RGBColor = RGBColor(62, 124, 177);
const MISSING: RGBColor = RGBColor(214, 110, 66);
const FRAME: RGBColor = RGBColor(214, 218, 224);
const NEGATIVE: RGBColor = RGBColor(178, 60, 52);

/// Height of a line of text, in pixels.
const LINE: i32 = 15;
/// Letters of a label that are shown.
const LABEL_MAX: usize = 22;

/// A distribution.
pub(super) fn shape(shape: &Shape) -> io::Result<String> {
    match shape {
        Shape::Bins { low, high, counts } => svg(300, 96, |area| bins(area, low, high, counts)),
        Shape::Values { top, others } => {
            let mut bars: Vec<(String, u64)> = top.clone();
            if *others > 0 {
                bars.push(("all others".to_owned(), *others));
            }
            let height = LINE as u32 * bars.len() as u32 + 4;
            svg(300, height, |area| bars_of(area, &bars, 130, 166, BAR))
        }
        Shape::Nothing => svg(300, 20, |area| area.draw(&label("no values", (2, 4), HPos::Left))),
    }
}

/// Rows without a value, for the columns that have such.
pub(super) fn missing(look: &Look) -> io::Result<Option<String>> {
    let columns = look.columns.iter().filter(|column| column.missing > 0);
    let bars: Vec<(String, u64)> = columns
        .map(|column| (column.name.clone(), column.missing))
        .collect();
    if bars.is_empty() {
        return Ok(None);
    }
    let height = LINE as u32 * bars.len() as u32 + 4;
    svg(420, height, |area| bars_of(area, &bars, 170, 246, MISSING)).map(Some)
}

/// A square of coefficients: blue is positive, red is negative.
pub(super) fn correlations(of: &Correlations) -> io::Result<Option<String>> {
    let (cell, margin) = (20, 150);
    let size = margin + cell * of.names.len() as i32;
    if of.names.len() < 2 {
        return Ok(None);
    }
    let picture = svg(size as u32 + 30, size as u32 + 4, |area| {
        for (row, values) in of.values.iter().enumerate() {
            let y = 4 + cell * row as i32;
            area.draw(&label(&short(&of.names[row]), (margin - 6, y + 4), HPos::Right))?;
            for (column, value) in values.iter().enumerate() {
                let x = margin + cell * column as i32;
                let corners = [(x, y), (x + cell - 1, y + cell - 1)];
                let filled = match value {
                    Some(value) if *value < 0.0 => NEGATIVE.mix(-value).filled(),
                    Some(value) => BAR.mix(*value).filled(),
                    None => FRAME.filled(),
                };
                area.draw(&Rectangle::new(corners, filled))?;
            }
        }
        for (column, name) in of.names.iter().enumerate() {
            let x = margin + cell * column as i32 + 4;
            let style = style(HPos::Left).transform(FontTransform::Rotate90);
            area.draw(&Text::new(
                short(name),
                (x + LINE - 4, cell * of.names.len() as i32 + 10),
                style,
            ))?;
        }
        Ok(())
    });
    picture.map(Some)
}

fn svg(width: u32, height: u32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> io::Result<String> {
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, (width, height)).into_drawing_area();
        draw(&area)
            .and_then(|()| area.present())
            .map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(picture)
}

fn bins(area: &Area<'_>, low: &str, high: &str, counts: &[u64]) -> Drawn {
    let (width, height) = (296, 74);
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let step = f64::from(width) / counts.len().max(1) as f64;
    area.draw(&PathElement::new(vec![(2, height), (2 + width, height)], FRAME))?;
    for (number, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let left = 2 + (step * number as f64) as i32;
        let right = 2 + (step * (number + 1) as f64) as i32 - 1;
        let top = height - length(*count, most, height - 4);
        area.draw(&Rectangle::new([(left, top), (right, height)], BAR.filled()))?;
    }
    area.draw(&label(&short(low), (2, height + 5), HPos::Left))?;
    area.draw(&label(&short(high), (2 + width, height + 5), HPos::Right))
}

/// Bars to the right, each with its label and its rows.
fn bars_of(area: &Area<'_>, bars: &[(String, u64)], margin: i32, width: i32, color: RGBColor) -> Drawn {
    let most = bars.iter().map(|(_, rows)| *rows).max().unwrap_or(0).max(1);
    // Room for the number behind the longest bar.
    let room = width - 60;
    for (number, (name, rows)) in bars.iter().enumerate() {
        let y = 2 + LINE * number as i32;
        area.draw(&label(&short(name), (margin - 6, y + 2), HPos::Right))?;
        let end = margin + length(*rows, most, room);
        area.draw(&Rectangle::new(
            [(margin, y + 2), (end, y + LINE - 2)],
            color.filled(),
        ))?;
        area.draw(&label(&rows.to_string(), (end + 5, y + 2), HPos::Left))?;
    }
    Ok(())
}

/// Pixels of a bar; what is there can be seen.
fn length(count: u64, most: u64, room: i32) -> i32 {
    ((count as f64 / most as f64 * f64::from(room)) as i32).max(1)
}

fn style(side: HPos) -> TextStyle<'static> {
    ("sans-serif", 12)
        .into_font()
        .color(&INK)
        .pos(Pos::new(side, VPos::Top))
}

fn label(text: &str, place: (i32, i32), side: HPos) -> Text<'static, (i32, i32), String> {
    Text::new(text.to_owned(), place, style(side))
}

fn short(text: &str) -> String {
    match text.chars().count() > LABEL_MAX {
        true => text.chars().take(LABEL_MAX - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}
