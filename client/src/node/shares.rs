//! What each of several executors on one machine may use.

use millpond_engine::config::{Config, Origin, keys};

/// Settings that give executor `number` (from 1) of `count` its share of the cores, the memory and the work folder.
///
/// What the user has set stays: a limit of memory or cores is meant per executor.
pub fn share_of_machine(config: &Config, number: usize, count: usize) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    if count <= 1 {
        return settings;
    }
    if config.get(keys::EXECUTOR_VCORES).is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // All executors of a machine leave the same ones to followed topics.
        let shared = cores.saturating_sub(config.get(keys::EXECUTOR_INGEST_CORES));
        settings.push((
            keys::EXECUTOR_VCORES.key.name.to_owned(),
            (shared / count).max(1).to_string(),
        ));
    }
    let sets_memory = config.get(keys::EXECUTOR_MEMORY_LIMIT).is_some()
        || config.origin(keys::EXECUTOR_MEMORY_FRACTION) != Origin::Default;
    if !sets_memory {
        let fraction: f64 = keys::EXECUTOR_MEMORY_FRACTION.key.default.parse().unwrap_or(0.7);
        let share = (fraction / count as f64).to_string();
        settings.push((keys::EXECUTOR_MEMORY_FRACTION.key.name.to_owned(), share));
    }
    if let Some(folder) = config.get(keys::EXECUTOR_WORK_DIR) {
        let own = folder.join(format!("executor-{number}"));
        settings.push((
            keys::EXECUTOR_WORK_DIR.key.name.to_owned(),
            own.display().to_string(),
        ));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(settings: &[(&str, &str)], count: usize) -> Config {
        let config = Config::of(settings.iter().copied()).unwrap();
        let shares = share_of_machine(&config, 2, count);
        config.with(shares).unwrap()
    }

    #[test]
    fn executors_share_memory_unless_the_user_has_set_it() {
        let fraction = |config: &Config| config.get(keys::EXECUTOR_MEMORY_FRACTION).get();
        assert_eq!(fraction(&share(&[], 1)), 0.7);
        assert_eq!(fraction(&share(&[], 2)), 0.35);
        assert_eq!(fraction(&share(&[("executor.memory_limit", "1GiB")], 2)), 0.7);
        assert_eq!(fraction(&share(&[("executor.memory_fraction", "0.5")], 2)), 0.5);
    }

    #[test]
    fn every_executor_has_a_core_and_its_own_folder() {
        let config = share(&[("executor.work_dir", "/scratch")], 1000);
        assert_eq!(config.get(keys::EXECUTOR_VCORES), Some(1));
        assert_eq!(
            config.get(keys::EXECUTOR_WORK_DIR),
            Some("/scratch/executor-2".into())
        );
    }
}
