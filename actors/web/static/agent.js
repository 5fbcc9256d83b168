/* Lets the visitor play the company's person: answer, stop the bot, give it the word back. */

import { $, h, narrow, setText } from "./page.js";
import { ask, post } from "./server.js";
import { whoHasTheWord } from "./stage.js";
import { excerpt, uuid } from "./words.js";

const SAID_MAX = 4; // messages shown beside the agent's text field on a phone
const ROOM_PX = 880; // a lower window begins with the pane folded
const WORD_EVENTS = ["person_replied", "handed_over", "paused", "resumed", "standing_seen"];
const KEY = "agent pane";

export class Agent {
  constructor(live, changed) {
    this.live = live;
    this.changed = changed; // after it became known who has the word
    this.sending = null; // {text, messageId}: what is repeated under the same id
    this.asking = 0;
    $("agent-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.reply();
    });
    $("agent-text").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.reply();
    });
    $("agent-text").addEventListener("input", () => this.draw());
    $("agent-switch").addEventListener("click", () => this.turn());
    $("agent-fold").addEventListener("click", () => this.fold($("agent-fold").getAttribute("aria-expanded") === "true"));
    this.fold(kept() ?? innerHeight < ROOM_PX, { keep: false });
  }

  clear() {
    const allowed = Boolean(this.live.session?.webchat_agent);
    $("panel-agent").hidden = !allowed;
    $("tab-agent").hidden = !allowed;
    document.body.dataset.agent = String(allowed);
    this.sending = null;
    $("agent-text").value = "";
    this.refuse("");
    this.draw();
  }

  fold(folded, { keep = true } = {}) {
    $("agent-fold").setAttribute("aria-expanded", String(!folded));
    $("panel-agent").dataset.folded = String(folded);
    try {
      if (keep) sessionStorage.setItem(KEY, folded ? "folded" : "open");
    } catch { /* storage may be off; the page works without */ }
  }

  /** The actor says itself why it is silent; asleep, it is asked of the journal. */
  hear(state) {
    if (state.phase === "silent") this.silence({ reason: state.reason, until_ms: state.until_ms });
    else if (state.phase === "asleep") this.look();
    else this.silence(null);
  }

  take(event) {
    if (WORD_EVENTS.includes(event.type) && this.live.state?.phase === "asleep") this.look();
  }

  silence(silence) {
    this.live.silence = silence;
    this.draw();
  }

  async look() {
    const { session, known } = this.live;
    const mine = ++this.asking;
    if (known.events.size === 0) return; // nobody knows a conversation without an event
    try {
      const whole = await ask(session);
      if (mine !== this.asking || session !== this.live.session || this.live.state?.phase !== "asleep") return;
      this.silence(whole.memory?.silence ?? null);
      this.changed();
    } catch { /* what was known stands: the actor says it again as soon as it wakes */ }
  }

  draw() {
    const silent = Boolean(this.live.silence);
    const begun = this.live.known.events.size > 0;
    $("panel-agent").dataset.word = silent ? "person" : "bot";
    setText($("word"), whoHasTheWord(this.live));
    setText($("agent-switch"), silent ? "Give it back to the bot" : "Pause the bot");
    $("agent-switch").disabled = !begun;
    $("agent-send").disabled = $("agent-text").value.trim() === "";
    setText($("agent-after"), !begun ? "Write as the customer first: there is nobody to answer yet."
      : silent ? "While a person has the word, what the customer writes is left to people. Given back, the bot answers what is written from then on."
        : "What you send goes to the customer, and the bot falls silent; a draft in the making is thrown away.");
  }

  /** The last words of both sides, for the phone, where the chat is behind another tab. */
  drawSaid(items) {
    const said = items.filter((item) => item.kind !== "line").slice(-SAID_MAX);
    $("agent-said").replaceChildren(...said.map((item) => h("li", { "data-kind": item.kind },
      h("b", {}, { customer: "Customer", answer: "Bot", person: "Person" }[item.kind]),
      h("span", { dir: "auto" }, excerpt(item.node.querySelector(".text").textContent, 120)))));
    this.draw();
  }

  async reply() {
    const text = $("agent-text").value.trim();
    const { session } = this.live;
    if (!text || !session) return;
    if (this.sending?.text !== text) this.sending = { text, messageId: uuid() };
    const name = $("agent-name").value.trim();
    const done = await this.call(() => post(session, "/replies", { text, name, message_id: this.sending.messageId }));
    if (!done) return;
    this.sending = null;
    if ($("agent-text").value.trim() === text) $("agent-text").value = "";
    this.draw();
    if (!narrow.matches) $("agent-text").focus();
  }

  turn() {
    const { session, silence } = this.live;
    return this.call(() => (silence
      ? post(session, "/resume", {})
      : post(session, "/pause", { reason: "somebody is trying out the human agent" })));
  }

  async call(job) {
    this.refuse("");
    $("panel-agent").setAttribute("aria-busy", "true");
    try {
      await job();
      return true;
    } catch (error) {
      this.refuse(error.message);
      return false;
    } finally {
      $("panel-agent").removeAttribute("aria-busy");
    }
  }

  refuse(why) {
    $("agent-refused").hidden = why === "";
    setText($("agent-refused"), why);
  }
}

function kept() {
  try {
    const value = sessionStorage.getItem(KEY);
    return value === null ? null : value === "folded";
  } catch {
    return null;
  }
}
