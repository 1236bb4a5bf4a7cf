//! Whether a slice failed because somebody is down whom all of its items need.

/// How many times in a row a run waits for the bucket or the source before it lets the items of a slice fail.
pub const MAX_STALLS: u32 = 5;

/// Whether there is an outage: each item of a slice failed by one, and that has not happened too often.
pub fn is_stalled(outages: impl IntoIterator<Item = bool>, stalls: u32) -> bool {
    let mut failures = outages.into_iter().peekable();
    stalls < MAX_STALLS && failures.peek().is_some() && failures.all(|is_outage| is_outage)
}

/// How many items of a slice are written down, those in front of the first that an outage hit: the others are handled again, until
/// that hit the first one too often.
pub fn kept(outages: impl ExactSizeIterator<Item = bool>, stalls: u32) -> usize {
    let items = outages.len();
    if stalls < MAX_STALLS { outages.take_while(|is_outage| !is_outage).count() } else { items }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_of_outages_only_is_a_stall_until_there_were_too_many() {
        for stalls in 0..=MAX_STALLS + 1 {
            assert!(!is_stalled([], stalls));
            assert!(!is_stalled([true, false], stalls));
            assert!(!is_stalled([false], stalls));
            assert_eq!(is_stalled([true, true], stalls), stalls < MAX_STALLS);
        }
    }

    #[test]
    fn what_an_outage_hit_is_tried_again_until_it_was_too_often() {
        for (failures, expected) in [
            (&[][..], 0),
            (&[false], 1),
            (&[false, false], 2),
            (&[false, true, false], 1),
            (&[true, false], 0),
            (&[false, true, true], 1),
        ] {
            for stalls in 0..MAX_STALLS {
                assert_eq!(kept(failures.iter().copied(), stalls), expected, "{failures:?}");
            }
            assert_eq!(kept(failures.iter().copied(), MAX_STALLS), failures.len(), "{failures:?}");
        }
    }
}
