//! Reads Amazon's access keys from the formats of Amazon and its tools.
//!
//! | format | source |
//! | --- | --- |
//! | `{"AccessKeyId": .., "SecretAccessKey": .., "SessionToken": ..}`, optionally within `Credentials` | `aws configure export-credentials`, `aws sts assume-role` |
//! | `AWS_ACCESS_KEY_ID=..`, optionally with `export`, quotes, spaces, in lower case | the environment, `~/.aws/credentials` |
//! | `Access key ID,Secret access key` above a line with both | the CSV file of Amazon's console |

use crs_edge::model::secret::Secret;
use serde_json::Value;

use super::failure::Failure;

pub(super) struct AccessKeys {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) token: Option<Secret>,
}

pub(super) fn read(text: &str) -> Result<AccessKeys, Failure> {
    let [id, secret, token] = of_json(text)
        .or_else(|| of_table(text))
        .unwrap_or_else(|| of_lines(text));
    let (Some(id), Some(secret)) = (id, secret) else {
        return Err(Failure::Usage(
            "the file contains no access key id or no secret access key".to_owned(),
        ));
    };
    Ok(AccessKeys {
        id,
        secret: Secret::new(&secret),
        token: token.map(|token| Secret::new(&token)),
    })
}

/// Id, secret and session token.
type Fields = [Option<String>; 3];

fn of_json(text: &str) -> Option<Fields> {
    let value: Value = serde_json::from_str(text).ok()?;
    let keys = value.get("Credentials").unwrap_or(&value);
    let field = |name: &str| Some(keys.get(name)?.as_str()?.to_owned()).filter(|text| !text.is_empty());
    Some(["AccessKeyId", "SecretAccessKey", "SessionToken"].map(field))
}

fn of_table(text: &str) -> Option<Fields> {
    // The file may begin with a byte order mark.
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    let names: Vec<String> = lines
        .next()?
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let at = |wanted: &str| names.iter().position(|name| name == wanted);
    let (id, secret) = (at("access key id")?, at("secret access key")?);
    let values: Vec<&str> = lines.next()?.split(',').map(str::trim).collect();
    let value = |at: usize| {
        values
            .get(at)
            .map(|value| (*value).to_owned())
            .filter(|text| !text.is_empty())
    };
    Some([value(id), value(secret), None])
}

fn of_lines(text: &str) -> Fields {
    let field = |name: &str| {
        let mut values = text.lines().filter_map(|line| {
            let (before, value) = line.split_once('=')?;
            let before = before.split_whitespace().last()?.trim_start_matches("$env:");
            before
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().trim_matches(['"', '\'']).to_owned())
        });
        values.rfind(|value| !value.is_empty())
    };
    ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"].map(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(String, String, Option<String>)> {
        let keys = read(text).ok()?;
        let token = keys.token.map(|token| token.reveal().to_owned());
        Some((keys.id, keys.secret.reveal().to_owned(), token))
    }

    #[test]
    fn access_keys_are_read_from_amazons_formats() {
        let expected = |token: Option<&str>| {
            Some((
                "AKIDEXAMPLE".to_owned(),
                "s/+=".to_owned(),
                token.map(str::to_owned),
            ))
        };
        for (text, token) in [
            (
                r#"{"Version":1,"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"s/+=","SessionToken":"t=="}"#,
                Some("t=="),
            ),
            (
                r#"{"Credentials":{"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"s/+="}}"#,
                None,
            ),
            (
                "export AWS_ACCESS_KEY_ID=AKIDEXAMPLE\nexport AWS_SECRET_ACCESS_KEY='s/+='\n",
                None,
            ),
            (
                "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = s/+=\naws_session_token = t==\n",
                Some("t=="),
            ),
            (
                "\u{feff}Access key ID,Secret access key\r\nAKIDEXAMPLE,s/+=\r\n",
                None,
            ),
        ] {
            assert_eq!(found(text), expected(token), "{text}");
        }
        for none in ["", "{}", "AKIDEXAMPLE", "aws_access_key_id = AKIDEXAMPLE"] {
            assert_eq!(found(none), None, "{none}");
        }
    }
}
