//! What was measured, and whether it is what it should be. Pure.

use serde_json::{Value, json};

/// Measurements of one thing, in one unit.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// One more.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// Of a hundred, one is slower; of fewer, it is the slowest.
    pub fn p99(&self) -> f64 {
        self.at(0.99)
    }

    /// The largest.
    pub fn most(&self) -> f64 {
        self.at(1.0)
    }

    /// The nearest-rank quantile; not a number where there is nothing.
    fn at(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among a few thousand"
        )]
        let rank = (part * sorted.len() as f64).ceil() as usize;
        sorted
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or(f64::NAN)
    }
}

impl From<Vec<f64>> for Samples {
    fn from(values: Vec<f64>) -> Self {
        Self(values)
    }
}

/// What stands beside it, measured in the same run.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Peer {
    pub name: String,
    pub samples: Samples,
}

/// What the median should be, or all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// Not one of them more than this.
    NeverMore(f64),
    /// No more than so many times the peer's median.
    AtMostOfPeer(f64),
    /// No less than so many times the peer's median.
    AtLeastOfPeer(f64),
    /// Reported, and held to nothing.
    None,
}

/// One line of the table.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Row {
    pub what: String,
    /// `ms`, `B`, `MB`, `MB/s`, `blobs`
    pub unit: &'static str,
    pub samples: Samples,
    pub peer: Option<Peer>,
    pub goal: Goal,
}

impl Row {
    /// Whether the goal is met; nothing where there is none.
    pub fn is_met(&self) -> Option<bool> {
        let ours = self.samples.median();
        let peers = self.peer.as_ref().map(|peer| peer.samples.median());
        match self.goal {
            Goal::None => None,
            Goal::AtMost(limit) => Some(ours <= limit),
            Goal::NeverMore(limit) => Some(self.samples.most() <= limit),
            Goal::AtMostOfPeer(factor) => peers.map(|peers| ours <= factor * peers),
            Goal::AtLeastOfPeer(factor) => peers.map(|peers| ours >= factor * peers),
        }
    }

    /// `ok`, `over`, or nothing.
    pub fn verdict(&self) -> &'static str {
        match self.is_met() {
            None => "",
            Some(true) => "ok",
            Some(false) => "over",
        }
    }

    /// The goal in words.
    pub fn goal(&self) -> String {
        match self.goal {
            Goal::None => String::new(),
            Goal::AtMost(limit) => format!("<= {limit} {}", self.unit),
            Goal::NeverMore(limit) => format!("each <= {limit} {}", self.unit),
            Goal::AtMostOfPeer(factor) => format!("<= {factor}x"),
            Goal::AtLeastOfPeer(factor) => format!(">= {factor}x"),
        }
    }

    /// For bench.json.
    pub fn json(&self) -> Value {
        let figures = |samples: &Samples| json!({"median": samples.median(), "p99": samples.p99(), "count": samples.count()});
        json!({
            "what": self.what,
            "unit": self.unit,
            "measured": figures(&self.samples),
            "peer": self.peer.as_ref().map(|peer| json!({"name": peer.name, "measured": figures(&peer.samples)})),
            "goal": self.goal(),
            "met": self.is_met(),
        })
    }
}

/// The table, aligned.
pub fn table(rows: &[Row]) -> String {
    let number = |value: f64, unit: &str| {
        let digits = if value.abs() < 10.0 { 3 } else { 1 };
        format!("{value:.digits$} {unit}")
    };
    let head = [
        "WHAT", "MEDIAN", "P99", "N", "BESIDE", "MEDIAN", "P99", "RATIO", "GOAL", "",
    ];
    let mut lines = vec![head.map(str::to_string)];
    for row in rows {
        let (ours, unit) = (&row.samples, row.unit);
        let mut cells = [
            row.what.clone(),
            number(ours.median(), unit),
            number(ours.p99(), unit),
            ours.count().to_string(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            row.goal(),
            row.verdict().to_string(),
        ];
        if let Some(peer) = &row.peer {
            cells[4].clone_from(&peer.name);
            cells[5] = number(peer.samples.median(), unit);
            cells[6] = number(peer.samples.p99(), unit);
            cells[7] = format!("{:.2}x", ours.median() / peer.samples.median());
        }
        lines.push(cells);
    }
    aligned(&lines)
}

fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |column: usize| {
        lines
            .iter()
            .map(|cells| cells[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let mut text = String::new();
    for cells in lines {
        let line: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:<0$}", width(column)))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(goal: Goal, ours: f64, peer: f64) -> Row {
        Row {
            what: "a thing".into(),
            unit: "ms",
            samples: vec![ours].into(),
            peer: Some(Peer {
                name: "git".into(),
                samples: vec![peer].into(),
            }),
            goal,
        }
    }

    #[test]
    fn the_median_and_the_p99_are_values_that_were_measured() {
        let samples: Samples = (1..=200).map(f64::from).collect::<Vec<_>>().into();
        assert!((samples.median() - 100.0).abs() < f64::EPSILON);
        assert!((samples.p99() - 198.0).abs() < f64::EPSILON);
        let few: Samples = vec![3.0, 1.0, 2.0].into();
        assert!((few.p99() - 3.0).abs() < f64::EPSILON);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn a_goal_is_held_against_the_peer_of_the_same_run() {
        assert_eq!(row(Goal::AtMostOfPeer(0.5), 5.0, 10.0).is_met(), Some(true));
        assert_eq!(
            row(Goal::AtMostOfPeer(0.5), 5.1, 10.0).is_met(),
            Some(false)
        );
        assert_eq!(
            row(Goal::AtLeastOfPeer(0.9), 8.9, 10.0).is_met(),
            Some(false)
        );
        assert_eq!(row(Goal::AtMost(4.0), 5.0, 10.0).verdict(), "over");
        let mut seldom = row(Goal::NeverMore(0.0), 0.0, 10.0);
        assert_eq!(seldom.verdict(), "ok");
        seldom.samples = vec![0.0, 0.0, 1.0, 0.0].into();
        assert_eq!(seldom.verdict(), "over", "one is one too many");
        assert_eq!(row(Goal::None, 5.0, 10.0).verdict(), "");
    }

    #[test]
    fn what_could_not_be_measured_does_not_meet_its_goal() {
        assert_eq!(row(Goal::AtMost(4.0), f64::NAN, 1.0).is_met(), Some(false));
    }
}
