//! More processes of the program beside the first, on the same Redis and with the same secrets.

use std::path::{Path, PathBuf};

use super::Process;

/// Beside the first.
pub(super) const MORE: usize = 2;

pub(super) struct Others(Vec<Member>);

pub(super) struct Member {
    pub(super) process: Process,
    pub(super) data: PathBuf,
    pub(super) url: String,
}

impl Others {
    /// Like this one, but each with a folder of its own.
    pub(super) fn of(program: &Path, env: &[(String, String)], home: &Path) -> Self {
        let member = |number: usize| {
            let data = home.join(format!("data-{number}"));
            std::fs::create_dir_all(&data).expect("the data folder");
            let mut env = env.to_vec();
            super::set(&mut env, "DATA_DIR", data.display().to_string());
            let log = home.join(format!("relay-{number}.log"));
            Member {
                process: Process::new(program.to_owned(), env, home.to_owned(), log),
                data,
                url: String::new(),
            }
        };
        Self((2..2 + MORE).map(member).collect())
    }

    /// Gives each the secrets that the first has made, and starts it; the id of its process.
    pub(super) fn start(&mut self, first: &Path) -> Vec<u32> {
        self.0.iter_mut().map(|member| member.start(first).0).collect()
    }

    pub(super) fn members(&mut self) -> &mut [Member] {
        &mut self.0
    }

    pub(super) fn urls(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|member| member.url.as_str())
    }

    pub(super) fn logs(&self) -> String {
        self.0.iter().map(|member| member.process.log()).collect()
    }

    pub(super) fn kill9(&mut self) {
        for member in &mut self.0 {
            member.process.kill9();
        }
    }
}

impl Member {
    /// Starts it with the secrets of the first; returns its process id and the path of its server file.
    pub(super) fn start(&mut self, first: &Path) -> (u32, PathBuf) {
        for file in ["secrets.json", "init.json"] {
            let _ = std::fs::copy(first.join(file), self.data.join(file));
        }
        let told = self.data.join("server.json");
        let _ = std::fs::remove_file(&told);
        (self.process.start(), told)
    }
}
