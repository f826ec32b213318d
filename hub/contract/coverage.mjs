// Reads forge's lcov.info: every function of src is called, and 98 % of its lines run. Lines of assembly, which forge does not count, are
// left out; their functions are not.
import { readFileSync, readdirSync } from "node:fs";

const LEAST = 0.98;
const text = readFileSync(new URL("lcov.info", import.meta.url), "utf8");
/** The numbers of lines inside assembly blocks. */
function assembly(source) {
  const inside = new Set();
  let within = false;
  source.split("\n").forEach((line, index) => {
    if (/^\s*assembly\b/.test(line)) within = true;
    else if (within && /^\s*}/.test(line)) within = false;
    else if (within) inside.add(index + 1);
  });
  return inside;
}
let [lines, run, hidden] = [0, 0, 0];
const missed = [];
const seen = new Set();
for (const block of text.split("end_of_record")) {
  const name = /^SF:(src\/.*)$/m.exec(block)?.[1];
  if (name === undefined) continue;
  seen.add(name);
  const skipped = assembly(readFileSync(new URL(name, import.meta.url), "utf8"));
  for (const [, line, count] of block.matchAll(/^DA:(\d+),(\d+)$/gm)) {
    if (skipped.has(Number(line))) {
      hidden++;
      continue;
    }
    lines++;
    if (count === "0") missed.push(`${name}:${line}`);
    else run++;
  }
  for (const [, count, called] of block.matchAll(/^FNDA:(\d+),(.*)$/gm)) {
    if (count === "0") missed.push(`${name}: ${called} is never called`);
  }
}
const without = readdirSync(new URL("src", import.meta.url)).filter((name) => !seen.has(`src/${name}`));
const share = run / lines;
console.log(`coverage: ${run} of ${lines} lines of src (${(100 * share).toFixed(1)} %), ${hidden} of assembly not counted; no code in ${without.join(", ")}`);
for (const place of missed) console.error(`never run: ${place}`);
if (!(share >= LEAST) || missed.some((place) => place.endsWith("never called"))) process.exit(1);
