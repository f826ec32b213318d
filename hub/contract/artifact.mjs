// Writes artifact/FulgurHub.json (ABI and bytecode, as the pinned compiler makes them) from forge's output, or with --check compares.
import { readFileSync, writeFileSync, mkdirSync } from "node:fs";

const here = (path) => new URL(path, import.meta.url);
const built = JSON.parse(readFileSync(here("out/FulgurHub.sol/FulgurHub.json"), "utf8"));
const { version } = JSON.parse(readFileSync(here("node_modules/solc/package.json"), "utf8"));
const artifact = { compiler: `solc ${version}`, abi: built.abi, bytecode: built.bytecode.object, deployedBytecode: built.deployedBytecode.object };
const text = JSON.stringify(artifact, null, 1) + "\n";
const file = here("artifact/FulgurHub.json");

// What OpenZeppelin brings is described there.
const inherited = /^(eip712Domain|multicall|EIP712.*|.*FailedCall|Address.*|.*String.*|ReentrancyGuard.*|SafeERC20.*)$/;
/** What the outside can call or see and nothing is said about: NatSpec has a notice for each function, event and error. */
function silent() {
  const { userdoc } = JSON.parse(built.rawMetadata).output;
  const kinds = { function: userdoc.methods, event: userdoc.events, error: userdoc.errors };
  const typeOf = ({ type, components }) => (components ? `(${components.map(typeOf).join(",")})${type.slice(5)}` : type);
  return built.abi
    .filter((item) => Object.hasOwn(kinds, item.type) && !inherited.test(item.name))
    .filter((item) => {
      const said = kinds[item.type]?.[`${item.name}(${item.inputs.map(typeOf).join(",")})`];
      return !(said?.notice ?? said?.[0]?.notice);
    })
    .map((item) => `${item.type} ${item.name}`);
}
const undocumented = silent();
if (undocumented.length > 0) {
  console.error(`no NatSpec notice: ${undocumented.join(", ")}`);
  process.exit(1);
}
if (process.argv.includes("--check")) {
  if (readFileSync(file, "utf8") !== text) {
    console.error("artifact/FulgurHub.json is not what this source compiles to: run node artifact.mjs and read the difference");
    process.exit(1);
  }
  console.log(`artifact: ${artifact.deployedBytecode.length / 2 - 1} bytes of code, the same bit for bit`);
} else {
  mkdirSync(here("artifact"), { recursive: true });
  writeFileSync(file, text);
}
