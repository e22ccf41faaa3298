//! What does not apply to a host, and why: the one place where that is said, and the checks that it is complete.
//!
//! Every behaviour runs on every host, see main.rs. A test that cannot begins with `applies_here!()`: on the
//! hosts that [`NOT_HERE`] names it says why it does nothing, and passes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crs_support::relay::Host;

use Host::{Cluster, Embedded, InProcess, Redis, Worker};

/// A module or test, the hosts it does not apply to, and why.
type NotHere = (&'static str, &'static [Host], &'static str);

const MEMORY: &str = "its store is in memory: nothing outlives the relay";
const OWN: &str = "the relay is this very process: it has no log, no exit code, and cannot be killed";
const FOLDER: &str = "a Worker has no folder, its secrets are given to it";
const START: &str = "a Worker has no start to refuse, it says what is wrong in its answers";
const NO_PROXY: &str = "a Worker cannot call through a proxy";

/// Modules that are not on every host.
const MODULES_NOT_HERE: &[NotHere] = &[
    (
        "backups",
        &[InProcess, Cluster, Worker],
        "the command line is the program's",
    ),
    (
        "chaos",
        &[InProcess, Embedded, Redis, Worker],
        "it is about several processes",
    ),
    (
        "cli",
        &[InProcess, Cluster, Worker],
        "the command line is the program's",
    ),
    (
        "edge",
        &[InProcess, Embedded, Redis, Cluster],
        "it is about what only a Worker is, does or costs",
    ),
    ("ending", &[InProcess, Worker], "it is about signals to a process"),
    (
        "import",
        &[InProcess, Cluster, Worker],
        "it is a command of the program, and what it writes is read the same there",
    ),
    (
        "sentinel",
        &[InProcess, Embedded, Redis, Worker],
        "a sentinel takes seconds, and several processes see more of it than one",
    ),
    (
        "several",
        &[InProcess, Embedded, Redis, Worker],
        "it is about several processes",
    ),
    (
        "upstash",
        &[InProcess, Redis, Cluster, Worker],
        "one native program shows that store, and a Worker has it anyway",
    ),
    (
        "real_clients",
        &[InProcess, Redis, Cluster],
        "what differs there is behind the relay, and each run takes seconds",
    ),
    (
        "sdks",
        &[InProcess, Redis, Cluster],
        "what differs there is behind the relay, and each run takes seconds",
    ),
];

/// Tests that are not on every host their module is on.
const NOT_HERE: &[NotHere] = &[
    (
        "cli::a_store_in_memory_is_the_servers_alone",
        &[Redis],
        "it is about another store",
    ),
    (
        "cli::a_store_that_another_process_holds_is_said_to_be_in_use",
        &[Redis],
        "a Redis is open to many processes",
    ),
    (
        "console::files_are_sent_compressed_as_the_client_takes_them",
        &[Worker],
        "Cloudflare's network compresses what static assets answer, workerd does not",
    ),
    (
        "destinations::an_account_from_before_the_rule_reaches_nothing",
        &[InProcess],
        MEMORY,
    ),
    (
        "durability::a_first_run_makes_what_it_needs_and_tells_no_secret",
        &[InProcess],
        OWN,
    ),
    (
        "durability::a_first_run_makes_what_it_needs_and_tells_no_secret",
        &[Worker],
        FOLDER,
    ),
    (
        "durability::a_killed_relay_forgets_nothing_it_acknowledged",
        &[InProcess],
        OWN,
    ),
    (
        "durability::a_killed_relay_loses_at_most_its_newest_calls",
        &[Cluster],
        "each process loses its own newest calls, which are not the newest of all",
    ),
    (
        "durability::a_killed_relay_loses_at_most_its_newest_calls",
        &[InProcess],
        MEMORY,
    ),
    (
        "durability::a_killed_relay_loses_at_most_its_newest_calls",
        &[Worker],
        "its gates keep what they were told, and no process does",
    ),
    (
        "durability::records_that_the_store_does_not_take_at_the_end_are_there_after_the_next_start",
        &[Cluster],
        "a process that has not met the key yet has nothing to decide by",
    ),
    (
        "durability::records_that_the_store_does_not_take_at_the_end_are_there_after_the_next_start",
        &[InProcess, Embedded],
        "its store cannot be stopped from outside",
    ),
    (
        "durability::records_that_the_store_does_not_take_at_the_end_are_there_after_the_next_start",
        &[Worker],
        "a Worker has no end: its gates keep records until the store has them",
    ),
    (
        "durability::records_that_may_be_missing_are_told_by_the_exit_code",
        &[Cluster],
        "a process that has not met the key yet has nothing to decide by",
    ),
    (
        "durability::records_that_may_be_missing_are_told_by_the_exit_code",
        &[InProcess, Embedded],
        "its store cannot be stopped from outside",
    ),
    (
        "durability::records_that_may_be_missing_are_told_by_the_exit_code",
        &[Worker],
        "a Worker has no end: its gates keep records until the store has them",
    ),
    (
        "durability::a_store_that_does_not_answer_stops_nobody_and_loses_nothing",
        &[InProcess, Embedded],
        "its store is not remote",
    ),
    (
        "durability::another_encryption_key_refuses_to_start",
        &[InProcess],
        OWN,
    ),
    (
        "durability::another_encryption_key_refuses_to_start",
        &[Worker],
        START,
    ),
    (
        "durability::asked_to_end_it_lets_a_stream_finish",
        &[InProcess],
        MEMORY,
    ),
    (
        "durability::asked_to_end_it_lets_a_stream_finish",
        &[Worker],
        "nobody asks a Worker to end: Miniflare stops, and Cloudflare keeps it while it streams",
    ),
    (
        "durability::bad_settings_refuse_to_start_with_one_line_each",
        &[InProcess],
        OWN,
    ),
    (
        "durability::bad_settings_refuse_to_start_with_one_line_each",
        &[Worker],
        START,
    ),
    (
        "durability::lost_secrets_are_not_made_anew_over_sealed_data",
        &[InProcess],
        MEMORY,
    ),
    (
        "durability::lost_secrets_are_not_made_anew_over_sealed_data",
        &[Worker],
        FOLDER,
    ),
    (
        "durability::the_ledger_outlives_the_process",
        &[InProcess],
        MEMORY,
    ),
    ("failover::a_cooldown_survives_a_restart", &[InProcess], MEMORY),
    (
        "intake::memory_is_given_back_after_large_bodies",
        &[InProcess],
        OWN,
    ),
    (
        "intake::memory_is_given_back_after_large_bodies",
        &[Worker],
        "an isolate's memory is workerd's to give back",
    ),
    (
        "leaving::a_client_that_closes_its_sending_half_gets_its_answer",
        &[Worker],
        "Cloudflare's network holds the client's connection, a Worker sees no FIN of it",
    ),
    ("limits::limits_outlive_a_crash", &[InProcess], MEMORY),
    (
        "limits::a_window_that_cannot_be_read_is_not_made_up",
        &[InProcess, Embedded, Worker],
        "what its gates remember is not in a remote store",
    ),
    (
        "limits::the_real_limits_of_a_store_that_is_away_still_hold",
        &[InProcess, Embedded],
        "its store is not remote",
    ),
    (
        "limits::the_real_limits_of_a_store_that_is_away_still_hold",
        &[Cluster],
        "while it is away each process decides by its own copy",
    ),
    (
        "durability::a_store_that_does_not_answer_stops_nobody_and_loses_nothing",
        &[Cluster],
        "a process that has not met the key yet has nothing to decide by",
    ),
    (
        "logins::a_crowd_of_large_bodies_is_not_held",
        &[Worker],
        "its memory is workerd's",
    ),
    (
        "logins::a_flood_of_what_strangers_may_read_does_not_reach_the_store",
        &[InProcess, Embedded, Redis, Cluster],
        "nobody counts what its store is asked",
    ),
    (
        "logins::the_memory_of_logins_is_given_back",
        &[Worker],
        "its memory is workerd's",
    ),
    (
        "operations::the_local_token_is_refused_to_who_comes_through_a_proxy",
        &[Cluster],
        "a local token is one process's, and clients meet them in turn",
    ),
    (
        "operations::the_local_token_is_refused_to_who_comes_through_a_proxy",
        &[Worker],
        "a Worker has no local token",
    ),
    ("oauth::renewed_tokens_survive_a_restart", &[InProcess], MEMORY),
    ("oauth_setup::a_sign_in_survives_a_restart", &[InProcess], MEMORY),
    (
        "oauth_setup::the_command_line_does_both_steps",
        &[InProcess, Cluster, Worker],
        "the command line is the program's",
    ),
    (
        "oauth_setup::the_tokens_are_fetched_through_the_accounts_proxy",
        &[Worker],
        NO_PROXY,
    ),
    (
        "oauth_setup::where_no_proxy_can_be_used_none_is_taken",
        &[InProcess, Embedded, Redis, Cluster],
        "a native host can use proxies",
    ),
    (
        "proxies::a_broken_proxy_is_an_error_and_never_a_direct_call",
        &[Worker],
        NO_PROXY,
    ),
    (
        "gemini::a_cut_list_is_cut_for_the_client_too",
        &[Worker],
        "workerd ends a body of no known length as if it were whole; half a list is no JSON either way",
    ),
    ("proxies::a_wrong_login_and_a_wrong_protocol", &[Worker], NO_PROXY),
    ("proxies::http", &[Worker], NO_PROXY),
    ("proxies::http_with_a_login", &[Worker], NO_PROXY),
    ("proxies::socks5", &[Worker], NO_PROXY),
    ("proxies::socks5_with_a_login", &[Worker], NO_PROXY),
    (
        "refusals::counts_of_refusals_outlive_the_relay",
        &[InProcess],
        MEMORY,
    ),
    (
        "proxies::where_no_proxy_can_be_used_the_account_is_left_alone",
        &[InProcess, Embedded, Redis, Cluster],
        "a native host can use proxies",
    ),
];

/// Ends a test that [`NOT_HERE`] takes from its host; to be its first line.
macro_rules! applies_here {
    () => {{
        fn here() {}
        if let Some(reason) = $crate::hosts::reason(super::HOST, std::any::type_name_of_val(&here)) {
            println!("not on {}: {reason}", super::HOST);
            return;
        }
    }};
}

/// Why a test does not apply to this host, if it does not.
///
/// # Panics
/// If the table does not know the test: then it applies everywhere.
pub(crate) fn reason(host: Host, path: &str) -> Option<&'static str> {
    // it::worker::keys::test::{{closure}}::here
    let test = path.splitn(3, "::").nth(2).unwrap_or_default();
    let test = test.split("::{{closure}}").next().unwrap_or_default();
    let lines: Vec<_> = NOT_HERE.iter().filter(|line| line.0 == test).collect();
    assert!(!lines.is_empty(), "{test} is not in the table of hosts.rs");
    lines
        .iter()
        .find(|line| line.1.contains(&host))
        .map(|line| line.2)
}

/// A line that an operator of the suite reads: the tests of a run, and those that only seem to be.
#[test]
fn what_does_not_apply_where() {
    for host in Host::ALL {
        for (what, hosts, why) in MODULES_NOT_HERE.iter().chain(NOT_HERE) {
            if hosts.contains(&host) {
                println!("{host}: not {what}: {why}");
            }
        }
    }
}

fn source(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_table_names_exactly_the_tests_that_ask_it() {
    let mut asking = BTreeSet::new();
    for module in modules_of_all_hosts() {
        let source = source(&format!("{module}.rs"));
        let lines: Vec<_> = source.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate() {
            if *line == "applies_here!();" {
                let test = lines[at - 1]
                    .strip_prefix("async fn ")
                    .and_then(|rest| rest.strip_suffix("() {"));
                let test = test.unwrap_or_else(|| panic!("{module}.rs:{}: no first line of a test", at + 1));
                asking.insert(format!("{module}::{test}"));
            }
        }
    }
    let named: BTreeSet<_> = NOT_HERE.iter().map(|line| line.0.to_owned()).collect();
    assert_eq!(asking, named);
    for (test, hosts, _) in NOT_HERE {
        let module = test.split("::").next().expect("a module");
        for host in *hosts {
            assert!(
                modules_of(*host).contains(module),
                "{test} is not on {host} anyway"
            );
        }
    }
}

#[test]
fn every_module_is_on_every_host_or_in_the_table() {
    let missing: BTreeMap<_, BTreeSet<_>> = Host::ALL
        .into_iter()
        .map(|host| {
            let here = modules_of(host);
            let missing = modules_of_all_hosts().into_iter().filter(|m| !here.contains(m));
            (host.name(), missing.collect())
        })
        .collect();
    let named = Host::ALL.into_iter().map(|host| {
        let lines = MODULES_NOT_HERE.iter().filter(|line| line.1.contains(&host));
        (host.name(), lines.map(|line| line.0.to_owned()).collect())
    });
    assert_eq!(missing, named.collect());

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for entry in std::fs::read_dir(folder).expect("the folder of these tests") {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("a name");
        if let Some(module) = name.strip_suffix(".rs")
            && source(&name).contains("\nuse super::support::")
        {
            assert!(
                modules_of_all_hosts().contains(module),
                "{name} is on no host: main.rs"
            );
        }
    }
}

fn modules_of_all_hosts() -> BTreeSet<String> {
    Host::ALL.into_iter().flat_map(modules_of).collect()
}

/// As main.rs lists them.
fn modules_of(host: Host) -> BTreeSet<String> {
    let source = source("main.rs");
    let begin = format!("\nmod {} {{\n", host.name());
    let block = source.split(&begin).nth(1).expect("a block of main.rs");
    let block = block.split("\n}").next().expect("its end");
    let modules = block
        .lines()
        .filter_map(|line| line.trim().strip_prefix("mod ")?.strip_suffix(';'));
    modules
        .filter(|module| *module != "support")
        .map(str::to_owned)
        .collect()
}
