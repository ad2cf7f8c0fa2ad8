//! Priorities: which requests are refused first when there is too much to do.

use serde::{Deserialize, Serialize};

/// How long requests are let in while the process comes to have too much to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Priority {
    /// Refused first: what can be done later.
    Low,
    /// Refused when those of low priority alone are not enough.
    #[default]
    Normal,
    /// Refused last.
    High,
}

impl Priority {
    /// All of them, the one that is refused first in front.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// Up to which part of the most requests, of a hundred, one of this priority is let in.
    pub fn percent(self) -> u8 {
        match self {
            Self::Low => 80,
            Self::Normal => 90,
            Self::High => 100,
        }
    }

    /// What it is called in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}
