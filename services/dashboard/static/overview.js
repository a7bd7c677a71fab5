// The overview: what needs a person, every position, and how the ring is doing.

import { h, show } from "./dom.js";
import { showFrame, symbolPath } from "./frame.js";
import { follow } from "./live.js";
import { meaningOf, shapeOf, spark, track } from "./track.js";
import { ago, clock, percent, share, signed, span } from "./words.js";

const place = (id) => document.getElementById(id);

follow("/events", { overview: render });

function render(page) {
  showFrame(page);
  document.title = titleOf(page);
  show(place("positions"), page.positions.length
    ? page.positions.map(card)
    : h("p", { class: "quiet" }, "No position is open."));
  show(place("events"), events(page));
  show(place("daemons"), h("ul", { class: "rows" }, page.daemons.map((daemon) => daemonRow(daemon, page.now))));
  show(place("streams"), page.streams.map((stream) => streamRow(stream, page.now)));
  show(place("prices"), prices(page));
}

function titleOf(page) {
  const failing = page.notices.filter((notice) => notice.level === "fail").length;
  const open = page.positions.length;
  return `${failing ? `(${failing}!) ` : ""}${open} open – quantum`;
}

function card(position) {
  const r = Number(position.r_net);
  const away = position.stop_away_pct === null ? "" : `${percent(position.stop_away_pct)} away`;
  return h("article", { class: `panel card ${position.stop_loss === null ? "naked" : ""}`, "data-key": position.symbol },
    h("header", {},
      h("h3", {}, h("a", { href: symbolPath(position.symbol) }, position.symbol)),
      h("span", { class: "badge side" }, `${position.side === "LONG" ? "▲" : "▼"} ${position.side} ${position.leverage}×`),
      h("span", { class: `r figures ${r < 0 ? "loss" : "gain"}` }, signed(position.r_net), h("small", {}, " R"))),
    track(position),
    spark(position.spark),
    h("dl", { class: "facts" },
      fact("Mark", position.mark_price),
      fact("Entry", position.entry_price),
      position.stop_loss === null
        ? fact("Stop", "none", "", "fail")
        : fact("Stop", position.stop_loss, away),
      fact("Left", position.qty, `of ${position.initial_qty}`),
      fact("Unrealised", signed(position.unrealized_pnl), "", Number(position.unrealized_pnl) < 0 ? "loss" : "gain"),
      fact("Realised", signed(position.realized_pnl), `fees ${Number(position.fees).toFixed(2)}`),
      kill(position),
      fact("Highest R", signed(position.r_max))),
    h("ul", { class: "rungs" }, position.rungs.map(rung)),
    position.awaiting.length
      ? h("p", { class: "awaiting" }, `◷ awaits an answer: ${position.awaiting.join(", ")}`)
      : null);
}

function fact(name, value, beside = "", level = "") {
  return h("div", {}, h("dt", {}, name), h("dd", { class: `figures ${level}` }, value, beside ? h("small", {}, ` ${beside}`) : null));
}

function kill(position) {
  if (position.kill_score === null) return fact("Kill score", "–", "not evaluated yet");
  const of = position.kill_threshold;
  return h("div", {}, h("dt", {}, "Kill score"), h("dd", { class: "figures" },
    Number(position.kill_score).toFixed(2), h("small", {}, ` of ${of.toFixed(2)}`),
    h("meter", { min: 0, max: 1, high: of, optimum: 0, value: position.kill_score, "aria-label": "kill score" })));
}

function rung(one) {
  const far = one.away_pct && one.state === "next" ? `, ${percent(Math.abs(Number(one.away_pct)))} away` : "";
  return h("li", { class: one.state },
    h("span", { class: "shape", "aria-hidden": "true" }, shapeOf(one.state)),
    h("span", {}, h("b", {}, share(one.name)), ` at ${Number(one.r_level)} R`,
      h("small", { class: "figures" }, ` ${one.price}`)),
    h("small", { class: "state" }, `${meaningOf(one.state)}${far}`));
}

function events(page) {
  if (!page.events.length) return h("p", { class: "quiet" }, "Nothing has been said yet.");
  return h("ol", { class: "events" }, page.events.map((event) => h("li", { "data-key": `${event.stream} ${event.id}`, class: event.readable ? "" : "bad" },
    h("time", { class: "figures", datetime: event.at }, clock(event.at)),
    event.symbol ? h("a", { href: symbolPath(event.symbol) }, event.symbol) : h("span", {}, event.stream),
    h("span", { class: "line" }, event.line))));
}

const STATES = { up: "✓", lost: "✖", off: "○" };

function daemonRow(daemon, now) {
  const said = { up: `up ${ago(daemon.started_at, now)}`, lost: daemon.at ? `silent for ${span(daemon.age_s)}` : "never heard of", off: "off" };
  return h("li", { class: daemon.state, "data-key": daemon.name },
    h("span", { class: "mark", "aria-hidden": "true" }, STATES[daemon.state]),
    h("span", {}, daemon.name),
    h("small", { class: "figures" }, said[daemon.state]),
    h("small", { class: "figures beat" }, daemon.state === "up" ? `beat ${daemon.age_s.toFixed(0)} s ago` : ""));
}

function streamRow(stream, now) {
  return h("div", { class: "stream", "data-key": stream.name },
    h("p", {}, h("b", {}, stream.name),
      h("small", { class: "figures" }, stream.last_at ? `last ${ago(stream.last_at, now)} ago` : "empty"),
      h("small", { class: "figures" }, `${stream.length} kept`),
      stream.dead ? h("strong", { class: "fail" }, `✖ ${stream.dead} dead`) : null),
    h("ul", { class: "rows" }, stream.groups.map(groupRow)));
}

function groupRow(group) {
  const waiting = group.pending + (group.lag ?? 0);
  const late = waiting > 0 && (group.oldest_age_s ?? 0) > 5;
  const said = !group.exists ? "has never read it"
    : group.lag === null ? "cannot be counted"
    : waiting ? `${waiting} waiting, ${span(group.oldest_age_s ?? 0)}` : "all read";
  return h("li", { class: !group.exists || late ? "lost" : "up", "data-key": group.daemon },
    h("span", { class: "mark", "aria-hidden": "true" }, !group.exists || late ? "✖" : "✓"),
    h("span", {}, group.daemon), h("small", { class: "figures" }, said));
}

function prices(page) {
  const all = Object.values(page.prices);
  if (!all.length) return h("p", { class: "quiet" }, "No price has come yet.");
  return h("ul", { class: "rows" }, all.map((price) => h("li", { "data-key": price.symbol },
    h("a", { href: symbolPath(price.symbol) }, price.symbol),
    h("span", { class: "figures" }, price.mark_price),
    h("small", { class: "figures" }, `${ago(price.at, page.now)} ago`))));
}
