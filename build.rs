//! Puts the console's files into the native binary: a table of what `scripts/build-console` left in
//! `admin-spa/embedded`. The table is empty when the console was not built, so that cargo needs no Node.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a build script reads variables and speaks to cargo on standard output"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // On the edge the files are static assets, see src/http/console/elsewhere.rs.
    if env::var("CARGO_CFG_TARGET_ARCH")? == "wasm32" {
        return Ok(());
    }
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("admin-spa/embedded");
    let mut files = Vec::new();
    if folder.is_dir() {
        println!("cargo::rerun-if-changed=admin-spa/embedded");
        collect(&folder, &mut files)?;
        files.sort();
    }
    let mut table = String::from("[\n");
    for gzip in files {
        let name = gzip.strip_prefix(&folder)?.with_extension("");
        let name = text(&name)?.replace('\\', "/");
        let mut hash = DefaultHasher::new();
        hash.write(&fs::read(&gzip)?);
        let brotli = gzip.with_extension("br");
        let (brotli, gzip) = (text(&brotli)?, text(&gzip)?);
        writeln!(
            table,
            "    File {{ path: {name:?}, tag: \"W/\\\"{:016x}\\\"\", brotli: include_bytes!({brotli:?}), gzip: include_bytes!({gzip:?}) }},",
            hash.finish()
        )?;
    }
    table.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("console.rs"), table)?;
    Ok(())
}

fn text(path: &Path) -> Result<&str, Box<dyn Error>> {
    Ok(path.to_str().ok_or("a path that is not UTF-8")?)
}

/// The `.gz` file of each file below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "gz") {
            files.push(path);
        }
    }
    Ok(())
}
