// How moments, spans and figures are said. Figures come as text, exact, and are shown as they came.

const GLYPHS = { fail: "✖", warn: "▲", wait: "◷", ok: "✓" };

export const glyph = (level) => GLYPHS[level] ?? "•";

export function clock(iso) {
  if (!iso) return "–";
  const at = new Date(iso);
  const time = at.toISOString().slice(11, 19);
  const today = new Date().toISOString().slice(0, 10) === at.toISOString().slice(0, 10);
  return today ? time : `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${time}`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export function span(seconds) {
  let left = Math.max(Math.floor(seconds), 0);
  const words = [];
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const amount = Math.floor(left / size);
    left -= amount * size;
    if (amount || (unit === "s" && !words.length)) words.push(`${amount} ${unit}`);
  }
  return words.slice(0, 2).join(" ");
}

/** How long before `now` a moment was; both by the server's clock. */
export const ago = (iso, now) => (iso ? span((Date.parse(now) - Date.parse(iso)) / 1000) : "never");

/** A number with its sign and so many decimals; for what is not money on an order. */
export function signed(value, decimals = 2) {
  const number = Number(value);
  const text = Math.abs(number).toFixed(decimals);
  return `${number < 0 && Number(text) !== 0 ? "−" : "+"}${text}`;
}

export const percent = (text) => `${Number(text).toFixed(2)} %`;

/** 25 % for PARTIAL_25: what a rung takes in all. */
export const share = (name) => `${name.replace(/^PARTIAL_/, "")} %`;
