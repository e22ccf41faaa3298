//! What may happen to a gate.

use crs_durable::CallId;
use crs_durable::gate::{
    Admit, Command, Estimate, KeyPolicy, Limits, ModelMode, MoneyLimit, PerLimit, QueuePolicy, ResetScope,
    SeedSpend, Service, Usage,
};
use proptest::prelude::*;

use crate::world::{MAX_TTL, Move, START, ask, moves};

/// What somebody does, with the time that goes before.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) clock: Move,
    pub(super) act: Act,
    /// The reply was lost: the command is sent again.
    pub(super) lost: bool,
    /// The store can be asked for what the gate needs to know.
    pub(super) store: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Say(Command),
    /// Of the calls that wait or have waited, the one of this turn asks again, as it was told to.
    Come(Admit, usize),
    /// The next version of the key's record. The store may know when the key was first used.
    Change(KeyPolicy, bool),
    /// The state is stored and loaded.
    Restart,
    /// The host died, and all calls with it.
    Death,
}

fn limits() -> impl Strategy<Value = Limits> {
    // Mostly none, so that the others are seen.
    let limit = || prop_oneof![4 => Just(0), 1 => 1..150_u64];
    let window = (
        prop_oneof![2 => Just(0), 1 => 1..4_u64],
        prop_oneof![Just(0), 1..6_u64],
        limit(),
        limit(),
    );
    let calendar = (0..9_u8, 0..26_u8, -800..900_i32);
    let sometimes = prop_oneof![1 => Just((1, 0, 0)), 1 => calendar];
    (window, (limit(), limit(), limit(), limit(), limit()), sometimes).prop_map(
        |((minutes, requests, tokens, cost), (day, week, opus, month, total), (reset_day, hour, offset))| {
            Limits {
                rate_limit_window_minutes: minutes,
                rate_limit_requests: requests,
                rate_limit_tokens: tokens,
                rate_limit_cost: cost,
                money: PerLimit::these([
                    (MoneyLimit::Day, day),
                    (MoneyLimit::Week, week),
                    (MoneyLimit::WeekOpus, opus),
                    (MoneyLimit::Month, month * 2),
                    (MoneyLimit::Total, total * 4),
                ]),
                weekly_reset_day: reset_day,
                weekly_reset_hour: hour,
                utc_offset_minutes: offset,
            }
        },
    )
}

pub(super) fn policies() -> impl Strategy<Value = KeyPolicy> {
    let permissions = prop_oneof![
        8 => Just(vec![]),
        1 => Just(vec![Service::Claude]),
        1 => Just(vec![Service::Gemini, Service::OpenAi])
    ];
    let clients = prop_oneof![
        8 => Just(None),
        1 => Just(Some(vec![])),
        2 => Just(Some(vec!["Claude_Code".to_owned()]))
    ];
    let expiry = prop::option::weighted(0.1, 0..4_000_000_000_000_u64);
    let valid_for_ms = prop_oneof![3 => Just(0), 1 => 1..8_000_000_u64, 1 => 1..2_000_000_000_u64];
    let queue = prop_oneof![1 => (0..2_u32, 0..2_u64), 3 => (1..5_u32, 1..=MAX_TTL)];
    let models = (prop::bool::weighted(0.2), any::<bool>());
    (
        (
            prop::bool::weighted(0.95),
            expiry,
            valid_for_ms,
            prop_oneof![1 => Just(0), 5 => 1..4_u32],
        ),
        (queue, permissions, clients, models),
        limits(),
    )
        .prop_map(
            |(
                (active, expires_at, valid_for_ms, concurrency_limit),
                ((size, timeout_ms), permissions, allowed_clients, (model_restriction, allow)),
                limits,
            )| KeyPolicy {
                id: "k".into(),
                name: "key".into(),
                version: 0,
                active,
                expires_at,
                valid_for_ms,
                activated_at: None,
                concurrency_limit,
                queue: QueuePolicy { size, timeout_ms },
                permissions,
                allowed_clients,
                model_restriction,
                model_mode: if allow { ModelMode::Allow } else { ModelMode::Deny },
                restricted_models: vec!["opus".into()],
                limits,
                ..KeyPolicy::default()
            },
        )
}

fn calls() -> impl Strategy<Value = CallId> {
    (0..10_u128).prop_map(CallId)
}

fn ttls() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 3 => 1..2_000_u64, 8 => 2_000..=MAX_TTL]
}

fn admits() -> impl Strategy<Value = Admit> {
    let service = prop_oneof![5 => Just(Service::Claude), 1 => Just(Service::OpenAi)];
    let model = prop_oneof![
        Just(None),
        Just(Some("ccr,Opus".to_owned())),
        Just(Some("haiku".to_owned()))
    ];
    let client = prop_oneof![1 => Just(None), 2 => Just(Some("claude_code".to_owned()))];
    let estimate = prop::option::weighted(0.7, (0..80_u64, 0..40_u64));
    let since = prop_oneof![2 => Just(0), 3 => Just(1)];
    (
        (calls(), service, model, client),
        (any::<bool>(), prop::bool::weighted(0.9), estimate),
        (ttls(), since, prop::bool::weighted(0.3)),
    )
        .prop_map(
            |(
                (call, service, model, client),
                (opus, slot, estimate),
                (ttl_ms, learned_since, before_body),
            )| Admit {
                service,
                model,
                client,
                opus,
                slot,
                estimate: estimate.map(|(tokens, cost)| Estimate { tokens, cost }),
                learned_since,
                before_body,
                ..ask(call, ttl_ms)
            },
        )
}

fn settles() -> impl Strategy<Value = Command> {
    let usage =
        (0..120_u64, 0..60_u64, any::<bool>()).prop_map(|(tokens, cost, opus)| Usage { tokens, cost, opus });
    (calls(), prop::option::weighted(0.8, usage)).prop_map(|(call, usage)| Command::Settle {
        call,
        event: None,
        usage,
    })
}

fn seeds() -> impl Strategy<Value = Command> {
    let sum = || 0..100_u64;
    let spent = prop::array::uniform5(sum());
    (spent, -2_000_000_000..2_000_000_000_i64).prop_map(|(spent, off)| {
        Command::SeedSpend(SeedSpend {
            spent: PerLimit::these(MoneyLimit::ALL.into_iter().zip(spent)),
            as_of: START.saturating_add_signed(off),
        })
    })
}

fn resets() -> impl Strategy<Value = Command> {
    let of_money = MoneyLimit::ALL.map(ResetScope::Money);
    let which: Vec<ResetScope> = [ResetScope::Window, ResetScope::All]
        .into_iter()
        .chain(of_money)
        .collect();
    prop::sample::select(which).prop_map(|which| Command::ResetSpend { which })
}

pub(super) fn events() -> impl Strategy<Value = Event> {
    let act = prop_oneof![
        30 => admits().prop_map(|admit| Act::Say(Command::Admit(admit))),
        16 => (admits(), any::<usize>()).prop_map(|(admit, turn)| Act::Come(admit, turn)),
        6 => (calls(), ttls()).prop_map(|(call, ttl_ms)| Act::Say(Command::Renew { call, ttl_ms, note: None })),
        14 => settles().prop_map(Act::Say),
        4 => calls().prop_map(|call| Act::Say(Command::Cancel { call })),
        4 => (calls(), calls(), ttls()).prop_map(|(call, kept, ttl_ms)| Act::Say(Command::Keep { call, kept, ttl_ms })),
        2 => calls().prop_map(|call| Act::Say(Command::Release { call })),
        1 => Just(Act::Say(Command::Snapshot)),
        1 => Just(Act::Say(Command::Invalidate)),
        1 => Just(Act::Say(Command::Learn { policy: None })),
        1 => seeds().prop_map(Act::Say),
        1 => resets().prop_map(Act::Say),
        4 => (policies(), any::<bool>()).prop_map(|(policy, stored)| Act::Change(policy, stored)),
        3 => Just(Act::Restart),
        1 => Just(Act::Death),
    ];
    (moves(), act, prop::bool::weighted(0.2), prop::bool::weighted(0.8)).prop_map(
        |(clock, act, lost, store)| Event {
            clock,
            act,
            lost,
            store,
        },
    )
}
