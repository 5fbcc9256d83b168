/* Lets the customer write: sends in the order typed, keeps what was not accepted, suggests a start. */

import { $, h } from "./page.js";
import { post } from "./server.js";
import { Typing } from "./typing.js";
import { list, uuid } from "./words.js";

const FRAGMENTS = [
  "Hi there",
  "I ordered a desk lamp last week",
  "and it still has not arrived",
  "could you look into it? Order 4711",
];

export class Composer {
  constructor(live, thread, changed) {
    this.live = live;
    this.thread = thread;
    this.changed = changed; // after a message's status changed
    this.ownWords = false; // the visitor typed something of their own: stop suggesting
    this.outbox = Promise.resolve(); // one request at a time, so that fragments arrive in the order typed
    this.typing = new Typing((on) => this.tellTyping(on));
    this.wire();
  }

  wire() {
    $("composer").addEventListener("input", () => {
      this.fit();
      this.typing.input($("composer").value.trim() !== "");
    });
    $("composer").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    $("compose-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    $("send").addEventListener("pointerdown", (event) => event.preventDefault()); // the keyboard stays open
    this.fit();
  }

  clear() {
    this.ownWords = false;
    this.typing.sent();
    this.recall();
  }

  fit() {
    const box = $("composer");
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight + box.offsetHeight - box.clientHeight}px`;
    $("send").disabled = box.value.trim() === "";
  }

  submit() {
    const box = $("composer");
    const text = box.value.trim();
    if (text && this.live.session) {
      if (!FRAGMENTS.includes(text)) this.ownWords = true;
      this.say(text);
      box.value = "";
      this.fit();
    }
    box.focus();
  }

  say(text, messageId = uuid()) {
    const item = this.thread.customer({ text, atMs: this.live.now(), messageId, fresh: true });
    this.typing.sent();
    this.thread.status(item, "sending");
    this.remember();
    this.changed();
    this.thread.end.go();
    this.outbox = this.outbox.then(() => this.post(item));
  }

  async post(item) {
    this.thread.status(item, "sending");
    try {
      const body = await post(item.session, "/messages", { message_id: item.messageId, text: item.text });
      this.thread.adopt(item, body.seq);
      this.thread.status(item, "accepted");
    } catch (error) {
      this.fail(item, error.message);
    } finally {
      this.remember();
      this.changed();
    }
  }

  fail(item, why) {
    if (item.seq !== null) return; // the journal has it after all: only the answer was lost
    const again = h("button", { type: "button", class: "again" }, "Try again");
    again.addEventListener("click", () => {
      this.thread.status(item, "sending");
      this.outbox = this.outbox.then(() => this.post(item)); // the same message_id: the server takes it once
      $("composer").focus();
    });
    this.thread.status(item, "failed");
    this.thread.note(item, "failed", h("div", { class: "note", role: "alert" }, h("span", {}, `Not sent. ${why}`), again));
  }

  tellTyping(on) {
    const { session } = this.live;
    // In the outbox's order: typing that overtakes the message before it would hold nothing open.
    if (session) this.outbox = this.outbox.then(() => post(session, "/typing", { on }).catch(() => {}));
  }

  /** What is not yet accepted survives a reload of the page. */
  remember() {
    const { session } = this.live;
    if (!session) return;
    const waiting = this.thread.customers()
      .filter((item) => item.seq === null)
      .map(({ text, messageId }) => ({ text, messageId }));
    try {
      sessionStorage.setItem(`unsent ${session.conversation_id}`, JSON.stringify(waiting));
    } catch { /* storage may be off; the page works without */ }
  }

  recall() {
    try {
      const waiting = JSON.parse(sessionStorage.getItem(`unsent ${this.live.session.conversation_id}`) ?? "[]");
      for (const { text, messageId } of list(waiting)) this.say(String(text), String(messageId));
    } catch { /* nothing usable was kept */ }
  }

  /** The welcome, and the fragments that are left to be tapped. */
  draw() {
    const { session, state } = this.live;
    const customers = this.thread.customers();
    const sent = new Set(customers.map((item) => item.text));
    $("welcome").hidden = !session || this.thread.items.length > 0;
    const left = FRAGMENTS.filter((text) => !sent.has(text));
    const own = this.ownWords || customers.some((item) => !FRAGMENTS.includes(item.text));
    const others = this.thread.items.some((item) => item.kind !== "customer");
    const busy = customers.length > 0 && state && !state.early && ["drafting", "sending"].includes(state.phase);
    const show = Boolean(session) && left.length > 0 && !own && !others && !busy;
    $("ghosts").hidden = !show;
    const texts = left.join("\n");
    if (!show || $("ghosts").dataset.texts === texts) return;
    $("ghosts").dataset.texts = texts;
    $("ghosts").replaceChildren(...left.map((text) => this.ghost(text)));
  }

  ghost(text) {
    const chip = h("button", { type: "button", class: "ghost", "aria-label": `Send: ${text}` }, text);
    chip.addEventListener("click", () => {
      this.say(text);
      if (!matchMedia("(pointer: coarse)").matches) $("composer").focus();
    });
    return chip;
  }
}
