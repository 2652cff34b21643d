//! Measures both ways in turn, round after round, so that other load on the machine affects both alike.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

/// What to measure, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of counted rounds.
    pub rounds: u32,
    /// Whether to measure once with minimal sizes.
    pub is_smallest: bool,
    /// This program, which also runs as the measured servers.
    pub executable: PathBuf,
}

impl Plan {
    /// Selects the full or the minimal size.
    pub fn size<T>(&self, full: T, smallest: T) -> T {
        if self.is_smallest { smallest } else { full }
    }
}

/// One of the two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// This system.
    AsItIs,
    /// The naive way that its design rejects.
    Naive,
}

/// Result of one way in one round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Done {
    /// Number of completed items.
    pub n_items: u64,
    /// Cost of all items.
    pub cost: f64,
}

impl Done {
    /// Cost of one item.
    #[expect(clippy::cast_precision_loss, reason = "nothing is done 2^52 times")]
    pub fn cost_of_one(&self) -> f64 {
        self.cost / self.n_items.max(1) as f64
    }
}

/// Results of both ways, measured one right after the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Round {
    /// This system.
    pub as_it_is: Done,
    /// The naive way that its design rejects.
    pub naive: Done,
}

impl Round {
    /// Cost of the naive way divided by the cost of this system.
    pub fn ratio(&self) -> f64 {
        self.naive.cost_of_one() / self.as_it_is.cost_of_one()
    }
}

/// Unit of the cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Elapsed seconds.
    Seconds,
    /// Seconds of CPU time of the measured process.
    CpuSeconds,
    /// Memory in kB.
    Kilobytes,
}

/// A comparison of both ways, with its results.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Name of the benchmark.
    pub benchmark: &'static str,
    /// Sizes and conditions of this comparison.
    pub case: String,
    /// Unit of the costs.
    pub unit: Unit,
    /// The item that costs are given for, such as `event`.
    pub item: &'static str,
    /// Results of the counted rounds.
    pub rounds: Vec<Round>,
}

impl Comparison {
    /// Measures both ways in turn. The first round warms up and is not counted.
    pub async fn measure(
        mut self,
        plan: &Plan,
        mut measure: impl AsyncFnMut(Way) -> anyhow::Result<Done>,
    ) -> anyhow::Result<Self> {
        let warm_up = plan.size(1, 0);
        for n in 0..plan.size(plan.rounds, 1) + warm_up {
            // Progress is optional, so ignore a closed standard error.
            let _ = writeln!(std::io::stderr(), "{}, {}: round {n}", self.benchmark, self.case);
            // The ways alternate in being measured first.
            let round = if n % 2 == 0 {
                let as_it_is = measure(Way::AsItIs).await?;
                Round { as_it_is, naive: measure(Way::Naive).await? }
            } else {
                let naive = measure(Way::Naive).await?;
                Round { as_it_is: measure(Way::AsItIs).await?, naive }
            };
            if n >= warm_up {
                self.rounds.push(round);
            }
        }
        Ok(self)
    }
}

/// The median; the mean of the middle two for an even number of values. `None` for no values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::Way::{AsItIs, Naive};
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    #[test]
    fn the_ratio_compares_the_costs_of_one_item() {
        let as_it_is = Done { n_items: 10, cost: 1.0 };
        let naive = Done { n_items: 20, cost: 8.0 };
        assert!((Round { as_it_is, naive }.ratio() - 4.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn the_ways_alternate_and_the_first_round_is_not_counted() {
        let plan = Plan { rounds: 2, is_smallest: false, executable: PathBuf::new() };
        let comparison = Comparison {
            benchmark: "none",
            case: String::new(),
            unit: Unit::Seconds,
            item: "turn",
            rounds: vec![],
        };
        let mut turns = vec![];
        let measure = async |way| {
            turns.push(way);
            Ok(Done { n_items: 1, cost: f64::from(u32::try_from(turns.len())?) })
        };
        let rounds = comparison.measure(&plan, measure).await.unwrap().rounds;
        let costs: Vec<_> = rounds.iter().map(|round| (round.as_it_is.cost, round.naive.cost)).collect();
        assert_eq!(costs, [(4.0, 3.0), (5.0, 6.0)]);
        assert_eq!(turns, [AsItIs, Naive, Naive, AsItIs, AsItIs, Naive]);
    }
}
