//! The real Codex CLI, run offline, set up as README.md says. Installed by `scripts/real-clients`.

use std::ops::Deref;

use crate::cli::{Cli, Run, versions};

/// A model of the client that the table of prices has. The one that the client would choose can be newer than the table.
const PRICED_MODEL: &str = "gpt-6.1-sol";

/// One installation of the client, used by one user in one project.
pub struct Codex {
    cli: Cli,
}

impl Deref for Codex {
    type Target = Cli;

    fn deref(&self) -> &Cli {
        &self.cli
    }
}

impl Codex {
    /// The newest version, with `base_url` in `config.toml` and `key` in the variable it names, and a model with a price.
    pub async fn new(base_url: &str, key: &str) -> Self {
        Self::of_model(base_url, key, PRICED_MODEL).await
    }

    /// The same, over a WebSocket where the relay offers it.
    pub async fn over_web_socket(base_url: &str, key: &str) -> Self {
        let codex = Self::new(base_url, key).await;
        let config = format!("{}supports_websockets = true\n", config(base_url, PRICED_MODEL));
        codex.cli.settings(".codex/config.toml", &config);
        codex
    }

    /// The same, asking for this model.
    pub async fn of_model(base_url: &str, key: &str, model: &str) -> Self {
        let version = versions("codex").remove(0);
        let cli = Cli::new(crate::sdk::installed("codex", &version, "bin/codex")).await;
        cli.settings(".codex/config.toml", &config(base_url, model));
        Self {
            cli: cli.env("CRS_OAI_KEY", key),
        }
    }

    /// `codex exec PROMPT`: prints the last message. What it wants to run, it may, in a machine of its own.
    pub async fn exec(&self, prompt: &str) -> Run {
        self.run_with(&[prompt]).await
    }

    /// Goes on with the last conversation of this project.
    pub async fn go_on(&self, prompt: &str) -> Run {
        self.run_with(&["resume", "--last", prompt]).await
    }

    async fn run_with(&self, args: &[&str]) -> Run {
        let options = [
            "exec",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            "--color",
            "never",
        ];
        self.cli.run(&[&options[..], args].concat()).await
    }
}

/// `config.toml`, as README.md says; ends in the provider's table.
fn config(base_url: &str, model: &str) -> String {
    format!(
        "model_provider = \"crs\"\nmodel = \"{model}\"\n\n[model_providers.crs]\nname = \"crs\"\nbase_url = \"{base_url}\"\n\
         wire_api = \"responses\"\nenv_key = \"CRS_OAI_KEY\"\n"
    )
}
