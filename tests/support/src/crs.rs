//! Data sets of a claude-relay-service (CRS), written from the facts about it: every kind of record, every cipher, odd
//! values, both of its lines. Independent of the importer: its own ciphers, its own names.

mod data;
pub mod large;
mod seal;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use crate::redis_server::RedisServer;

pub use seal::{Kind, seal, seal_bedrock, seal_old};

/// Which line of CRS wrote the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    Fork,
    Upstream,
}

/// A client key of it.
#[derive(Clone, Debug)]
pub struct CrsKey {
    pub id: String,
    /// What its owner has.
    pub secret: String,
    /// What the data says it spent since ever, micro-USD.
    pub spent: u64,
}

/// A CRS: what is in its Redis.
#[derive(Clone, Debug)]
pub struct Crs {
    pub edition: Edition,
    pub encryption_key: String,
    pub now: u64,
    pub keys: Vec<CrsKey>,
    commands: Vec<Vec<String>>,
}

/// Hours from UTC of its labels: CRS's default.
const ZONE: i64 = 8;

/// Milliseconds.
const DAY: u64 = 86_400_000;

impl Crs {
    pub fn empty(edition: Edition, encryption_key: &str) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock after 1970");
        let mut crs = Self {
            edition,
            encryption_key: encryption_key.to_owned(),
            now: now.as_millis() as u64,
            keys: Vec::new(),
            commands: Vec::new(),
        };
        crs.hash(
            "session:admin_credentials",
            &[("username", "cr_admin"), ("passwordHash", "$2b$10$x")],
        );
        if edition == Edition::Upstream {
            crs.command(&["SET", "apikey:index:version", "2"]);
            crs.command(&["ZADD", "apikey:idx:createdAt", "1", "x"]);
            crs.command(&["SADD", "apikey:set:active", "x"]);
            crs.command(&["SADD", "claude:account:index", "x"]);
            crs.command(&["SET", "openai:account:index:empty", "1"]);
        }
        crs
    }

    pub fn command(&mut self, args: &[&str]) {
        self.commands
            .push(args.iter().map(|arg| (*arg).to_owned()).collect());
    }

    pub fn hash(&mut self, key: &str, fields: &[(&str, &str)]) {
        let mut args = vec!["HSET", key];
        args.extend(fields.iter().flat_map(|(name, value)| [*name, *value]));
        self.command(&args);
    }

    /// What CRS stores of a key.
    pub fn key_hash(&self, secret: &str) -> String {
        hex(&Sha256::digest(format!("{secret}{}", self.encryption_key)))
    }

    pub fn seal(&self, kind: Kind, plain: &str) -> String {
        seal(kind, &self.encryption_key, plain)
    }

    /// Adds a key with the fields that CRS gives a new one, and these.
    pub fn key(&mut self, name: &str, fields: &[(&str, &str)]) -> CrsKey {
        let number = self.keys.len() + 1;
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let secret = format!("cr_{}", hex(&Sha256::digest(format!("secret {number}"))));
        let hash = self.key_hash(&secret);
        let created = iso(self.now - DAY * 40);
        let at = format!("apikey:{id}");
        self.hash(
            &at,
            &[
                ("id", &id),
                ("name", name),
                ("description", ""),
                ("apiKey", &hash),
                ("tokenLimit", "0"),
                ("concurrencyLimit", "0"),
                ("rateLimitWindow", "0"),
                ("rateLimitRequests", "0"),
                ("rateLimitCost", "0"),
                ("isActive", "true"),
                ("claudeAccountId", ""),
                ("geminiAccountId", ""),
                ("openaiAccountId", ""),
                ("permissions", "[]"),
                ("enableModelRestriction", "false"),
                ("restrictedModels", "[]"),
                ("enableClientRestriction", "false"),
                ("allowedClients", "[]"),
                ("dailyCostLimit", "0"),
                ("totalCostLimit", "0"),
                ("weeklyOpusCostLimit", "0"),
                ("tags", "[]"),
                ("expirationMode", "fixed"),
                ("isActivated", "true"),
                ("activatedAt", &created),
                ("expiresAt", ""),
                ("createdAt", &created),
                ("lastUsedAt", ""),
                ("createdBy", "admin"),
                ("icon", ""),
            ],
        );
        if !fields.is_empty() {
            self.hash(&at, fields);
        }
        self.hash("apikey:hash_map", &[(&hash, &id)]);
        let key = CrsKey { id, secret, spent: 0 };
        self.keys.push(key.clone());
        key
    }

    /// Lets a key have spent so much today, in all, by a model; micro-USD.
    pub fn spend(&mut self, id: &str, model: &str, requests: u64, micro: u64) {
        let (hour, day, month) = self.labels(self.now);
        let usd = format!("{}", micro as f64 / 1e6);
        let count = |prefix: &str| -> Vec<(String, String)> {
            let name = |plain: &str| {
                if prefix.is_empty() {
                    plain.to_owned()
                } else {
                    format!("{prefix}{}{}", plain[..1].to_uppercase(), &plain[1..])
                }
            };
            [
                ("inputTokens", 1_000 * requests),
                ("outputTokens", 200 * requests),
                ("cacheCreateTokens", 30 * requests),
                ("ephemeral1hTokens", 10 * requests),
                ("cacheReadTokens", 500 * requests),
                ("requests", requests),
            ]
            .map(|(plain, figure)| (name(plain), figure.to_string()))
            .to_vec()
        };
        let mut counters = vec![
            (format!("usage:{id}"), count("total")),
            (format!("usage:daily:{id}:{day}"), count("")),
            (format!("usage:monthly:{id}:{month}"), count("")),
            (format!("usage:hourly:{id}:{hour}"), count("")),
        ];
        for (unit, label) in [("daily", &day), ("monthly", &month), ("hourly", &hour)] {
            let mut fields = count("");
            if self.edition == Edition::Upstream {
                fields.push(("ratedCostMicro".to_owned(), micro.to_string()));
                fields.push(("realCostMicro".to_owned(), micro.to_string()));
            }
            counters.push((format!("usage:{id}:model:{unit}:{model}:{label}"), fields));
        }
        for (key, fields) in counters {
            for (name, figure) in fields {
                self.command(&["HINCRBY", &key, &name, &figure]);
            }
        }
        for key in [
            format!("usage:cost:daily:{id}:{day}"),
            format!("usage:cost:monthly:{id}:{month}"),
            format!("usage:cost:hourly:{id}:{hour}"),
            format!("usage:cost:total:{id}"),
        ] {
            self.command(&["INCRBYFLOAT", &key, &usd]);
        }
        if let Some(key) = self.keys.iter_mut().find(|key| key.id == id) {
            key.spent += micro;
        }
    }

    /// Labels of its hour, day and month.
    pub fn labels(&self, at: u64) -> (String, String, String) {
        let local = iso((at.cast_signed() + ZONE * 3_600_000) as u64);
        (
            format!("{}:{}", &local[..10], &local[11..13]),
            local[..10].to_owned(),
            local[..7].to_owned(),
        )
    }

    /// Writes it into a database.
    pub fn load(&self, redis: &RedisServer, database: u32) {
        let mut wire = Wire::connect(redis, database);
        for some in self.commands.chunks(500) {
            wire.all(some);
        }
    }

    /// The `.env` it runs with.
    pub fn env_file(&self, redis: &RedisServer, database: u32) -> String {
        format!(
            "# settings\nENCRYPTION_KEY={}\nJWT_SECRET=short\nREDIS_HOST=127.0.0.1\nREDIS_PORT={}\nREDIS_PASSWORD='{}'\nREDIS_DB={database}\nLDAP_ENABLED=false\nENABLE_CORS=true\nTIMEZONE_OFFSET=8  # hours\n",
            self.encryption_key,
            redis.port(),
            redis.password(),
        )
    }
}

/// Every key of a database with its value and the moment it ends, to compare.
pub fn dump(redis: &RedisServer, database: u32) -> Vec<(String, String)> {
    let mut wire = Wire::connect(redis, database);
    let names = wire.all(&[vec!["KEYS".to_owned(), "*".to_owned()]]);
    let mut names: Vec<String> = names[0]
        .split(|byte| *byte == b'\n')
        .map(|name| String::from_utf8_lossy(name).trim().to_owned())
        .filter(|name| !name.is_empty() && !name.starts_with(['$', '*']))
        .collect();
    names.sort();
    let mut all = Vec::with_capacity(names.len());
    for some in names.chunks(500) {
        let asks: Vec<Vec<String>> = some
            .iter()
            .flat_map(|name| {
                [
                    vec!["DUMP".to_owned(), name.clone()],
                    vec!["PEXPIRETIME".to_owned(), name.clone()],
                ]
            })
            .collect();
        let answers = wire.all(&asks);
        for (name, answer) in some.iter().zip(answers.chunks(2)) {
            all.push((name.clone(), format!("{} {}", hex(&answer[0]), hex(&answer[1]))));
        }
    }
    all
}

/// A connection that says commands as they are.
struct Wire {
    stream: std::io::BufReader<TcpStream>,
}

impl Wire {
    fn connect(redis: &RedisServer, database: u32) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", redis.port())).expect("redis listens");
        let mut wire = Self {
            stream: std::io::BufReader::new(stream),
        };
        wire.all(&[
            vec!["AUTH".to_owned(), redis.password().to_owned()],
            vec!["SELECT".to_owned(), database.to_string()],
        ]);
        wire
    }

    /// The raw answers.
    fn all(&mut self, commands: &[Vec<String>]) -> Vec<Vec<u8>> {
        let mut text = Vec::new();
        for command in commands {
            text.extend(format!("*{}\r\n", command.len()).into_bytes());
            for arg in command {
                text.extend(format!("${}\r\n", arg.len()).into_bytes());
                text.extend(arg.as_bytes());
                text.extend(b"\r\n");
            }
        }
        self.stream
            .get_mut()
            .write_all(&text)
            .expect("redis takes commands");
        commands.iter().map(|command| self.answer(command)).collect()
    }

    fn answer(&mut self, command: &[String]) -> Vec<u8> {
        let line = self.line();
        match line[0] {
            b'-' => panic!("{command:?}: {}", String::from_utf8_lossy(&line)),
            b'$' => {
                let length: i64 = String::from_utf8_lossy(&line[1..])
                    .trim()
                    .parse()
                    .expect("a length");
                let mut text = vec![0; usize::try_from(length + 2).unwrap_or(0)];
                if length >= 0 {
                    self.stream.read_exact(&mut text).expect("the whole answer");
                    text.truncate(length as usize);
                }
                text
            }
            b'*' => {
                let count: usize = String::from_utf8_lossy(&line[1..])
                    .trim()
                    .parse()
                    .expect("a count");
                let parts: Vec<Vec<u8>> = (0..count).map(|_| self.answer(command)).collect();
                parts.join(&b'\n')
            }
            _ => line,
        }
    }

    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        std::io::BufRead::read_until(&mut self.stream, b'\n', &mut line).expect("an answer");
        assert!(!line.is_empty(), "redis closed the connection");
        line
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `2026-01-31T09:30:00.000Z`, by Hinnant's arithmetic.
pub fn iso(ms: u64) -> String {
    let (days, rest) = ((ms / 86_400_000).cast_signed(), ms % 86_400_000);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let part = (5 * of_year + 2) / 153;
    let (day, month) = (
        of_year - (153 * part + 2) / 5 + 1,
        if part < 10 { part + 3 } else { part - 9 },
    );
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        rest / 3_600_000,
        rest / 60_000 % 60,
        rest / 1_000 % 60,
        rest % 1_000
    )
}
