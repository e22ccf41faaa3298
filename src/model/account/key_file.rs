//! The key file of a Google service account, as Google hands it out.

use serde::Deserialize;

use super::vertex::is_project;
use crate::model::secret::Secret;

/// The token endpoints that Google writes into key files. The relay asks the one of `GOOGLE_OAUTH_URL`; a file that
/// names a host of its own is refused, because signatures would be meant for that host.
const TOKEN_URIS: [&str; 4] = [
    "https://oauth2.googleapis.com/token",
    "https://accounts.google.com/o/oauth2/token",
    "https://www.googleapis.com/oauth2/v3/token",
    "https://www.googleapis.com/oauth2/v4/token",
];

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// The parts of a key file that are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    pub client_email: String,
    /// PKCS #8, PEM.
    pub private_key: Secret,
    pub private_key_id: Option<String>,
    pub project_id: Option<String>,
}

impl KeyFile {
    /// Reads the file's text. The error never quotes it.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct File {
            r#type: Option<String>,
            client_email: Option<String>,
            private_key: Option<String>,
            private_key_id: Option<String>,
            project_id: Option<String>,
            token_uri: Option<String>,
            universe_domain: Option<String>,
        }
        let file: File = serde_json::from_slice(text.as_bytes()).map_err(|_| "is not JSON")?;
        if file.r#type.as_deref() != Some("service_account") {
            return Err("is not the key file of a service account (its `type` is not `service_account`)");
        }
        let client_email = file.client_email.filter(|email| is_email(email));
        let client_email = client_email.ok_or("has no valid `client_email`")?;
        // Files that went through an environment variable may have `\n` as two characters.
        let private_key = file.private_key.unwrap_or_default().replace("\\n", "\n");
        if der(&private_key).is_none() {
            return Err("has no `private_key` in the form of PKCS #8 (BEGIN PRIVATE KEY)");
        }
        if file
            .token_uri
            .is_some_and(|uri| !TOKEN_URIS.contains(&uri.as_str()))
        {
            return Err("has a `token_uri` that is not Google's");
        }
        if file
            .universe_domain
            .is_some_and(|domain| domain != "googleapis.com")
        {
            return Err("has a `universe_domain` other than googleapis.com");
        }
        let is_id = |id: &String| {
            (1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        Ok(Self {
            client_email,
            private_key: Secret::new(private_key),
            private_key_id: file.private_key_id.filter(is_id),
            project_id: file.project_id.filter(|project| is_project(project)),
        })
    }
}

/// `name@project.iam.gserviceaccount.com`
fn is_email(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    let parts = text.split_once('@');
    text.len() <= 200
        && text.bytes().all(plain)
        && parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
}

/// The bytes of a private key in PEM. `None` if it is not one in PKCS #8.
pub fn der(pem: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;

    let (_, rest) = pem.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    let body: String = body.split_ascii_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
    // An ASN.1 sequence.
    (bytes.first() == Some(&0x30)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn file(change: &Value) -> String {
        let mut file = json!({
            "type": "service_account", "project_id": "my-project", "private_key_id": "0a1b",
            "private_key": "-----BEGIN PRIVATE KEY-----\nMAAB\nAg==\n-----END PRIVATE KEY-----\n",
            "client_email": "relay@my-project.iam.gserviceaccount.com", "client_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token", "universe_domain": "googleapis.com",
        });
        for (name, value) in change.as_object().unwrap() {
            file[name] = value.clone();
        }
        file.to_string()
    }

    #[test]
    fn a_key_file_is_read() {
        let read = KeyFile::read(&file(&json!({}))).unwrap();
        assert_eq!(read.client_email, "relay@my-project.iam.gserviceaccount.com");
        assert_eq!(der(read.private_key.reveal()), Some(vec![0x30, 0, 1, 2]));
        assert_eq!(read.private_key_id.as_deref(), Some("0a1b"));
        assert_eq!(read.project_id.as_deref(), Some("my-project"));
        let flat = "-----BEGIN PRIVATE KEY-----\\nMAABAg==\\n-----END PRIVATE KEY-----\\n";
        let read = KeyFile::read(&file(&json!({ "private_key": flat, "project_id": null }))).unwrap();
        assert_eq!(der(read.private_key.reveal()), Some(vec![0x30, 0, 1, 2]));
        assert_eq!(read.project_id, None);
    }

    #[test]
    fn other_files_are_refused_without_a_quote() {
        for (change, why) in [
            (json!({ "type": "authorized_user" }), "service_account"),
            (json!({ "client_email": "nobody" }), "client_email"),
            (json!({ "client_email": "a@b\nc" }), "client_email"),
            (json!({ "private_key": "sesame" }), "private_key"),
            (
                json!({ "private_key": "-----BEGIN RSA PRIVATE KEY-----\nMAAB\n-----END RSA PRIVATE KEY-----" }),
                "private_key",
            ),
            (
                json!({ "token_uri": "https://sesame.example/token" }),
                "token_uri",
            ),
            (
                json!({ "token_uri": "https://oauth2.googleapis.com.sesame.example/token" }),
                "token_uri",
            ),
            (json!({ "universe_domain": "sesame.example" }), "universe_domain"),
        ] {
            let refused = KeyFile::read(&file(&change)).unwrap_err();
            assert!(
                refused.contains(why) && !refused.contains("sesame"),
                "{change}: {refused}"
            );
        }
        assert_eq!(KeyFile::read("sesame"), Err("is not JSON"));
    }
}
