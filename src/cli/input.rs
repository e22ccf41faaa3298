//! Input from people and scripts: secrets, credential files, times.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use crs_edge::model::percent;
use crs_edge::model::secret::Secret;
use crs_edge::model::time;
use serde_json::Value;

use super::failure::Failure;

/// Maximum file size, above any credential file, so that a wrong file does not fill the memory.
const LONGEST: u64 = 256 * 1024;

/// A JSON object being built.
pub(super) struct Fields(serde_json::Map<String, Value>);

impl Fields {
    pub(super) fn new() -> Self {
        Self(serde_json::Map::new())
    }

    pub(super) fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves the field out if there is no value.
    pub(super) fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    pub(super) fn json(self) -> Value {
        Value::Object(self.0)
    }
}

/// A secret from a file, from standard input (`-`), or from a prompt. `option` names the file.
pub(super) fn secret(file: Option<&Path>, what: &str, option: &str) -> Result<Secret, Failure> {
    let text = match file {
        Some(file) if file != Path::new("-") => read_file(file)?,
        _ if std::io::stdin().is_terminal() => prompt(what)?,
        Some(_) => read_stdin()?,
        None => {
            return Err(Failure::Usage(format!(
                "where is the {what}? {option} FILE names its file, {option} - is standard input"
            )));
        }
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::Usage(format!("the {what} is empty")));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Failure::Usage(format!(
            "the {what} is not one line without blanks: hand in nothing but the {what}"
        )));
    }
    Ok(Secret::new(text))
}

/// A passphrase: the first line of a file, of standard input (`-`), or from a prompt.
pub(super) fn passphrase(file: Option<&Path>, what: &str) -> Result<Secret, Failure> {
    let text = match file {
        Some(file) => read(file)?,
        None if std::io::stdin().is_terminal() => prompt(what)?,
        None => {
            return Err(Failure::Usage(format!(
                "where is the {what}? --passphrase-file FILE names its file, or set BACKUP_PASSPHRASE"
            )));
        }
    };
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Failure::Usage(format!("the {what} is empty")));
    }
    Ok(Secret::new(line))
}

/// A new passphrase, prompted for twice.
pub(super) fn new_passphrase() -> Result<Secret, Failure> {
    let first = passphrase(None, "new passphrase")?;
    let again = passphrase(None, "the same once more")?;
    if first.reveal() != again.reveal() {
        return Err(Failure::Usage("the two passphrases differ".to_owned()));
    }
    Ok(first)
}

/// A password: the first line of standard input, unchanged.
pub(super) fn password() -> Result<Secret, Failure> {
    let text = if std::io::stdin().is_terminal() {
        prompt("new password")?
    } else {
        read_stdin()?
    };
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}

/// The text of a file; `-` is standard input.
pub(super) fn read(file: &Path) -> Result<String, Failure> {
    if file == Path::new("-") {
        read_stdin()
    } else {
        read_file(file)
    }
}

fn read_file(file: &Path) -> Result<String, Failure> {
    let unread =
        |error: std::io::Error| Failure::Usage(format!("{} cannot be read: {error}", file.display()));
    let mut text = String::new();
    std::fs::File::open(file)
        .map_err(unread)?
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(unread)?;
    Ok(text)
}

fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|error| Failure::Usage(format!("standard input cannot be read: {error}")))?;
    Ok(text)
}

/// The first non-empty line of standard input.
pub(super) fn line() -> Result<String, Failure> {
    let mut text = String::new();
    let mut lines = std::io::stdin().lock().take(LONGEST);
    while text.trim().is_empty() {
        text.clear();
        let read = std::io::BufRead::read_line(&mut lines, &mut text)
            .map_err(|error| Failure::Usage(format!("standard input cannot be read: {error}")))?;
        if read == 0 {
            return Err(Failure::Usage(
                "standard input ended without an answer".to_owned(),
            ));
        }
    }
    Ok(text.trim().to_owned())
}

/// Prompts without echo.
fn prompt(what: &str) -> Result<String, Failure> {
    let mut screen = std::io::stderr().lock();
    let _ = write!(screen, "{what} (not shown): ");
    let _ = screen.flush();
    rpassword::read_password().map_err(|error| Failure::Usage(format!("the {what} cannot be read: {error}")))
}

/// A proxy for the admin API, from its address: `scheme://[user:password@]host:port`.
pub(super) fn proxy(text: &str) -> Result<Value, Failure> {
    let unfit = || {
        Failure::Usage(
            "this is no proxy: write http://, https:// or socks5://, then [user:password@]host:port"
                .to_owned(),
        )
    };
    let (scheme, rest) = text.trim().split_once("://").ok_or_else(unfit)?;
    let (login, place) = rest
        .trim_end_matches('/')
        .rsplit_once('@')
        .map_or((None, rest), |(login, place)| (Some(login), place));
    let (host, port) = place.trim_end_matches('/').rsplit_once(':').ok_or_else(unfit)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port: u16 = port.parse().map_err(|_| unfit())?;
    if host.is_empty() || host.contains(['/', '@', ' ']) {
        return Err(unfit());
    }
    let mut proxy = Fields::new()
        .set("type", scheme)
        .set("host", host)
        .set("port", port);
    if let Some(login) = login {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        proxy = proxy
            .set("username", percent::decoded(user).ok_or_else(unfit)?)
            .set("password", percent::decoded(password).ok_or_else(unfit)?);
    }
    Ok(proxy.json())
}

/// `FROM=TO` pairs as an object.
pub(super) fn mapping(pairs: &[String]) -> Result<Value, Failure> {
    let mut mapping = Fields::new();
    for pair in pairs {
        let (from, to) = pair
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("{pair} is not a pair of models: write FROM=TO")))?;
        mapping = mapping.set(from.trim(), to.trim());
    }
    Ok(mapping.json())
}

/// Milliseconds since 1970, by this machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a command of a person has no port to ask"
)]
pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Converts `12h`, `30d`, a date, or an ISO 8601 time into an ISO 8601 time.
pub(super) fn moment(text: &str, now: u64) -> Result<String, Failure> {
    const HOUR: u64 = 3_600_000;
    let ahead = [("h", HOUR), ("d", 24 * HOUR)]
        .into_iter()
        .find_map(|(unit, length)| {
            let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
            now.checked_add(count.checked_mul(length)?)
        });
    ahead
        .or_else(|| time::parse_iso(text))
        .map(time::iso)
        .ok_or_else(|| {
            Failure::Usage(format!(
                "{text} is not a point in time: write 12h, 30d, 2027-01-31 or 2027-01-31T09:30:00Z"
            ))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn proxies_are_taken_with_and_without_a_login() {
        assert_eq!(
            proxy("socks5://me:p%40ss:word@[::1]:1080/\n").unwrap(),
            json!({"type":"socks5","host":"::1","port":1080,"username":"me","password":"p@ss:word"})
        );
        assert_eq!(
            proxy("http://proxy.example:3128").unwrap(),
            json!({"type":"http","host":"proxy.example","port":3128})
        );
        for bad in [
            "",
            "proxy:3128",
            "http://proxy",
            "http://:1",
            "http://h:p",
            "http://me:%zz@h:1",
            "http://h/x:1",
        ] {
            let failure = proxy(bad).unwrap_err();
            assert_eq!(failure.code(), 2, "{bad}");
            assert!(!failure.text().contains("me:"), "{bad}");
        }
    }

    #[test]
    fn models_are_mapped_by_pairs() {
        let pairs = ["a=b".to_owned(), "c = d=e".to_owned()];
        assert_eq!(mapping(&pairs).unwrap(), json!({"a": "b", "c": "d=e"}));
        assert_eq!(mapping(&["ab".to_owned()]).unwrap_err().code(), 2);
    }

    #[test]
    fn a_point_in_time_may_be_ahead_or_absolute() {
        let now = 1_764_000_000_000;
        assert_eq!(moment("12h", now).unwrap(), "2025-11-25T04:00:00.000Z");
        assert_eq!(moment("30d", now).unwrap(), "2025-12-24T16:00:00.000Z");
        assert_eq!(moment("2027-01-31", now).unwrap(), "2027-01-31T00:00:00.000Z");
        assert_eq!(
            moment("2027-01-31T10:30:00+01:00", now).unwrap(),
            "2027-01-31T09:30:00.000Z"
        );
        for bad in [
            "",
            "d",
            "30",
            "1w",
            "-1d",
            "99999999999999999999d",
            "18446744073709551615h",
            "soon",
        ] {
            assert_eq!(moment(bad, now).unwrap_err().code(), 2, "{bad}");
        }
    }
}
