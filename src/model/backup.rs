//! Backup files, and the schedule for new ones.

use crs_durable::Millis;
use serde::{Deserialize, Serialize};

/// A backup in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFile {
    pub name: String,
    pub made_at: Millis,
    /// Bytes.
    pub size: u64,
    pub why: BackupReason,
    /// Whether a passphrase is needed to read it.
    pub sealed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupReason {
    /// An admin asked for it.
    Manual,
    Schedule,
    /// A newer version upgraded the data.
    Upgrade,
}

impl BackupReason {
    pub const ALL: [Self; 3] = [Self::Manual, Self::Schedule, Self::Upgrade];

    pub fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Schedule => "schedule",
            Self::Upgrade => "upgrade",
        }
    }
}

/// The interval of backups, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    pub enabled: bool,
    /// 1 to 744.
    pub every_hours: u32,
    /// 1 to 365; older scheduled backups are deleted.
    pub keep: u32,
}

/// Pause before the next try after a failure, milliseconds.
const RETRY: Millis = 600_000;

impl Default for Schedule {
    fn default() -> Self {
        Self {
            enabled: false,
            every_hours: 24,
            keep: 7,
        }
    }
}

impl Schedule {
    fn every(&self) -> Millis {
        Millis::from(self.every_hours) * 3_600_000
    }

    /// Whether a backup is due. `newest`: time of the last scheduled backup; `failed`: time of a later failed
    /// attempt.
    pub fn is_due(&self, newest: Option<Millis>, failed: Option<Millis>, now: Millis) -> bool {
        // `abs_diff`, because if the clock was set back, a backup in the future must not block new ones.
        let old = newest.is_none_or(|newest| now.abs_diff(newest) >= self.every());
        let rested = failed.is_none_or(|failed| now.abs_diff(failed) >= RETRY);
        self.enabled && old && rested
    }

    pub fn is_overdue(&self, newest: Option<Millis>, now: Millis) -> bool {
        self.enabled && newest.is_some_and(|newest| now.abs_diff(newest) >= 2 * self.every())
    }

    /// The scheduled backups to delete. `files`: newest first.
    pub fn rotated(&self, files: &[BackupFile]) -> Vec<String> {
        let own = files.iter().filter(|file| file.why == BackupReason::Schedule);
        own.skip(self.keep as usize)
            .map(|file| file.name.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;
    const NOW: Millis = 1_700_000_000_000;

    #[test]
    fn a_backup_is_due_when_the_last_is_old_and_again_soon_after_a_failure() {
        let schedule = Schedule {
            enabled: true,
            every_hours: 6,
            keep: 2,
        };
        let due = |newest: Option<Millis>, failed| schedule.is_due(newest, failed, NOW);
        assert!(due(None, None));
        assert!(!due(Some(NOW - 6 * HOUR + 1), None));
        assert!(due(Some(NOW - 6 * HOUR), None));
        assert!(!due(Some(NOW - 6 * HOUR), Some(NOW - RETRY + 1)));
        assert!(due(Some(NOW - 6 * HOUR), Some(NOW - RETRY)));
        // Made "in the future" by a clock that was wrong.
        assert!(due(Some(NOW + 9 * HOUR), None));
        assert!(
            !Schedule {
                enabled: false,
                ..schedule
            }
            .is_due(None, None, NOW)
        );
        assert!(!schedule.is_overdue(Some(NOW - 12 * HOUR + 1), NOW));
        assert!(schedule.is_overdue(Some(NOW - 12 * HOUR), NOW));
    }

    #[test]
    fn only_what_the_schedule_made_is_rotated() {
        let file = |n: u64, why| BackupFile {
            name: n.to_string(),
            made_at: NOW - n,
            size: 1,
            why,
            sealed: false,
        };
        let files = [
            file(1, BackupReason::Schedule),
            file(2, BackupReason::Manual),
            file(3, BackupReason::Schedule),
            file(4, BackupReason::Schedule),
            file(5, BackupReason::Upgrade),
            file(6, BackupReason::Schedule),
        ];
        let schedule = Schedule {
            keep: 2,
            ..Schedule::default()
        };
        assert_eq!(schedule.rotated(&files), ["4", "6"]);
    }
}
