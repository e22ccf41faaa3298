//! The checks of the fuzz targets, each on generated input: a smoke test of what cargo-fuzz runs for hours with
//! a compiler that is not here.

use proptest::prelude::*;

#[allow(unreachable_pub, reason = "they are a crate of their own for cargo-fuzz")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use targets::{address, bridge};

/// An address that must be refused, and more: spelled in one of the ways that there are.
fn spelled() -> impl Strategy<Value = String> {
    let bits = prop_oneof![
        Just(0xa9fe_a9fe_u32),
        Just(0x7f00_0001),
        Just(0x0a00_0001),
        Just(0x6464_64c8),
        Just(0xa83f_8110),
        Just(0),
        any::<u32>(),
    ];
    (bits, 0..9_u8).prop_map(|(bits, way)| {
        let [a, b, c, d] = bits.to_be_bytes();
        let (high, low) = (bits >> 16, bits & 0xffff);
        match way {
            0 => format!("{a}.{b}.{c}.{d}"),
            1 => format!("{bits}"),
            2 => format!("0x{bits:x}"),
            3 => format!("0{bits:o}."),
            4 => format!("{a}.0x{b:X}.{low}"),
            5 => format!("[::ffff:{a}.{b}.{c}.{d}]"),
            6 => format!("64:ff9b::{high:x}:{low:x}"),
            7 => format!("[2002:{high:x}:{low:x}::1]"),
            _ => format!("０{bits:o}"),
        }
    })
}

proptest! {
    #[test]
    fn address_of_any_text(text in "\\PC{0,40}") {
        address::check(text.as_bytes());
    }

    #[test]
    fn address_of_what_looks_like_one(text in "\\[?([0-9]{1,11}|0[xX][0-9a-f]{0,9}|[0-9a-f]{0,4}|[.:%]){0,9}\\]?") {
        address::check(text.as_bytes());
    }

    #[test]
    fn address_in_every_spelling(text in spelled()) {
        address::check(text.as_bytes());
    }

    #[test]
    fn address_of_ipv6(bits in prop_oneof![any::<u128>(), any::<u128>().prop_map(|bits| bits & 0xffff_ffff_ffff)]) {
        address::check(std::net::Ipv6Addr::from(bits).to_string().as_bytes());
    }

    #[test]
    fn bridge_of_any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
        bridge::check(&data);
    }

    #[test]
    fn bridge_of_a_request_and_an_answer(
        text in "\\PC{0,20}",
        answer in "\\PC{0,40}",
        frames in prop::collection::vec("(data: )?\\{\"candidates\":\\[\\{\"content\":\\{\"parts\":\\[\\{\"text\":\"[a-z]{0,5}\"\\}\\]\\}\\}\\]\\}\n{0,2}", 0..4),
    ) {
        let asked = serde_json::json!({
            "model": "gemini-2.5-pro", "max_tokens": 1, "messages": [{ "role": "user", "content": text }],
        });
        let (asked, answered) = (asked.to_string(), format!("{answer}{}", frames.concat()));
        // The first byte cuts the rest in 256ths.
        let cut = asked.len() * 256 / (asked.len() + answered.len()).max(1);
        let mut data = vec![u8::try_from(cut.min(255)).unwrap()];
        data.extend(asked.bytes().chain(answered.bytes()));
        bridge::check(&data);
    }
}

#[test]
fn the_known_forms_of_a_metadata_address() {
    for host in [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "fd00:ec2::254",
        "metadata.google.internal.",
        "fe80::1%25eth0",
        "①⑥⑨.254.169.254",
        "169。254。169。254",
        "%31%36%39.254.169.254",
    ] {
        address::check(host.as_bytes());
    }
}
