//! The pages about the source: the files that they name are there, and so are the functions of "Life of a call".

use std::collections::BTreeSet;
use std::path::Path;

use syn::visit::Visit;

use super::source::Source;

/// What a page has between backticks, outside of blocks of code, with its line.
fn quoted(page: &str) -> Vec<(usize, &str)> {
    let mut is_block = false;
    let mut found = Vec::new();
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            found.extend(line.split('`').skip(1).step_by(2).map(|text| (number + 1, text)));
        }
    }
    found
}

/// Files and folders of the repository that the page names and that are gone. `NAME` stands for a new one.
pub(super) fn lost_files(name: &str, page: &str, root: &Path) -> Vec<String> {
    let tops = [
        "src/",
        "tests/",
        "durable/",
        "scripts/",
        "fuzz/",
        "assets/",
        "admin-spa/",
    ];
    // Made by builds.
    let built = [
        "admin-spa/site",
        "admin-spa/embedded",
        "admin-spa/scripts/",
        "admin-spa/screenshots",
    ];
    quoted(page)
        .into_iter()
        .flat_map(|(line, text)| spread(text).into_iter().map(move |file| (line, file)))
        .filter(|(_, file)| tops.iter().any(|top| file.starts_with(top)))
        .filter(|(_, file)| !built.iter().any(|built| file.starts_with(built)))
        .map(|(line, file)| (line, file.split(' ').next().unwrap_or_default().to_owned()))
        .filter(|(_, file)| !file.contains("NAME") && !root.join(file).exists())
        .map(|(line, file)| format!("{name}:{line}: there is no {file}: name what took its place"))
        .collect()
}

/// `a/{b,c}/d` is `a/b/d` and `a/c/d`.
fn spread(text: &str) -> Vec<String> {
    let parts = text.split_once('{').and_then(|(before, rest)| {
        let (names, after) = rest.split_once('}')?;
        Some((before, names, after))
    });
    let Some((before, names, after)) = parts else {
        return vec![text.to_owned()];
    };
    names
        .split(',')
        .map(|name| format!("{before}{name}{after}"))
        .collect()
}

/// Functions that the table of "Life of a call" names and that are gone.
pub(super) fn lost_functions(architecture: &str, sources: &[Source]) -> Vec<String> {
    let life = architecture
        .split("## Life of a call")
        .nth(1)
        .and_then(|rest| rest.split("\n\nRules").next())
        .expect("a page \"Life of a call\" in ARCHITECTURE.md");
    let rows = life
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| step"));
    let cells: Vec<&str> = rows.filter_map(|row| row.split('|').nth(2)).collect();
    assert!(cells.len() > 20, "{cells:?}");
    cells
        .iter()
        .flat_map(|cell| quoted(cell))
        .map(|(_, path)| path)
        .filter(|path| !path.contains('/') && !is_there(path, sources))
        .map(|path| {
            format!("ARCHITECTURE.md: \"Life of a call\" names `{path}`, and there is no such function")
        })
        .collect()
}

/// A module, a function of a module, or a method of a type that is named with or without its module.
fn is_there(path: &str, sources: &[Source]) -> bool {
    let segments: Vec<&str> = path.split("::").collect();
    let module = |segments: &[&str]| {
        let found = sources.iter().find(|source| source.module[1..] == *segments);
        found.filter(|source| !source.module[1..].is_empty())
    };
    if module(&segments).is_some() {
        return true;
    }
    let Some((name, before)) = segments.split_last() else {
        return false;
    };
    let is_type = |name: &&&str| name.starts_with(|first: char| first.is_ascii_uppercase());
    let method_of = before.last().filter(is_type);
    let file = if method_of.is_some() {
        &before[..before.len() - 1]
    } else {
        before
    };
    match (module(file), method_of) {
        (Some(source), _) => {
            functions(source).contains(&(method_of.map(|name| (*name).to_owned()), (*name).to_owned()))
        }
        (None, Some(of)) => {
            let method = (Some((*of).to_owned()), (*name).to_owned());
            file.is_empty() && sources.iter().any(|source| functions(source).contains(&method))
        }
        // The name of a type alone.
        (None, None) => before.is_empty() && is_type(&name),
    }
}

/// The functions of a file, each with the type or trait that it belongs to.
fn functions(source: &Source) -> BTreeSet<(Option<String>, String)> {
    let mut functions = Functions::default();
    functions.visit_file(&source.code);
    functions.found
}

#[derive(Default)]
struct Functions {
    of: Option<String>,
    found: BTreeSet<(Option<String>, String)>,
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        if let syn::Type::Path(of) = &*item.self_ty {
            self.of = of.path.segments.last().map(|segment| segment.ident.to_string());
        }
        syn::visit::visit_item_impl(self, item);
        self.of = None;
    }

    fn visit_item_trait(&mut self, item: &'a syn::ItemTrait) {
        self.of = Some(item.ident.to_string());
        syn::visit::visit_item_trait(self, item);
        self.of = None;
    }

    fn visit_signature(&mut self, signature: &'a syn::Signature) {
        self.found.insert((self.of.clone(), signature.ident.to_string()));
    }
}
