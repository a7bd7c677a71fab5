// One symbol: the reason first, its chart, and the story.

import { PriceChart } from "./chart.js";
import { h, show } from "./dom.js";
import { showFrame } from "./frame.js";
import { follow } from "./live.js";
import { meaningOf, shapeOf, track } from "./track.js";
import { clock, glyph, share, signed } from "./words.js";

const symbol = decodeURIComponent(location.pathname.split("/").pop());
const place = (id) => document.getElementById(id);
const chart = new PriceChart(place("chart"), place("readout"), place("legend"));

follow(`/events/${encodeURIComponent(symbol)}`, { overview: renderHead, symbol: renderStory });

function renderHead(page) {
  showFrame(page);
  const position = page.positions.find((one) => one.symbol === symbol);
  const price = page.prices[symbol];
  const r = position ? `${signed(position.r_net)} R` : "flat";
  document.title = `${symbol} ${r} – quantum`;
  show(place("head"), h("div", { class: "panel head" },
    h("h1", {}, symbol),
    position
      ? h("span", { class: "badge side" }, `${position.side === "LONG" ? "▲" : "▼"} ${position.side} ${position.leverage}×`)
      : h("span", { class: "badge" }, "no position"),
    h("span", { class: "mark-price figures" }, position?.mark_price ?? price?.mark_price ?? "no price"),
    position ? h("span", { class: `r figures ${Number(position.r_net) < 0 ? "loss" : "gain"}` }, r) : null,
    position ? h("div", { class: "grow" }, track(position)) : null));
  if (price) chart.price(Date.parse(price.market_at) / 1000, Number(price.mark_price));
}

function renderStory(page) {
  if (page.unreadable) {
    show(place("findings"), finding({ verdict: "fail", text: page.unreadable }, 0));
    return;
  }
  show(place("findings"), page.findings.map(finding));
  chart.show(page.chart);
  show(place("story"), [
    page.rungs?.length ? panel("Rungs", rungs(page.rungs, page.chart.rungs)) : null,
    page.stops?.length ? panel("Stop", stops(page.stops)) : null,
    page.kill?.score ? panel("Kill score", kill(page.kill)) : null,
    page.orders?.length ? panel("Orders without an outcome", orders(page.orders)) : null,
    page.entry.length ? panel("Entry", lines(page.entry)) : null,
    page.asked.length ? panel("Asked for, newest first", asked(page.asked)) : null,
  ]);
}

function finding(one, number) {
  return h("article", { class: `finding ${one.verdict} ${number ? "" : "first"}` },
    h("span", { class: "mark", "aria-hidden": "true" }, glyph(one.verdict)),
    h("span", { class: "verdict" }, one.verdict),
    h("p", {}, one.text));
}

const panel = (title, ...content) => h("section", { "data-key": title }, h("h2", {}, title), h("div", { class: "panel" }, content));

function rungs(all, drawn) {
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ["", "takes", "R", "price", "quantity", "how it stands"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, all.map((rung, number) => h("tr", { class: rung.state },
      h("td", { class: "shape", "aria-hidden": "true" }, shapeOf(rung.state)),
      h("td", {}, share(rung.name)),
      h("td", { class: "figures" }, Number(rung.r_level).toFixed(2)),
      h("td", { class: "figures" }, String(drawn[number].price)),
      h("td", { class: "figures" }, rung.qty),
      h("td", {}, h("b", {}, meaningOf(rung.state)), rung.why ? `, ${rung.why}` : ""))))));
}

function stops(all) {
  return h("ol", { class: "events" }, [...all].reverse().map((stop) => h("li", {},
    h("time", { class: "figures", datetime: stop.at }, clock(stop.at)),
    h("span", { class: "figures" }, stop.stop_loss ?? "none"),
    h("span", { class: "line" }, stop.cause))));
}

function kill(score) {
  return h("div", { class: "kill" },
    h("p", { class: "figures" }, h("b", {}, Number(score.score).toFixed(4))),
    h("ul", { class: "rows" }, Object.entries(score.parts).map(([name, value]) => h("li", {},
      h("span", {}, name.replaceAll("_", " ")),
      h("small", { class: "figures" }, signed(value))))));
}

function orders(all) {
  return h("ul", { class: "rows" }, all.map((order) => h("li", {},
    h("span", {}, order.leg, order.trigger_price ? ` at ${order.trigger_price}` : ""),
    h("small", {}, order.doubt ? `✖ unknown: ${order.doubt}` : order.accepted ? "stands" : "◷ no answer yet"),
    h("small", { class: "id" }, order.client_order_id))));
}

const lines = (all) => h("ol", { class: "events" }, all.map((one) => h("li", {},
  h("time", { class: "figures", datetime: one.at }, clock(one.at)), h("span", { class: "line" }, one.line))));

const asked = (all) => h("ol", { class: "events" }, all.map((one) => h("li", {},
  h("time", { class: "figures", datetime: one.at }, clock(one.at)),
  h("b", {}, one.kind.replaceAll("_", " ")), h("span", { class: "line" }, one.line))));
