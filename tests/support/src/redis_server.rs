//! A real `redis-server` of a test's own: on a free port, with a password, without persistence; ended
//! by its id when the value is dropped.

use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

const PASSWORD: &str = "p@ss/word of the test";

pub struct RedisServer {
    child: Child,
    port: u16,
    directory: TempDir,
    /// The authority that signed the server's certificate, as PEM; `None`: plain TCP.
    authority: Option<String>,
}

impl RedisServer {
    pub fn start() -> RedisServer {
        RedisServer::new(false)
    }

    /// Speaks TLS only, as `localhost` and `127.0.0.1`, with a certificate of an authority of its own.
    pub fn start_tls() -> RedisServer {
        RedisServer::new(true)
    }

    fn new(tls: bool) -> RedisServer {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let authority = tls.then(|| certificates(&directory));
        // A port that was free a moment ago may be taken by another test meanwhile.
        for _ in 0..20 {
            let port = free_port();
            match spawn(port, &directory, tls) {
                Ok(child) => {
                    return RedisServer {
                        child,
                        port,
                        directory,
                        authority,
                    };
                }
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("redis-server did not start:\n{log}"),
            }
        }
        panic!("no free port for redis-server");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// With the password, for that database.
    pub fn url(&self, database: u32) -> String {
        self.url_with(PASSWORD, database)
    }

    pub fn url_with(&self, password: &str, database: u32) -> String {
        let (scheme, host) = if self.authority.is_some() {
            ("rediss", "localhost")
        } else {
            ("redis", "127.0.0.1")
        };
        format!("{scheme}://:{}@{host}:{}/{database}", quoted(password), self.port)
    }

    /// The certificate of the authority, PEM.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// With the password, through another port that forwards there.
    pub fn url_by(&self, port: u16, database: u32) -> String {
        let own = format!("127.0.0.1:{}/", self.port);
        self.url(database).replace(&own, &format!("127.0.0.1:{port}/"))
    }

    /// Becomes a replica of the other server, and waits until it has its data.
    pub fn follow(&self, other: &RedisServer) {
        self.command(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
        self.follows();
    }

    /// Waits until it has all that the other server has written. Nobody may write there meanwhile.
    pub fn catch_up(&self, other: &RedisServer) {
        let offset = |server: &RedisServer, field: &str| -> u64 {
            let shown = server.command(&["INFO", "replication"]);
            let value = shown.lines().find_map(|line| line.strip_prefix(field));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        };
        for _ in 0..400 {
            if offset(self, "slave_repl_offset:") >= offset(other, "master_repl_offset:") {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the replica does not catch up");
    }

    /// Hands over to its only replica, without loss and without ending a connection. It is a replica then.
    pub fn hand_over(&self) {
        self.command(&["FAILOVER"]);
        self.follows();
    }

    fn follows(&self) {
        for _ in 0..400 {
            if self
                .command(&["INFO", "replication"])
                .contains("master_link_status:up")
            {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the replica does not connect");
    }

    /// Becomes a primary.
    pub fn lead(&self) {
        self.command(&["REPLICAOF", "NO", "ONE"]);
    }

    /// What the server answers to a command, as `redis-cli` prints it.
    pub fn command(&self, args: &[&str]) -> String {
        let said = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "--no-auth-warning"])
            .env("REDISCLI_AUTH", PASSWORD)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("redis-cli comes with redis-server");
        assert!(said.status.success(), "{said:?}");
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server at once; what it held is lost.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same port, empty.
    pub fn start_again(&mut self) {
        self.kill();
        match spawn(self.port, &self.directory, self.authority.is_some()) {
            Ok(child) => self.child = child,
            Err(log) => panic!("redis-server did not start again:\n{log}"),
        }
    }

    /// Connections stay and are accepted, nothing is answered, until [`RedisServer::resume`].
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "kill {signal}");
    }
}

/// As an address has it.
pub(crate) fn quoted(password: &str) -> String {
    let mut quoted = String::new();
    for byte in password.bytes() {
        write!(quoted, "%{byte:02X}").expect("a string takes all");
    }
    quoted
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The running server, ready for connections; or what it logged before it gave up.
fn spawn(port: u16, directory: &TempDir, tls: bool) -> Result<Child, String> {
    let mut command = Command::new("redis-server");
    command.args([
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--requirepass",
        PASSWORD,
        // Of the server that it may have to follow.
        "--masterauth",
        PASSWORD,
    ]);
    command.arg("--dir").arg(directory.path());
    if tls {
        command.args([
            "--port",
            "0",
            "--tls-port",
            &port.to_string(),
            "--tls-auth-clients",
            "no",
        ]);
        command
            .arg("--tls-cert-file")
            .arg(directory.path().join("server.pem"));
        command
            .arg("--tls-key-file")
            .arg(directory.path().join("server.key"));
        command
            .arg("--tls-ca-cert-file")
            .arg(directory.path().join("authority.pem"));
    } else {
        command.args(["--port", &port.to_string()]);
    }
    let mut child = match command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("redis-server is not installed; the tests need one (Debian: apt-get install redis-server)")
        }
        Err(error) => panic!("redis-server cannot be started: {error}"),
    };
    let mut log = String::new();
    if let Some(output) = &mut child.stdout {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line.contains("Ready to accept connections") {
                return Ok(child);
            }
            log.push_str(&line);
            log.push('\n');
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(log)
}

/// Writes what the server needs for TLS into the directory; gives the authority's certificate.
fn certificates(directory: &TempDir) -> String {
    let key = || KeyPair::generate().expect("a key");
    let params = |names: &[&str]| {
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
            .expect("names")
    };
    let mut authority = params(&[]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = key();
    let pem = authority
        .self_signed(&authority_key)
        .expect("a certificate")
        .pem();
    let issuer = Issuer::new(authority, authority_key);
    let server_key = key();
    let server = params(&["localhost", "127.0.0.1"])
        .signed_by(&server_key, &issuer)
        .expect("a certificate");
    for (name, text) in [
        ("authority.pem", &pem),
        ("server.pem", &server.pem()),
        ("server.key", &server_key.serialize_pem()),
    ] {
        fs::write(directory.path().join(name), text).expect("a file");
    }
    pem
}
