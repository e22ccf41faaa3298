//! Known hosts of Chat Completions.

/// The provider behind a Chat Completions host, if requests to it differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChatHost {
    DeepSeek,
    Kimi,
    Glm,
    Qwen,
    Ollama,
    #[default]
    Other,
}

/// Host suffixes.
const NAMES: [(&str, ChatHost); 9] = [
    ("deepseek.com", ChatHost::DeepSeek),
    ("moonshot.ai", ChatHost::Kimi),
    ("moonshot.cn", ChatHost::Kimi),
    ("kimi.com", ChatHost::Kimi),
    ("z.ai", ChatHost::Glm),
    ("bigmodel.cn", ChatHost::Glm),
    ("aliyuncs.com", ChatHost::Qwen),
    ("maas.aliyun.com", ChatHost::Qwen),
    ("ollama.com", ChatHost::Ollama),
];

/// Ollama's default port.
const OLLAMA: &str = ":11434";

impl ChatHost {
    /// The host at this base URL. Unless the operator decides otherwise, known hosts are assumed to support only Chat
    /// Completions: some also serve Responses, but not for every model, and without their reasoning.
    pub fn at(address: &str) -> Self {
        let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.to_ascii_lowercase();
        if authority.ends_with(OLLAMA) {
            return Self::Ollama;
        }
        let host = authority.split(':').next().unwrap_or_default();
        let is = |name: &str| {
            let rest = host.strip_suffix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let known = NAMES.iter().find(|(name, _)| is(name));
        known.map_or(Self::Other, |(_, host)| *host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_recognised_by_name() {
        for (address, host) in [
            ("https://api.deepseek.com", ChatHost::DeepSeek),
            ("https://API.deepseek.com/v1", ChatHost::DeepSeek),
            ("https://api.moonshot.cn/v1", ChatHost::Kimi),
            ("https://api.z.ai/api/coding/paas/v4", ChatHost::Glm),
            ("https://open.bigmodel.cn/api/paas/v4", ChatHost::Glm),
            (
                "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
                ChatHost::Qwen,
            ),
            ("http://localhost:11434/v1", ChatHost::Ollama),
            ("http://10.0.0.1:8000/v1", ChatHost::Other),
            ("https://deepseek.com.example.org", ChatHost::Other),
            ("https://notdeepseek.com", ChatHost::Other),
        ] {
            assert_eq!(ChatHost::at(address), host, "{address}");
        }
    }
}
