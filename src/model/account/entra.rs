//! Ids of applications of Microsoft Entra, whose access tokens Azure OpenAI takes.
//!
//! | cloud | `ENTRA_URL` | `ENTRA_SCOPE` |
//! | --- | --- | --- |
//! | global | `https://login.microsoftonline.com` | `https://cognitiveservices.azure.com/.default` |
//! | US Government | `https://login.microsoftonline.us` | `https://cognitiveservices.azure.us/.default` |
//! | China (21Vianet) | `https://login.partner.microsoftonline.cn` | `https://cognitiveservices.azure.cn/.default` |
//!
//! Sources: "National clouds" in Microsoft's documentation; the scopes: openai/openai-go#534, microsoft/mcp#1687.

/// Lengths of a GUID's groups of hexadecimal digits.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// Whether the text is a GUID, as the ids of applications are.
pub fn is_guid(text: &str) -> bool {
    let is_hex = |group: &str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let groups = text.split('-');
    groups.clone().all(is_hex) && groups.map(str::len).eq(GROUPS)
}

/// Whether the text names a tenant: a GUID or a domain. It becomes a part of the token endpoint's path.
pub fn is_tenant(text: &str) -> bool {
    is_guid(text) || is_domain(text)
}

/// Two labels or more, the last of which is no number.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let ends = label.starts_with('-') || label.ends_with('-');
        (1..=63).contains(&label.len()) && label.bytes().all(plain) && !ends
    };
    let top = text.rsplit_once('.').map(|(_, top)| top);
    text.len() <= 253
        && text.split('.').all(is_label)
        && top.is_some_and(|top| !top.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

    #[test]
    fn a_tenant_is_a_guid_or_a_domain() {
        for good in [
            GUID,
            "72F988BF-86F1-41AF-91AB-2D7CD011DB47",
            "contoso.onmicrosoft.com",
            "my-company.example",
            "xn--mller-kva.de",
        ] {
            assert!(is_tenant(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "...",
            "common",
            "organizations",
            "contoso..com",
            ".contoso.com",
            "contoso.com.",
            "contoso.com/oauth2",
            "contoso.com?x=y",
            "contoso.com#x",
            "contoso.com%2f",
            "contoso.com@evil.example",
            "evil.example:8443",
            "//evil.example",
            "\\evil.example",
            "127.0.0.1",
            "-contoso.com",
            "contoso-.com",
            "cont oso.com",
            "müller.de",
            "{72f988bf-86f1-41af-91ab-2d7cd011db47}",
        ] {
            assert!(!is_tenant(bad), "{bad}");
        }
        assert!(!is_tenant(&format!("{}.com", "a".repeat(64))));
        assert!(!is_tenant(&"a.".repeat(130)));
    }

    #[test]
    fn an_application_is_named_by_a_guid() {
        assert!(is_guid(GUID));
        for bad in [
            "",
            "contoso.com",
            "72f988bf86f141af91ab2d7cd011db47",
            "72f988bf-86f1-41af-91ab-2d7cd011db4",
            "72f988bf-86f1-41af-91ab-2d7cd011db477",
            "72f988bf-86f1-41af-91ab-2d7cd011db4g",
            "72f988bf-86f1-41af-91ab2-d7cd011db47",
            "72f988bf-86f1-41af-91ab-2d7cd011db47-",
        ] {
            assert!(!is_guid(bad), "{bad}");
        }
    }
}
