//! The translation that follows changes says the same as one from nothing.

mod universe;

use proptest::prelude::*;
use selvedge_common::kube::translation::Reconciler;
use selvedge_router::translate::Tier;
use selvedge_tests::follower::{Follower, from_nothing};
use universe::{batches, events, settings};

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_events_leads_to_the_translation_from_nothing(
        settings in settings(),
        batches in batches(),
    ) {
        let mut reconciler = Reconciler::new(Tier::new(settings.clone()));
        let mut follower = Follower::default();
        for batch in &batches {
            let outcome = reconciler.apply(events(batch));
            follower.apply(&outcome);
            follower.check(&reconciler);
            let fresh = from_nothing(Tier::new(settings.clone()), &reconciler);
            prop_assert_eq!(fresh.snapshot(), reconciler.snapshot());
            prop_assert_eq!(fresh.endpoints(), reconciler.endpoints());
            prop_assert_eq!(fresh.problems().collect::<Vec<_>>(), reconciler.problems().collect::<Vec<_>>());
            prop_assert_eq!(fresh.ours(), reconciler.ours());
        }
    }
}
