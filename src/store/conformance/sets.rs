//! Sets.

use super::*;

pub(super) async fn run(subject: &Subject) {
    cases!(
        subject,
        members_are_kept_once,
        srem_of_the_last_member_ends_the_key,
        naming_no_members_changes_nothing
    );
}

async fn members_are_kept_once(s: &Subject) {
    assert_eq!(s.one(smembers("set")).await, Reply::Members(vec![]));
    assert_eq!(s.one(sadd("set", &["a", "b", "a"])).await, Reply::Int(2));
    assert_eq!(s.one(sadd("set", &["b", "c", ""])).await, Reply::Int(2));
    assert_eq!(
        sorted(s.one(smembers("set")).await),
        Reply::Members(names(&["", "a", "b", "c"]))
    );
    assert_eq!(s.one(srem("set", &["a", "z", ""])).await, Reply::Int(2));
    assert_eq!(
        sorted(s.one(smembers("set")).await),
        Reply::Members(names(&["b", "c"]))
    );
}

async fn srem_of_the_last_member_ends_the_key(s: &Subject) {
    s.one(sadd("last", &["a"])).await;
    assert_eq!(s.one(srem("last", &["a", "a"])).await, Reply::Int(1));
    assert_eq!(s.one(exists("last")).await, Reply::Int(0));
    assert_eq!(s.one(set("last", "text")).await, Reply::Ok);
}

async fn naming_no_members_changes_nothing(s: &Subject) {
    assert_eq!(s.one(sadd("no-members", &[])).await, Reply::Int(0));
    assert_eq!(s.one(srem("no-members", &[])).await, Reply::Int(0));
    assert_eq!(s.one(exists("no-members")).await, Reply::Int(0));
}
