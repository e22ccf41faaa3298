//! Rust source as these checks need it: without comments, strings and test code, and as resolved paths.
//!
//! Not a parser: it reads what rustfmt leaves, which is regular enough.

use std::path::Path;

/// One file.
pub(super) struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    /// As it is on disk.
    pub raw: String,
    /// Comments, the insides of strings and test code are blanks; lines are where they were.
    pub code: String,
    /// `crate::relay::serve` for `src/relay/serve.rs`.
    pub module: Vec<String>,
}

/// Every file below a folder of the repository that is not test code as a whole.
pub(super) fn load(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join(folder), &mut files);
    files.sort();
    let sources: Vec<Source> = files
        .iter()
        .map(|file| {
            let path = file
                .strip_prefix(root)
                .expect("below the root")
                .to_string_lossy()
                .replace('\\', "/");
            Source::new(&path, folder, std::fs::read_to_string(file).expect("readable"))
        })
        .collect();
    let tests: Vec<Vec<String>> = sources.iter().flat_map(test_modules).collect();
    sources
        .into_iter()
        .filter(|source| !tests.iter().any(|test| source.module.starts_with(test)))
        .collect()
}

fn walk(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
}

impl Source {
    pub(super) fn new(path: &str, folder: &str, raw: String) -> Self {
        let within = path
            .strip_prefix(folder)
            .unwrap_or(path)
            .trim_start_matches('/')
            .trim_end_matches(".rs");
        let mut module = vec!["crate".to_owned()];
        if !matches!(within, "lib" | "main") {
            module.extend(within.split('/').map(str::to_owned));
        }
        let code = without_tests(&blank(&raw));
        Self {
            path: path.to_owned(),
            raw,
            code,
            module,
        }
    }

    /// Whether the file is this module or below it (`relay::meter`).
    pub(super) fn is_in(&self, module: &str) -> bool {
        below(&self.module[1..].join("::"), module)
    }

    /// Every path of two segments or more, with its line: `use` trees spread out, `crate`, `self` and
    /// `super` resolved to `crate::…`, children of this module too.
    pub(super) fn paths(&self) -> Vec<(usize, String)> {
        let tokens = tokens(&self.code);
        let children = children(&tokens);
        let mut found = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let follows_path = at > 0 && matches!(tokens[at - 1].1, "::" | ".");
            match tokens[at].1 {
                "use" if tokens.get(at + 1).is_some_and(|next| next.1 != "<") => {
                    at = tree(&tokens, at + 1, &mut Vec::new(), &mut found);
                }
                word if is_word(word) && !follows_path => {
                    let line = tokens[at].0;
                    let mut path = vec![word];
                    while tokens.get(at + 1).is_some_and(|next| next.1 == "::")
                        && tokens.get(at + 2).is_some_and(|next| is_word(next.1))
                    {
                        path.push(tokens[at + 2].1);
                        at += 2;
                    }
                    if path.len() > 1 {
                        found.push((line, path.join("::")));
                    }
                    at += 1;
                }
                _ => at += 1,
            }
        }
        found
            .into_iter()
            .map(|(line, path)| (line, self.resolve(&path, &children)))
            .collect()
    }

    fn resolve(&self, path: &str, children: &[&str]) -> String {
        let mut rest: Vec<&str> = path.split("::").collect();
        let mut base = self.module.clone();
        match rest[0] {
            "crate" | "crs_edge" => base.truncate(1),
            "self" => {}
            "super" => {
                while rest[0] == "super" && rest.len() > 1 {
                    base.pop();
                    rest.remove(0);
                }
                rest.insert(0, "super");
            }
            head if children.contains(&head) => rest.insert(0, "self"),
            _ => return path.to_owned(),
        }
        base.extend(rest[1..].iter().map(|segment| (*segment).to_owned()));
        base.join("::")
    }
}

/// Whether `path` is `prefix` or something in it.
pub(super) fn below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Modules of `source` that are there for tests only: `#[cfg(test)] mod name;`.
fn test_modules(source: &Source) -> Vec<Vec<String>> {
    let code = blank(&source.raw);
    let tokens = tokens(&code);
    let texts: Vec<&str> = tokens.iter().map(|token| token.1).collect();
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut found = Vec::new();
    for at in 0..texts.len() {
        if !texts[at..].starts_with(&attribute) {
            continue;
        }
        let mut next = at + attribute.len();
        while matches!(texts.get(next), Some(&("pub" | "(" | ")" | "crate" | "super"))) {
            next += 1;
        }
        if let [Some(&"mod"), Some(name), Some(&";")] =
            [texts.get(next), texts.get(next + 1), texts.get(next + 2)]
        {
            let mut module = source.module.clone();
            module.push((*name).to_owned());
            found.push(module);
        }
    }
    found
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names that `mod name` declares here.
fn children<'a>(tokens: &[(usize, &'a str)]) -> Vec<&'a str> {
    tokens
        .windows(2)
        .filter(|pair| pair[0].1 == "mod" && is_word(pair[1].1))
        .map(|pair| pair[1].1)
        .collect()
}

/// Spreads one level of a `use` tree; returns where it ends.
fn tree<'a>(
    tokens: &[(usize, &'a str)],
    mut at: usize,
    prefix: &mut Vec<&'a str>,
    found: &mut Vec<(usize, String)>,
) -> usize {
    let depth = prefix.len();
    let mut line = tokens.get(at).map_or(0, |token| token.0);
    while let Some(&(here, token)) = tokens.get(at) {
        match token {
            "::" => at += 1,
            "{" => {
                at = tree(tokens, at + 1, prefix, found);
                prefix.truncate(depth);
            }
            "," | "}" | ";" => {
                if prefix.len() > depth {
                    found.push((line, prefix.join("::")));
                }
                prefix.truncate(depth);
                if token != "," {
                    return at + 1;
                }
                at += 1;
            }
            "as" => at += 2,
            // `use a::{self}` names `a`.
            "self" if depth > 0 && prefix.len() == depth => {
                found.push((here, prefix.join("::")));
                at += 1;
            }
            _ => {
                if prefix.len() == depth {
                    line = here;
                }
                prefix.push(token);
                at += 1;
            }
        }
    }
    at
}

/// Words, `::` and single other characters, each with its line from 1.
pub(super) fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let word = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let length = match first {
            _ if word > 0 => word,
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if first == '\n' {
            line += 1;
        } else if !first.is_whitespace() {
            found.push((line, token));
        }
        rest = after;
    }
    found
}

/// The code with comments and the insides of strings and characters as blanks.
fn blank(raw: &str) -> String {
    let chars: Vec<char> = raw.chars().collect();
    let mut out = String::with_capacity(raw.len());
    let mut at = 0;
    let starts = |at: usize, text: &str| {
        text.chars()
            .enumerate()
            .all(|(n, c)| chars.get(at + n) == Some(&c))
    };
    // Copies line ends, blanks the rest.
    let hide = |out: &mut String, from: usize, to: usize| {
        for c in &chars[from..to.min(chars.len())] {
            out.push(if *c == '\n' { '\n' } else { ' ' });
        }
    };
    while at < chars.len() {
        let end = if starts(at, "//") {
            at + chars[at..].iter().take_while(|c| **c != '\n').count()
        } else if starts(at, "/*") {
            let mut depth = 0;
            let mut end = at;
            loop {
                if starts(end, "/*") {
                    depth += 1;
                    end += 2;
                } else if starts(end, "*/") {
                    depth -= 1;
                    end += 2;
                } else {
                    end += 1;
                }
                if depth == 0 || end >= chars.len() {
                    break end;
                }
            }
        } else if let Some(end) = raw_string(&chars, at) {
            end
        } else if chars[at] == '"' {
            let mut end = at + 1;
            while end < chars.len() && chars[end] != '"' {
                end += if chars[end] == '\\' { 2 } else { 1 };
            }
            end + 1
        } else if chars[at] == '\'' && chars.get(at + 1) == Some(&'\\') {
            at + 3
                + chars[(at + 3).min(chars.len())..]
                    .iter()
                    .take_while(|c| **c != '\'')
                    .count()
                + 1
        } else if chars[at] == '\'' && chars.get(at + 2) == Some(&'\'') {
            at + 3
        } else {
            out.push(chars[at]);
            at += 1;
            continue;
        };
        hide(&mut out, at, end);
        at = end;
    }
    out
}

/// The end of the raw string (`r"`, `br#"` …) that begins here.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    if at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') {
        return None;
    }
    let mut next = at + usize::from(chars[at] == 'b');
    if chars.get(next) != Some(&'r') {
        return None;
    }
    next += 1;
    let hashes = chars[next..].iter().take_while(|c| **c == '#').count();
    next += hashes;
    if chars.get(next) != Some(&'"') {
        return None;
    }
    next += 1;
    while next < chars.len() {
        if chars[next] == '"'
            && chars[next + 1..]
                .iter()
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
        {
            return Some(next + 1 + hashes);
        }
        next += 1;
    }
    Some(chars.len())
}

/// The code with every item under `#[cfg(test)]` as blanks.
fn without_tests(code: &str) -> String {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(ATTRIBUTE) {
        let (before, item) = rest.split_at(start);
        out.push_str(before);
        let mut depth = 0;
        let mut end = item.len();
        for (place, c) in item.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(c, ';' | '}') {
                end = place + 1;
                break;
            }
        }
        let (item, after) = item.split_at(end);
        out.extend(item.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(code: &str) -> Source {
        Source::new("src/relay/serve.rs", "src", code.to_owned())
    }

    fn paths(code: &str) -> Vec<String> {
        source(code).paths().into_iter().map(|(_, path)| path).collect()
    }

    #[test]
    fn use_trees_are_spread_and_resolved() {
        assert_eq!(
            paths(
                "use crate::{host::native, store::{self, keys as k, memory::*}};\nuse super::meter;\nuse self::x::Y;"
            ),
            [
                "crate::host::native",
                "crate::store",
                "crate::store::keys",
                "crate::store::memory::*",
                "crate::relay::meter",
                "crate::relay::serve::x::Y",
            ]
        );
        assert_eq!(paths("use super::super::host::Native;"), ["crate::host::Native"]);
        assert_eq!(
            paths("pub use std::{fmt, io::{Read, Write}};"),
            ["std::fmt", "std::io::Read", "std::io::Write"]
        );
    }

    #[test]
    fn paths_in_the_middle_of_code_are_found_with_their_line() {
        let found = source("fn f() {\n    tokio::spawn(crate::host::x());\n    a.b::<C>();\n}").paths();
        assert_eq!(
            found,
            [(2, "tokio::spawn".to_owned()), (2, "crate::host::x".to_owned())]
        );
        assert_eq!(paths("#[tokio::main]\nfn main() {}"), ["tokio::main"]);
        assert_eq!(
            paths("fn f() -> impl Fn() + use<'_> { tokio::x() }"),
            ["tokio::x"]
        );
    }

    #[test]
    fn a_child_module_is_no_crate() {
        assert_eq!(
            paths("mod redis;\nfn f() { redis::encode() }"),
            ["crate::relay::serve::redis::encode"]
        );
        assert_eq!(paths("fn f() { redis::encode() }"), ["redis::encode"]);
    }

    #[test]
    fn comments_strings_and_tests_do_not_count() {
        assert!(
            paths("// tokio::spawn\n/* a::b /* c::d */ e::f */ \"g::h\" b'\\'' r#\"i::j \" k::l\"# '\"'")
                .is_empty()
        );
        assert_eq!(
            paths("fn f<'a>(x: &'a str) { g::h('\"', \"\\\"\"); i::j() }"),
            ["g::h", "i::j"]
        );
        assert_eq!(
            paths("#[cfg(test)]\nmod tests {\n    fn f() { tokio::spawn() }\n}\nfn g() { a::b() }"),
            ["a::b"]
        );
        assert_eq!(paths("#[cfg(test)]\nuse tokio::x;\nuse a::b;"), ["a::b"]);
        assert_eq!(
            test_modules(&source("#[cfg(test)]\npub(crate) mod fake;\nmod real;")),
            [["crate", "relay", "serve", "fake"].map(str::to_owned).to_vec()]
        );
    }
}
