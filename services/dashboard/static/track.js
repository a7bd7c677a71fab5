// A position in two small drawings: where it stands between its stop and its rungs, and how it came
// there. Each says the same in words to whoever does not see it.

import { h } from "./dom.js";
import { share, signed } from "./words.js";

const SHAPES = { taken: "●", due: "◆", next: "◇", ahead: "○", merged: "·" };
const MEANS = {
  taken: "taken", due: "due now", next: "next", ahead: "ahead", merged: "too small, left to the next",
};

export const shapeOf = (state) => SHAPES[state] ?? "·";
export const meaningOf = (state) => MEANS[state] ?? state;

/** The axis of R: the stop, the entry at 0, the rungs, and where the price is. */
export function track(position) {
  const r = Number(position.r_net);
  const stop = position.stop_r === null ? null : Number(position.stop_r);
  const levels = position.rungs.map((rung) => Number(rung.r_level));
  const low = Math.min(-1, r, stop ?? 0) - 0.35;
  const high = Math.max(1, r, stop ?? 0, ...levels) + 0.45;
  const at = (value) => `${(((value - low) / (high - low)) * 100).toFixed(2)}%`;
  // A label at either end stays within the card.
  const near = (value) => (parseFloat(at(value)) < 15 ? "start" : parseFloat(at(value)) > 85 ? "end" : "");
  const from = Math.min(0, r);
  const width = ((Math.abs(r) / (high - low)) * 100).toFixed(2);
  return h("div", { class: "track", role: "img", "aria-label": inWords(position) },
    h("div", { class: "axis" }),
    h("div", {
      class: `run ${r < 0 ? "loss" : "gain"}`,
      style: { left: at(from), width: `${width}%` },
    }),
    h("div", { class: "zero", style: { left: at(0) } }, h("span", { class: "below" }, "0")),
    stop === null ? h("strong", { class: "no-stop fail" }, "✖ no stop") : h("div", { class: "stop", style: { left: at(stop) } },
      h("span", { class: `above ${near(stop)}` }, `stop ${signed(stop)}`)),
    position.rungs.map((rung) => h("div", {
      class: `rung ${rung.state}`,
      style: { left: at(Number(rung.r_level)) },
    }, h("span", { class: "shape" }, shapeOf(rung.state)),
      h("span", { class: "below" }, `${Number(rung.r_level)}R`))),
    h("div", { class: `here ${r < 0 ? "loss" : "gain"}`, style: { left: at(r) } }),
  );
}

function inWords(position) {
  const rungs = position.rungs.map((rung) => `${share(rung.name)} at ${Number(rung.r_level)} R ${meaningOf(rung.state)}`);
  const stop = position.stop_r === null ? "no stop" : `stop at ${signed(position.stop_r)} R`;
  return `R is ${signed(position.r_net)}; ${stop}; ${rungs.join(", ")}`;
}

/** R through time since the position was opened. */
export function spark(points) {
  if (points.length < 2) return h("div", { class: "spark none" }, "R through time: not enough prices yet");
  const times = points.map(([at]) => at);
  const values = points.map(([, r]) => r);
  const low = Math.min(0, ...values), high = Math.max(0, ...values, low + 0.1);
  const first = times[0], last = times[times.length - 1];
  const x = (at) => (((at - first) / (last - first || 1)) * 100).toFixed(2);
  const y = (r) => (38 - ((r - low) / (high - low)) * 36).toFixed(2);
  const line = points.map(([at, r], n) => `${n ? "L" : "M"}${x(at)} ${y(r)}`).join("");
  const label = `R through time: from ${signed(values[0])} to ${signed(values[values.length - 1])}, `
    + `lowest ${signed(Math.min(...values))}, highest ${signed(Math.max(...values))}`;
  return h("svg", { class: "spark", viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": label },
    h("path", { class: "under", d: `${line}L100 ${y(0)}L0 ${y(0)}Z` }),
    h("line", { class: "zero-line", x1: 0, x2: 100, y1: y(0), y2: y(0) }),
    h("path", { class: "over", d: line }));
}
