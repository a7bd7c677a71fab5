// Elements from values. Nothing here takes HTML: what strangers wrote is text and stays text.

const SVG = new Set(["svg", "path", "line", "circle", "rect", "g", "title"]);

/** An element with attributes (`style` takes a table) and children: nodes, text, or lists of them. */
export function h(tag, attributes = {}, ...children) {
  const made = SVG.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style") {
      for (const [property, set] of Object.entries(value)) made.style.setProperty(property, set);
    } else {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Make `place` hold `children`, and change only what differs: focus and scrolling stay. */
export function show(place, ...children) {
  const fresh = document.createElement("div");
  fresh.append(...children.flat(3).filter(Boolean));
  sameChildren(place, fresh);
}

function sameChildren(place, fresh) {
  const keyed = new Map();
  for (const child of place.children) {
    if (child.dataset?.key) keyed.set(child.dataset.key, child);
  }
  let at = place.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const own = wanted.dataset?.key ? keyed.get(wanted.dataset.key) : at;
    if (own && own !== at) place.insertBefore(own, at);
    if (own && alike(own, wanted)) {
      same(own, wanted);
      at = own.nextSibling;
    } else {
      place.insertBefore(wanted, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function alike(one, other) {
  return one.nodeName === other.nodeName && one.dataset?.key === other.dataset?.key;
}

function same(old, wanted) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return;
  }
  for (const { name, value } of wanted.attributes) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    // Whether details are open is up to whoever reads them.
    if (name !== "style" && name !== "open" && !wanted.hasAttribute(name)) old.removeAttribute(name);
  }
  // As text a style would be refused by our own policy.
  if (old.style.cssText !== wanted.style.cssText) old.style.cssText = wanted.style.cssText;
  sameChildren(old, wanted);
}
