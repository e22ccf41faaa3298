//! Hashes.

use super::*;

pub(super) async fn run(subject: &Subject) {
    cases!(
        subject,
        fields_are_read_back,
        a_field_named_twice_keeps_the_last_value,
        hdel_of_the_last_field_ends_the_key,
        hincr_by_counts_from_nothing,
        hincr_by_refuses_text,
        hincr_by_refuses_to_overflow,
        field_values_are_bytes,
        naming_no_fields_changes_nothing,
        many_fields,
    );
}

async fn fields_are_read_back(s: &Subject) {
    assert_eq!(s.one(hget("hash", "a")).await, Reply::Value(None));
    assert_eq!(
        s.one(hmget("hash", &["a", "b"])).await,
        Reply::Values(vec![None, None])
    );
    assert_eq!(s.one(hgetall("hash")).await, Reply::Entries(vec![]));
    assert_eq!(s.one(hlen("hash")).await, Reply::Int(0));
    assert_eq!(s.one(hset("hash", &[("a", "1"), ("b", "")])).await, Reply::Int(2));
    assert_eq!(
        s.one(hset("hash", &[("a", "2"), ("c", "3")])).await,
        Reply::Int(1)
    );
    assert_eq!(s.one(hget("hash", "a")).await, some("2"));
    assert_eq!(s.one(hget("hash", "b")).await, some(""));
    assert_eq!(s.one(hget("hash", "z")).await, Reply::Value(None));
    assert_eq!(
        s.one(hmget("hash", &["c", "z", "a", "c"])).await,
        Reply::Values(vec![Some(bytes("3")), None, Some(bytes("2")), Some(bytes("3"))])
    );
    assert_eq!(
        sorted(s.one(hgetall("hash")).await),
        entries(&[("a", "2"), ("b", ""), ("c", "3")])
    );
    assert_eq!(s.one(hlen("hash")).await, Reply::Int(3));
}

async fn a_field_named_twice_keeps_the_last_value(s: &Subject) {
    assert_eq!(
        s.one(hset("twice", &[("a", "1"), ("a", "2")])).await,
        Reply::Int(1)
    );
    assert_eq!(s.one(hgetall("twice")).await, entries(&[("a", "2")]));
    assert_eq!(s.one(hdel("twice", &["a", "a"])).await, Reply::Int(1));
}

async fn hdel_of_the_last_field_ends_the_key(s: &Subject) {
    s.one(hset("shrinking", &[("a", "1"), ("b", "2")])).await;
    assert_eq!(s.one(hdel("shrinking", &["a", "z"])).await, Reply::Int(1));
    assert_eq!(s.one(exists("shrinking")).await, Reply::Int(1));
    assert_eq!(s.one(hdel("shrinking", &["b"])).await, Reply::Int(1));
    assert_eq!(s.one(exists("shrinking")).await, Reply::Int(0));
    assert_eq!(s.one(hdel("shrinking", &["b"])).await, Reply::Int(0));
    // So the key is free for another type.
    assert_eq!(s.one(sadd("shrinking", &["m"])).await, Reply::Int(1));
}

async fn hincr_by_counts_from_nothing(s: &Subject) {
    assert_eq!(s.one(hincr_by("counts", "a", 3)).await, Reply::Int(3));
    assert_eq!(s.one(hincr_by("counts", "a", -4)).await, Reply::Int(-1));
    assert_eq!(
        s.one(hincr_by("counts", "b", i64::MAX)).await,
        Reply::Int(i64::MAX)
    );
    s.one(hset("counts", &[("c", "10")])).await;
    assert_eq!(s.one(hincr_by("counts", "c", 5)).await, Reply::Int(15));
    assert_eq!(
        sorted(s.one(hgetall("counts")).await),
        entries(&[("a", "-1"), ("b", "9223372036854775807"), ("c", "15")])
    );
}

async fn hincr_by_refuses_text(s: &Subject) {
    for text in ["ten", "", "1.5", "01", "1 "] {
        s.one(hset("no-numbers", &[("a", text), ("b", "1")])).await;
        s.is_unreadable(hincr_by("no-numbers", "a", 1)).await;
        assert_eq!(
            sorted(s.one(hgetall("no-numbers")).await),
            entries(&[("a", text), ("b", "1")])
        );
    }
}

async fn hincr_by_refuses_to_overflow(s: &Subject) {
    s.one(hset("full-fields", &[("a", "9223372036854775807")])).await;
    s.is_unreadable(hincr_by("full-fields", "a", 1)).await;
    assert_eq!(s.one(hget("full-fields", "a")).await, some("9223372036854775807"));
}

async fn field_values_are_bytes(s: &Subject) {
    let value = Bytes::from_static(b"\0\r\n\xff\xfe\0");
    s.one(Command::HSet {
        key: "field-bytes".into(),
        entries: vec![("a".into(), value.clone())],
    })
    .await;
    assert_eq!(
        s.one(hget("field-bytes", "a")).await,
        Reply::Value(Some(value.clone()))
    );
    assert_eq!(
        s.one(hgetall("field-bytes")).await,
        Reply::Entries(vec![("a".into(), value)])
    );
}

async fn naming_no_fields_changes_nothing(s: &Subject) {
    assert_eq!(s.one(hset("none", &[])).await, Reply::Int(0));
    assert_eq!(s.one(hdel("none", &[])).await, Reply::Int(0));
    assert_eq!(s.one(hmget("none", &[])).await, Reply::Values(vec![]));
    assert_eq!(s.one(exists("none")).await, Reply::Int(0));
}

async fn many_fields(s: &Subject) {
    let many: Vec<(String, Bytes)> = (0..5_000)
        .map(|n| (format!("field-{n}"), bytes(&n.to_string())))
        .collect();
    let set = Command::HSet {
        key: "many".into(),
        entries: many.clone(),
    };
    assert_eq!(s.one(set.clone()).await, Reply::Int(5_000));
    assert_eq!(s.one(set).await, Reply::Int(0));
    assert_eq!(s.one(hlen("many")).await, Reply::Int(5_000));
    assert_eq!(sorted(s.one(hgetall("many")).await), sorted(Reply::Entries(many)));
    assert_eq!(s.one(del("many")).await, Reply::Int(1));
    assert_eq!(s.one(hgetall("many")).await, Reply::Entries(vec![]));
    // A new key of the old name starts empty.
    s.one(hset("many", &[("new", "1")])).await;
    assert_eq!(s.one(hgetall("many")).await, entries(&[("new", "1")]));
    assert_eq!(s.one(hlen("many")).await, Reply::Int(1));
}
