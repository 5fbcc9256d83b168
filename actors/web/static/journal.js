/* Shows the journal: a row for each event, tied together where they belong to one thought. */

import { $, h, Newest, place, setText, trim } from "./page.js";
import { tell } from "./tell.js";
import { clockLong, seconds, timeNode } from "./words.js";

const GAP_MIN_MS = 50; // events closer to each other are shown without the time between them

export class Journal {
  constructor(live, lights) {
    this.live = live;
    this.lights = lights;
    this.rows = []; // {order, node, gap, event}, in the journal's order
    this.end = new Newest($("log-scroll"), $("log-newest"));
  }

  clear() {
    this.rows = [];
    $("journal").replaceChildren();
    $("log-cut").hidden = true;
    this.end.go();
  }

  take(event) {
    const [headline, ...details] = tell(event, { known: this.live.known, pace: this.live.session?.pace });
    const gap = h("span", { class: "gap" });
    const box = h("details", {}, h("summary", {},
      h("span", { class: "seq" }, String(event.seq)),
      h("span", { class: "knot", "aria-hidden": "true" }),
      h("span", { class: "said" }, h("span", { class: "headline" }, ...headline),
        ...details.map((parts) => h("span", { class: "detail" }, ...parts))),
      h("span", { class: "when" }, timeNode(event.at_ms, clockLong), gap)));
    box.addEventListener("toggle", () => {
      if (box.open && !box.querySelector("pre")) box.append(h("pre", { tabindex: "0" }, JSON.stringify(event, null, 2)));
      this.end.look(); // whoever reads an older event is not pulled away from it
    });
    const node = h("li", { class: this.live.isFresh(event.at_ms) ? "event fresh" : "event",
      "data-type": event.type, "data-seq": event.seq, "data-early": event.early ? "true" : undefined }, box);
    this.lights(node, () => this.live.known.rootOfEvent(event));
    const row = { order: event.seq, node, gap, event };
    this.rows.push(row);
    place(this.rows, row, $("journal"));
  }

  /** What depends on more than one event. */
  draw() {
    if (trim(this.rows)) $("log-cut").hidden = false;
    const roots = this.rows.map((row) => this.live.known.rootOfEvent(row.event));
    this.rows.forEach((row, i) => {
      row.node.dataset.thread = roots[i] === null ? "none" : roots[i] === "open" ? "open" : "turn";
      row.node.classList.toggle("thread-first", roots[i - 1] !== roots[i]);
      row.node.classList.toggle("thread-last", roots[i + 1] !== roots[i]);
      const passed = row.event.at_ms - this.rows[i - 1]?.event.at_ms;
      setText(row.gap, Number.isFinite(passed) && passed >= GAP_MIN_MS ? `+${seconds(passed)}` : "");
    });
    $("log-empty").hidden = this.rows.length > 0;
    this.end.follow(this.rows.length);
  }
}
