//! Access tokens of Microsoft Entra's applications, for Azure OpenAI: an application's secret is exchanged for a token.
//!
//! Sources: "Microsoft identity platform and the OAuth 2.0 client credentials flow" and "Microsoft Entra authentication
//! and authorization error codes" in Microsoft's documentation; answers in public threads: liprec/vsts-release-aas#119,
//! MicrosoftDocs/azure-docs#21690, microsoftgraph/windowsupdates-webapplication-sample#6, microsoft/Analysis-Services#194.

use bytes::Bytes;
use crs_durable::Millis;
use http::{Request, StatusCode};

use super::oauth;
use crate::account::RefreshOutcome;
use crate::config;
use crate::model::account::live::EntraApp;

/// The request for a token.
pub fn request(settings: &config::OpenAi, app: &EntraApp) -> Result<Request<Bytes>, String> {
    let url = format!("{}/{}/oauth2/v2.0/token", settings.entra_url, app.tenant_id);
    let fields = [
        ("client_id", app.client_id.as_str()),
        ("client_secret", app.client_secret.reveal()),
        ("scope", settings.entra_scope.as_str()),
        ("grant_type", "client_credentials"),
    ];
    oauth::form_post(&url, &fields).ok_or_else(|| "ENTRA_URL is not a valid address".to_owned())
}

/// Reads the answer.
///
/// | error | cause | consequence |
/// | --- | --- | --- |
/// | `AADSTS7000215` | wrong secret | marked until its credentials change |
/// | `AADSTS7000222` | the secret has expired | the same |
/// | `AADSTS700016` | the tenant has no such application | the same |
/// | `AADSTS90002`, `AADSTS900023` | no such tenant | the same |
/// | other | Microsoft, the way to it, or something that an administrator may change there | tried again later |
pub fn answered(status: StatusCode, body: &[u8], now: Millis) -> RefreshOutcome {
    if status.is_success() {
        return oauth::refreshed(status, body, now);
    }
    let said = oauth::description(body);
    // Numbers for Microsoft's support follow.
    let said = said.split("Trace ID:").next().unwrap_or_default().trim();
    let code = said.strip_prefix("AADSTS").unwrap_or_default();
    let code = code.split(|c: char| !c.is_ascii_digit()).next();
    let remedy = match code {
        Some("7000215") => "the client secret is wrong; enter its value, not its id",
        Some("7000222") => "the client secret has expired; make a new one in Azure and enter it",
        Some("700016") => "the tenant has no such application; check the client id and the tenant id",
        Some("90002" | "900023") => "there is no such tenant; check the tenant id",
        _ => "",
    };
    if status.is_client_error() && !remedy.is_empty() {
        RefreshOutcome::Refused(format!("Microsoft Entra gives no token: {remedy} ({said})"))
    } else {
        let status = status.as_u16();
        RefreshOutcome::Failed(format!(
            "Microsoft Entra's token endpoint answered {status}: {said}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::Config;
    use crate::model::secret::Secret;

    fn config(more: &[(&str, &str)]) -> config::OpenAi {
        let secrets = [
            ("JWT_SECRET", "kq8Zb1mVtY5cWx0Rg7Lp3Nh9Sd2Fj6Ua"),
            ("ENCRYPTION_KEY", "Vx4Tg9Qm1Zr7Kc3Hd8Wb5Yn0Lp6Sf2Ja"),
        ];
        let vars: HashMap<String, String> = secrets
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Config::read(&vars).unwrap().openai
    }

    fn read(status: u16, body: &str) -> RefreshOutcome {
        answered(StatusCode::from_u16(status).unwrap(), body.as_bytes(), 1_000)
    }

    /// An error as Entra words it.
    fn error(error: &str, words: &str) -> String {
        let description = format!(
            "{words}\r\nTrace ID: 8c95acf1-cc04-40a1-ad14-481862cf1801\r\nCorrelation ID: d65574ea-000b-4526-8595-ddaae8b4250d\r\nTimestamp: 2026-01-09 14:06:14Z"
        );
        serde_json::json!({ "error": error, "error_description": description }).to_string()
    }

    #[test]
    fn a_token_is_asked_of_the_tenant_for_the_clouds_scope() {
        let app = EntraApp {
            tenant_id: "contoso.onmicrosoft.com".to_owned(),
            client_id: "00001111-aaaa-2222-bbbb-3333cccc4444".to_owned(),
            client_secret: Secret::new("qWg8Q~a&b=c+d"),
            base_url: "https://r.openai.azure.com".to_owned(),
            access_token: None,
            expires_at: None,
        };
        let global = request(&config(&[]), &app).unwrap();
        assert_eq!(
            global.uri(),
            "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token"
        );
        assert_eq!(global.method(), "POST");
        assert_eq!(
            global.headers()["content-type"],
            "application/x-www-form-urlencoded"
        );
        assert_eq!(
            global.body(),
            "client_id=00001111-aaaa-2222-bbbb-3333cccc4444&client_secret=qWg8Q~a%26b%3Dc%2Bd\
             &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default&grant_type=client_credentials"
        );
        let government = config(&[
            ("ENTRA_URL", "https://login.microsoftonline.us/"),
            ("ENTRA_SCOPE", "https://cognitiveservices.azure.us/.default"),
        ]);
        let government = request(&government, &app).unwrap();
        assert_eq!(government.uri().host(), Some("login.microsoftonline.us"));
        let body = String::from_utf8(government.body().to_vec()).unwrap();
        assert!(body.contains("cognitiveservices.azure.us%2F.default"), "{body}");
    }

    #[test]
    fn a_token_has_its_end() {
        let token =
            r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"eyJ0.e30.s"}"#;
        let RefreshOutcome::Tokens(tokens) = read(200, token) else {
            panic!()
        };
        assert_eq!(
            (tokens.access_token.reveal(), tokens.expires_at),
            ("eyJ0.e30.s", Some(3_600_000))
        );
    }

    #[test]
    fn what_only_the_operator_can_mend_is_told_with_its_remedy() {
        for (status, kind, words, remedy) in [
            (
                401,
                "invalid_client",
                "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '00001111-aaaa-2222-bbbb-3333cccc4444'.",
                "the client secret is wrong",
            ),
            (
                401,
                "invalid_client",
                "AADSTS7000222: The provided client secret keys for app '00001111-aaaa-2222-bbbb-3333cccc4444' are expired.",
                "the client secret has expired",
            ),
            (
                400,
                "unauthorized_client",
                "AADSTS700016: Application with identifier '00001111-aaaa-2222-bbbb-3333cccc4444' was not found in the directory 'Contoso'.",
                "check the client id and the tenant id",
            ),
            (
                400,
                "invalid_tenant",
                "AADSTS90002: Tenant 'contoso.example' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.",
                "check the tenant id",
            ),
            (
                400,
                "invalid_request",
                "AADSTS900023: Specified tenant identifier 'x.y' is neither a valid DNS name, nor a valid external domain.",
                "check the tenant id",
            ),
        ] {
            let RefreshOutcome::Refused(why) = read(status, &error(kind, words)) else {
                panic!("{words}")
            };
            assert!(why.contains(remedy), "{why}");
            assert!(why.ends_with(&format!("({words})")), "{why}");
        }
    }

    #[test]
    fn anything_else_is_tried_again() {
        let long = error("x", &format!("AADSTS50196: {}", "long ".repeat(1000)));
        for (status, body) in [
            (
                400,
                error(
                    "invalid_resource",
                    "AADSTS500011: The resource principal was not found.",
                ),
            ),
            (
                401,
                error("invalid_client", "AADSTS7000112: Application is disabled."),
            ),
            (401, error("invalid_client", "AADSTS70002150: Something new.")),
            (401, r#"{"error":"invalid_client"}"#.to_owned()),
            (400, r#"{"error":"invalid_grant"}"#.to_owned()),
            (503, error("temporarily_unavailable", "AADSTS90033: Try later.")),
            // A fault of its own, whatever it says.
            (500, error("server_error", "AADSTS7000215: Invalid.")),
            (429, long),
            (403, "<html>".to_owned()),
            (200, "{}".to_owned()),
        ] {
            let RefreshOutcome::Failed(why) = read(status, &body) else {
                panic!("{status} {body}")
            };
            assert!(
                why.len() < 400 && !why.contains("Trace ID") && !why.contains('\n'),
                "{why}"
            );
        }
    }
}
