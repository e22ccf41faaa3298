//! Reads the elements of a list in a large JSON file one at a time.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use serde::Deserialize as _;
use serde_json::Value;

/// Longer keys are never searched for.
const LONGEST_NAME: usize = 200;

/// A reader positioned inside a list.
pub(super) struct Elements {
    file: BufReader<File>,
    /// The list has ended.
    ended: bool,
}

impl Elements {
    /// Opens the list at this path of keys; `None` if the file has none.
    pub(super) fn open(path: &Path, keys: &[&str]) -> io::Result<Option<Self>> {
        let mut elements = Self {
            file: BufReader::with_capacity(1 << 16, File::open(path)?),
            ended: false,
        };
        for key in keys {
            if !elements.enter(key)? {
                return Ok(None);
            }
        }
        Ok((elements.token()? == Some(b'[')).then_some(elements))
    }

    /// The next element; `None` at the end of the list.
    pub(super) fn next(&mut self) -> io::Result<Option<Value>> {
        if self.ended {
            return Ok(None);
        }
        match self.peek()? {
            Some(b',') => self.file.consume(1),
            Some(b']') | None => {
                self.ended = true;
                return Ok(None);
            }
            Some(_) => {}
        }
        if self.peek()? == Some(b']') {
            self.ended = true;
            return Ok(None);
        }
        let mut one = serde_json::Deserializer::from_reader(&mut self.file);
        Ok(Some(Value::deserialize(&mut one)?))
    }

    /// Enters the next object up to the value of `key`; `false` if there is no such key.
    fn enter(&mut self, key: &str) -> io::Result<bool> {
        if self.token()? != Some(b'{') {
            return Ok(false);
        }
        loop {
            match self.token()? {
                Some(b'"') => {}
                Some(b',') => continue,
                _ => return Ok(false),
            }
            let name = self.string()?;
            if self.token()? != Some(b':') {
                return Ok(false);
            }
            if name == key.as_bytes() {
                return Ok(true);
            }
            self.skip()?;
        }
    }

    /// Skips a value of any size.
    fn skip(&mut self) -> io::Result<()> {
        let mut depth = 0_u64;
        loop {
            match self.peek()? {
                Some(b'"') => {
                    self.file.consume(1);
                    self.string()?;
                }
                Some(b'{' | b'[') => {
                    self.file.consume(1);
                    depth += 1;
                    continue;
                }
                Some(b'}' | b']') if depth > 0 => {
                    self.file.consume(1);
                    depth -= 1;
                }
                // The end of the enclosing value or of the file.
                None | Some(b'}' | b']') => return Ok(()),
                Some(b',' | b':') if depth > 0 => {
                    self.file.consume(1);
                    continue;
                }
                Some(_) => {
                    self.file.consume(1);
                    // A number or word ends where something else begins.
                    while self
                        .byte()?
                        .is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                    {
                        self.file.consume(1);
                    }
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// The rest of a string after its opening quote; only the beginning of a long one.
    fn string(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut escaped = false;
        while let Some(byte) = self.byte()? {
            self.file.consume(1);
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return Ok(text),
                _ => {}
            }
            if text.len() <= LONGEST_NAME {
                text.push(byte);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file ends within a text",
        ))
    }

    fn token(&mut self) -> io::Result<Option<u8>> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.file.consume(1);
        }
        Ok(byte)
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.byte()? {
                Some(b' ' | b'\t' | b'\n' | b'\r' | 0xef | 0xbb | 0xbf) => self.file.consume(1),
                other => return Ok(other),
            }
        }
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        Ok(self.file.fill_buf()?.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn all(text: &str, keys: &[&str]) -> Option<Vec<Value>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut elements = Elements::open(file.path(), keys).unwrap()?;
        let mut found = Vec::new();
        while let Some(element) = elements.next().unwrap() {
            found.push(element);
        }
        Some(found)
    }

    #[test]
    fn a_list_is_found_behind_anything() {
        let text = r#" {"metadata": {"a": [1, {"data": 2}], "s": "}\"]", "n": -1.5e3, "t": null}, "data":
            {"x": [], "apiKeys": [ {"id": "1", "t": "名"} , {"id": "2"} ] , "y": 1}}"#;
        let found = all(text, &["data", "apiKeys"]).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["t"], "名");
        assert_eq!(all(text, &["data", "x"]), Some(vec![]));
        assert_eq!(all(text, &["data", "z"]), None);
        assert_eq!(all(text, &["data", "y"]), None);
        assert_eq!(all("ID,名称\n1,x", &["data", "apiKeys"]), None);
        assert_eq!(all("", &["data"]), None);
    }

    #[test]
    fn a_list_that_is_cut_off_is_an_error() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(br#"{"data":{"apiKeys":[{"id":"1"},{"id":"#)
            .unwrap();
        let mut elements = Elements::open(file.path(), &["data", "apiKeys"])
            .unwrap()
            .unwrap();
        assert!(elements.next().unwrap().is_some());
        assert!(elements.next().is_err());
    }
}
