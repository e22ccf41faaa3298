//! Encrypted reasoning that an account cannot read, because another account made it. The call is sent again without
//! it: first without the items of other accounts, then without any.

use bytes::Bytes;
use crs_durable::pool;
use http::StatusCode;

use crate::app::App;
use crate::dialect::body::{Fields, scan};
use crate::dialect::call::Call;
use crate::dialect::origin;
use crate::model::account::live::LiveAccount;
use crate::plan::Plan;

/// Items of one call that the pool is asked about.
const MOST_ITEMS: usize = 256;

/// How much of a call's encrypted reasoning was left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftOut {
    Nothing,
    /// The items of other accounts, as far as their makers are known.
    Others,
    All,
}

/// A call with less reasoning in it.
pub(super) struct Less {
    pub(super) body: Bytes,
    pub(super) fields: Fields,
    /// How many items were left out.
    pub(super) items: u32,
}

/// The call without what the account cannot read. `None`: the refusal is about something else, or nothing is left to
/// leave out.
pub(super) async fn less(
    app: &App,
    plan: &'static Plan,
    call: &Call,
    live: &LiveAccount,
    (status, error): (StatusCode, Bytes),
    left_out: LeftOut,
) -> Option<(Less, LeftOut)> {
    if left_out == LeftOut::All {
        return None;
    }
    let items = plan.unreadable(call, live, status, &error);
    if items.is_empty() {
        return None;
    }
    if left_out == LeftOut::Nothing {
        let made = makers(app, plan, call, &live.account.id, &items).await;
        let readable = origin::by_parts(&made);
        let some = readable.contains(&true);
        if let Some(without) = plan.without_unreadable(call, &items, &readable).filter(|_| some) {
            return Some((scanned(without)?, LeftOut::Others));
        }
    }
    let without = plan.without_unreadable(call, &items, &[])?;
    Some((scanned(without)?, LeftOut::All))
}

fn scanned((body, items): (Bytes, u32)) -> Option<Less> {
    let fields = scan(&body).ok()?;
    Some(Less { body, fields, items })
}

/// Whether the account made each of these items (the oldest first); `None`: unknown. Only the newest are asked about.
async fn makers(
    app: &App,
    plan: &'static Plan,
    call: &Call,
    account: &str,
    items: &[Bytes],
) -> Vec<Option<bool>> {
    let older = items.len().saturating_sub(MOST_ITEMS);
    let newest = items.get(older..).unwrap_or_default();
    let origins = newest.iter().map(|item| origin::of_reasoning(item, &call.key));
    let asked = pool::Command::MadeBy {
        account: account.to_owned(),
        origins: origins.collect(),
    };
    let mut made = vec![None; older];
    if let Ok(pool::Reply::MadeBy { made: newest }) = app.ports.gates.pool(plan.platform(), asked).await {
        made.extend(newest);
    }
    made
}
