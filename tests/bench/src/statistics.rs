//! Statistics: medians, percentiles and ratios of what was measured.

/// The middle of some values; not a number if there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => f64::midpoint(values[length / 2 - 1], values[length / 2]),
    }
}

/// The value that this part of all sorted values does not exceed; 0 if there are none.
pub fn percentile(sorted: &[u64], part: f64) -> u64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).or(sorted.last()).copied().unwrap_or(0)
}

/// The median of the ratios within each round. What disturbs a machine for a while disturbs neighbours in a round
/// alike, so that it falls out.
pub fn ratio(values: &[f64], reference: &[f64]) -> f64 {
    median(values.iter().zip(reference).map(|(value, reference)| value / reference).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!(percentile(&values, 0.5), 100);
        assert_eq!(percentile(&values, 0.99), 198);
        assert_eq!(percentile(&values, 1.0), 200);
        assert_eq!(percentile(&values, 0.0), 1);
        assert_eq!(percentile(&[7], 0.99), 7);
        assert_eq!(percentile(&[], 0.99), 0);
    }

    #[test]
    fn a_ratio_compares_within_rounds() {
        // Twice as slow in each round, although the third round was slow for both.
        assert_eq!(ratio(&[2.0, 2.2, 20.0], &[1.0, 1.1, 10.0]), 2.0);
        assert_eq!(ratio(&[2.0], &[1.0, 1.0]), 2.0);
    }
}
