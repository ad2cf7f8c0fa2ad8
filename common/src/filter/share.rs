//! A share of all requests, in millionths, so that settings can be compared.

use serde::{Deserialize, Serialize};

/// A share of all requests, in millionths: 1 % is `Share(10_000)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Share(pub u32);

impl Share {
    /// Every request.
    pub const ALL: Self = Self(1_000_000);

    /// A percentage from 0 to 100, exact to four digits behind the point; `None` if it is anything else.
    pub fn from_percent(percent: f64) -> Option<Self> {
        (0.0..=100.0).contains(&percent).then(|| Self((percent * 10_000.0).round() as u32))
    }

    /// Whether a request with these random bits belongs to the share.
    pub fn holds(self, random: u32) -> bool {
        (u64::from(random) * 1_000_000) >> 32 < u64::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_becomes_millionths() {
        let rows = [
            (0.0, Some(0)),
            (0.0001, Some(1)),
            (1.0, Some(10_000)),
            (33.3333, Some(333_333)),
            (100.0, Some(1_000_000)),
            (100.1, None),
            (-1.0, None),
            (f64::NAN, None),
        ];
        for (percent, share) in rows {
            assert_eq!(Share::from_percent(percent), share.map(Share), "{percent}");
        }
    }

    #[test]
    fn a_share_holds_the_lowest_random_numbers() {
        let rows = [
            (Share(0), 0, false),
            (Share(1), 0, true),
            (Share(500_000), (1 << 31) - 1, true),
            (Share(500_000), 1 << 31, false),
            (Share(999_999), u32::MAX, false),
            (Share::ALL, u32::MAX, true),
        ];
        for (share, random, holds) in rows {
            assert_eq!(share.holds(random), holds, "{share:?} {random}");
        }
    }
}
