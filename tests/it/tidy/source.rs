//! Rust source as these checks need it: parsed, without test code, and as resolved paths.

use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, ImplItem, Item, Stmt};

/// One file.
pub(super) struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    /// As it is on disk.
    pub raw: String,
    /// Without the items that are there for tests only.
    pub code: syn::File,
    /// `crate::relay::serve` for `src/relay/serve.rs`.
    pub module: Vec<String>,
    /// Modules that are there for tests only: `#[cfg(test)] mod name;`.
    tests: Vec<Vec<String>>,
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
    let tests: Vec<Vec<String>> = sources.iter().flat_map(|source| source.tests.clone()).collect();
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
        let mut code = syn::parse_file(&raw).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut tests = Vec::new();
        for item in &code.items {
            if let Item::Mod(child) = item
                && is_test(&child.attrs)
            {
                let mut test = module.clone();
                test.push(child.ident.to_string());
                tests.push(test);
            }
        }
        WithoutTests.visit_file_mut(&mut code);
        Self {
            path: path.to_owned(),
            raw,
            code,
            module,
            tests,
        }
    }

    /// Whether the file is this module or below it (`relay::meter`).
    pub(super) fn is_in(&self, module: &str) -> bool {
        below(&self.module[1..].join("::"), module)
    }

    /// Every path of two segments or more, with its line: `use` trees spread out, `crate`, `self` and
    /// `super` resolved to `crate::…`, children of this module too. Inside of macros, words joined by `::`.
    pub(super) fn paths(&self) -> Vec<(usize, String)> {
        let mut found = Paths::default();
        found.visit_file(&self.code);
        let children: Vec<String> = self.code.items.iter().filter_map(child).collect();
        found
            .0
            .into_iter()
            .filter(|(_, path)| path.len() > 1)
            .map(|(line, path)| (line, self.resolve(&path, &children)))
            .collect()
    }

    fn resolve(&self, path: &[String], children: &[String]) -> String {
        let mut rest: Vec<&str> = path.iter().map(String::as_str).collect();
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
            head if children.iter().any(|child| child == head) => rest.insert(0, "self"),
            _ => return path.join("::"),
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

/// The line of a place in the source, from 1.
pub(super) fn line(at: &impl syn::spanned::Spanned) -> usize {
    at.span().start().line
}

/// Calls `each` with every token, also inside of brackets.
pub(super) fn each_token(tokens: TokenStream, each: &mut impl FnMut(&TokenTree)) {
    for token in tokens {
        each(&token);
        if let TokenTree::Group(group) = token {
            each_token(group.stream(), each);
        }
    }
}

/// What an attribute has in its brackets.
pub(super) fn arguments(attribute: &Attribute) -> TokenStream {
    match &attribute.meta {
        syn::Meta::List(list) => list.tokens.clone(),
        _ => TokenStream::new(),
    }
}

fn child(item: &Item) -> Option<String> {
    match item {
        Item::Mod(module) => Some(module.ident.to_string()),
        _ => None,
    }
}

/// `#[cfg(test)]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

/// Takes out what is compiled for tests only.
struct WithoutTests;

impl VisitMut for WithoutTests {
    fn visit_file_mut(&mut self, file: &mut syn::File) {
        file.items.retain(|item| !is_test(attributes(item)));
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| !is_test(attributes(item)));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }

    fn visit_item_impl_mut(&mut self, implementation: &mut syn::ItemImpl) {
        implementation.items.retain(|item| match item {
            ImplItem::Const(item) => !is_test(&item.attrs),
            ImplItem::Fn(item) => !is_test(&item.attrs),
            _ => true,
        });
        visit_mut::visit_item_impl_mut(self, implementation);
    }

    fn visit_block_mut(&mut self, block: &mut syn::Block) {
        block.stmts.retain(|statement| match statement {
            Stmt::Item(item) => !is_test(attributes(item)),
            Stmt::Local(local) => !is_test(&local.attrs),
            _ => true,
        });
        visit_mut::visit_block_mut(self, block);
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Collects paths, each with its line.
#[derive(Default)]
struct Paths(Vec<(usize, Vec<String>)>);

impl Paths {
    /// Spreads a `use` tree.
    fn tree(&mut self, tree: &syn::UseTree, prefix: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.tree(&path.tree, prefix);
                prefix.pop();
            }
            syn::UseTree::Name(name) => self.leaf(&name.ident, prefix),
            syn::UseTree::Rename(name) => self.leaf(&name.ident, prefix),
            syn::UseTree::Glob(glob) => {
                let mut path = prefix.clone();
                path.push("*".to_owned());
                self.0.push((line(glob), path));
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, prefix);
                }
            }
        }
    }

    /// `use a::{self}` names `a`.
    fn leaf(&mut self, name: &syn::Ident, prefix: &[String]) {
        let mut path = prefix.to_vec();
        if name != "self" || prefix.is_empty() {
            path.push(name.to_string());
        }
        self.0.push((line(name), path));
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut begins = 0;
        // Colons since the last word.
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) => {
                    if colons != 2 {
                        self.0.push((begins, std::mem::take(&mut path)));
                        begins = line(&word);
                    }
                    path.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(colon) if colon.as_char() == ':' => colons += 1,
                other => {
                    self.0.push((begins, std::mem::take(&mut path)));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.0.push((begins, path));
    }
}

impl<'a> Visit<'a> for Paths {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments = path.segments.iter().map(|segment| segment.ident.to_string());
        self.0.push((line(path), segments.collect()));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'a Attribute) {
        self.visit_path(attribute.path());
        self.tokens(arguments(attribute));
    }
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
        assert_eq!(
            paths("fn f() { say!(a, [b::c(), $crate::d::E { f: g }], h: i) }"),
            ["b::c", "crate::d::E"]
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
            paths("// tokio::spawn\n/* a::b /* c::d */ e::f */ /// m::n\nconst A: &str = \"g::h\";")
                .is_empty()
        );
        assert_eq!(
            paths("#[cfg(test)]\nmod tests {\n    fn f() { tokio::spawn() }\n}\nfn g() { a::b() }"),
            ["a::b"]
        );
        assert_eq!(paths("#[cfg(test)]\nuse tokio::x;\nuse a::b;"), ["a::b"]);
        assert_eq!(
            paths("impl A {\n    #[cfg(test)]\n    fn f() { tokio::spawn() }\n    fn g() { a::b() }\n}"),
            ["a::b"]
        );
        assert_eq!(
            source("#[cfg(test)]\npub(crate) mod fake;\nmod real;").tests,
            [["crate", "relay", "serve", "fake"].map(str::to_owned).to_vec()]
        );
    }
}
