/* Builds nodes of the page, and keeps its lists in order and at their newest. */

const ROWS_MAX = 500; // rows and bubbles kept in the page; the journal itself keeps more

export const $ = (id) => document.getElementById(id);
export const calm = matchMedia("(prefers-reduced-motion: reduce)");
export const narrow = matchMedia("(max-width: 859px)");

export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) node.setAttribute(name, String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export function icon(viewBox, ...paths) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", viewBox);
  svg.setAttribute("aria-hidden", "true");
  for (const d of paths) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/** Writes only what changed, so that nothing is announced or selected away for nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export const announce = (text) => setText($("announcer"), text);

/** Scrolls with what is new, unless the reader went back. */
export class Newest {
  constructor(box, button) {
    this.box = box;
    this.button = button;
    this.stuck = true;
    this.top = 0;
    this.size = 0;
    box.addEventListener("scroll", () => this.look(), { passive: true });
    button.addEventListener("click", () => this.go());
    new ResizeObserver(() => this.follow()).observe(box);
  }
  look() {
    const { scrollHeight, scrollTop, clientHeight } = this.box;
    if (clientHeight === 0) return; // another tab is shown
    const near = scrollHeight - scrollTop - clientHeight < 56;
    // Only a reader goes up: a box that became smaller, or fuller, leaves the top where it was.
    if (near || scrollTop < this.top) this.stuck = near;
    this.top = scrollTop;
    if (this.stuck) this.button.hidden = true;
  }
  go() {
    this.stuck = true;
    this.button.hidden = true;
    this.box.scrollTop = this.box.scrollHeight;
  }
  /** size: how many entries there are now; more than before means something new to point at. */
  follow(size = this.size) {
    if (this.stuck) this.box.scrollTop = this.box.scrollHeight;
    else if (size > this.size) this.button.hidden = false;
    this.size = size;
  }
}

/** Puts an item where its order belongs; nearly always the end. */
export function place(items, item, parent) {
  const from = items.indexOf(item);
  if (from >= 0) items.splice(from, 1);
  let at = items.length;
  while (at > 0 && items[at - 1].order > item.order) at -= 1;
  items.splice(at, 0, item);
  const next = items[at + 1]?.node ?? null;
  if (item.node.parentNode !== parent || item.node.nextSibling !== next) parent.insertBefore(item.node, next);
}

/** Drops the oldest items beyond the bound; says whether there were any. */
export function trim(items) {
  const over = items.length > ROWS_MAX;
  while (items.length > ROWS_MAX) items.shift().node.remove();
  return over;
}
