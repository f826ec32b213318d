// The guards of the contract, each taken away in turn: at least one test must fail without it. Writes mutations.json; with --check only
// compares which guards there are, with --new only tries those that mutations.json does not name. A run takes about ten seconds for each.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const record = join(here, "mutations.json");
const sources = readdirSync(join(here, "src")).filter((name) => name.endsWith(".sol"));

/** Where the bracket at `open` closes. */
function closing(text, open) {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === "(") depth++;
    if (text[at] === ")" && --depth === 0) return at;
  }
  throw new Error("a bracket that does not close");
}

/** The parts of a text between `separator`s outside brackets. */
function split(text, separator) {
  const parts = [""];
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "(") depth++;
    if (text[at] === ")") depth--;
    if (depth === 0 && text.startsWith(separator, at)) {
      parts.push("");
      at += separator.length - 1;
    } else parts[parts.length - 1] += text[at];
  }
  return parts.map((part) => part.trim());
}

/** The function that a place of a text is in. */
function functionAt(text, place) {
  const before = [...text.slice(0, place).matchAll(/\bfunction (\w+)|\b(constructor)\b/g)].at(-1);
  return before[1] ?? before[2];
}

/** Every guard of a file, and each alternative text without it or without one of its conditions: by file, function and words. */
function mutants(file, text) {
  const found = [];
  const add = (mutant) => {
    // One function may have a guard twice, and another one its name.
    const times = found.filter(({ words }) => words === mutant.words).length;
    found.push({ ...mutant, file, name: times === 0 ? mutant.words : `${mutant.words}, #${times + 1}` });
  };
  for (const match of text.matchAll(/\brequire\(|\brevert \w+\(/g)) {
    const end = closing(text, match.index + match[0].length - 1);
    const guard = text.slice(match.index, end + 1).replace(/\s+/g, " ");
    const line = text.slice(0, match.index).split("\n").length;
    const without = (by) => text.slice(0, match.index) + by + text.slice(end + 1);
    const place = `${file}, ${functionAt(text, match.index)}`;
    add({ words: `${place}: ${guard}`, line, text: without("{}").replace("{};", "{}") });
    if (!match[0].startsWith("require")) continue;
    const [condition, error] = split(text.slice(match.index + match[0].length, end), ",");
    const parts = split(condition, "&&");
    if (parts.length < 2 || split(condition, "||").length > 1) continue;
    parts.forEach((part, at) => {
      const rest = parts.filter((_, other) => other !== at).join(" && ");
      add({ words: `${place}: ${guard} without ${part.replace(/\s+/g, " ")}`, line, text: without(`require(${rest}, ${error})`) });
    });
  }
  return found;
}

const all = sources.flatMap((name) => mutants(name, readFileSync(join(here, "src", name), "utf8")));
if (process.argv.includes("--check")) {
  const known = JSON.parse(readFileSync(record, "utf8"));
  const missing = all.filter(({ name }) => !(name in known));
  const gone = Object.keys(known).filter((name) => !all.some((mutant) => mutant.name === name));
  for (const { name } of missing) console.error(`not in mutations.json: ${name}`);
  for (const name of gone) console.error(`in mutations.json, not in the source: ${name}`);
  if (missing.length + gone.length > 0) {
    console.error("run node mutate.mjs and read what survives");
    process.exit(1);
  }
  console.log(`guards: ${all.length} alternatives, as in the last mutation run`);
  process.exit(0);
}

const compiler = createRequire(import.meta.url)("solc");
const settings = JSON.parse(readFileSync(join(here, "out/FulgurHub.sol/FulgurHub.json"), "utf8")).metadata.settings;
/** The contract's bytecode with one source replaced. */
function compile(name, text) {
  const read = (path) => {
    if (path === `src/${name}`) return { contents: text };
    const file = path.startsWith("@") ? join(here, "node_modules", path) : join(here, path);
    return existsSync(file) ? { contents: readFileSync(file, "utf8") } : { error: "no such file" };
  };
  const content = read("src/FulgurHub.sol").contents;
  const { optimizer, evmVersion, viaIR, metadata, remappings } = settings;
  const input = {
    language: "Solidity",
    sources: { "src/FulgurHub.sol": { content } },
    settings: { optimizer, evmVersion, viaIR, metadata, remappings, outputSelection: { "*": { FulgurHub: ["evm.bytecode.object"] } } },
  };
  const output = JSON.parse(compiler.compile(JSON.stringify(input), { import: read }));
  const errors = (output.errors ?? []).filter(({ severity }) => severity === "error");
  if (errors.length > 0) return null;
  return `0x${output.contracts["src/FulgurHub.sol"].FulgurHub.evm.bytecode.object}`;
}

// A copy of the project whose artifact is replaced: the tests deploy what it says, and nothing is compiled again.
const copy = mkdtempSync(join(tmpdir(), "guards-"));
process.on("exit", () => rmSync(copy, { recursive: true, force: true }));
for (const name of ["src", "test", "out", "cache", "foundry.toml", "solc", "snapshots"]) {
  cpSync(join(here, name), join(copy, name), { recursive: true, preserveTimestamps: true });
}
// Without forge: it is large, and it stays where it is.
for (const name of readdirSync(join(here, "node_modules")).filter((name) => name !== "@foundry-rs")) {
  cpSync(join(here, "node_modules", name), join(copy, "node_modules", name), { recursive: true, preserveTimestamps: true });
}
const packaged = join(here, "node_modules/@foundry-rs/forge-linux-amd64/bin/forge");
const forge = existsSync(packaged) ? packaged : "forge";
const artifact = join(copy, "out/FulgurHub.sol/FulgurHub.json");
const built = JSON.parse(readFileSync(artifact, "utf8"));
/** The tests that fail with this bytecode. */
function failing(bytecode) {
  writeFileSync(artifact, JSON.stringify({ ...built, bytecode: { ...built.bytecode, object: bytecode } }));
  const arguments_ = ["test", "--no-match-contract", "GasTest|InvariantsTest|Honest|ReachTest|VectorsTest|PlaceTest"];
  const { stdout } = spawnSync(forge, arguments_, { cwd: copy, encoding: "utf8", timeout: 120_000 });
  if (/Compiling/.test(stdout)) throw new Error(`the copy is compiled again: run forge build first: ${stdout.slice(0, 300)}`);
  if (!/tests passed/.test(stdout)) throw new Error(`no test ran: ${stdout}`);
  return [...new Set([...stdout.matchAll(/^\[FAIL.*?\] (\w+)/gm)].map(([, test]) => test))];
}

const plain = failing(compile("none", ""));
if (plain.length > 0) throw new Error(`tests fail with every guard in place: ${plain}`);
const known = process.argv.includes("--new") ? JSON.parse(readFileSync(record, "utf8")) : {};
const results = {};
for (const [index, { file, name, line, text }] of all.entries()) {
  if (name in known) {
    results[name] = known[name];
    continue;
  }
  const bytecode = compile(file, text);
  const tests = bytecode === null ? ["(does not compile)"] : failing(bytecode);
  results[name] = tests.length > 0 ? tests[0] : "SURVIVES";
  console.log(`${index + 1}/${all.length} line ${line} ${name}: ${results[name]}`);
}
writeFileSync(record, JSON.stringify(results, null, 1) + "\n");
const survivors = Object.values(results).filter((result) => result === "SURVIVES").length;
console.log(`${all.length} alternatives, ${survivors} survive`);
