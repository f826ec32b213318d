// The picture: blocks from left to right by their numbers. Only what is visible is drawn, and where many blocks share
// a pixel only some of them, so that the cost of a frame depends on the width of the window and not on the ledger.
"use strict";

const KINDS = ["no payload", "data", "transaction", "milestone", "market message"];
const COLOURS = ["--empty", "--data", "--transaction", "--milestone", "--message"];
const MILESTONE = 3;
const CONFLICT = 3;
const ZOOM_MIN = 0.002;
const ZOOM_MAX = 40;
// From this distance between blocks on, lines to parents are drawn.
const LINES_FROM = 2.5;
// Most blocks drawn per pixel of width.
const PER_PIXEL = 3;
// Columns grow by this many blocks at once.
const GROW = 65536;

// Blocks by number, one array per field: a hundred thousand of them are a few megabytes and no objects.
class Blocks {
  constructor() {
    this.base = 0;
    this.length = 0;
    this.room(GROW);
    this.parents = new Map();
    this.names = new Map();
  }

  room(size) {
    const grow = (old, type) => {
      const fresh = new type(size);
      if (old) fresh.set(old.subarray(0, Math.min(old.length, size)));
      return fresh;
    };
    this.kind = grow(this.kind, Uint8Array);
    this.state = grow(this.state, Uint8Array);
    this.by = grow(this.by, Uint32Array);
    this.there = grow(this.there, Uint8Array);
  }

  get end() { return this.base + this.length; }

  has(number) {
    const at = number - this.base;
    return at >= 0 && at < this.length && this.there[at] === 1;
  }

  // Makes place for blocks before the first.
  moveBase(base) {
    const by = this.base - base;
    if (by <= 0) return;
    const old = this;
    const [kind, state, by_, there] = [old.kind, old.state, old.by, old.there];
    this.kind = this.state = this.by = this.there = undefined;
    this.room(Math.ceil((this.length + by) / GROW + 1) * GROW);
    this.kind.set(kind.subarray(0, this.length), by);
    this.state.set(state.subarray(0, this.length), by);
    this.by.set(by_.subarray(0, this.length), by);
    this.there.set(there.subarray(0, this.length), by);
    this.base = base;
    this.length += by;
  }

  put([number, kind, by, state, parents, name]) {
    if (this.length === 0) this.base = number;
    if (number < this.base) this.moveBase(number);
    const at = number - this.base;
    if (at >= this.kind.length) this.room(Math.ceil((at + 1) / GROW + 1) * GROW);
    this.length = Math.max(this.length, at + 1);
    this.kind[at] = kind;
    this.state[at] = state;
    this.by[at] = by;
    this.there[at] = 1;
    this.parents.set(number, parents);
    if (name) this.names.set(number, name);
  }
}

// A number between 0 and 1 that looks random and is always the same for the same block.
function scatter(number) {
  let h = Math.imul(number ^ (number >>> 16), 0x45d9f3b);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return ((h ^ (h >>> 13)) >>> 0) / 4294967296;
}

class Dag {
  constructor(canvas, blocks) {
    this.canvas = canvas;
    this.blocks = blocks;
    this.zoom = 6;
    this.right = 0; // number at the right edge
    this.live = true;
    this.chosen = null;
    this.drawn = 0;
    this.dirty = true;
    this.colours = [];
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.resize());
    this.resize();
    const frame = () => {
      if (this.dirty) this.draw();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    const { width, height } = this.canvas.getBoundingClientRect();
    [this.width, this.height] = [width, height];
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.colours = COLOURS.map(colour);
    [this.ink, this.line, this.conflict, this.ground] = ["--ink", "--line", "--conflict", "--ground"].map(colour);
    this.dirty = true;
  }

  x(number) { return this.width - 24 - (this.right - number) * this.zoom; }

  // A place that depends on the number alone; milestones are in the middle.
  y(number, kind) {
    if (kind === MILESTONE) return this.height / 2;
    const spread = scatter(number);
    const half = spread < 0.5 ? spread * 0.84 : 0.58 + (spread - 0.5) * 0.84;
    return 24 + half * (this.height - 48);
  }

  range() {
    const first = Math.ceil(this.right - (this.width + 24) / this.zoom);
    const last = Math.floor(this.right + 48 / this.zoom);
    return [Math.max(first, this.blocks.base), Math.min(last, this.blocks.end - 1)];
  }

  move(by) {
    this.live = false;
    this.right = Math.min(this.blocks.end, Math.max(this.blocks.base, this.right + by));
    this.dirty = true;
  }

  scale(factor, atX = this.width - 24) {
    const before = this.right - (this.width - 24 - atX) / this.zoom;
    this.zoom = Math.min(ZOOM_MAX, Math.max(ZOOM_MIN, this.zoom * factor));
    if (!this.live) this.right = before + (this.width - 24 - atX) / this.zoom;
    this.dirty = true;
  }

  follow() {
    if (this.live) this.right = this.blocks.end - 1;
    this.dirty = true;
  }

  // The block nearest to a point, if there is one.
  at(x, y) {
    const [first, last] = this.range();
    const middle = this.right - (this.width - 24 - x) / this.zoom;
    const reach = Math.max(1, 14 / this.zoom);
    let [best, least] = [null, 20 * 20];
    for (let n = Math.max(first, Math.ceil(middle - reach)); n <= Math.min(last, middle + reach); n++) {
      if (!this.blocks.has(n)) continue;
      const dx = this.x(n) - x;
      const dy = this.y(n, this.blocks.kind[n - this.blocks.base]) - y;
      if (dx * dx + dy * dy < least) [best, least] = [n, dx * dx + dy * dy];
    }
    return best;
  }

  draw() {
    this.dirty = false;
    const c = this.canvas.getContext("2d");
    const ratio = devicePixelRatio || 1;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, this.width, this.height);
    const [first, last] = this.range();
    const step = Math.max(1, Math.ceil(1 / (this.zoom * PER_PIXEL)));
    const radius = Math.min(6, Math.max(1, this.zoom * 0.45));
    if (this.zoom >= LINES_FROM) this.lines(c, first, last);
    this.drawn = 0;
    // A multiple of the step, so that the same blocks stay chosen while the picture moves.
    for (let n = Math.ceil(first / step) * step; n <= last; n += step) this.dot(c, n, radius);
    if (step > 1) this.milestones(c, first, last, radius);
    if (this.chosen !== null && this.blocks.has(this.chosen)) {
      const kind = this.blocks.kind[this.chosen - this.blocks.base];
      c.strokeStyle = this.ink;
      c.lineWidth = 2;
      c.beginPath();
      c.arc(this.x(this.chosen), this.y(this.chosen, kind), radius + 4, 0, 2 * Math.PI);
      c.stroke();
    }
  }

  lines(c, first, last) {
    c.strokeStyle = this.line;
    c.lineWidth = 1;
    c.beginPath();
    for (let n = first; n <= last; n++) {
      const parents = this.blocks.parents.get(n);
      if (!parents) continue;
      const [x, y] = [this.x(n), this.y(n, this.blocks.kind[n - this.blocks.base])];
      for (const parent of parents) {
        if (!this.blocks.has(parent)) continue;
        c.moveTo(x, y);
        c.lineTo(this.x(parent), this.y(parent, this.blocks.kind[parent - this.blocks.base]));
      }
    }
    c.stroke();
  }

  dot(c, n, radius) {
    const at = n - this.blocks.base;
    if (this.blocks.there[at] !== 1) return;
    this.drawn++;
    const kind = this.blocks.kind[at];
    const colour = this.blocks.state[at] === CONFLICT ? this.conflict : this.colours[kind];
    const [x, y] = [this.x(n), this.y(n, kind)];
    if (radius <= 1.5) {
      c.fillStyle = colour;
      c.globalAlpha = this.blocks.state[at] === 0 ? 0.45 : 1;
      c.fillRect(x - 1, y - 1, 2, kind === MILESTONE ? 6 : 2);
      c.globalAlpha = 1;
      return;
    }
    c.beginPath();
    if (kind === MILESTONE) {
      const r = radius * 1.6;
      c.moveTo(x, y - r); c.lineTo(x + r, y); c.lineTo(x, y + r); c.lineTo(x - r, y); c.closePath();
    } else {
      c.arc(x, y, radius, 0, 2 * Math.PI);
    }
    if (this.blocks.state[at] === 0) {
      c.fillStyle = this.ground;
      c.fill();
      c.strokeStyle = colour;
      c.lineWidth = 1.5;
      c.stroke();
    } else {
      c.fillStyle = colour;
      c.fill();
    }
  }

  // Far away, milestones are drawn whatever is left out, at most one per pixel.
  milestones(c, first, last, radius) {
    let before = -Infinity;
    for (let at = first - this.blocks.base; at <= last - this.blocks.base; at++) {
      if (this.blocks.kind[at] !== MILESTONE || this.blocks.there[at] !== 1) continue;
      const x = this.x(at + this.blocks.base);
      if (x - before < 1) continue;
      before = x;
      this.dot(c, at + this.blocks.base, radius);
    }
  }
}
