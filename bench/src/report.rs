//! Prints the results, as a table or as JSON.

use std::fmt::Write;

use serde::Serialize;
use serde_json::json;

use crate::compare::{Comparison, Done, Round, Unit, median};

/// The ratios of all rounds, summarized.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Ratio {
    median: f64,
    lowest: f64,
    highest: f64,
}

impl Ratio {
    fn of(rounds: &[Round]) -> Self {
        let ratios: Vec<f64> = rounds.iter().map(Round::ratio).collect();
        Self {
            median: median(ratios.iter().copied()).unwrap_or(f64::NAN),
            lowest: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            highest: ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// A table with a line per comparison.
pub fn table(comparisons: &[Comparison]) -> String {
    let head = ["benchmark", "case", "as it is", "naive", "ratio", "spread"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(comparisons.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let mut table = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            // Text is left-aligned, numbers are right-aligned. Writing to a string does not fail.
            let _ =
                if column < 2 { write!(line, "{cell:<width$}  ") } else { write!(line, "{cell:>width$}  ") };
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

fn row(comparison: &Comparison) -> [String; 6] {
    let Comparison { benchmark, case, unit, item, rounds } = comparison;
    let cost = |way: fn(&Round) -> &Done| {
        let cost = median(rounds.iter().map(|round| way(round).cost_of_one())).unwrap_or(f64::NAN);
        format!("{}/{item}", quantity(cost, *unit))
    };
    let Ratio { median, lowest, highest } = Ratio::of(rounds);
    [
        (*benchmark).to_owned(),
        case.clone(),
        cost(|round| &round.as_it_is),
        cost(|round| &round.naive),
        format!("{median:.2}×"),
        format!("{lowest:.2}–{highest:.2}"),
    ]
}

fn quantity(cost: f64, unit: Unit) -> String {
    let seconds = |unit: &str| {
        if cost >= 0.1 { format!("{cost:.2} {unit}") } else { format!("{:.1} µ{unit}", cost * 1e6) }
    };
    match unit {
        Unit::Seconds => seconds("s"),
        Unit::CpuSeconds => seconds("s CPU"),
        Unit::Kilobytes => format!("{cost:.1} kB"),
    }
}

/// All comparisons with every round.
pub fn json(comparisons: &[Comparison]) -> anyhow::Result<String> {
    let rows: Vec<_> = comparisons
        .iter()
        .map(|Comparison { benchmark, case, unit, item, rounds }| {
            let ratio = Ratio::of(rounds);
            json!({"benchmark": benchmark, "case": case, "unit": unit, "item": item, "ratio": ratio,
                   "rounds": rounds})
        })
        .collect();
    Ok(serde_json::to_string_pretty(&rows)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison() -> Comparison {
        let round = |as_it_is, naive| Round {
            as_it_is: Done { n_items: 10, cost: as_it_is },
            naive: Done { n_items: 10, cost: naive },
        };
        Comparison {
            benchmark: "ingress",
            case: "2 at once".to_owned(),
            unit: Unit::Seconds,
            item: "webhook",
            rounds: vec![round(0.001, 0.002), round(0.002, 0.008), round(0.001, 0.003)],
        }
    }

    #[test]
    fn a_line_has_the_medians_of_costs_and_ratios_and_the_spread() {
        let table = table(&[comparison()]);
        let cells: Vec<_> =
            table.lines().last().unwrap().split("  ").filter(|cell| !cell.is_empty()).collect();
        let cells: Vec<_> = cells.into_iter().map(str::trim).collect();
        assert_eq!(
            cells,
            ["ingress", "2 at once", "100.0 µs/webhook", "300.0 µs/webhook", "3.00×", "2.00–4.00"]
        );
    }

    #[test]
    fn the_json_has_every_round() {
        let rows: serde_json::Value = serde_json::from_str(&json(&[comparison()]).unwrap()).unwrap();
        assert_eq!(rows[0]["ratio"]["highest"], json!(4.0));
        assert_eq!(rows[0]["rounds"][1]["naive"]["n_items"], json!(10));
        assert_eq!(rows[0]["rounds"].as_array().unwrap().len(), 3);
    }
}
