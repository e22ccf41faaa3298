//! The real Gemini CLI, run offline, set up as README.md says: with a key, or as with a login. Installed by
//! `scripts/real-clients`.

use std::ops::Deref;
use std::path::Path;

use crate::cli::{Cli, Run, versions};
use crate::node;

/// One installation of the client, used by one user in one project.
pub struct GeminiCli {
    cli: Cli,
    /// What node is to run.
    program: String,
}

impl Deref for GeminiCli {
    type Target = Cli;

    fn deref(&self) -> &Cli {
        &self.cli
    }
}

impl GeminiCli {
    /// The newest version, on the node of `checkout`'s tools.
    async fn new(checkout: &Path) -> Self {
        let version = versions("gemini-cli").remove(0);
        let program = crate::sdk::installed("gemini-cli", &version, "bundle/gemini.js");
        let cli = Cli::new(node::tools(checkout).join("bin/node")).await;
        Self {
            cli: cli.env("GEMINI_CLI_TRUST_WORKSPACE", "true"),
            program: program.display().to_string(),
        }
    }

    /// Speaks the Gemini API.
    pub async fn with_key(checkout: &Path, base_url: &str, key: &str) -> Self {
        let mut gemini = Self::new(checkout).await;
        gemini.settings(
            ".gemini/settings.json",
            r#"{"security":{"auth":{"selectedType":"gemini-api-key"}},"privacy":{"usageStatisticsEnabled":false}}"#,
        );
        gemini.cli = gemini
            .cli
            .env("GOOGLE_GEMINI_BASE_URL", base_url)
            .env("GEMINI_API_KEY", key);
        gemini
    }

    /// Speaks Code Assist.
    pub async fn with_login(checkout: &Path, base_url: &str, key: &str) -> Self {
        let mut gemini = Self::new(checkout).await;
        gemini.settings(
            ".gemini/settings.json",
            r#"{"privacy":{"usageStatisticsEnabled":false}}"#,
        );
        gemini.cli = gemini
            .cli
            .env("CODE_ASSIST_ENDPOINT", base_url)
            .env("GOOGLE_CLOUD_ACCESS_TOKEN", key)
            .env("GOOGLE_GENAI_USE_GCA", "true");
        gemini
    }

    /// `gemini -p PROMPT` with this model, or with the one that it chooses. What it wants to run, it may.
    pub async fn print(&self, model: Option<&str>, prompt: &str) -> Run {
        let mut args = vec![self.program.as_str(), "-p", prompt, "--approval-mode", "yolo"];
        if let Some(model) = model {
            args.extend(["-m", model]);
        }
        self.cli.run(&args).await
    }
}
