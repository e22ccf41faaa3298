//! The settings of this machine.

use std::path::PathBuf;

use super::StartError;
use super::first_run::{self, LayeredVars};
use super::random::NativeRandom;
use crate::config::{self, Config, Problems, StoreChoice, Vars};

/// The settings of this machine: the environment, and the secrets that an earlier run generated.
pub struct Setup {
    pub config: Config,
    pub data_dir: PathBuf,
}

impl Setup {
    /// Creates the data folder and generates missing secrets.
    pub fn prepare(environment: &dyn Vars) -> Result<Self, StartError> {
        let data_dir = PathBuf::from(config::data_dir(environment));
        first_run::create_data_dir(&data_dir).map_err(StartError::Other)?;
        let mut vars = LayeredVars::read(environment, &data_dir).map_err(StartError::Other)?;
        // An invalid value must not lead to new files.
        let problems = Config::read(&vars)
            .err()
            .map(|problems| problems.0)
            .unwrap_or_default();
        let missing = vars.missing();
        let bad: Vec<String> = problems
            .into_iter()
            .filter(|line| {
                !missing
                    .iter()
                    .any(|name| line.starts_with(&format!("{name} is missing")))
            })
            .collect();
        if !bad.is_empty() {
            return Err(Problems(bad).into());
        }
        vars.generate(&data_dir, &NativeRandom)
            .map_err(StartError::Other)?;
        Ok(Self {
            config: Config::read(&vars)?,
            data_dir,
        })
    }

    /// The settings for a new data folder whose data is already sealed: its key must be given, not generated.
    pub fn for_sealed_data(environment: &dyn Vars) -> Result<Self, StartError> {
        let data_dir = PathBuf::from(config::data_dir(environment));
        let vars = LayeredVars::read(environment, &data_dir).map_err(StartError::Other)?;
        if vars.missing().contains(&config::ENCRYPTION_KEY) {
            let line = format!(
                "{} is missing: set it to the one that the data was sealed with, or copy secrets.json of the old data folder into {}",
                config::ENCRYPTION_KEY,
                data_dir.display()
            );
            return Err(Problems(vec![line]).into());
        }
        Self::prepare(environment)
    }

    /// A store other than that of the settings, see [`config::store_at`].
    pub fn store_at(&self, environment: &dyn Vars, to: &str) -> Result<StoreChoice, Problems> {
        let vars = LayeredVars::read(environment, &self.data_dir).map_err(|line| Problems(vec![line]))?;
        config::store_at(&vars, to)
    }

    /// `BACKUP_DIR`, or a folder in the data folder.
    pub(super) fn backup_dir(&self) -> PathBuf {
        let own = self.config.backup.dir.as_ref().map(PathBuf::from);
        own.unwrap_or_else(|| self.data_dir.join("backups"))
    }
}
