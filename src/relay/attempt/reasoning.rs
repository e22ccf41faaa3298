//! Removes encrypted reasoning that an account cannot read because another account made it. The call is sent
//! again: first without the items of other accounts, then without any items.

use bytes::Bytes;
use crs_durable::pool;
use http::StatusCode;

use crate::app::App;
use crate::dialect::body::{Fields, scan};
use crate::dialect::call::Call;
use crate::dialect::origin;
use crate::model::account::live::LiveAccount;
use crate::plan::Plan;

/// Maximum number of items per question to the pool.
const MOST_ITEMS: usize = 256;

/// The encrypted reasoning that was removed from a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftOut {
    Nothing,
    /// Items known to be made by other accounts.
    Others,
    All,
}

/// A call with reasoning removed.
pub(super) struct ReducedCall {
    pub(super) body: Bytes,
    pub(super) fields: Fields,
    /// Number of removed items.
    pub(super) items: u32,
}

/// Removes the reasoning that the account cannot read. `None` if the refusal has another cause, or if nothing is
/// left to remove.
pub(super) async fn less(
    app: &App,
    plan: &'static Plan,
    call: &Call,
    live: &LiveAccount,
    (status, error): (StatusCode, Bytes),
    left_out: LeftOut,
) -> Option<(ReducedCall, LeftOut)> {
    if left_out == LeftOut::All {
        return None;
    }
    let items = plan.unreadable(call, live, status, &error);
    if items.is_empty() {
        return None;
    }
    if left_out == LeftOut::Nothing {
        let made = makers(app, plan, call, &live.account.id, &items).await;
        let readable = origin::made_by_account(&made);
        let some = readable.contains(&true);
        if let Some(without) = plan.without_unreadable(call, &items, &readable).filter(|_| some) {
            return Some((scanned(without)?, LeftOut::Others));
        }
    }
    let without = plan.without_unreadable(call, &items, &[])?;
    Some((scanned(without)?, LeftOut::All))
}

fn scanned((body, items): (Bytes, u32)) -> Option<ReducedCall> {
    let fields = scan(&body).ok()?;
    Some(ReducedCall { body, fields, items })
}

/// Whether the account made each of these items, oldest first; `None`: unknown. The pool is asked only about the
/// newest.
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
