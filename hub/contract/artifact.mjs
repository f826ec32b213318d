// Writes artifact/FulgurHub.json and Coin.json (ABI and bytecode, as the pinned compiler makes them; the coin is an ERC-20 contract for tests)
// from forge's output, or with --check compares.
import { readFileSync, writeFileSync, mkdirSync } from "node:fs";

const here = (path) => new URL(path, import.meta.url);
const { version } = JSON.parse(readFileSync(here("node_modules/solc/package.json"), "utf8"));
const contracts = ["FulgurHub", "Coin"].map((name) => {
  const built = JSON.parse(readFileSync(here(`out/${name}.sol/${name}.json`), "utf8"));
  const artifact = { compiler: `solc ${version}`, abi: built.abi, bytecode: built.bytecode.object, deployedBytecode: built.deployedBytecode.object };
  return { name, built, text: JSON.stringify(artifact, null, 1) + "\n", file: here(`artifact/${name}.json`) };
});
const [{ built }] = contracts;

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
for (const { name, built, text, file } of contracts) {
  if (!process.argv.includes("--check")) {
    mkdirSync(here("artifact"), { recursive: true });
    writeFileSync(file, text);
    continue;
  }
  if (readFileSync(file, "utf8") !== text) {
    console.error(`artifact/${name}.json is not what this source compiles to: run node artifact.mjs and read the difference`);
    process.exit(1);
  }
  console.log(`artifact: ${name}, ${built.deployedBytecode.object.length / 2 - 1} bytes of code, the same bit for bit`);
}
