//! A first run needs no set-up: missing secrets are generated once and kept in the data folder.
//!
//! | file | mode | contents |
//! | --- | --- | --- |
//! | `secrets.json` | 0600 | `JWT_SECRET`, `ENCRYPTION_KEY`, unless the environment has them |
//! | `init.json` | 0600 | the first admin login, in CRS's format; written only if none was given |
//! | `server.json` | 0600 | the address of the running server, and a token for the local command line; `server-2.json` and so on if several processes share the folder |

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::draft::{Draft, sync_folder};
use crate::config::{self, Vars};
use crate::model::secret::Secret;
use crate::port::random::Random;
use crate::store::admins::Login;

/// Variables of the environment, then those of `secrets.json`.
pub struct LayeredVars<'a> {
    environment: &'a dyn Vars,
    kept: HashMap<String, String>,
    /// Whether there was a file to read.
    found: bool,
}

impl Vars for LayeredVars<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let given = self
            .environment
            .get(name)
            .filter(|value| !value.trim().is_empty());
        given.or_else(|| self.kept.get(name).cloned())
    }
}

impl<'a> LayeredVars<'a> {
    /// Reads the secrets of an earlier run; writes nothing.
    pub fn read(environment: &'a dyn Vars, data_dir: &Path) -> Result<Self, String> {
        let file = data_dir.join("secrets.json");
        let kept: Option<HashMap<String, String>> = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| format!("{} cannot be read ({error}): restore it from a backup, the data cannot be opened without it", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("{} cannot be read: {error}", file.display())),
        };
        Ok(Self {
            environment,
            found: kept.is_some(),
            kept: kept.unwrap_or_default(),
        })
    }

    /// Names of secrets that are neither in the environment nor from an earlier run.
    pub fn missing(&self) -> Vec<&'static str> {
        config::GENERATED
            .into_iter()
            .filter(|name| self.get(name).is_none())
            .collect()
    }

    /// Whether missing secrets may be generated: not if there is data that only the lost key opens.
    pub fn may_generate(&self, data_dir: &Path) -> Result<(), String> {
        if self.missing().contains(&config::ENCRYPTION_KEY) && data_dir.join(STORE_FILE).exists() {
            return Err(format!(
                "ENCRYPTION_KEY is missing, and {} holds data sealed with one: set ENCRYPTION_KEY, or restore secrets.json",
                data_dir.join(STORE_FILE).display()
            ));
        }
        Ok(())
    }

    /// Generates and keeps missing secrets.
    pub fn generate(&mut self, data_dir: &Path, random: &dyn Random) -> Result<(), String> {
        let missing = self.missing();
        if missing.is_empty() {
            return Ok(());
        }
        self.may_generate(data_dir)?;
        for name in missing {
            let mut bytes = [0_u8; 32];
            random.fill(&mut bytes);
            let value = hex::encode(bytes)
                .chars()
                .take(if name == config::ENCRYPTION_KEY { 32 } else { 64 })
                .collect();
            self.kept.insert(name.to_owned(), value);
        }
        let file = data_dir.join("secrets.json");
        let text = serde_json::to_vec_pretty(&self.kept).map_err(|error| error.to_string())?;
        if self.found {
            // An earlier run kept some of them: adds the others.
            return write_private(&file, &text);
        }
        if !create_private(&file, &text)? {
            // Another process was faster; its secrets count.
            self.kept = Self::read(self.environment, data_dir)?.kept;
            return self.missing().is_empty().then_some(()).ok_or_else(|| {
                format!(
                    "{} was made by another process just now: start again",
                    file.display()
                )
            });
        }
        Ok(())
    }

    /// Whether an earlier run generated it and the environment lacks it.
    pub fn is_kept(&self, name: &str) -> bool {
        self.kept.contains_key(name)
            && self
                .environment
                .get(name)
                .is_none_or(|value| value.trim().is_empty())
    }

    /// Changes kept secrets, atomically on disk; `None` removes one.
    pub fn keep(&mut self, data_dir: &Path, changes: &[(&str, Option<&str>)]) -> Result<(), String> {
        for (name, value) in changes {
            match value {
                Some(value) => self.kept.insert((*name).to_owned(), (*value).to_owned()),
                None => self.kept.remove(*name),
            };
        }
        let text = serde_json::to_vec_pretty(&self.kept).map_err(|error| error.to_string())?;
        write_private(&data_dir.join("secrets.json"), &text)
    }
}

/// The embedded store's file.
pub const STORE_FILE: &str = "crs.redb";

/// The login of `init.json`, if an earlier start wrote one; otherwise a new one, which is not stored yet.
pub fn login(data_dir: &Path, random: &dyn Random) -> Result<Login, String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Init {
        admin_username: String,
        admin_password: String,
    }
    let file = data_dir.join("init.json");
    match fs::read(&file) {
        Ok(text) => {
            let init: Init = serde_json::from_slice(&text)
                .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
            Ok(Login {
                username: init.admin_username,
                password: Secret::new(init.admin_password),
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Login {
            username: format!("cr_admin_{}", text_of(random, HEX, 8)),
            password: password(random),
        }),
        Err(error) => Err(format!("{} cannot be read: {error}", file.display())),
    }
}

/// A password that people can copy: 20 characters, about 116 bits.
pub fn password(random: &dyn Random) -> Secret {
    Secret::new(text_of(random, READABLE, 20))
}

/// Writes a login to a file for the operator; returns the file's path.
pub fn keep_login(data_dir: &Path, username: &str, password: &Secret, at: &str) -> Result<PathBuf, String> {
    let file = data_dir.join("init.json");
    let init = serde_json::json!({
        "initializedAt": at,
        "adminUsername": username,
        "adminPassword": password.reveal(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    write_private(&file, format!("{init:#}\n").as_bytes())?;
    Ok(file)
}

/// The file of the first login, if it still exists.
pub fn login_file(data_dir: &Path) -> Option<PathBuf> {
    let file = data_dir.join("init.json");
    file.exists().then_some(file)
}

/// Writes the file from which the local command line learns the server's address and the token that proves access to
/// this folder. `number`: the number of this process on the folder, from 1.
pub fn announce(
    data_dir: &Path,
    number: usize,
    address: std::net::SocketAddr,
    token: &Secret,
) -> Result<PathBuf, String> {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    let file = data_dir.join(server_file(number));
    let server = serde_json::json!({
        "pid": std::process::id(),
        "host": host_name(),
        "url": format!("http://{reachable}"),
        "token": token.reveal(),
    });
    write_private(&file, server.to_string().as_bytes())?;
    Ok(file)
}

/// The file with the address of the process of this number.
pub fn server_file(number: usize) -> String {
    match number {
        1 => "server.json".to_owned(),
        number => format!("server-{number}.json"),
    }
}

/// The name of this machine or container, if it can be read.
pub fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

const HEX: &[u8] = b"0123456789abcdef";

/// Letters and digits that are hard to confuse when read aloud or copied by hand.
const READABLE: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

fn text_of(random: &dyn Random, letters: &[u8], count: usize) -> String {
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut byte = [0_u8; 1];
        random.fill(&mut byte);
        let [byte] = byte;
        // Beyond the last whole multiple some letters would be more frequent than others.
        let fair = 256 - 256 % letters.len();
        if usize::from(byte) < fair {
            text.extend(
                letters
                    .get(usize::from(byte) % letters.len())
                    .map(|letter| char::from(*letter)),
            );
        }
    }
    text
}

/// Creates the data folder, for its owner only.
pub fn create_data_dir(data_dir: &Path) -> Result<(), String> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(|error| {
            format!(
                "the data folder {} cannot be made ({error}): set DATA_DIR to a folder that can be written",
                data_dir.display()
            )
        })
}

/// Replaces a file atomically, readable by its owner only: a crash leaves the old one or the new one.
pub fn write_private(file: &Path, text: &[u8]) -> Result<(), String> {
    draft(file, text)
        .and_then(|draft| draft.keep(file))
        .map_err(|error| format!("{} cannot be written: {error}", file.display()))
}

/// The same for a file that must not exist yet; `false` if it does. Of many processes, one gets `true`.
fn create_private(file: &Path, text: &[u8]) -> Result<bool, String> {
    let create = || -> std::io::Result<bool> {
        let draft = draft(file, text)?;
        draft.file().sync_all()?;
        match fs::hard_link(draft.path(), file) {
            Ok(()) => sync_folder(file).map(|()| true),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    };
    create().map_err(|error| format!("{} cannot be written: {error}", file.display()))
}

/// Writes the text under a name that no other process or thread uses.
fn draft(file: &Path, text: &[u8]) -> std::io::Result<Draft> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let draft = Draft::at(file.with_extension(format!("{}-{number}.new", std::process::id())))?;
    draft.file().write_all(text)?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::native::random::NativeRandom;

    #[test]
    fn of_many_first_starts_at_once_all_have_the_same_secrets() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let environment = HashMap::<String, String>::new();
            let keys: std::collections::BTreeSet<_> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            let mut vars = LayeredVars::read(&environment, folder.path()).unwrap();
                            vars.generate(folder.path(), &NativeRandom).unwrap();
                            vars.get(config::ENCRYPTION_KEY).unwrap()
                        })
                    })
                    .collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            assert_eq!(keys.len(), 1);
            let files = fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(files, 1, "a draft was left");
        }
    }
}
