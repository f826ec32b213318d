//! `cargo xtask guests`: the guests in the binary are those of the sources, byte for byte.

use anyhow::{Context, Result, bail, ensure};

use crate::build;

const NAMES: [&str; 5] = ["exit3", "hostile", "primes", "spin", "wordcount"];
const TARGET: &str = "wasm32-wasip1";

#[derive(clap::Args)]
pub struct Args {
    /// Replace the guests in the repository by fresh builds.
    #[arg(long)]
    update: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let tasks = build::root().join("tasks");
    let target = build::target().join("guests");
    // No path of this machine may end up in a guest, or builds of two machines would differ.
    let remap = |from: &std::path::Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let home = std::env::var_os("CARGO_HOME").map(Into::into).or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let home: std::path::PathBuf = home.context("neither CARGO_HOME nor a home directory")?;
    let flags = format!("{} {}", remap(&home, "/cargo"), remap(&tasks, "/tasks"));
    let status = build::cargo()
        .args(["build", "--quiet", "--release", "--locked", "--target", TARGET])
        .current_dir(&tasks)
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.replace(' ', "\u{1f}"))
        .status()?;
    ensure!(status.success(), "the guests do not build; `rustup target add {TARGET}` gives the target");
    let mut different = vec![];
    for name in NAMES {
        let fresh = std::fs::read(target.join(TARGET).join("release").join(format!("{name}.wasm")))?;
        let kept = tasks.join("prebuilt").join(format!("{name}.wasm"));
        if args.update {
            std::fs::write(&kept, &fresh)?;
        } else if std::fs::read(&kept).ok().as_ref() != Some(&fresh) {
            different.push(name);
        }
    }
    if !different.is_empty() {
        bail!("{} in tasks/prebuilt differ from a fresh build: `cargo xtask guests --update`", different.join(", "));
    }
    println!("{} guests are those of their sources", NAMES.len());
    Ok(())
}
