// What moves around the picture: the node's data, details, search, the faucet, keys and pointers.
"use strict";

const EVERY_MS = 500;
const PAGE = 5000;
const AT_START = 2000;
// A block that was not referenced for so many milestones is not asked about any more.
const GIVE_UP = 20;
// Pages looked at again after a milestone; more wait for the next.
const SETTLE_PAGES = 10;
const NEWEST = 12;

const $ = (id) => document.getElementById(id);
const blocks = new Blocks();
const dag = new Dag($("dag"), blocks);
let confirmed = 0;
let waiting = new Map(); // number of a block that waits → milestone when it was first seen
let oldest = false;
let rates = [];

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(10000) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || `the node answers ${answer.status}`);
  return body;
}

// `older` blocks are drawn and not followed: what still waits among them will for ever.
function take(answer, older = false) {
  confirmed = answer.confirmed;
  for (const block of answer.blocks) {
    blocks.put(block);
    const [number, , , state] = block;
    if (state !== 0) waiting.delete(number);
    else if (!older && !waiting.has(number)) waiting.set(number, confirmed);
  }
  for (const [number, since] of waiting) if (confirmed - since > GIVE_UP) waiting.delete(number);
}

async function refresh() {
  let more = true;
  while (more) {
    const first = blocks.length === 0;
    const before = blocks.end;
    const answer = await ask(first ? `/explorer/api/recent?most=${AT_START}` : `/explorer/api/recent?after=${before - 1}&most=${PAGE}`);
    if (!first && answer.confirmed > confirmed) await settle();
    take(answer);
    more = !first && blocks.end < answer.next && blocks.end > before;
    // A ledger that went back has other blocks under the same numbers.
    if (!first && answer.next < before) location.reload();
  }
  show();
}

// Looks again at what waits, from the oldest on, when there is a new milestone.
async function settle() {
  let from = Math.min(...waiting.keys());
  for (let pages = 0; pages < SETTLE_PAGES && waiting.size > 0 && from < blocks.end; pages++) {
    const answer = await ask(`/explorer/api/recent?after=${from - 1}&most=${PAGE}`);
    if (answer.blocks.length === 0) return;
    take(answer);
    from = answer.blocks[answer.blocks.length - 1][0] + 1;
  }
}

async function older() {
  if (oldest || blocks.length === 0 || dag.range()[0] > blocks.base + 200) return;
  const answer = await ask(`/explorer/api/recent?before=${blocks.base}&most=${PAGE}`);
  if (answer.blocks.length === 0) oldest = true;
  take(answer, true);
  dag.dirty = true;
}

function show() {
  $("confirmed").textContent = confirmed;
  $("count").textContent = (blocks.end - 1).toLocaleString("en");
  rates.push([performance.now(), blocks.end]);
  rates = rates.slice(-11);
  const [[since, then], [now, here]] = [rates[0], rates[rates.length - 1]];
  $("rate").textContent = now > since ? Math.round((here - then) / (now - since) * 1000) : "–";
  newest();
  dag.follow();
}

function newest() {
  const found = [];
  for (let n = blocks.end - 1; n >= blocks.base && found.length < NEWEST && n > blocks.end - PAGE; n--) {
    if (blocks.has(n) && blocks.kind[n - blocks.base] >= 2) found.push(n);
  }
  const key = found.map((n) => `${n}:${blocks.state[n - blocks.base]}`).join();
  if ($("newest").dataset.key === key) return;
  const focused = document.activeElement?.dataset?.number;
  $("newest").dataset.key = key;
  $("newest").replaceChildren(...found.map((n) => {
    const item = document.createElement("li");
    item.append(link(title(n), () => choose(n), n), small(fate(n)));
    return item;
  }));
  if (focused) $("newest").querySelector(`[data-number="${focused}"]`)?.focus();
}

function title(n) {
  return blocks.names.get(n) || KINDS[blocks.kind[n - blocks.base]];
}

function fate(n) {
  const [state, by] = [blocks.state[n - blocks.base], blocks.by[n - blocks.base]];
  return state === 0 ? "not confirmed" : `${state === CONFLICT ? "conflict, " : ""}milestone ${by}`;
}

function link(text, act, number) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link";
  button.textContent = text;
  if (number !== undefined) button.dataset.number = number;
  button.addEventListener("click", act);
  return button;
}

function small(text) {
  const it = document.createElement("small");
  it.textContent = text;
  return it;
}

function details(heading, rows) {
  const table = document.createElement("table");
  for (const [name, ...values] of rows) {
    if (values.length === 0 || values[0] === undefined || values[0] === null) continue;
    const row = table.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    const cell = document.createElement("td");
    values.forEach((value, index) => {
      if (index > 0) cell.append(document.createElement("br"));
      cell.append(value instanceof Node ? value : String(value));
    });
    row.append(head, cell);
  }
  const top = document.createElement("h3");
  top.textContent = heading;
  $("detail").replaceChildren(top, table);
}

function fail(error) {
  const text = document.createElement("p");
  text.textContent = error.message;
  $("detail").replaceChildren(text);
}

const blockLink = ({ id, number }) =>
  number === null || number === undefined ? id : link(`${number} · ${id.slice(0, 12)}…`, () => choose(number));
const tokens = (amount) => `${Number(amount).toLocaleString("en")}`;
const outputLine = (it) =>
  it.amount === undefined ? it.id : link(`${tokens(it.amount)} → ${it.address || it.kind}`, () => find(it.address || it.id));

async function choose(number, focus = true) {
  try {
    const it = await ask(`/explorer/api/block?q=${encodeURIComponent(number)}`);
    dag.chosen = it.number;
    if (focus && blocks.has(it.number)) {
      const [first, last] = dag.range();
      if (it.number < first || it.number > last) dag.move(it.number + dag.width / 2 / dag.zoom - dag.right);
      live(false);
    }
    dag.dirty = true;
    const state = it.referencedByMilestoneIndex === undefined
      ? "not confirmed"
      : `${it.ledgerInclusionState}${it.conflictReason ? ` (reason ${it.conflictReason})` : ""}, milestone ${it.referencedByMilestoneIndex}`;
    details(it.message ? it.message.name : it.kind, [
      ["number", it.number], ["id", it.blockId], ["state", state], ["bytes", it.size],
      ["milestone", it.milestoneIndex], ["time", it.timestamp && new Date(it.timestamp * 1000).toLocaleString()],
      ["references", it.references === undefined || it.references === null ? undefined : `${it.references} blocks`],
      ["tag", it.tag], ["data", it.dataBytes && `${it.dataBytes} bytes`],
      ...(it.message ? [["from", it.message.from], ["to", it.message.to || "everyone"], ["seal", it.message.note], ["message", it.message.message]] : []),
      ...(it.transaction ? [["transaction", it.transaction.id], ["takes", ...it.transaction.inputs.map(outputLine)], ["makes", ...it.transaction.outputs.map(outputLine)]] : []),
      ["parents", ...it.parents.map(blockLink)],
    ]);
  } catch (error) { fail(error); }
}

async function find(text) {
  try {
    const it = await ask(`/explorer/api/search?q=${encodeURIComponent(text)}`);
    if (it.kind === "block") return choose(it.number);
    if (it.kind === "output") {
      return details("output", [["id", it.output.id], ["kind", it.output.kind], ["amount", tokens(it.output.amount)],
        ["address", it.output.address && link(it.output.address, () => find(it.output.address))],
        ["spent", it.output.spent ? "yes" : "no"], ["milestone", it.bookedBy],
        ["block", it.number === null ? undefined : link(String(it.number), () => choose(it.number))]]);
    }
    if (it.kind === "address") {
      return details("address", [["address", it.address], ["balance", tokens(it.balance)],
        ["unspent", ...it.outputs.map((output) => link(`${tokens(output.amount)} · ${output.id.slice(0, 14)}…`, () => find(output.id)))]]);
    }
    details(`tag ${it.tag}`, [["blocks", ...it.blocks.map(blockLink)]]);
  } catch (error) { fail(error); }
}

function live(on) {
  dag.live = on;
  $("live").setAttribute("aria-pressed", String(on));
  dag.follow();
}

$("search").addEventListener("submit", (event) => { event.preventDefault(); find($("query").value); });
$("faucet").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("paid").textContent = "…";
  try {
    const answer = await fetch("/api/enqueue", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ address: $("address").value.trim() }),
    });
    const body = await answer.json();
    $("paid").textContent = answer.ok ? "on its way with the next milestone" : body.error.message;
  } catch (error) { $("paid").textContent = error.message; }
});
$("live").addEventListener("click", () => live(!dag.live));
$("closer").addEventListener("click", () => dag.scale(1.6));
$("farther").addEventListener("click", () => { dag.scale(1 / 1.6); older().catch(fail); });

const canvas = $("dag");
const KEYS = {
  ArrowLeft: () => dag.move(-60 / dag.zoom), ArrowRight: () => dag.move(60 / dag.zoom),
  PageUp: () => dag.move(-dag.width / dag.zoom), PageDown: () => dag.move(dag.width / dag.zoom),
  Home: () => dag.move(-Infinity), End: () => live(true),
  "+": () => dag.scale(1.3), "=": () => dag.scale(1.3), "-": () => dag.scale(1 / 1.3),
  Enter: () => {
    const middle = Math.round(dag.right - dag.width / 2 / dag.zoom);
    choose(Math.min(blocks.end - 1, Math.max(blocks.base, middle)), false);
  },
};
canvas.addEventListener("keydown", (event) => {
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
  if (event.key !== "End" && event.key !== "Enter") $("live").setAttribute("aria-pressed", String(dag.live));
  older().catch(fail);
});

const fingers = new Map();
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY, moved: 0 });
});
canvas.addEventListener("pointermove", (event) => {
  const finger = fingers.get(event.pointerId);
  if (!finger) return hover(event);
  const by = event.offsetX - finger.x;
  if (fingers.size === 2) {
    const [a, b] = [...fingers.values()];
    const before = Math.abs(a.x - b.x);
    finger.x = event.offsetX;
    if (before > 20) dag.scale(Math.abs(a.x - b.x) / before, (a.x + b.x) / 2);
    return;
  }
  finger.x = event.offsetX;
  finger.moved += Math.abs(by);
  if (finger.moved > 4) { dag.move(-by / dag.zoom); live(false); older().catch(fail); }
});
canvas.addEventListener("pointerup", (event) => {
  const finger = fingers.get(event.pointerId);
  fingers.delete(event.pointerId);
  if (!finger || finger.moved > 4) return;
  const number = dag.at(event.offsetX, event.offsetY);
  if (number !== null) choose(number, false);
});
canvas.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
canvas.addEventListener("pointerleave", () => { $("tip").hidden = true; });
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  dag.scale(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.offsetX);
  older().catch(fail);
}, { passive: false });

function hover(event) {
  const number = dag.at(event.offsetX, event.offsetY);
  $("tip").hidden = number === null;
  if (number === null) return;
  $("tip").textContent = `${number} · ${title(number)} · ${fate(number)}`;
  $("tip").style.left = `${Math.min(event.offsetX + 12, dag.width - 220)}px`;
  $("tip").style.top = `${event.offsetY + 12}px`;
}

(async function run() {
  for (;;) {
    try { await refresh(); } catch (error) { fail(error); }
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
})();
