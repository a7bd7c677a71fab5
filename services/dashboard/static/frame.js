// What every page shows at its top: the mode, and what needs a person.

import { h, show } from "./dom.js";
import { ago, clock, glyph } from "./words.js";

export function showFrame(page) {
  show(document.getElementById("mode"), h("span", {
    class: `badge mode ${page.mode === "RUN" ? "ok" : "warn"}`,
    title: page.mode_means,
  }, page.mode.replace("_", " ")));
  show(document.getElementById("notices"), page.notices.map((notice) => noticeOf(notice, page.now)));
}

function noticeOf(notice, now) {
  const subject = notice.held
    ? h("a", { href: symbolPath(notice.subject) }, notice.subject)
    : notice.subject;
  return h("article", { class: `notice ${notice.level}`, "data-key": `${notice.title} ${notice.subject} ${notice.text}` },
    h("span", { class: "mark", "aria-hidden": "true" }, glyph(notice.level)),
    h("div", {},
      h("strong", {}, notice.title, notice.subject ? [": ", subject] : null),
      h("p", {}, notice.text)),
    notice.since ? h("p", { class: "since figures" }, h("span", {}, `since ${clock(notice.since)}`), h("span", { "aria-hidden": "true" }, `for ${ago(notice.since, now)}`)) : null);
}

export const symbolPath = (symbol) => `/symbol/${encodeURIComponent(symbol)}`;
