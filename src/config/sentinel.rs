//! `redis+sentinel://`: the address of a Redis whose master is named by sentinels.
//!
//! `redis+sentinel://[user]:[password]@host[:port][,host[:port]...]/mastername[/database]`, as other clients write it
//! (redis-sentinel-url, Prefect, redisvl). `rediss+sentinel` means TLS to the master and to the sentinels. A query may
//! have `sentinel_username`, `sentinel_password`, `sentinel_tls=false` (TLS to the master only) and `protocol=resp3`.

use crate::model::percent::{self, COMPONENT};
use crate::model::secret::Secret;

/// The port of sentinels.
const PORT: u16 = 26_379;

#[derive(Clone, Debug)]
pub struct Sentinels {
    tls: bool,
    asking_tls: bool,
    /// `user:password@`, or empty.
    login: Secret,
    asking_login: Secret,
    /// `host:port`; an IPv6 address is in brackets.
    hosts: Vec<String>,
    name: String,
    database: u32,
    resp3: bool,
}

impl Sentinels {
    /// `None`: an address of another kind. An error says what is wrong, without a part of the address.
    pub fn parse(url: &str) -> Option<Result<Self, &'static str>> {
        let (scheme, rest) = url.split_once("://")?;
        match scheme {
            "redis+sentinel" => Some(Self::after_scheme(false, rest)),
            "rediss+sentinel" => Some(Self::after_scheme(true, rest)),
            _ => None,
        }
    }

    fn after_scheme(tls: bool, rest: &str) -> Result<Self, &'static str> {
        // A password may contain `@` as it is, a host cannot.
        let (user, rest) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(user, rest)| (Some(user), rest));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts: Vec<String> = hosts
            .split(',')
            .map(host)
            .collect::<Option<_>>()
            .ok_or("names a sentinel that is not host or host:port")?;
        let (name, database) = path.split_once('/').unwrap_or((path, ""));
        // The characters that Sentinel allows.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err("does not name the master after the sentinels");
        }
        let database = match database.trim_end_matches('/') {
            "" => 0,
            number => number
                .parse()
                .map_err(|_| "ends with a database that is not a number")?,
        };
        let login = match user {
            None => String::new(),
            Some(user) => {
                let (user, password) = user
                    .split_once(':')
                    .ok_or("has a login without a colon: write user:password@ or :password@")?;
                login(decoded(user)?, decoded(password)?)
            }
        };
        let mut sentinels = Self {
            tls,
            asking_tls: tls,
            login: Secret::new(login),
            asking_login: Secret::new(""),
            hosts,
            name: name.to_owned(),
            database,
            resp3: false,
        };
        sentinels.take(query)?;
        Ok(sentinels)
    }

    /// Takes over what the query says.
    fn take(&mut self, query: &str) -> Result<(), &'static str> {
        let (mut user, mut password) = (String::new(), None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("sentinel_username", value) => user = decoded(value)?,
                ("sentinel_password", value) => password = Some(decoded(value)?),
                ("sentinel_tls", "true") => self.asking_tls = true,
                ("sentinel_tls", "false") => self.asking_tls = false,
                ("protocol", "resp3") => self.resp3 = true,
                ("protocol", "resp2") => self.resp3 = false,
                _ => return Err("has a query with unknown parts"),
            }
        }
        match password {
            Some(password) => self.asking_login = Secret::new(login(user, password)),
            None if user.is_empty() => {}
            None => return Err("has sentinel_username without sentinel_password"),
        }
        Ok(())
    }

    /// The name of the master.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sentinels: `host:port` for messages, and the address with the login.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, Secret)> {
        let scheme = scheme(self.asking_tls);
        let login = self.asking_login.reveal();
        self.hosts
            .iter()
            .map(move |host| (host.as_str(), Secret::new(format!("{scheme}://{login}{host}"))))
    }

    /// The address of a server of this master, with the login.
    pub fn server(&self, host: &str, port: u16) -> Secret {
        let (scheme, login) = (scheme(self.tls), self.login.reveal());
        let host = bracketed(host);
        let protocol = if self.resp3 { "?protocol=resp3" } else { "" };
        Secret::new(format!(
            "{scheme}://{login}{host}:{port}/{}{protocol}",
            self.database
        ))
    }

    /// Whether sentinels are connected to by TLS.
    pub fn asking_tls(&self) -> bool {
        self.asking_tls
    }

    /// Without the logins: `host:port,host:port/mastername/database`.
    pub fn shown(&self) -> String {
        format!("{}/{}/{}", self.hosts.join(","), self.name, self.database)
    }
}

/// The address of sentinels with this password for their default user, unless it has one.
pub(super) fn with_password(url: String, password: &str) -> String {
    if url.contains("sentinel_password=") {
        return url;
    }
    let after_login = url.rsplit('@').next().unwrap_or(&url);
    let joint = if after_login.contains('?') { '&' } else { '?' };
    let password = percent::encoded(password, COMPONENT);
    format!("{url}{joint}sentinel_password={password}")
}

fn scheme(tls: bool) -> &'static str {
    if tls { "rediss" } else { "redis" }
}

fn login(user: String, password: String) -> String {
    if user.is_empty() && password.is_empty() {
        return String::new();
    }
    let [user, password] = [user, password].map(|text| percent::encoded(&text, COMPONENT));
    format!("{user}:{password}@")
}

fn decoded(text: &str) -> Result<String, &'static str> {
    percent::decoded(text).ok_or("has a login with a % that begins no escape: write %25")
}

/// `host:port`; `None` if it is invalid.
fn host(text: &str) -> Option<String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            let _: core::net::Ipv6Addr = host.parse().ok()?;
            (
                host,
                if port.is_empty() {
                    None
                } else {
                    Some(port.strip_prefix(':')?)
                },
            )
        }
        None => {
            let (host, port) = text
                .split_once(':')
                .map_or((text, None), |(host, port)| (host, Some(port)));
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            (!host.is_empty() && host.bytes().all(is_plain)).then_some((host, port))?
        }
    };
    let port = match port {
        None => PORT,
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
    };
    Some(format!("{}:{port}", bracketed(host)))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Sentinels {
        Sentinels::parse(url).unwrap().unwrap()
    }

    fn addresses(sentinels: &Sentinels) -> Vec<String> {
        let urls = sentinels.addresses();
        urls.map(|(_, url)| url.reveal().to_owned()).collect()
    }

    #[test]
    fn an_address_names_sentinels_the_master_and_its_login() {
        let all = parse("redis+sentinel://me:p%40ss@one:1,two,[::1]:3,[fe80::2]/main-1/4");
        assert_eq!(
            addresses(&all),
            [
                "redis://one:1",
                "redis://two:26379",
                "redis://[::1]:3",
                "redis://[fe80::2]:26379"
            ]
        );
        assert_eq!(all.name(), "main-1");
        assert_eq!(all.server("h", 7).reveal(), "redis://me:p%40ss@h:7/4");
        assert_eq!(all.server("::2", 7).reveal(), "redis://me:p%40ss@[::2]:7/4");
        assert_eq!(all.shown(), "one:1,two:26379,[::1]:3,[fe80::2]:26379/main-1/4");
        let bare = parse("redis+sentinel://one/main");
        assert_eq!(addresses(&bare), ["redis://one:26379"]);
        assert_eq!(bare.server("h", 7).reveal(), "redis://h:7/0");
        // A password may be written as it is.
        let raw = parse("redis+sentinel://:p@s?s/w@one/main/");
        assert_eq!(raw.server("h", 7).reveal(), "redis://:p%40s%3Fs%2Fw@h:7/0");
        assert!(Sentinels::parse("redis://one/main").is_none());
    }

    #[test]
    fn sentinels_may_have_a_login_and_tls_of_their_own() {
        let tls = parse("rediss+sentinel://:p@one/main");
        assert_eq!(addresses(&tls), ["rediss://one:26379"]);
        assert_eq!(tls.server("h", 7).reveal(), "rediss://:p@h:7/0");
        let own = parse(
            "rediss+sentinel://:p@one/main?sentinel_username=me&sentinel_password=a%26b&sentinel_tls=false&protocol=resp3",
        );
        assert_eq!(addresses(&own), ["redis://me:a%26b@one:26379"]);
        assert_eq!(own.server("h", 7).reveal(), "rediss://:p@h:7/0?protocol=resp3");
        for (url, expected) in [
            ("redis+sentinel://:p?@one/main", "redis://:x%2Fy%40@one:26379"),
            (
                "redis+sentinel://one/main?protocol=resp3",
                "redis://:x%2Fy%40@one:26379",
            ),
            (
                "redis+sentinel://one/main?sentinel_password=a",
                "redis://:a@one:26379",
            ),
        ] {
            assert_eq!(
                addresses(&parse(&with_password(url.to_owned(), "x/y@"))),
                [expected]
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_a_secret() {
        for (rest, expected) in [
            ("", "names a sentinel"),
            ("/main", "names a sentinel"),
            ("one,/main", "names a sentinel"),
            ("one:0/main", "names a sentinel"),
            ("one:99999/main", "names a sentinel"),
            ("[::1/main", "names a sentinel"),
            ("[::1]2/main", "names a sentinel"),
            ("s3cr3t@one/main", "has a login without"),
            (":s3cr3t@one two/main", "names a sentinel"),
            (":s3cr3t@one", "does not name the master"),
            (":s3cr3t@one/", "does not name the master"),
            (":s3cr3t@one/a b", "does not name the master"),
            (":s3cr3t@one/main/x", "ends with a database"),
            (":s3cr3t%@one/main", "has a login with a %"),
            ("one/main?password=s3cr3t", "has a query"),
            ("one/main?sentinel_username=s3cr3t", "has sentinel_username"),
        ] {
            let error = Sentinels::parse(&format!("redis+sentinel://{rest}"))
                .unwrap()
                .unwrap_err();
            assert!(error.starts_with(expected), "{rest}: {error}");
            assert!(!error.contains("s3cr3t"));
        }
        let secret = format!(
            "{:?}",
            parse("redis+sentinel://:s3cr3t@one/main?sentinel_password=s3cr3t")
        );
        assert!(!secret.contains("s3cr3t"), "{secret}");
    }
}
