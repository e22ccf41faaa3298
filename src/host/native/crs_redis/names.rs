//! The names of a CRS's keys, and their meanings.

use serde_json::Value;

use crate::import::cipher::Kind;
use crate::import::fields::Fields;
use crate::model::calendar::{Day, Hour, Month};
use crate::model::money::MicroUsd;
use crate::store::ledger::Bucket;

/// A key of the database.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Name<'a> {
    Key(&'a str),
    Account(Kind, &'a str),
    Group(&'a str),
    User(&'a str),
    /// Exists in later versions only.
    OfUpstream,
    /// The usage of a key or an account.
    Usage(Usage<'a>),
    /// Data without a place in this relay: its description.
    Homeless(&'static str, Form),
    /// State of the running CRS, caches, indexes.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Hash,
    Text,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Usage<'a> {
    pub(super) owner: &'a str,
    pub(super) of_account: bool,
    pub(super) bucket: Bucket,
    pub(super) what: What<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What<'a> {
    Counts,
    Model(&'a str),
    Cost,
    Records,
}

const ACCOUNTS: [(Kind, &str); 10] = [
    (Kind::Claude, "claude:account:"),
    (Kind::Console, "claude_console_account:"),
    (Kind::Ccr, "ccr_account:"),
    (Kind::Gemini, "gemini_account:"),
    (Kind::GeminiApi, "gemini_api_account:"),
    (Kind::OpenAi, "openai:account:"),
    (Kind::Responses, "openai_responses_account:"),
    (Kind::Azure, "azure_openai:account:"),
    (Kind::Droid, "droid:account:"),
    (Kind::Bedrock, "bedrock_account:"),
];

const HOMELESS: [(&str, &str, Form); 10] = [
    ("user:", "users", Form::Text),
    ("webhook_config:", "notices by webhook", Form::Text),
    ("claude_relay_config", "settings of the relay", Form::Text),
    ("quota_card:", "quota cards", Form::Hash),
    ("redemption:", "redemptions of quota cards", Form::Hash),
    ("system:service_rates", "price factors of services", Form::Text),
    ("system:quota_card_limits", "limits of quota cards", Form::Text),
    ("account:test_config:", "scheduled tests", Form::Hash),
    ("account_balance_script:", "balance scripts", Form::Text),
    ("apikey_hash:", "hashes of an older layout", Form::Hash),
];

/// The database's name of an account.
pub(super) fn account(kind: Kind, id: &str) -> String {
    let prefix = ACCOUNTS
        .iter()
        .find(|(of, _)| *of == kind)
        .map_or("", |(_, prefix)| prefix);
    format!("{prefix}{id}")
}

/// Bedrock's accounts are one JSON text each.
pub(super) fn is_text(kind: Kind) -> bool {
    kind == Kind::Bedrock
}

/// The kinds of accounts that this relay does not have.
pub(super) fn homeless_kind(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Ccr => Some("CCR accounts"),
        Kind::Azure => Some("Azure OpenAI accounts"),
        Kind::Droid => Some("droid accounts"),
        _ => None,
    }
}

impl<'a> Name<'a> {
    pub(super) fn read(name: &'a str) -> Self {
        if matches!(
            name,
            "apikey:index:version" | "claude:account:index" | "system:migrated:version"
        ) {
            return Self::OfUpstream;
        }
        let one =
            |rest: &'a str| (!rest.is_empty() && !rest.contains(':') && rest != "index").then_some(rest);
        if let Some(rest) = name.strip_prefix("apikey:") {
            return one(rest)
                .filter(|rest| *rest != "hash_map")
                .map_or(Self::Other, Self::Key);
        }
        for (kind, prefix) in ACCOUNTS {
            if let Some(rest) = name.strip_prefix(prefix) {
                return one(rest).map_or(Self::Other, |id| Self::Account(kind, id));
            }
        }
        if let Some(rest) = name.strip_prefix("account_group:") {
            return one(rest).map_or(Self::Other, Self::Group);
        }
        if let Some(rest) = name.strip_prefix("usage:") {
            return of_key(rest).map_or(Self::Other, Self::Usage);
        }
        if let Some(rest) = name.strip_prefix("account_usage:") {
            return of_account(rest).map_or(Self::Other, Self::Usage);
        }
        if let Some(rest) = name.strip_prefix("user:").and_then(one) {
            return Self::User(rest);
        }
        let homeless = HOMELESS
            .iter()
            .find(|(prefix, ..)| name.starts_with(prefix) && !name.starts_with("user:"));
        homeless.map_or(Self::Other, |(_, what, form)| Self::Homeless(what, *form))
    }
}

/// Splits off the period at the end of a name. Names of models may contain colons, so it is read from the right.
fn label<'a>(rest: &'a str, unit: &str) -> Option<(&'a str, Bucket)> {
    let length = match unit {
        "hourly" => 13,
        "daily" => 10,
        "monthly" => 7,
        _ => return None,
    };
    let (before, label) = rest.split_at_checked(rest.len().checked_sub(length)?)?;
    let bucket = match unit {
        "hourly" => Bucket::Hour(Hour::parse(label)?),
        "daily" => Bucket::Day(Day::parse(label)?),
        _ => Bucket::Month(Month::parse(label)?),
    };
    Some((before.strip_suffix(':')?, bucket))
}

/// The part after `usage:`.
fn of_key(rest: &str) -> Option<Usage<'_>> {
    let usage = |owner, bucket, what| {
        let good = !str::is_empty(owner) && !owner.contains(':') && owner != "index";
        good.then_some(Usage {
            owner,
            of_account: false,
            bucket,
            what,
        })
    };
    let (first, after) = rest.split_once(':').unwrap_or((rest, ""));
    match first {
        "daily" | "monthly" | "hourly" => {
            let (owner, bucket) = label(after, first)?;
            usage(owner, bucket, What::Counts)
        }
        "cost" => {
            let (unit, after) = after.split_once(':')?;
            if unit == "total" {
                return usage(after, Bucket::All, What::Cost);
            }
            let (owner, bucket) = label(after, unit)?;
            usage(owner, bucket, What::Cost)
        }
        "records" => usage(after, Bucket::All, What::Records),
        "model" | "keymodel" | "opus" | "global" => None,
        owner if after.is_empty() => usage(owner, Bucket::All, What::Counts),
        owner => {
            let (unit, after) = after.strip_prefix("model:")?.split_once(':')?;
            if unit == "alltime" {
                return usage(owner, Bucket::All, What::Model(after));
            }
            let (model, bucket) = label(after, unit)?;
            usage(owner, bucket, What::Model(model))
        }
    }
}

/// The part after `account_usage:`.
fn of_account(rest: &str) -> Option<Usage<'_>> {
    let usage = |owner: &str, bucket, what| {
        // Some have the prefix of their kind.
        let start = ["responses:", "api:"]
            .iter()
            .find(|mark| owner.starts_with(**mark));
        let bare = start.map_or(owner, |mark| owner.get(mark.len()..).unwrap_or_default());
        (!bare.is_empty() && !bare.contains(':') && bare != "index").then_some((bucket, what))
    };
    let (first, after) = rest.split_once(':').unwrap_or((rest, ""));
    let (owner, bucket, what) = match first {
        "daily" | "monthly" | "hourly" => {
            let (owner, bucket) = label(after, first)?;
            (owner, bucket, What::Counts)
        }
        "model" => {
            let (unit, after) = after.split_once(':')?;
            let (before, bucket) = label(after, unit)?;
            let marked = ["responses:", "api:"]
                .iter()
                .find(|mark| before.starts_with(**mark));
            let skip = marked.map_or(0, |mark| mark.len());
            let (owner, model) = before.get(skip..)?.split_once(':')?;
            let end = skip + owner.len();
            (before.get(..end)?, bucket, What::Model(model))
        }
        _ => (rest, Bucket::All, What::Counts),
    };
    let (bucket, what) = usage(owner, bucket, what)?;
    Some(Usage {
        owner,
        of_account: true,
        bucket,
        what,
    })
}

/// The cost that later versions store with a model's counts: the amount charged against limits, or else the real one.
pub(super) fn kept_cost(fields: &Fields) -> Option<MicroUsd> {
    let name = ["ratedCostMicro", "realCostMicro"];
    let kept = name.iter().find(|name| fields.text(name).is_some())?;
    Some(MicroUsd(fields.count(kept)))
}

/// The fields of a JSON object as texts.
pub(super) fn fields_of_json(text: &str) -> Option<Fields> {
    let Value::Object(object) = serde_json::from_str(text).ok()? else {
        return None;
    };
    let texts = object.into_iter().map(|(name, value)| {
        let value = match value {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        };
        (name, value)
    });
    Some(Fields(texts.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1c9a52-0000-4000-8000-000000000001";

    fn day() -> Bucket {
        Bucket::Day(Day::parse("2026-01-31").unwrap())
    }

    #[track_caller]
    fn usage(name: &str, bucket: Bucket, what: What<'_>, of_account: bool) {
        let read = Name::read(name);
        let Name::Usage(usage) = read else {
            panic!("{name}: {read:?}")
        };
        assert_eq!(
            (usage.owner, usage.bucket, usage.what, usage.of_account),
            (ID, bucket, what, of_account)
        );
    }

    #[test]
    fn records_are_told_from_the_indexes_that_share_their_names() {
        assert_eq!(Name::read(&format!("apikey:{ID}")), Name::Key(ID));
        for name in [
            "apikey:hash_map",
            "apikey:idx:createdAt",
            "apikey:set:active",
            "apikey:tags:all",
            "openai:account:index",
            "openai:account:index:empty",
            "gemini_account:index",
            "usage:daily:index:2026-01-31",
            "usage:hourly:index:2026-01-31:09",
            "usage:model:daily:index:2026-01-31",
            "usage:keymodel:daily:index:2026-01-31",
            "usage:model:monthly:months",
            "usage:global:total",
            "usage:opus:weekly:x:2026-W05",
            "usage:cost:real:total:x",
            "account_usage:daily:index:2026-01-31",
            "concurrency:x",
            "session:abc",
        ] {
            assert_eq!(Name::read(name), Name::Other, "{name}");
        }
        assert_eq!(Name::read("apikey:index:version"), Name::OfUpstream);
        assert_eq!(Name::read("claude:account:x"), Name::Account(Kind::Claude, "x"));
        assert_eq!(Name::read("bedrock_account:x"), Name::Account(Kind::Bedrock, "x"));
        assert_eq!(
            Name::read("webhook_config:default"),
            Name::Homeless("notices by webhook", Form::Text)
        );
        assert_eq!(Name::read("user:0f"), Name::User("0f"));
    }

    #[test]
    fn counters_are_read_from_both_ends() {
        let hour = Bucket::Hour(Hour::parse("2026-01-31:09").unwrap());
        let month = Bucket::Month(Month::parse("2026-01").unwrap());
        usage(&format!("usage:{ID}"), Bucket::All, What::Counts, false);
        usage(
            &format!("usage:daily:{ID}:2026-01-31"),
            day(),
            What::Counts,
            false,
        );
        usage(
            &format!("usage:hourly:{ID}:2026-01-31:09"),
            hour,
            What::Counts,
            false,
        );
        usage(
            &format!("usage:{ID}:model:monthly:a:b:2026-01"),
            month,
            What::Model("a:b"),
            false,
        );
        usage(
            &format!("usage:{ID}:model:hourly:m:2026-01-31:09"),
            hour,
            What::Model("m"),
            false,
        );
        usage(
            &format!("usage:{ID}:model:alltime:m:x"),
            Bucket::All,
            What::Model("m:x"),
            false,
        );
        usage(
            &format!("usage:cost:daily:{ID}:2026-01-31"),
            day(),
            What::Cost,
            false,
        );
        usage(&format!("usage:cost:total:{ID}"), Bucket::All, What::Cost, false);
        usage(&format!("usage:records:{ID}"), Bucket::All, What::Records, false);
        usage(&format!("account_usage:{ID}"), Bucket::All, What::Counts, true);
        usage(
            &format!("account_usage:monthly:{ID}:2026-01"),
            month,
            What::Counts,
            true,
        );
        usage(
            &format!("account_usage:model:daily:{ID}:a:b:2026-01-31"),
            day(),
            What::Model("a:b"),
            true,
        );
    }

    #[test]
    fn costs_that_are_kept_are_the_charged_ones() {
        let fields = Fields::of([("realCostMicro", "10"), ("ratedCostMicro", "12")]);
        assert_eq!(kept_cost(&fields), Some(MicroUsd(12)));
        assert_eq!(
            kept_cost(&Fields::of([("realCostMicro", "10")])),
            Some(MicroUsd(10))
        );
        assert_eq!(kept_cost(&Fields::default()), None);
    }
}
