/* Shows the conversation as its customer sees it: bubbles, what was read together, what came of it. */

import { $, announce, h, icon, Newest, place, setText, trim } from "./page.js";
import { clockShort, count, list, timeNode, told, until } from "./words.js";

const TICK = "M1.5 6.5 5 10l7-8";
const TICK_SECOND = "M8.3 9.2 9 10l7-8";
const PERSON = ["M8 8.2a3.1 3.1 0 1 0 0-6.2 3.1 3.1 0 0 0 0 6.2", "M2.2 14.2c.6-3 2.9-4.4 5.8-4.4s5.2 1.4 5.8 4.4"];
const STATUS = {
  sending: { label: "sending", draw: () => icon("0 0 12 12", "M6 1.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6M6 3.4V6l1.8 1.2") },
  accepted: { label: "accepted, written down", draw: () => icon("0 0 13 12", TICK) },
  answered: { label: "answered", draw: () => icon("0 0 17 12", TICK, TICK_SECOND) },
  handed: { label: "passed to a person", draw: () => icon("0 0 16 16", ...PERSON) },
  failed: { label: "not sent", draw: () => icon("0 0 12 12", "M6 2v5M6 9.6v.2") },
  left: { label: "left to a person", draw: () => icon("0 0 16 16", ...PERSON) },
  aside: { label: "set aside", draw: () => icon("0 0 12 12", "M3.5 6h5") },
};
const RANK = { failed: 0, sending: 0, accepted: 1, aside: 2, left: 2, answered: 3, handed: 3 }; // it only rises
const WHY = { left: "Not answered by the bot", aside: "Not answered" };

export class Thread {
  constructor(live, lights) {
    this.live = live;
    this.lights = lights;
    this.items = []; // {kind: customer | answer | person | line, node, order, seq, …}
    this.localOrder = 0;
    this.end = new Newest($("thread"), $("chat-newest"));
  }

  clear() {
    this.items = [];
    $("messages").replaceChildren();
    this.end.go();
  }

  customers() {
    return this.items.filter((item) => item.kind === "customer");
  }

  /** Shows what an event of the journal means for the customer. */
  take(event) {
    switch (event.type) {
      case "message_received": return this.received(event);
      case "message_amended": return this.amended(event);
      case "part_sent": return this.answered(event, Number(event.part));
      case "reply_sent": return this.answered(event, this.live.known.textsOf(event.reply_id).length - 1);
      case "person_replied": return this.person(event);
      case "handed_over": return this.line(event, "You are passed to a person", event.reason);
      case "paused": return this.line(event, "The bot was paused", this.pauseReason(event));
      case "resumed": return this.line(event, "The bot has the word again", "It answers what is written from now on.");
    }
  }

  add(item, event = null) {
    const { node, root } = item;
    if (event && this.live.isFresh(event.at_ms)) node.classList.add("fresh");
    this.lights(node, () => root?.() ?? null);
    this.items.push(item);
    place(this.items, item, $("messages"));
    return item;
  }

  /* The customer's. */

  customer({ text, atMs, messageId = null, seq = null, fresh = false }) {
    const tick = h("span", { class: "tick", role: "img" });
    const node = h("li", { class: fresh ? "row customer fresh" : "row customer" },
      h("div", { class: "bubble customer", dir: "auto" },
        h("p", { class: "text" }, text),
        h("p", { class: "meta" }, timeNode(atMs, clockShort), tick)));
    // Not yet in the journal: after everything that is.
    const item = { kind: "customer", node, tick, seq, messageId, text, status: null,
      session: this.live.session, order: seq ?? Number.MAX_SAFE_INTEGER / 2 + this.localOrder++ };
    item.root = () => this.live.known.rootOfMessage(item.seq);
    return this.add(item);
  }

  received(event) {
    const found = this.items.find((item) => item.kind === "customer" &&
      ((event.message_id && item.messageId === event.message_id) || item.seq === event.seq));
    const item = found ?? this.customer({ text: String(event.text ?? ""), atMs: event.at_ms,
      messageId: event.message_id, seq: event.seq, fresh: this.live.isFresh(event.at_ms) });
    this.adopt(item, event.seq);
    this.status(item, "accepted");
    for (const file of list(event.attachments)) {
      item.node.querySelector(".text").append(h("span", { class: "file" }, `[${file.kind}]`));
    }
  }

  amended(event) {
    const item = this.items.find((each) => each.kind === "customer" && each.messageId === event.message_id);
    if (!item) return;
    item.text = String(event.text ?? "");
    setText(item.node.querySelector(".text"), item.text);
    item.node.querySelector("time")?.after(h("span", { class: "amended" }, "changed"));
  }

  adopt(item, seq) {
    if (!Number.isFinite(seq) || item.seq === seq) return;
    item.seq = seq;
    item.order = seq;
    if (item.session === this.live.session) place(this.items, item, $("messages"));
  }

  status(item, status) {
    if (item.status === status) return;
    if (item.status !== null && RANK[status] < RANK[item.status]) return;
    item.status = status;
    item.node.dataset.status = status;
    item.tick.replaceChildren(STATUS[status].draw());
    item.tick.setAttribute("aria-label", STATUS[status].label);
    item.tick.title = STATUS[status].label;
    if (status !== "failed") this.note(item, "failed", null);
  }

  /** Writes below a message, in the place of what stood there under the same name. */
  note(item, name, node) {
    item.node.querySelector(`:scope > [data-note="${name}"]`)?.remove();
    if (!node) return;
    node.dataset.note = name;
    item.node.append(node);
  }

  /* The company's. */

  answered(event, part) {
    const texts = this.live.known.textsOf(event.reply_id);
    if (texts.length === 0 && this.live.known.replies.has(event.reply_id)) return; // a hand-over without a word
    const text = texts[part] ?? "This answer's text is no longer in the journal.";
    const answers = this.live.known.answersOf(event);
    const isLast = part === texts.length - 1;
    const node = h("li", { class: "row answer" }, h("div", { class: "bubble answer", dir: "auto" },
      h("p", { class: "text" }, text),
      h("p", { class: "meta" }, timeNode(event.at_ms, clockShort),
        texts.length > 1 ? h("span", {}, `part ${part + 1} of ${texts.length}`) : null,
        isLast && answers.length > 1 ? h("span", {}, `answers ${answers.length} messages`) : null)));
    this.add({ kind: "answer", node, order: event.seq, seq: event.seq,
      root: () => this.live.known.rootOfMessage(answers[0]) }, event);
    if (this.live.isFresh(event.at_ms)) announce(`Answer: ${text}`);
  }

  person(event) {
    const name = event.name || "A person";
    const node = h("li", { class: "row person" }, h("div", { class: "bubble person", dir: "auto" },
      h("p", { class: "who" }, icon("0 0 16 16", ...PERSON), h("b", {}, name),
        h("span", {}, event.how === "phone app" ? "on the phone" : "a person, not the bot")),
      h("p", { class: "text" }, String(event.text ?? "")),
      h("p", { class: "meta" }, timeNode(event.at_ms, clockShort))));
    this.add({ kind: "person", node, order: event.seq, seq: event.seq }, event);
    if (this.live.isFresh(event.at_ms)) announce(`${name} wrote: ${event.text}`);
  }

  line(event, text, detail) {
    const node = h("li", { class: "row line" },
      h("p", {}, h("b", {}, text), detail ? ` ${told(detail)}` : ""));
    this.add({ kind: "line", node, order: event.seq, seq: event.seq }, event);
    if (this.live.isFresh(event.at_ms)) announce(text);
  }

  pauseReason(event) {
    if (!Number.isFinite(event.until_ms)) return event.reason;
    return `${event.reason ?? ""}, until ${until(event.until_ms, event.at_ms)}`;
  }

  /* What depends on more than one event. */

  draw() {
    for (const item of this.customers()) if (item.seq !== null) this.outcome(item);
    trim(this.items);
    this.brackets();
    this.end.follow(this.items.length);
  }

  outcome(item) {
    const { known } = this.live;
    const outcome = known.outcomes.get(item.seq);
    if (outcome) this.status(item, outcome.kind);
    // One word below the last of them: the others have their mark.
    const isLeft = outcome && Object.hasOwn(WHY, outcome.kind);
    const why = isLeft && outcome.last === item.seq ? outcome : null;
    if (isLeft) item.tick.title = `${STATUS[outcome.kind].label}: ${outcome.why}`;
    if (Boolean(why) !== Boolean(item.whyShown)) {
      item.whyShown = Boolean(why);
      this.note(item, "why", why && whyNot(why));
    }
    const thrown = known.thrown.get(item.seq);
    if (thrown && !item.thrownShown) {
      item.thrownShown = true;
      this.note(item, "thrown", thrownAway(thrown));
      if (this.live.isFresh(thrown.at_ms)) announce(thrownWords(thrown));
    }
  }

  /** Marks which neighbouring bubbles were read together, and what became of them. */
  brackets() {
    const bonds = this.items.map((item) => this.bond(item));
    let size = 0;
    this.items.forEach((item, i) => {
      item.node.classList.toggle("follows", i > 0 && this.items[i - 1].kind === item.kind);
      if (item.kind !== "customer") return;
      const first = bonds[i] === null || bonds[i - 1] !== bonds[i];
      const last = bonds[i] === null || bonds[i + 1] !== bonds[i];
      size = first ? 1 : size + 1;
      const alone = first && last;
      item.node.dataset.bond = bonds[i] === null || alone ? "" : bonds[i].split(" ")[0];
      item.node.classList.toggle("bond-first", first && !alone);
      item.node.classList.toggle("bond-last", last && !alone);
      const words = { answered: `${size} pieces, one answer`, drafting: `${size} pieces, read together` };
      const caption = last && !alone ? words[item.node.dataset.bond] : undefined;
      const old = item.node.querySelector(".caption");
      if (!caption) old?.remove();
      else if (old) setText(old, caption);
      else item.node.append(h("p", { class: "caption" }, caption));
    });
  }

  bond(item) {
    if (item.kind !== "customer" || item.seq === null) return null;
    const { known } = this.live;
    const outcome = known.outcomes.get(item.seq);
    if (outcome && ["answered", "handed"].includes(outcome.kind)) return `answered ${outcome.reply}`;
    if (outcome) return null;
    const turn = known.turnOf.get(item.seq);
    return turn !== undefined && !known.superseded.has(turn) ? `drafting ${known.rootOfMessage(item.seq)}` : "open";
  }
}

/** A mark that says more when it is tapped. */
function whyNot(outcome) {
  return h("details", { class: "note calm why", title: told(outcome.why) },
    h("summary", {}, WHY[outcome.kind]), h("p", {}, told(outcome.why) || "No reason was given."));
}

const thrownWords = (event) =>
  event.early ? "A draft was thrown away: you went on writing" : "The answer begun was thrown away: you wrote more";

function thrownAway(event) {
  const cost = event.tokens_wasted ? `${count(event.tokens_wasted, "token")} wasted` : "it had cost nothing yet";
  return h("p", { class: "note thrown" }, h("b", {}, thrownWords(event)), h("span", {}, cost));
}
