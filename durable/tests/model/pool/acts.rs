//! What can happen to a pool.

use crs_durable::CallId;
use crs_durable::pool::{AccountPolicy, Binding, Command, Origin, Outcome, Pick, PoolPart, QuotaWindow};
use proptest::prelude::*;

use crate::world::{MAX_TTL, Move, moves};

pub(super) const ACCOUNTS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What somebody does, with the time that goes before.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) clock: Move,
    pub(super) act: Act,
    /// The reply was lost: the command is sent again.
    pub(super) lost: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    /// The roster's accounts; their credential versions grow by what is given here.
    Learn(Vec<AccountPolicy>),
    Pick(Pick),
    /// The call tells of the account it holds (`own`), or of the one given. The windows' times are ahead
    /// of some moment before now.
    Report {
        call: CallId,
        index: usize,
        own: bool,
        told: Told,
        status: Option<u16>,
        quota: Vec<QuotaWindow>,
        spent: u64,
        served: bool,
        made: Vec<Origin>,
    },
    Say(Command),
    /// Asks for the refresh of the account's credentials, which it knows or (`true`) has from before.
    Begin {
        call: CallId,
        index: usize,
        old: bool,
        ttl_ms: u64,
        waits: bool,
        waited: Option<u64>,
    },
    /// With the next version of the credentials, if there is one.
    End(CallId, usize, Ended),
    Restart,
    Death,
}

/// An outcome whose times are ahead of now by so much.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Plain(Outcome),
    Throttled(u64, Option<String>),
    Denied(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    Refreshed,
    Refused,
    Failed,
}

/// What is said of an account by its operator; a subscription ends so much ahead of now.
fn policies(index: usize) -> impl Strategy<Value = AccountPolicy> {
    let usable = prop_oneof![9 => Just(None), 1 => Just(Some("no proxy".to_owned()))];
    let switches = (
        0..3_u32,
        0..3_u32,
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.9),
        0..8_u64,
        usable,
    );
    let reach = (
        prop::collection::btree_set(groups(), 0..3),
        prop::bool::weighted(0.8),
        prop::option::weighted(0.3, prop::collection::btree_set(models(), 0..3)),
    );
    let limits = (
        prop::option::weighted(0.15, 0..200_000_u64),
        prop_oneof![3 => Just(0), 1 => 1..200_u64],
        -720..840_i32,
        prop_oneof![2 => Just(0), 1 => 0..=100_u8],
    );
    (switches, reach, limits).prop_map(move |(switches, reach, limits)| {
        let (priority, max_concurrency, active, schedulable, grows, unusable) = switches;
        let (groups, shared, supported_models) = reach;
        let (expires_at, daily_quota, utc_offset_minutes, reserve_percent) = limits;
        AccountPolicy {
            id: ACCOUNTS[index].to_owned(),
            kind: None,
            priority,
            max_concurrency,
            active,
            schedulable,
            credential_version: u64::from(grows == 0),
            revision: 1,
            unusable,
            groups,
            shared,
            supported_models,
            expires_at,
            daily_quota,
            utc_offset_minutes,
            reserve_percent,
        }
    })
}

pub(super) fn rosters() -> impl Strategy<Value = Vec<AccountPolicy>> {
    let all = (policies(0), policies(1), policies(2), policies(3), policies(4));
    (all, prop::collection::vec(prop::bool::weighted(0.8), 5)).prop_map(|((a, b, c, d, e), there)| {
        let all = [e, b, a, d, c].into_iter().zip(there);
        all.filter(|(_, there)| *there)
            .map(|(account, _)| account)
            .collect()
    })
}

fn groups() -> impl Strategy<Value = String> {
    prop_oneof![Just("x".to_owned()), Just("y".to_owned())]
}

fn models() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Big".to_owned()),
        Just("big".to_owned()),
        Just("small".to_owned())
    ]
}

fn bindings() -> impl Strategy<Value = Binding> {
    prop_oneof![
        4 => ids().prop_map(Binding::Account),
        4 => groups().prop_map(Binding::Group),
        1 => Just(Binding::Group("nobody".to_owned())),
    ]
}

fn ids() -> impl Strategy<Value = String> {
    (0..5_usize).prop_map(|index| ACCOUNTS[index].to_owned())
}

fn windows() -> impl Strategy<Value = QuotaWindow> {
    let name = prop_oneof![Just("5h"), Just("7d"), Just("requests")];
    let ahead = prop_oneof![1 => 0..2_000_u64, 3 => 0..200_000_u64, 1 => 0..1_000_000_000_u64];
    let observed = prop_oneof![1 => 0..100_000_u64, 3 => 99_990..100_010_u64];
    (
        name,
        prop::option::weighted(0.3, families()),
        0..1_200_u16,
        ahead,
        observed,
    )
        .prop_map(
            |(name, family, used_permille, resets_at, observed_at)| QuotaWindow {
                name: name.to_owned(),
                family,
                used_permille,
                resets_at,
                observed_at,
            },
        )
}

fn calls() -> impl Strategy<Value = CallId> {
    (0..9_u128).prop_map(CallId)
}

fn ttls() -> impl Strategy<Value = u64> {
    prop_oneof![2 => 1..2_000_u64, 6 => 2_000..=MAX_TTL]
}

fn families() -> impl Strategy<Value = String> {
    prop_oneof![Just("opus".to_owned()), Just("haiku".to_owned())]
}

/// Those below 3 are such that a call can do without.
fn origins() -> impl Strategy<Value = Vec<Origin>> {
    let origin = (0..6_u64).prop_map(|id| Origin { id, loose: id < 3 });
    prop_oneof![2 => Just(vec![]), 1 => prop::collection::vec(origin, 1..3)]
}

fn picks() -> impl Strategy<Value = Pick> {
    let tried = prop_oneof![2 => Just(vec![]), 1 => prop::collection::vec(ids(), 0..3)];
    let model = prop_oneof![2 => Just(String::new()), 1 => models(), 1 => Just("other".to_owned())];
    let asks = (
        (prop::option::weighted(0.6, 0..4_u64), origins()),
        families(),
        model,
        tried,
        prop::option::weighted(0.08, ids()),
        prop::option::weighted(0.35, bindings()),
        prop::bool::ANY,
    );
    let terms = (
        prop::bool::weighted(0.9),
        ttls(),
        prop_oneof![9 => Just(0), 1 => Just(1)],
        prop::bool::ANY,
    );
    (calls(), asks, terms).prop_map(|(call, asks, terms)| {
        let ((session, origins), family, model, tried, only, binding, fallback) = asks;
        let (slot, ttl_ms, learned_since, trace) = terms;
        Pick {
            call,
            session,
            origins,
            owner: u64::try_from(call.0 % 3).unwrap_or_default(),
            family,
            model,
            kinds: None,
            tried,
            only,
            binding,
            fallback,
            slot,
            ttl_ms,
            learned_since,
            holder: format!("key of {}", call.0 % 4),
            trace,
            granted: false,
            part: PoolPart::Whole,
        }
    })
}

fn tellings() -> impl Strategy<Value = Told> {
    let ahead = || prop_oneof![3 => 0..200_000_u64, 1 => 0..2_000_000_000_u64];
    prop_oneof![
        4 => Just(Told::Plain(Outcome::Serving)),
        3 => Just(Told::Plain(Outcome::Finished)),
        1 => Just(Told::Plain(Outcome::Neutral)),
        3 => Just(Told::Plain(Outcome::Unwell { why: "529".into(), until: None })),
        1 => Just(Told::Plain(Outcome::Throttled {
            until: None,
            family: None,
            why: "429".into(),
        })),
        1 => families().prop_map(|family| Told::Plain(Outcome::Throttled {
            until: None,
            family: Some(family),
            why: "429".into(),
        })),
        2 => (0..3_u64).prop_map(|request| Told::Plain(Outcome::Refused { why: "403".into(), request })),
        1 => Just(Told::Plain(Outcome::Denied { why: "401".into(), until: None })),
        2 => (ahead(), prop::option::of(families())).prop_map(|(by, family)| Told::Throttled(by, family)),
        2 => ahead().prop_map(Told::Denied),
    ]
}

fn reports() -> impl Strategy<Value = Act> {
    let quota = prop_oneof![2 => Just(vec![]), 1 => prop::collection::vec(windows(), 1..4)];
    (
        calls(),
        0..5_usize,
        prop::bool::weighted(0.8),
        tellings(),
        prop::option::of(Just(529)),
        quota,
        prop_oneof![Just(0), 0..100_u64],
        (prop::bool::ANY, origins()),
    )
        .prop_map(
            |(call, index, own, told, status, quota, spent, (served, made))| Act::Report {
                call,
                index,
                own,
                told,
                status,
                quota,
                spent,
                served,
                made,
            },
        )
}

pub(super) fn events() -> impl Strategy<Value = Event> {
    let ended = prop_oneof![Just(Ended::Refreshed), Just(Ended::Refused), Just(Ended::Failed)];
    let act = prop_oneof![
        40 => picks().prop_map(Act::Pick),
        24 => reports(),
        6 => rosters().prop_map(Act::Learn),
        6 => (calls(), ttls()).prop_map(|(call, ttl_ms)| Act::Say(Command::Renew { call, ttl_ms })),
        6 => (calls(), 0..5_usize, prop::bool::weighted(0.2), ttls(), prop::bool::ANY, prop::option::of(1..4_u64))
            .prop_map(|(call, index, old, ttl_ms, waits, waited)| Act::Begin {
                call,
                index,
                old,
                ttl_ms,
                waits,
                waited,
            }),
        4 => (calls(), 0..5_usize, ended).prop_map(|(call, index, ended)| Act::End(call, index, ended)),
        2 => ids().prop_map(|account| Act::Say(Command::Reset { account })),
        1 => (prop::option::of(ids()), prop::option::of(0..4_u64))
            .prop_map(|(account, session)| Act::Say(Command::Flush { account, session })),
        2 => calls().prop_map(|call| Act::Say(Command::Release { call })),
        2 => (calls(), 0..6_u64).prop_map(|(call, origin)| Act::Say(Command::Claim { call, origin })),
        1 => Just(Act::Say(Command::Invalidate)),
        1 => Just(Act::Say(Command::Snapshot)),
        3 => Just(Act::Restart),
        1 => Just(Act::Death),
    ];
    (moves(), act, prop::bool::weighted(0.2)).prop_map(|(clock, act, lost)| Event { clock, act, lost })
}
