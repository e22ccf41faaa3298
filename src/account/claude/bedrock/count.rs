//! Reads an answer of CountTokens: `{"inputTokens":12}` becomes Anthropic's `{"input_tokens":12}`.
//!
//! Source: AWS documentation, "CountTokens: Response Elements".

use serde::Deserialize;

use crate::dialect::answer::BodyReader;

/// Maximum size of an answer, bytes. It is one number.
const MOST: usize = 64 << 10;

#[derive(Default)]
pub(in super::super) struct Count {
    held: Vec<u8>,
}

impl BodyReader for Count {
    fn media(&self) -> &'static str {
        "application/json"
    }

    fn feed(&mut self, chunk: &[u8], _out: &mut Vec<u8>) -> Result<(), String> {
        if self.held.len() + chunk.len() > MOST {
            return Err("a token count that is too long".to_owned());
        }
        self.held.extend_from_slice(chunk);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            input_tokens: u64,
        }
        let answer: Answer =
            serde_json::from_slice(&self.held).map_err(|_| "an answer without a token count".to_owned())?;
        let answer = serde_json::json!({ "input_tokens": answer.input_tokens });
        out.extend_from_slice(answer.to_string().as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_has_anthropics_name() {
        let (mut count, mut out) = (Count::default(), Vec::new());
        for byte in br#"{"inputTokens" : 12}"# {
            count.feed(&[*byte], &mut out).unwrap();
        }
        assert!(out.is_empty());
        count.finish(&mut out).unwrap();
        assert_eq!(out, br#"{"input_tokens":12}"#);
        assert!(Count::default().finish(&mut out).is_err());
        assert!(Count::default().feed(&vec![b' '; MOST + 1], &mut out).is_err());
    }
}
