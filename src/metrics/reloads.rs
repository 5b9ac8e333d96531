//! Whether the configuration that is in force is the one that was last said.

use prometheus::{Gauge, IntGauge, Registry};
use std::time::{SystemTime, UNIX_EPOCH};

/// The numbers, as Prometheus has them for itself.
#[derive(Debug)]
pub(super) struct Reloads {
    successful: IntGauge,
    timestamp: Gauge,
}

impl Reloads {
    pub(super) fn register(registry: &Registry) -> Result<Reloads, prometheus::Error> {
        let reloads = Reloads {
            successful: IntGauge::new(
                "larder_config_last_reload_successful",
                "1 if the last reading of the configuration could be used, 0 if it was refused.",
            )?,
            timestamp: Gauge::new(
                "larder_config_last_reload_success_timestamp_seconds",
                "When the configuration was last read and used.",
            )?,
        };
        registry.register(Box::new(reloads.successful.clone()))?;
        registry.register(Box::new(reloads.timestamp.clone()))?;
        reloads.count(true);
        Ok(reloads)
    }

    pub(super) fn count(&self, successful: bool) {
        self.successful.set(successful.into());
        if successful {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            self.timestamp.set(now.map_or(0.0, |now| now.as_secs_f64()));
        }
    }
}
