// The price through time with all that was decided by it: entry, stop, rungs, targets and trades.
// R is linear in the price, so the right axis of the same curve tells R.

import uPlot from "/static/vendor/uPlot.esm.js";
import { h, show } from "./dom.js";
import { meaningOf, shapeOf } from "./track.js";
import { signed } from "./words.js";

const HEIGHT = 380, HEIGHT_NARROW = 300, NARROW = 600;
const FONT = "12px system-ui, sans-serif";

export class PriceChart {
  #plot = null;
  #told = null;
  #price = null;

  constructor(place, readout, legend) {
    Object.assign(this, { place, readout, legend });
    new ResizeObserver(() => this.#resize()).observe(place);
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.#remake());
    place.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Draw what the server tells of the symbol. */
  show(told) {
    this.#told = told;
    show(this.legend, legendOf(told));
    this.#draw();
  }

  /** The newest price, which comes more often than the story. */
  price(at, price) {
    this.#price = [at, price];
    if (this.#told) this.#draw();
  }

  #draw() {
    const data = columns(this.#told, this.#price);
    if (data[0].length < 2) {
      show(this.readout, "Not enough prices for a chart yet.");
      return;
    }
    if (this.#plot) this.#plot.setData(data);
    else this.#make(data);
    if (this.#plot.cursor.idx === null || this.#plot.cursor.idx === undefined) this.#read(data[0].length - 1);
    else this.#read(this.#plot.cursor.idx);
  }

  #make(data) {
    const paint = colours();
    const grid = { stroke: paint.grid, width: 1 };
    const axis = { font: FONT, stroke: paint.text, grid, ticks: { show: false } };
    this.#plot = new uPlot({
      ...this.#size(),
      padding: [12, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false }, points: { size: 7 } },
      scales: { y: { range: (_plot, low, high) => this.#range(low, high) } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      axes: [
        { ...axis, values: [...timeWords] },
        { ...axis, size: 68, values: (_plot, splits) => splits.map(shortly) },
        { ...axis, side: 1, size: 46, grid: { show: false },
          splits: (plot) => this.#splitsOfR(plot), values: (_plot, splits) => splits.map((price) => `${tidy(this.#r(price))}R`) },
      ],
      series: [
        {},
        { label: "price", stroke: paint.price, width: 2, points: { show: false } },
        { label: "low", stroke: "transparent", points: { show: false } },
        { label: "high", stroke: "transparent", points: { show: false } },
        { label: "stop", stroke: paint.stop, width: 2, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false }, spanGaps: false },
      ],
      bands: [{ series: [3, 2], fill: paint.band }],
      hooks: {
        drawAxes: [(plot) => this.#levels(plot, paint)],
        draw: [(plot) => this.#marks(plot, paint)],
        setCursor: [(plot) => this.#read(plot.cursor.idx ?? plot.data[0].length - 1)],
      },
    }, data, this.place);
  }

  #remake() {
    this.#plot?.destroy();
    this.#plot = null;
    if (this.#told) this.#draw();
  }

  #size() {
    const width = this.place.clientWidth;
    return { width, height: width < NARROW ? HEIGHT_NARROW : HEIGHT };
  }

  #resize() {
    if (this.#plot && this.#plot.width !== this.place.clientWidth) this.#plot.setSize(this.#size());
  }

  /** Everything that is near enough to matter: entry, stop and all rungs up to the next one. */
  #range(low, high) {
    const told = this.#told;
    const near = (told.rungs ?? []).filter((rung) => rung.state !== "ahead").map((rung) => rung.price);
    const all = [low, high, ...near, ...(told.entry === undefined ? [] : [told.entry])].filter(Number.isFinite);
    const least = Math.min(...all), most = Math.max(...all);
    const room = (most - least || most * 0.001) * 0.06;
    return [least - room, most + room];
  }

  #r(price) {
    return this.#told.r_at_0 + this.#told.r_per_unit * price;
  }

  /** The prices at which R is a round number. */
  #splitsOfR(plot) {
    if (this.#told.r_per_unit === undefined) return [];
    const ends = [this.#r(plot.scales.y.min), this.#r(plot.scales.y.max)].sort((a, b) => a - b);
    const step = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100].find((one) => (ends[1] - ends[0]) / one <= 8) ?? 200;
    const found = [];
    for (let r = Math.ceil(ends[0] / step) * step; r <= ends[1]; r += step) {
      found.push((r - this.#told.r_at_0) / this.#told.r_per_unit);
    }
    return found.sort((a, b) => a - b);
  }

  /** Horizontal lines: entry, rungs, targets. */
  #levels(plot, paint) {
    const told = this.#told;
    const lines = (told.rungs ?? []).map((rung) => [rung.price, paint.rung, rung.state === "taken" ? [] : [6, 5], `${shapeOf(rung.state)} ${tidy(rung.r)}R ${meaningOf(rung.state).split(",")[0]}`]);
    for (const price of told.targets ?? []) lines.push([price, paint.target, [2, 4], "target"]);
    if (told.entry !== undefined) lines.push([told.entry, paint.text, [1, 3], "entry"]);
    const { ctx, bbox } = plot;
    const scale = devicePixelRatio;
    ctx.save();
    ctx.font = `${11 * scale}px system-ui, sans-serif`;
    ctx.textBaseline = "bottom";
    for (const [price, colour, dash, name] of lines) {
      if (price < plot.scales.y.min || price > plot.scales.y.max) continue;
      const y = Math.round(plot.valToPos(price, "y", true)) + 0.5;
      ctx.strokeStyle = ctx.fillStyle = colour;
      ctx.lineWidth = scale;
      ctx.setLineDash(dash.map((part) => part * scale));
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      // A target may lie close to the last rung: their names stand apart.
      const right = name === "target";
      ctx.textAlign = right ? "right" : "left";
      ctx.fillText(name, bbox.left + (right ? bbox.width - 6 * scale : 6 * scale), y - 2 * scale);
    }
    ctx.restore();
  }

  /** Trades: a triangle the way the trade went, filled where it reduced the position. */
  #marks(plot, paint) {
    const { ctx } = plot;
    const size = 6 * devicePixelRatio;
    ctx.save();
    for (const fill of this.#told.fills) {
      const x = plot.valToPos(fill.at, "x", true), y = plot.valToPos(fill.price, "y", true);
      if (fill.at < plot.scales.x.min || fill.at > plot.scales.x.max) continue;
      const up = fill.side === "BUY" ? -1 : 1;
      ctx.beginPath();
      ctx.moveTo(x, y + up * size * -0.2);
      ctx.lineTo(x - size, y - up * size * 2);
      ctx.lineTo(x + size, y - up * size * 2);
      ctx.closePath();
      ctx.fillStyle = fill.exit ? paint.exit : paint.back;
      ctx.strokeStyle = fill.exit ? paint.back : paint.exit;
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.fill();
      ctx.stroke();
    }
    ctx.restore();
  }

  #read(at) {
    const [times, last, , , stop] = this.#plot?.data ?? [[], [], [], [], []];
    if (times[at] === undefined) return;
    const when = new Date(times[at] * 1000).toISOString().slice(0, 19).replace("T", " ");
    const r = this.#told.r_per_unit === undefined ? "" : `${signed(this.#r(last[at]))} R`;
    const near = this.#told.fills.filter((fill) => Math.abs(fill.at - times[at]) <= this.#told.width_s);
    show(this.readout, h("span", {}, when), h("b", {}, shortly(last[at])), r ? h("b", {}, r) : null,
      stop[at] !== null ? h("span", {}, `stop ${shortly(stop[at])}`)
        : times[at] >= this.#told.opened ? h("strong", { class: "fail" }, "✖ no stop") : null,
      near.map((fill) => h("span", { class: "fill" }, fill.line)));
  }

  #move(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !this.#plot) return;
    event.preventDefault();
    const newest = this.#plot.data[0].length - 1;
    const at = Math.min(Math.max((this.#plot.cursor.idx ?? newest) + step, 0), newest);
    this.#plot.setCursor({ left: this.#plot.valToPos(this.#plot.data[0][at], "x"), top: 0 });
  }
}

/** Columns as uPlot takes them: time, price, low, high, stop. */
function columns(told, newest) {
  const at = [...told.at], last = [...told.last], low = [...told.low], high = [...told.high];
  const end = at.length - 1;
  if (newest && (end < 0 || newest[0] >= at[end] + told.width_s)) {
    at.push(newest[0]);
    for (const column of [last, low, high]) column.push(newest[1]);
  } else if (newest && newest[0] >= at[end]) {
    last[end] = newest[1];
  }
  const stops = told.stops ?? [];
  let next = 0, stop = null;
  const stood = at.map((time) => {
    while (next < stops.length && stops[next][0] <= time) stop = stops[next++][1];
    return stop;
  });
  return [at, last, low, high, stood];
}

const timeWords = [
  // [least span, default, year, month, day, hour, min, sec, mode]
  [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
];

const shortly = (price) => String(Number(price.toPrecision(8)));
const tidy = (r) => String(Number(r.toFixed(2)));

function legendOf(told) {
  if (told.entry === undefined) return [h("span", {}, "price")];
  return [
    h("span", { class: "key of-price" }, "price"),
    h("span", { class: "key of-stop" }, "stop"),
    h("span", { class: "key of-rung" }, "rung"),
    told.targets?.length ? h("span", { class: "key of-target" }, "target") : null,
    h("span", {}, "△ ▽ entry"), h("span", {}, "▲ ▼ exit"),
    told.at.length && told.at[0] > told.opened + told.width_s
      ? h("span", {}, `prices are kept since ${new Date(told.at[0] * 1000).toISOString().slice(11, 16)}`) : null,
  ];
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    price: of("price"), stop: of("stop"), rung: of("rung"), target: of("target"), exit: of("text"),
    back: of("panel"), band: of("band"), grid: of("grid"), text: of("muted"),
  };
}
