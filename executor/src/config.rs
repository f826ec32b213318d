//! What an executor's owner decides: prices, room, limits. From a file, flags and the environment.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tarefa_protocol::executor::ExposureLimits;
use tarefa_protocol::limits::{MESSAGE_MAX, OFFER_VALID_S, QUOTE_DEADLINE_S};
use tarefa_protocol::offer::TaskLimits;
use tarefa_protocol::{BaseUnits, Millis, Price};

/// Tasks queued or running at most: each holds its inputs in the store.
const QUEUE_MAX: u32 = 64;

/// Largest result: half a message, since a result that does not compress grows by its seals.
const RESULT_MAX: u64 = MESSAGE_MAX as u64 / 2;

/// Settings of one executor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Base units per second of metered time.
    pub price_per_second: BaseUnits,
    /// Least price of a task; raised to the node's storage deposit where it is lower.
    pub minimum: BaseUnits,
    /// Guests at once; 0 for one per core.
    pub slots: u16,
    /// Tasks queued or running at most.
    pub queue_max: u32,
    /// The most any task gets.
    pub limits: TaskLimits,
    /// Bounds on unpaid work.
    pub exposure: ExposureLimits,
    /// Run strangers' work though a required wall is missing.
    pub allow_weak_sandbox: bool,
    /// How long an offer is honoured, seconds of ledger time.
    pub offer_valid_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            price_per_second: Price::DEFAULT_PER_SECOND,
            minimum: BaseUnits(0),
            slots: 0,
            queue_max: QUEUE_MAX,
            limits: TaskLimits::default(),
            exposure: ExposureLimits::default(),
            allow_weak_sandbox: false,
            offer_valid_s: OFFER_VALID_S,
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {}: {reason}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("the configuration file {}: {reason}", .path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and why.
        reason: toml::de::Error,
    },
    /// A value makes no sense.
    #[error("{0}")]
    Value(String),
}

impl Config {
    /// Reads a TOML file; every key is optional, an unknown one is an error.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|reason| ConfigError::Read { path: path.to_owned(), reason })?;
        toml::from_str(&text).map_err(|reason| ConfigError::Parse { path: path.to_owned(), reason })
    }

    /// Fills in what depends on the machine and the network, and checks the rest.
    pub fn settle(mut self, storage_deposit: u64) -> Result<Self, ConfigError> {
        if self.slots == 0 {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            self.slots = u16::try_from(cores).unwrap_or(u16::MAX);
        }
        self.minimum = self.minimum.max(BaseUnits(storage_deposit));
        if self.limits.time_max > Millis(u64::from(QUOTE_DEADLINE_S) * 1_000) {
            let text =
                format!("limits.time_max is above {QUOTE_DEADLINE_S} s, the deadline submitters give for a quote");
            return Err(ConfigError::Value(text));
        }
        if self.limits.result_max > RESULT_MAX {
            return Err(ConfigError::Value(format!(
                "limits.result_max is above {RESULT_MAX}: it must fit one message"
            )));
        }
        if self.queue_max == 0 {
            return Err(ConfigError::Value("queue_max is 0: no task could ever be accepted".into()));
        }
        Ok(self)
    }

    /// The price an offer names.
    pub fn price(&self) -> Price {
        Price { per_second: self.price_per_second, minimum: self.minimum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        Config::read(file.path())
    }

    #[test]
    fn every_key_is_optional() {
        assert_eq!(parse("").expect("valid"), Config::default());
        assert_eq!(parse("slots = 3").expect("valid").slots, 3);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file() {
        let error = parse("slot = 3").expect_err("unknown");
        assert!(error.to_string().contains("unknown field `slot`"), "{error}");
    }

    #[test]
    fn the_minimum_is_never_below_the_storage_deposit() {
        let config = Config::default().settle(213_000).expect("valid");
        assert_eq!(config.minimum, BaseUnits(213_000));
        assert!(config.slots > 0);
    }

    #[test]
    fn a_queue_of_nothing_is_refused() {
        let config = Config { queue_max: 0, ..Config::default() };
        assert!(config.settle(1).is_err());
    }
}
