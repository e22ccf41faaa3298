//! Claude at Amazon Bedrock: endpoints and model names.
//!
//! Bedrock serves the Messages API itself, including streams, at two endpoints (AWS documentation, "Inference using
//! Anthropic Messages API"). The runtime also has an older API of its own, InvokeModel, which has another path for each
//! model, and streams in a format of Amazon's:
//!
//! | | runtime | InvokeModel | Mantle |
//! | --- | --- | --- | --- |
//! | host | `bedrock-runtime.{region}.amazonaws.com` | the same | `bedrock-mantle.{region}.api.aws` |
//! | path | `/anthropic/v1/messages` | `/model/{model}/invoke` | `/anthropic/v1/messages` |
//! | service in signatures | `bedrock` | `bedrock` | `bedrock-mantle` |
//! | models | foundation models and inference profiles, `us.anthropic.claude-sonnet-4-5-20250929-v1:0` | the same | `anthropic.claude-sonnet-4-5` |
//! | token counting | no | yes, by foundation models | yes |
//!
//! The operator's address says which API is called ([`is_of_invoke_model`]).
//!
//! Sources: that page; service names: "Amazon Bedrock" in the documentation of OpenAI's SDKs, which sign for both;
//! token counting: "Monitor your token usage" in AWS' documentation; models: "Claude on Amazon Bedrock" in Anthropic's
//! and "Supported models" in AWS' documentation.

use crate::model::name::ModelName;

/// One of Bedrock's endpoints in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bedrock {
    pub endpoint: Endpoint,
    /// `us-east-1`
    pub region: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The Messages API of the runtime.
    Runtime,
    /// The runtime's own API.
    InvokeModel,
    Mantle,
}

/// Models with a longer name at the runtime: older models have a date and a version, one has only a version.
const DATED: [(&str, &str); 10] = [
    ("claude-3-haiku", "claude-3-haiku-20240307-v1:0"),
    ("claude-3-5-haiku", "claude-3-5-haiku-20241022-v1:0"),
    ("claude-3-7-sonnet", "claude-3-7-sonnet-20250219-v1:0"),
    ("claude-sonnet-4", "claude-sonnet-4-20250514-v1:0"),
    ("claude-opus-4", "claude-opus-4-20250514-v1:0"),
    ("claude-opus-4-1", "claude-opus-4-1-20250805-v1:0"),
    ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929-v1:0"),
    ("claude-haiku-4-5", "claude-haiku-4-5-20251001-v1:0"),
    ("claude-opus-4-5", "claude-opus-4-5-20251101-v1:0"),
    ("claude-opus-4-6", "claude-opus-4-6-v1"),
];

/// Region prefixes and their geographic inference profile; the first match applies. Other regions have at least the
/// global profile.
const PROFILES: [(&str, &str); 9] = [
    ("us-gov-", "us-gov"),
    ("us-", "us"),
    ("eu-", "eu"),
    ("ap-northeast-1", "jp"),
    ("ap-northeast-3", "jp"),
    ("ap-southeast-2", "au"),
    ("ap-southeast-4", "au"),
    ("ap-", "apac"),
    ("", "global"),
];

/// The operator's address, or that of the region's Messages API. AWS recommends this API for new applications, and
/// it is available wherever Claude is (AWS documentation, "Inference using Anthropic Messages API").
pub fn address(region: &str, base_url: Option<&str>) -> String {
    base_url.map_or_else(
        || format!("https://bedrock-runtime.{region}.amazonaws.com/anthropic"),
        str::to_owned,
    )
}

/// The address of the region's runtime, which is called by InvokeModel.
pub fn invoke_model_address(region: &str) -> String {
    format!("https://bedrock-runtime.{region}.amazonaws.com")
}

/// Whether an address of the runtime is called by InvokeModel: it has no path, like the endpoint that Amazon's SDKs
/// are given, or its path ends as InvokeModel's do. Other paths are of the Messages API, such as `/anthropic` or `/v1`.
fn is_of_invoke_model(base_url: &str) -> bool {
    let path = path(base_url);
    path.is_empty() || is_model_path(path)
}

/// Whether a path is `/model`, below which InvokeModel has its models, or that of one model. Operators paste both.
fn is_model_path(path: &str) -> bool {
    path.ends_with("/model") || model_of_path(path).is_some()
}

/// Splits the path of a model into the part before `/model/` and the rest.
fn model_of_path(path: &str) -> Option<(&str, &str)> {
    let method = ["/invoke", "/invoke-with-response-stream", "/count-tokens"];
    let rest = method.iter().find_map(|method| path.strip_suffix(method))?;
    let (before, model) = rest.rsplit_once("/model/")?;
    (!model.is_empty() && !model.contains('/')).then_some((before, model))
}

/// The address before `/model` of an address of InvokeModel.
pub fn before_model(base_url: &str) -> &str {
    let base = base_url.trim_end_matches('/');
    let path = path(base);
    let before = model_of_path(path).map(|(before, _)| before);
    let kept = before.or_else(|| path.strip_suffix("/model")).unwrap_or(path);
    base.get(..base.len() - (path.len() - kept.len())).unwrap_or(base)
}

/// The path of an address, without a slash at its end.
fn path(base_url: &str) -> &str {
    let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default();
    path.trim_end_matches('/')
}

/// Whether the text is a valid region name. It becomes a part of a host name.
pub fn is_region(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.len() <= 40 && text.contains('-') && text.split('-').all(part)
}

impl Bedrock {
    /// The endpoint that an API key is for: at one of Amazon's addresses, or at a gateway whose path is that of
    /// InvokeModel. Other hosts are compatible with Anthropic.
    pub fn at(base_url: &str) -> Option<Self> {
        let host = host(base_url)?;
        let (endpoint, region) = if let Some(rest) = host.strip_suffix(".amazonaws.com") {
            (Self::of_runtime(base_url), region_after(rest, "bedrock-runtime"))
        } else {
            let rest = host.strip_suffix(".api.aws");
            (
                Endpoint::Mantle,
                rest.and_then(|rest| region_after(rest, "bedrock-mantle")),
            )
        };
        match region {
            Some(region) => Some(Self {
                endpoint,
                region: region.to_owned(),
            }),
            // The region is the gateway's secret; only the names of models depend on it.
            None => is_model_path(path(base_url)).then(|| Self {
                endpoint: Endpoint::InvokeModel,
                region: String::new(),
            }),
        }
    }

    /// The endpoint for access keys of a region. A custom address (a private endpoint, a gateway) is assumed to be the
    /// runtime unless its host contains `bedrock-mantle`.
    pub fn of_keys(region: &str, base_url: Option<&str>) -> Self {
        let mantle = base_url
            .and_then(host)
            .is_some_and(|host| host.contains("bedrock-mantle"));
        Self {
            endpoint: match base_url {
                _ if mantle => Endpoint::Mantle,
                Some(base_url) => Self::of_runtime(base_url),
                None => Endpoint::Runtime,
            },
            region: region.to_owned(),
        }
    }

    fn of_runtime(base_url: &str) -> Endpoint {
        if is_of_invoke_model(base_url) {
            Endpoint::InvokeModel
        } else {
            Endpoint::Runtime
        }
    }

    /// The service name in signatures.
    pub fn service(&self) -> &'static str {
        match self.endpoint {
            Endpoint::Runtime | Endpoint::InvokeModel => "bedrock",
            Endpoint::Mantle => "bedrock-mantle",
        }
    }

    /// The model's name at this endpoint. `None` if it is not a Claude model or already has a name of Bedrock.
    pub fn model(&self, model: &ModelName) -> Option<String> {
        let raw = model.as_str();
        if raw.contains("anthropic.") || raw.starts_with("arn:") {
            return None;
        }
        let name = model.canonical();
        if !name.starts_with("claude-") {
            return None;
        }
        Some(match self.endpoint {
            Endpoint::Mantle => format!("anthropic.{name}"),
            Endpoint::Runtime | Endpoint::InvokeModel => {
                let dated = DATED.iter().find(|(short, _)| *short == name);
                let name = dated.map_or(name, |(_, long)| long);
                let profile = PROFILES.iter().find(|(begin, _)| self.region.starts_with(begin));
                let profile = profile.map_or("global", |(_, profile)| profile);
                format!("{profile}.anthropic.{name}")
            }
        })
    }
}

/// The foundation model of a name, without the inference profile. ARNs stay.
pub fn foundation_model(name: &str) -> &str {
    match name.split_once(".anthropic.") {
        Some((profile, _)) if !name.starts_with("arn:") => name.get(profile.len() + 1..).unwrap_or(name),
        _ => name,
    }
}

/// The host of an address.
fn host(base_url: &str) -> Option<&str> {
    let rest = base_url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority
        .rsplit_once('@')
        .map_or(Some(authority), |(_, host)| Some(host))?
        .split(':')
        .next()
}

/// The region after the service name, with an optional prefix and suffix: `vpce-1.bedrock-runtime.us-east-1.vpce`.
fn region_after<'a>(host: &'a str, name: &str) -> Option<&'a str> {
    let (before, rest) = host.split_once(name)?;
    let region = rest.strip_prefix('.')?.trim_end_matches(".vpce");
    ((before.is_empty() || before.ends_with('.')) && is_region(region)).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::canonical;

    fn runtime(region: &str) -> Bedrock {
        Bedrock {
            endpoint: Endpoint::Runtime,
            region: region.to_owned(),
        }
    }

    fn invoke_model(region: &str) -> Bedrock {
        Bedrock {
            endpoint: Endpoint::InvokeModel,
            region: region.to_owned(),
        }
    }

    #[test]
    fn amazons_addresses_name_endpoint_and_region() {
        let mantle = |region: &str| Bedrock {
            endpoint: Endpoint::Mantle,
            region: region.to_owned(),
        };
        for (address, expected) in [
            (
                "https://bedrock-runtime.us-east-1.amazonaws.com/anthropic",
                Some(runtime("us-east-1")),
            ),
            (
                "https://bedrock-mantle.eu-west-1.api.aws/anthropic/v1/messages",
                Some(mantle("eu-west-1")),
            ),
            (
                "https://vpce-1-2.bedrock-runtime.us-west-2.vpce.amazonaws.com/anthropic/v1/messages",
                Some(runtime("us-west-2")),
            ),
            (
                "https://vpce-1-2.bedrock-runtime.us-west-2.vpce.amazonaws.com",
                Some(invoke_model("us-west-2")),
            ),
            (
                "https://bedrock-runtime.us-east-1.amazonaws.com/",
                Some(invoke_model("us-east-1")),
            ),
            (
                "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-sonnet-5/invoke",
                Some(invoke_model("us-east-1")),
            ),
            (
                "https://bedrock-runtime.us-east-1.amazonaws.com/v1",
                Some(runtime("us-east-1")),
            ),
            // A gateway of one's own, for API keys.
            (
                "https://gateway.example.com/bedrock/model",
                Some(invoke_model("")),
            ),
            ("https://gateway.example.com/bedrock", None),
            ("https://gateway.example.com", None),
            ("https://bedrock-runtime.amazonaws.com", None),
            (
                "https://bedrock-runtime.us-east-1.amazonaws.com.evil.example",
                None,
            ),
            ("https://evilbedrock-runtime.us-east-1.amazonaws.com", None),
            ("https://api.anthropic.com", None),
            ("bedrock", None),
        ] {
            assert_eq!(Bedrock::at(address), expected, "{address}");
        }
        assert_eq!(Bedrock::of_keys("eu-west-1", None), runtime("eu-west-1"));
        assert_eq!(
            Bedrock::of_keys(
                "eu-west-1",
                Some("https://bedrock-mantle.eu-west-1.api.aws/anthropic")
            ),
            mantle("eu-west-1")
        );
        assert_eq!(
            Bedrock::of_keys("eu-west-1", Some("https://gateway.example.com/bedrock-mantle")),
            runtime("eu-west-1")
        );
        for (address, expected) in [
            ("https://gateway.example.com", invoke_model("eu-west-1")),
            ("https://gateway.example.com:8443/", invoke_model("eu-west-1")),
            (
                "https://gateway.example.com/bedrock/model/",
                invoke_model("eu-west-1"),
            ),
            ("https://gateway.example.com/bedrock", runtime("eu-west-1")),
            ("https://gateway.example.com/v1", runtime("eu-west-1")),
            ("https://gateway.example.com/anthropic", runtime("eu-west-1")),
        ] {
            assert_eq!(
                Bedrock::of_keys("eu-west-1", Some(address)),
                expected,
                "{address}"
            );
        }
    }

    #[test]
    fn an_address_of_invoke_model_is_cut_before_the_model() {
        for (address, expected) in [
            ("https://h", "https://h"),
            ("https://h/", "https://h"),
            ("https://h:1/model", "https://h:1"),
            ("https://h/bedrock/model/", "https://h/bedrock"),
            (
                "https://h/bedrock/model/arn%3Aaws%2Fx/invoke",
                "https://h/bedrock",
            ),
            (
                "https://h/model/a.claude-v1%3A0/invoke-with-response-stream",
                "https://h",
            ),
        ] {
            assert_eq!(before_model(address), expected, "{address}");
        }
    }

    #[test]
    fn a_foundation_model_has_no_profile() {
        for (name, expected) in [
            (
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "anthropic.claude-sonnet-4-5-20250929-v1:0",
            ),
            (
                "us-gov.anthropic.claude-opus-4-6-v1",
                "anthropic.claude-opus-4-6-v1",
            ),
            ("anthropic.claude-sonnet-5", "anthropic.claude-sonnet-5"),
            (
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-5",
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-5",
            ),
            ("mine", "mine"),
        ] {
            assert_eq!(foundation_model(name), expected);
        }
    }

    #[test]
    fn a_region_cannot_name_another_host() {
        for good in ["us-east-1", "ap-southeast-2", "us-gov-west-1"] {
            assert!(is_region(good), "{good}");
        }
        for bad in [
            "",
            "useast1",
            "us-east-1.evil.example/",
            "us--1",
            "US-EAST-1",
            "us-east-1#",
            "-",
        ] {
            assert!(!is_region(bad), "{bad}");
        }
    }

    #[test]
    fn models_have_the_names_of_endpoint_and_region() {
        let named = |bedrock: &Bedrock, model: &str| bedrock.model(&ModelName::parse(model).unwrap());
        for (region, model, expected) in [
            (
                "us-east-1",
                "claude-sonnet-4-5",
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            ),
            (
                "eu-central-1",
                "claude-sonnet-4-5-20250929",
                "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            ),
            (
                "ap-northeast-1",
                "claude-sonnet-4-6",
                "jp.anthropic.claude-sonnet-4-6",
            ),
            (
                "ap-southeast-2",
                "claude-sonnet-5",
                "au.anthropic.claude-sonnet-5",
            ),
            (
                "ap-south-1",
                "claude-opus-4-6",
                "apac.anthropic.claude-opus-4-6-v1",
            ),
            ("sa-east-1", "claude-opus-5[1m]", "global.anthropic.claude-opus-5"),
        ] {
            assert_eq!(
                named(&runtime(region), model).as_deref(),
                Some(expected),
                "{region} {model}"
            );
        }
        let mantle = Bedrock {
            endpoint: Endpoint::Mantle,
            ..runtime("us-east-1")
        };
        assert_eq!(
            named(&mantle, "claude-haiku-4-5").as_deref(),
            Some("anthropic.claude-haiku-4-5")
        );
        for own in [
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "anthropic.claude-opus-5",
            "gpt-5.4",
        ] {
            assert_eq!(named(&mantle, own), None, "{own}");
        }
    }

    #[test]
    fn bedrocks_names_have_the_same_canonical_model() {
        for (short, long) in DATED {
            assert_eq!(
                canonical(&format!("us.anthropic.{long}")),
                canonical(short),
                "{long}"
            );
        }
        for (_, profile) in PROFILES {
            let name = format!("{profile}.anthropic.claude-sonnet-5");
            assert_eq!(canonical(&name), "claude-sonnet-5", "{name}");
        }
    }
}
