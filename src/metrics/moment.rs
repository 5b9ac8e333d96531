//! What is so at the moment somebody looks: the mode, writes in flight, catalogs.

use super::scrape::{Labelled, family, gauge_of};
use super::{CacheNumbers, labels};
use prometheus::proto::{MetricFamily, MetricType};

labels! {
    /// Whether the cache is used.
    ModeNow {
        /// Answers come from memory.
        On = "on",
        /// Everything is decided and counted, nothing is served.
        Observe = "observe",
        /// Everything is passed on.
        Off = "off",
        /// An operator has paused it.
        Paused = "paused",
    }
}

/// How much a write in flight shuts.
const REACHES: [&str; 3] = ["table", "database", "catalog"];
/// Whether a database's catalog is known.
const CATALOGS: [&str; 2] = ["loaded", "missing"];

/// All of it.
pub(super) fn families(now: &CacheNumbers) -> Vec<MetricFamily> {
    let modes = ModeNow::ALL.iter();
    let modes = modes.map(|mode| (mode.label(), u64::from(*mode == now.mode)));
    [
        (
            (
                "larder_mode",
                "1 for the mode that the cache is in, 0 for the others.",
                "mode",
            ),
            listed(modes),
        ),
        (
            (
                "larder_open_intents",
                "Writes in flight, by how much they shut; a change of the catalog may be counted by what it writes, too.",
                "scope",
            ),
            listed(REACHES.into_iter().zip(now.intents)),
        ),
        (
            (
                "larder_catalogs",
                "Databases that clients have used, by whether their catalog is known.",
                "state",
            ),
            listed(CATALOGS.into_iter().zip(now.catalogs)),
        ),
    ]
    .into_iter()
    .map(|(description, values)| family(&description, MetricType::GAUGE, values))
    .collect()
}

fn listed(values: impl Iterator<Item = (&'static str, u64)>) -> Vec<Labelled> {
    let labelled = |(label, value)| (Some(label), gauge_of(value as f64));
    values.map(labelled).collect()
}
