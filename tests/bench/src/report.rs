//! Figures, and how they are printed.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::machine;
use crate::rounds::Samples;

/// One figure.
#[derive(Debug)]
pub(crate) struct Figure {
    bench: String,
    value: f64,
    unit: &'static str,
    spread: String,
    against: Option<String>,
    ratio: Option<f64>,
    goal: Option<String>,
    met: Option<bool>,
}

impl Figure {
    /// The median of some rounds, with its spread.
    pub(crate) fn of(bench: &str, samples: &Samples, unit: &'static str) -> Self {
        let spread = format!("{} – {} in {}", short(samples.least()), short(samples.most()), samples.len());
        Self { spread, ..Self::exactly(bench, samples.median(), unit) }
    }

    /// A value that is the same every time.
    pub(crate) fn exactly(bench: &str, value: f64, unit: &'static str) -> Self {
        let (bench, spread) = (bench.to_owned(), String::new());
        Self { bench, value, unit, spread, against: None, ratio: None, goal: None, met: None }
    }

    /// What it is compared with, and the ratio to it.
    pub(crate) fn against(mut self, what: &str, ratio: impl Into<Option<f64>>) -> Self {
        self.against = Some(what.to_owned());
        self.ratio = ratio.into();
        self
    }

    /// The value shall be at most this.
    pub(crate) fn at_most(mut self, most: f64) -> Self {
        self.goal = Some(format!("≤ {} {}", short(most), self.unit));
        self.met = Some(self.value <= most);
        self
    }

    /// The ratio shall be at least this.
    pub(crate) fn ratio_at_least(mut self, least: f64) -> Self {
        self.goal = Some(format!("ratio ≥ {least}"));
        self.met = self.ratio.map(|ratio| ratio >= least);
        self
    }

    fn json(&self) -> Value {
        json!({
            "bench": self.bench,
            "value": rounded(self.value),
            "unit": self.unit,
            "against": self.against,
            "ratio": self.ratio.map(rounded),
            "goal": self.goal,
            "met": self.met,
        })
    }

    fn cells(&self) -> [String; 7] {
        let met = self.met.map_or("", |met| if met { "met" } else { "NOT MET" });
        [
            self.bench.clone(),
            format!("{} {}", short(self.value), self.unit),
            self.spread.clone(),
            self.against.clone().unwrap_or_default(),
            self.ratio.map(short).unwrap_or_default(),
            self.goal.clone().unwrap_or_default(),
            met.to_owned(),
        ]
    }
}

/// All figures of one run.
pub(crate) struct Report {
    json: bool,
    figures: Vec<Figure>,
    remarks: Vec<String>,
    bar: ProgressBar,
}

impl Report {
    pub(crate) fn new(json: bool, benches: usize) -> Self {
        let bar = ProgressBar::new(benches as u64);
        let style = ProgressStyle::with_template("{spinner} [{pos}/{len}] {elapsed} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { json, figures: Vec::new(), remarks: Vec::new(), bar }
    }

    /// Tells who waits which bench runs now.
    pub(crate) fn begin(&self, bench: &str) {
        if !self.figures.is_empty() || self.bar.position() > 0 {
            self.bar.inc(1);
        }
        self.bar.set_message(bench.to_owned());
    }

    /// Tells who waits how far it is.
    pub(crate) fn doing(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
    }

    /// Adds what has to be known to read the figures.
    pub(crate) fn remark(&mut self, remark: String) {
        self.remarks.push(remark);
    }

    /// Adds a figure; as JSON it is printed at once.
    pub(crate) fn add(&mut self, figure: Figure) {
        if self.json {
            self.bar.suspend(|| println!("{}", figure.json()));
        }
        self.figures.push(figure);
    }

    /// Tells that a bench could not be run.
    pub(crate) fn broken(&self, bench: &str, error: &anyhow::Error) {
        self.bar.suspend(|| eprintln!("error: {bench} could not be measured: {error:#}"));
    }

    /// Prints what is left to print, and answers how many goals were missed.
    pub(crate) fn finish(self) -> usize {
        self.bar.finish_and_clear();
        for remark in &self.remarks {
            eprintln!("note: {remark}");
        }
        let missed = self.figures.iter().filter(|figure| figure.met == Some(false)).count();
        if !self.json && !self.figures.is_empty() {
            let head = ["bench", "value", "least – most in rounds", "against", "ratio", "goal", ""];
            print(head.map(str::to_owned), &self.figures.iter().map(Figure::cells).collect::<Vec<_>>());
            println!();
            println!("Medians of rounds that took turns. {}", machine::description());
            match missed {
                0 => println!("Every goal was met."),
                1 => println!("1 goal was not met; docs/performance.md says what the limit is."),
                _ => println!("{missed} goals were not met; docs/performance.md says what the limits are."),
            }
        }
        missed
    }
}

fn print(head: [String; 7], rows: &[[String; 7]]) {
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let rule = widths.map(|width| "-".repeat(width));
    for row in [&head, &rule].into_iter().chain(rows) {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

/// Three significant digits, as people read them.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        at if at >= 100.0 => {
            let digits = format!("{value:.0}");
            let grouped: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
            grouped.join(",").replace("-,", "-")
        }
        at if at >= 10.0 => format!("{value:.1}"),
        at if at >= 1.0 => format!("{value:.2}"),
        at if at > 0.0 => format!("{value:.3}"),
        _ => "0".to_owned(),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_says_so_in_both_forms() {
        let samples = Samples::from_iter([60.0, 40.0, 52.0]);
        let figure = Figure::of("call-overhead", &samples, "µs").at_most(50.0);
        assert_eq!(figure.json()["met"], false);
        assert_eq!(figure.json()["value"], 52.0);
        assert_eq!(figure.cells()[6], "NOT MET");
        let figure = Figure::exactly("x", 10.0, "µs").against("native", 0.12).ratio_at_least(0.1);
        assert_eq!(figure.json()["met"], true);
        assert_eq!(figure.json()["goal"], "ratio ≥ 0.1");
    }

    #[test]
    fn a_figure_without_a_goal_is_neither_met_nor_missed() {
        assert_eq!(Figure::exactly("x", 1.0, "s").json()["met"], Value::Null);
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(short(1_064_802.0), "1,064,802");
        assert_eq!(short(-1234.0), "-1,234");
        assert_eq!(short(-123.0), "-123");
        assert_eq!(short(52.44), "52.4");
        assert_eq!(short(0.1234), "0.123");
    }
}
