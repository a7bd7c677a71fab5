// Events as they come, and how old the last news is. A page without news must never look alive.

import { clock } from "./words.js";

const LATE_MS = 3500;
const AGAIN_MS = 2000;

/** Follow `path`; `handlers` by event. An `overview` is news, whatever else comes. */
export function follow(path, handlers) {
  const state = { newsAt: null, reason: "", connected: false };
  open(path, handlers, state);
  setInterval(() => pulse(state), 250);
  document.addEventListener("visibilitychange", () => pulse(state));
}

function open(path, handlers, state) {
  const source = new EventSource(path);
  source.onopen = () => { state.connected = true; };
  source.onerror = () => {
    state.connected = false;
    // The browser asks again by itself unless it was turned away.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => open(path, handlers, state), AGAIN_MS);
    }
  };
  for (const name of ["overview", "down", "symbol"]) {
    source.addEventListener(name, (event) => {
      const { age_s: ageS, page } = JSON.parse(event.data);
      handlers[name]?.(page);
      // Only what could be shown counts as news.
      if (name === "overview") {
        state.now = page.now;
        state.newsAt = performance.now() - ageS * 1000;
        state.reason = "";
      } else if (name === "down") {
        state.reason = `Redis cannot be read: ${page.reason}`;
      }
      pulse(state);
    });
  }
}

function pulse(state) {
  const place = document.getElementById("pulse");
  const [status, figure, reason] = place.children;
  const silentMs = state.newsAt === null ? Infinity : performance.now() - state.newsAt;
  const late = silentMs > LATE_MS;
  place.classList.toggle("late", late);
  document.body.classList.toggle("late", late);
  const why = state.reason || (state.connected ? "" : "the dashboard does not answer");
  set(status, late ? "no news" : "live");
  set(reason, late ? why : "");
  set(figure, !late ? clock(state.now) : silentMs === Infinity ? "since this page was opened" : `for ${Math.floor(silentMs / 1000)} s`);
  const title = document.title.replace(/^✖ no news – /, "");
  const wanted = late ? `✖ no news – ${title}` : title;
  if (document.title !== wanted) document.title = wanted;
}

function set(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
