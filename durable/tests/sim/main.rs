//! The limits of scaling: numbers of processes, accounts and keys beyond our machines, in virtual time.
//!
//! The machines and the protocol between processes are the real ones. Only the times are assumed: the round trip, the
//! home's CPU time per step (measured on a Redis 7 with the script of `store::home`), and a process's CPU time per
//! call. Every process always runs the given number of calls at once, so the results are the capacity of the whole.
//! `CRS_SIM=1 cargo test -p crs-durable --test sim -- --nocapture` prints the tables of ARCHITECTURE.md.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected ends there"
)]

#[cfg(test)]
#[path = "../model/shared/home.rs"]
mod home;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use crate::world::{Figures, Plan, run};

    const SMALL: Plan = Plan {
        processes: 3,
        accounts: 20,
        shards: 1,
        keys: 1_000,
        round_trip_us: 200,
        at_once: 40,
        calls: 1_500,
    };

    fn head() {
        println!(
            "processes accounts shards round-trip/ms | calls/s  admission p50/ms p99/ms  commands/step conflicts/step  home busy"
        );
    }

    fn line(plan: &Plan, figures: &Figures) {
        println!(
            "{:9} {:8} {:6} {:13.1} | {:7.0} {:20.1} {:6.1} {:14.1} {:14.2} {:9.0} %",
            plan.processes,
            plan.accounts,
            plan.shards,
            plan.round_trip_us as f64 / 1_000.0,
            figures.per_second(),
            figures.admitted_ms(50),
            figures.admitted_ms(99),
            figures.commands as f64 / figures.steps as f64,
            figures.conflicts as f64 / figures.steps as f64,
            figures.home_busy() * 100.0,
        );
    }

    #[test]
    fn all_calls_are_served_and_no_slot_is_held_at_the_end() {
        let figures = run(&SMALL, 7);
        assert_eq!(figures.calls, SMALL.calls);
        assert_eq!(figures.held, 0, "slots are held after the last call");
        assert!(
            figures.most_at_once <= figures.slots,
            "an account had more calls than slots"
        );
    }

    /// More commands share a step when the round trip is longer, so that costs latency and not throughput.
    #[test]
    fn a_longer_round_trip_gathers_more_commands_per_step() {
        let near = run(&SMALL, 1);
        let far = run(
            &Plan {
                round_trip_us: 5_000,
                ..SMALL
            },
            1,
        );
        let per_step = |figures: &Figures| figures.commands as f64 / figures.steps as f64;
        assert!(per_step(&far) > per_step(&near));
    }

    #[test]
    fn the_same_seed_gives_the_same_figures() {
        assert_eq!(run(&SMALL, 3), run(&SMALL, 3));
    }

    #[test]
    fn tables() {
        if std::env::var_os("CRS_SIM").is_none() {
            return;
        }
        let plan = Plan {
            keys: 1_000_000,
            accounts: 100,
            at_once: 200,
            calls: 20_000,
            ..SMALL
        };
        println!("\nprocesses and round trips");
        head();
        for round_trip_us in [200, 1_000, 5_000] {
            for processes in [1, 2, 4, 8, 16, 32, 64] {
                let plan = Plan {
                    processes,
                    round_trip_us,
                    calls: 10_000 + 1_000 * processes,
                    ..plan
                };
                line(&plan, &run(&plan, 1));
            }
        }
        println!("\naccounts");
        head();
        for accounts in [10, 100, 1_000, 10_000] {
            let plan = Plan {
                accounts,
                processes: 8,
                calls: if accounts > 1_000 { 4_000 } else { 16_000 },
                ..plan
            };
            line(&plan, &run(&plan, 1));
        }
        println!("\nshards of the pool");
        head();
        for processes in [8, 32] {
            for shards in [1, 2, 4, 8, 16] {
                let plan = Plan {
                    shards,
                    processes,
                    calls: 10_000 + 1_000 * processes,
                    ..plan
                };
                line(&plan, &run(&plan, 1));
            }
        }
    }
}
