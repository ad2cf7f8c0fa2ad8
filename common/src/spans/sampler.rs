//! Sampling: which traces are recorded.

use super::TraceContext;
use crate::model::{Sampler, Tracing};

/// Whether a trace is recorded. `parent` is what its caller says, where that is believed.
///
/// A share is taken by the last eight bytes of the trace's id, as OpenTelemetry's samplers do, so that programs with the
/// same share record the same traces.
pub fn samples(settings: &Tracing, trace_id: u128, parent: Option<&TraceContext>) -> bool {
    if let Some(parent) = parent.filter(|_| settings.parent_based) {
        return parent.is_sampled;
    }
    match settings.sampler {
        Sampler::AlwaysOn => true,
        Sampler::AlwaysOff => false,
        Sampler::Ratio { per_billion } => {
            let below = (u128::from(per_billion) << 63) / 1_000_000_000;
            u128::from(trace_id as u64 >> 1) < below
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Collector, OtlpProtocol};

    fn settings(sampler: Sampler, parent_based: bool) -> Tracing {
        let collector = Collector::at(OtlpProtocol::Grpc, "otel", 4317).unwrap();
        Tracing { sampler, parent_based, ..Tracing::new(collector, "edge") }
    }

    #[test]
    fn a_share_is_taken_by_the_id_alone() {
        let with = |share: f64, id: u128| samples(&settings(Sampler::ratio(share), false), id, None);
        for (share, id, wanted) in [
            (0.0, 1, false),
            (1.0, u128::MAX, true),
            (0.5, 0x7fff_ffff_ffff_ffff, true),
            (0.5, 0x8000_0000_0000_0000, false),
            // The other half of the id does not matter.
            (0.5, u128::MAX << 64 | 1, true),
            (0.25, 0x4000_0000_0000_0000, false),
            (0.25, 0x3fff_ffff_ffff_ffff, true),
        ] {
            assert_eq!(with(share, id), wanted, "{share} {id:x}");
        }
    }

    #[test]
    fn a_caller_decides_where_callers_do() {
        let parent = |is_sampled| TraceContext { trace_id: 1, span_id: 1, is_sampled };
        let off = |parent_based| settings(Sampler::AlwaysOff, parent_based);
        let on = |parent_based| settings(Sampler::AlwaysOn, parent_based);
        assert!(samples(&off(true), 1, Some(&parent(true))) && !samples(&off(true), 1, None));
        assert!(!samples(&on(true), 1, Some(&parent(false))) && samples(&on(true), 1, None));
        assert!(!samples(&off(false), 1, Some(&parent(true))));
        assert!(samples(&on(false), 1, Some(&parent(false))));
    }
}
