// The explorer in a real browser. Needs NODE_URL (a dev Tangle on which the market has run) and WORK (for pictures).
"use strict";

const assert = require("node:assert/strict");
const http = require("node:http");
const path = require("node:path");
const { chromium } = require("playwright-core");

const NODE = process.env.NODE_URL;
const WORK = process.env.WORK;
const BLOCKS = 100_000;
const CONNECTIONS = 16;
const ADDRESS = "tst1qqrswpc8qurswpc8qurswpc8qurswpc8qurswpc8qurswpc8qursw79pnks";

// A block of tagged data for which the node chooses the parents.
function rawBlock(number) {
  const tag = Buffer.from("load");
  const data = Buffer.alloc(8);
  data.writeUInt32LE(number);
  const payload = Buffer.concat([Buffer.from([5, 0, 0, 0, tag.length]), tag, Buffer.from([data.length, 0, 0, 0]), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(payload.length);
  return Buffer.concat([Buffer.from([2, 0]), length, payload, Buffer.alloc(8)]);
}

function post(agent, body) {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/vnd.iota.serializer-v1", "content-length": body.length };
    const request = http.request(`${NODE}/api/core/v2/blocks`, { method: "POST", agent, headers, timeout: 10_000 }, (answer) => {
      answer.resume();
      answer.on("end", () => (answer.statusCode === 201 ? resolve() : reject(new Error(`a block was answered ${answer.statusCode}`))));
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function load() {
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  let next = 0;
  const worker = async () => {
    while (next < BLOCKS) await post(agent, rawBlock(next++));
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  agent.destroy();
}

const picture = (page, name) => page.screenshot({ path: path.join(WORK, `${name}.png`) });
const detail = (page) => page.locator("#detail").innerText();

async function search(page, text, expected) {
  await page.fill("#query", text);
  await page.press("#query", "Enter");
  await page.waitForFunction((wanted) => document.querySelector("#detail").innerText.includes(wanted), expected);
}

async function market(page) {
  await page.waitForFunction(() => Number(document.querySelector("#confirmed").textContent) > 0);
  await page.waitForSelector("#newest button");
  const names = await page.evaluate(() => [...blocks.names.values()]);
  for (const wanted of ["offer", "submit", "answer"]) {
    assert.ok(names.some((name) => name.startsWith(wanted)), `no ${wanted} among ${names.slice(0, 20)}`);
  }
  assert.ok(names.some((name) => / part \d+\/\d+$/.test(name)), "no message in parts");
  const kinds = await page.evaluate(() => new Set(blocks.kind.subarray(0, blocks.length)).size);
  assert.ok(kinds >= 3, "messages, transactions and milestones");
  const [first] = await page.evaluate(() => [...blocks.names].find(([, name]) => name.startsWith("submit")));
  await page.evaluate((number) => choose(number), first);
  await page.waitForFunction(() => document.querySelector("#detail").innerText.includes("sealed to the executor"));
  await picture(page, "explorer-message");
}

async function searches(page) {
  await search(page, "1", "milestone");
  const text = await detail(page);
  const id = /0x[0-9a-f]{64}/.exec(text)[0];
  await search(page, id, id);
  await search(page, "TAREFA FAUCET", "tag TAREFA FAUCET");
  await page.locator("#detail button").first().click();
  await page.waitForFunction(() => document.querySelector("#detail").innerText.includes("transaction"));
  await picture(page, "explorer-transfer");
  const output = page.locator("#detail td button").filter({ hasText: "→" }).last();
  await output.click();
  await page.waitForFunction(() => document.querySelector("#detail").innerText.includes("balance"));
  await search(page, "é", "nothing here is called `é`");
  await search(page, "<b>nothing</b>", "nothing here is called `<b>nothing</b>`");
}

async function faucet(page) {
  await page.fill("#address", "nonsense");
  await page.click("#faucet button");
  await page.waitForFunction(() => document.querySelector("#paid").textContent.length > 3);
  assert.match(await page.textContent("#paid"), /bech32/, "the refusal is shown");
  const address = await page.evaluate(async () => (await (await fetch("/api/info")).json()).address);
  assert.match(address, /^tst1/);
  await page.fill("#address", ADDRESS);
  await page.click("#faucet button");
  await page.waitForFunction(() => document.querySelector("#paid").textContent.includes("on its way"));
  for (let tries = 0; ; tries++) {
    await search(page, ADDRESS, "balance");
    if ((await detail(page)).includes("100,000,000,000")) break;
    assert.ok(tries < 20, "the faucet does not pay");
    await page.waitForTimeout(300);
  }
}

async function keyboard(page) {
  await page.reload();
  await page.waitForFunction(() => blocks.length > 0);
  const reached = new Set();
  for (let presses = 0; presses < 40; presses++) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.parentElement.tagName));
  }
  for (const wanted of ["query", "dag", "live", "closer", "farther", "address", "LI"]) {
    assert.ok(reached.has(wanted), `${wanted} cannot be reached with Tab: ${[...reached]}`);
  }
  await page.focus("#dag");
  await page.keyboard.press("ArrowLeft");
  assert.equal(await page.getAttribute("#live", "aria-pressed"), "false");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#detail table"));
  await page.keyboard.press("End");
  assert.equal(await page.getAttribute("#live", "aria-pressed"), "true");
}

async function phone(browser) {
  const page = await browser.newPage({ viewport: { width: 375, height: 720 }, hasTouch: true, colorScheme: "dark" });
  await page.goto(`${NODE}/explorer`);
  await page.waitForFunction(() => blocks.length > 0);
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 375, "wider than a phone");
  await picture(page, "explorer-phone");
  await page.close();
}

async function many(page) {
  await load();
  await page.reload();
  await page.waitForFunction(() => blocks.length > 0);
  await page.focus("#dag");
  for (let tries = 0; tries < 400; tries++) {
    if (await page.evaluate((wanted) => blocks.parents.size >= wanted, BLOCKS)) break;
    await page.keyboard.press("-");
    await page.keyboard.press("Home");
    await page.waitForTimeout(50);
  }
  const there = await page.evaluate(() => blocks.parents.size);
  assert.ok(there >= BLOCKS, `${there} blocks in the page`);
  const times = [];
  for (const zoom of [0.01, 0.1, 1, 8]) {
    const [drawn, width, median, worst] = await page.evaluate((wanted) => {
      dag.scale(wanted / dag.zoom);
      const took = [];
      let most = 0;
      for (let frame = 0; frame < 60; frame++) {
        dag.move((frame % 2 ? 1 : -1) * 40 / dag.zoom);
        const begun = performance.now();
        dag.draw();
        took.push(performance.now() - begun);
        most = Math.max(most, dag.drawn);
      }
      took.sort((a, b) => a - b);
      return [most, dag.width, took[30], took[57]];
    }, zoom);
    // The cost of a frame follows the width of the window, not the size of the ledger.
    assert.ok(drawn <= 6 * width, `${drawn} of ${there} blocks drawn at zoom ${zoom}`);
    times.push(`${zoom}: ${drawn} drawn in ${median.toFixed(1)} ms (p95 ${worst.toFixed(1)})`);
  }
  await page.evaluate(() => { dag.scale(0.01 / dag.zoom); live(true); });
  await page.waitForTimeout(300);
  await picture(page, "explorer-many");
  return `${there} blocks; by zoom ${times.join(", ")}`;
}

(async () => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
  const errors = [];
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    page.setDefaultTimeout(20_000);
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (line) => { if (line.text().includes("Content Security Policy")) errors.push(line.text()); });
    await page.goto(`${NODE}/explorer`);
    await market(page);
    await searches(page);
    await faucet(page);
    await keyboard(page);
    await phone(browser);
    const figures = await many(page);
    assert.deepEqual(errors, []);
    console.log(`explorer: messages, search, faucet, keyboard and phone pass; ${figures}`);
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
