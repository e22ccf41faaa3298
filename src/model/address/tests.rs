use proptest::prelude::*;

use super::*;

fn forbidden(host: &str) -> bool {
    matches!(Network::of_host(host), Network::Forbidden(_))
}

#[test]
fn metadata_and_link_local_addresses_are_forbidden_in_every_spelling() {
    for host in [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.0.1",
        "169.254.169.254.",
        "2852039166",
        "0xa9fea9fe",
        "0XA9FEA9FE",
        "025177524776",
        "0251.0376.0251.0376",
        "0xa9.0xfe.0xa9.0xfe",
        "169.0xfe.43518",
        "169.16689662",
        "0x00000000a9.254.169.254",
        "[::ffff:169.254.169.254]",
        "::ffff:a9fe:a9fe",
        "::ffff:0:a9fe:a9fe",
        "::a9fe:a9fe",
        "64:ff9b::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b::127.0.0.1",
        "2002:a9fe:a9fe::",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "fd00:ec2::254",
        "[fd00:0ec2:0:0:0:0:0:254]",
        "fd20:ce::254",
        "fe80::1",
        "fe80::a9fe:a9fe",
        "febf::1",
        "fe80::1%eth0",
        "[fe80::1%25eth0]",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "metadata",
        "instance-data.ec2.internal",
        "0.0.0.0",
        "0",
        "0x0",
        "0.1.2.3",
        "255.255.255.255",
        "240.0.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "203.0.113.9",
        "::",
        "ff02::1",
        "100::1",
        "2001:db8::1",
        "3fff::1",
        "fec0::1",
    ] {
        assert!(forbidden(host), "{host}: {:?}", Network::of_host(host));
    }
}

#[test]
fn what_is_no_host_is_forbidden() {
    for host in [
        "",
        ".",
        "..",
        "a..b",
        "::::",
        "%00",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.256",
        "4294967296",
        "0x100000000",
        "99999999999999999999999999",
        "1.2.3.08",
        "example.com.0x",
        "example.09",
        "169.254.169.254%00",
        "%31%36%39.254.169.254",
        "１６９.254.169.254",
        "169。254。169。254",
        "①⑥⑨.254.169.254",
        "localhost\u{202e}",
        "a b",
        "a@b",
        "a/b",
        "a:80",
        "[1.2.3.4]",
        "[localhost]",
        "[::1",
    ] {
        assert!(forbidden(host), "{host:?}: {:?}", Network::of_host(host));
    }
}

#[test]
fn private_networks_and_this_machine_are_known() {
    for host in [
        "10.0.0.1",
        "10.1",
        "0xa000001",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "192.168.257",
        "100.64.0.1",
        "100.127.255.255",
        "198.18.0.1",
        "fc00::1",
        "fdff::1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "ollama",
        "host.docker.internal",
        "printer.local",
        "nas.home.arpa",
    ] {
        assert_eq!(Network::of_host(host), Network::Private, "{host}");
    }
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.255.255.254",
        "::1",
        "[::1]",
        "0:0:0:0:0:0:0:1",
        "::ffff:127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
    ] {
        assert_eq!(Network::of_host(host), Network::Loopback, "{host}");
    }
}

#[test]
fn the_internet_is_public() {
    for host in [
        "api.anthropic.com",
        "api.anthropic.com.",
        "xn--bcher-kva.example",
        "1.1.1.1",
        "8.8.8.8",
        "172.15.0.1",
        "172.32.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "169.253.1.1",
        "169.255.1.1",
        "2606:4700::1111",
        "[2001:4860:4860::8888]",
        "64:ff9b::8.8.8.8",
        "::ffff:8.8.8.8",
        "0x7f.example",
        "1.2.3.4.example",
    ] {
        assert_eq!(Network::of_host(host), Network::Public, "{host}");
    }
}

proptest! {
    #[test]
    fn every_spelling_of_an_address_is_read(bits: u32, radixes: [u8; 4], parts in 1..=4_usize, tail in 0..4_u8) {
        let address = spelled(bits, radixes, parts, tail);
        let read = Host::read(&address);
        prop_assert_eq!(read, Host::Address(IpAddr::V4(Ipv4Addr::from(bits))), "{}", address);
    }

    #[test]
    fn the_standard_library_agrees_about_v4(bits: u32) {
        let address = Ipv4Addr::from(bits);
        if Network::of(IpAddr::V4(address)) == Network::Public {
            prop_assert!(!address.is_private() && !address.is_loopback() && !address.is_link_local());
            prop_assert!(!address.is_multicast() && !address.is_broadcast() && !address.is_unspecified());
            prop_assert!(!address.is_documentation());
        }
    }

    #[test]
    fn the_standard_library_agrees_about_v6(bits: u128) {
        let address = Ipv6Addr::from(bits);
        if Network::of(IpAddr::V6(address)) == Network::Public {
            prop_assert!(!address.is_loopback() && !address.is_multicast() && !address.is_unspecified());
            prop_assert!(!address.is_unique_local() && !address.is_unicast_link_local());
        }
    }
}

/// `bits` as an IPv4 address of `parts` parts, each in decimal, octal or hexadecimal.
fn spelled(bits: u32, radixes: [u8; 4], parts: usize, tail: u8) -> String {
    let number = |value: u32, radix: u8| match radix % 4 {
        0 => format!("{value}"),
        1 => format!("0{value:o}"),
        2 => format!("0x{value:x}"),
        _ => format!("0X000{value:X}"),
    };
    let [a, b, c, _] = bits.to_be_bytes();
    let leading = [a, b, c];
    let mut out: Vec<String> = leading[..parts - 1]
        .iter()
        .zip(radixes)
        .map(|(octet, radix)| number(u32::from(*octet), radix))
        .collect();
    let left = 8 * (5 - parts as u32);
    let last = if left == 32 {
        bits
    } else {
        bits & ((1 << left) - 1)
    };
    out.push(number(last, radixes[3]));
    let dot = if tail == 0 { "." } else { "" };
    format!("{}{dot}", out.join("."))
}
