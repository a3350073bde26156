//! The one Prometheus registry of a process.
//!
//! Several roles can share a process (an embedded cluster is a scheduler and an executor in one), and each serves
//! `/metrics` on its own port. The `metrics` crate knows one global recorder only, so every role takes its
//! handle from [`registry`]; whoever comes first installs it. All roles of a process show all its metrics.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;

/// A gauge that was not set for so long is of something that there is no more. All others are set when they are asked for.
const GAUGES_LAST: Duration = Duration::from_secs(300);

static REGISTRY: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder on the first call, and returns the handle that renders it.
///
/// If the program has installed a recorder of its own before, its metrics go there and this handle renders nothing.
pub fn registry() -> &'static PrometheusHandle {
    REGISTRY.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .idle_timeout(MetricKindMask::GAUGE, Some(GAUGES_LAST))
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed already, /metrics stays empty");
        }
        handle
    })
}

/// Everything measured in this process, in Prometheus' text format.
pub fn render() -> String {
    let registry = registry();
    registry.run_upkeep();
    registry.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_role_sees_the_metrics_of_the_first() {
        registry();
        metrics::counter!("engine_test_total").increment(2);
        registry();
        metrics::counter!("engine_test_total").increment(1);
        assert!(render().contains("engine_test_total 3"), "{}", render());
    }
}
