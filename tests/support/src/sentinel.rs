//! A sentinel (`redis-server --sentinel`) that watches one [`RedisServer`] and promotes its replica soon after it fails;
//! ended by its id when the value is dropped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::redis_server::{RedisServer, free_port, quoted};

/// The name of the master.
const NAME: &str = "main-1";
const PASSWORD: &str = "p@ss/word of sentinels";

pub struct Sentinel {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Sentinel {
    /// Alone it is the majority. Its password is not that of the server.
    pub fn of(master: &RedisServer) -> Self {
        for _ in 0..20 {
            let port = free_port();
            let directory = tempfile::tempdir().expect("a temporary directory");
            let settings = format!(
                "port {port}\nbind 127.0.0.1\ndir {}\nrequirepass \"{PASSWORD}\"\n\
                 sentinel monitor {NAME} 127.0.0.1 {} 1\nsentinel auth-pass {NAME} \"{}\"\n\
                 sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 3000\n",
                directory.path().display(),
                master.port(),
                master.password(),
            );
            // It rewrites the file.
            let file = directory.path().join("sentinel.conf");
            fs::write(&file, settings).expect("a file");
            let mut child = Command::new("redis-server")
                .arg(&file)
                .arg("--sentinel")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .expect("redis-server is there");
            let output = child.stdout.take().expect("its output");
            let mut lines = BufReader::new(output).lines().map_while(Result::ok);
            if lines.any(|line| line.contains("+monitor")) {
                return Self {
                    child,
                    port,
                    _directory: directory,
                };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("no sentinel started");
    }

    /// Waits until it knows the replica.
    pub fn knows_a_replica(&self) {
        for _ in 0..1_500 {
            // Told by the master, and then by the replica itself.
            let known = self.command(&["SENTINEL", "REPLICAS", NAME]);
            if known.contains("master-link-status\nok") {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the sentinel finds no replica");
    }

    /// Promotes the replica though the master is well.
    pub fn fail_over(&self) {
        self.command(&["SENTINEL", "FAILOVER", NAME]);
    }

    /// What it answers to a command, as `redis-cli` prints it.
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

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// For that database of its master; the sentinel's password is not in it.
    pub fn url(&self, master: &RedisServer, database: u32) -> String {
        let password = quoted(master.password());
        format!(
            "redis+sentinel://:{password}@127.0.0.1:{}/{NAME}/{database}",
            self.port
        )
    }

    /// The same with the sentinel's password.
    pub fn whole_url(&self, master: &RedisServer, database: u32) -> String {
        let url = self.url(master, database);
        format!("{url}?sentinel_password={}", quoted(PASSWORD))
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
