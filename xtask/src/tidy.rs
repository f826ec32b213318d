//! `cargo xtask tidy`: the house rules that a machine can check.

mod documents;
mod review;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::build;

/// Who may depend on whom, inside the workspace. Development dependencies count too, but for the simulator.
const ARROWS: [(&str, &[&str]); 17] = [
    ("tarefa-protocol", &[]),
    ("tarefa-ledger", &[]),
    ("tarefa-channel", &[]),
    ("tarefa-checker", &["tarefa-channel"]),
    // Its tests run the contract on the development chain.
    ("tarefa-chain", &["tarefa-channel", "tarefa-evm"]),
    ("tarefa-evm", &[]),
    ("tarefa-hub", &["tarefa-chain", "tarefa-channel"]),
    // Its tests run the checker's faults over the stores.
    ("tarefa-client", &["tarefa-chain", "tarefa-channel", "tarefa-checker", "tarefa-evm", "tarefa-hub"]),
    ("tarefa-tangle", &["tarefa-ledger"]),
    ("tarefa-daemon", &["tarefa-ledger", "tarefa-protocol", "tarefa-tangle"]),
    ("tarefa-executor", &["tarefa-daemon", "tarefa-ledger", "tarefa-protocol", "tarefa-tangle"]),
    ("tarefa-submitter", &["tarefa-daemon", "tarefa-ledger", "tarefa-protocol", "tarefa-tangle"]),
    // The explorer names the messages of the market.
    ("tarefa-testnet", &["tarefa-ledger", "tarefa-protocol"]),
    ("tarefa-conformance", &["tarefa-ledger"]),
    (
        "tarefa-simulator",
        &["tarefa-daemon", "tarefa-executor", "tarefa-ledger", "tarefa-protocol", "tarefa-submitter", "tarefa-tangle"],
    ),
    (
        "tarefa",
        &[
            "tarefa-chain",
            "tarefa-channel",
            "tarefa-client",
            "tarefa-daemon",
            "tarefa-evm",
            "tarefa-executor",
            "tarefa-hub",
            "tarefa-ledger",
            "tarefa-protocol",
            "tarefa-submitter",
            "tarefa-tangle",
            "tarefa-testnet",
        ],
    ),
    // A party that cheats goes to the chain with its key alone.
    ("xtask", &["tarefa-chain", "tarefa-channel", "tarefa-client", "tarefa-simulator"]),
];

/// Pure crates: they compile for a machine without clock, disk or network of its own.
const PURE: [(&str, &str); 3] =
    [("tarefa-protocol", "shared/protocol"), ("tarefa-ledger", "shared/ledger"), ("tarefa-channel", "shared/channel")];

pub fn run() -> Result<()> {
    let mut faults = arrows()?;
    let files = tracked()?;
    faults.extend(sources::check(&files)?);
    faults.extend(documents::check(&files)?);
    faults.extend(review::faults(&build::root())?);
    for (_, dir) in PURE {
        if !build::root().join(dir).join("clippy.toml").exists() {
            faults.push(format!("{dir}/clippy.toml is missing: a pure crate disallows clocks and std::fs"));
        }
    }
    for fault in &faults {
        println!("{fault}");
    }
    if !faults.is_empty() {
        bail!("{} places are not tidy", faults.len());
    }
    pure_crates()?;
    println!("tidy: {} files", files.len());
    Ok(())
}

fn pure_crates() -> Result<()> {
    for (name, _) in PURE {
        let status = build::cargo()
            .args(["check", "--quiet", "--target", "wasm32-wasip1", "--package", name])
            .current_dir(build::root())
            .status()?;
        ensure!(status.success(), "{name} does not compile for wasm32-wasip1: it is not pure any more");
    }
    Ok(())
}

fn arrows() -> Result<Vec<String>> {
    let output = build::cargo()
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(build::root())
        .output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut faults = vec![];
    for package in metadata["packages"].as_array().context("no packages")? {
        let name = package["name"].as_str().context("a package without a name")?;
        let Some(allowed) = allowed.get(name) else {
            faults.push(format!("{name} has no row in the table of arrows (xtask/src/tidy.rs)"));
            continue;
        };
        let used: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| !dependency["path"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .collect();
        faults.extend(
            used.iter().filter(|used| !allowed.contains(used)).map(|used| format!("{name} must not depend on {used}")),
        );
    }
    Ok(faults)
}

/// Files that git tracks, relative to the root.
fn tracked() -> Result<Vec<PathBuf>> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(build::root()).output()?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout)?;
    let exists = |path: &PathBuf| build::root().join(path).exists();
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).filter(exists).collect())
}
