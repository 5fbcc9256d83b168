/* Shows one conversation twice: as its customer sees it, and as its journal and its actor see it. */

const ROWS_MAX = 500; // rows and bubbles kept in the page; the journal itself keeps more
const SEND_TIMEOUT_MS = 15_000;
const RECONNECT_FIRST_MS = 1_000;
const RECONNECT_MAX_MS = 15_000;
const FRESH_MS = 5_000; // an older event is history: shown, neither announced nor animated
const FRAGMENTS = [
  "Hi there",
  "I ordered a desk lamp last week",
  "and it still has not arrived",
  "could you look into it? Order 4711",
];
const GLOSS = {
  idle: "nothing to answer",
  window: "the thought may not be finished",
  drafting: "the model is writing",
  sending: "the answer is on its way",
  retrying: "something failed, it goes on",
  asleep: "nothing in memory",
};
const JOINED = {
  space: "read as one sentence",
  newline: "read line by line",
  "blank line": "read as paragraphs",
  single: "a single message",
  apart: "read as separate messages",
};

const $ = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const narrow = matchMedia("(max-width: 859px)");

/* ---------- small tools ---------- */

function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) node.setAttribute(name, String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

function icon(viewBox, ...paths) {
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

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** crypto.randomUUID exists only on https and localhost; a phone on the same network has neither. */
function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

const clockShort = new Intl.DateTimeFormat([], { hour: "numeric", minute: "2-digit" });
const clockLong = new Intl.DateTimeFormat([], {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

function timeNode(atMs, format) {
  const at = new Date(Number.isFinite(atMs) ? atMs : Date.now());
  return h("time", { datetime: at.toISOString(), title: at.toLocaleString() }, format.format(at));
}

function seconds(ms) {
  const s = ms / 1000;
  if (Math.abs(s) >= 90) return `${Math.round(s / 60)} min`;
  return `${Number(s.toFixed(Math.abs(s) < 20 ? 1 : 0))} s`;
}

const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
const list = (value) => (Array.isArray(value) ? value : []);
const turnName = (turn) => `turn ${String(turn ?? "?").split(":").pop()}`;
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const sentence = (text) => (/[.!?…]$/.test(text) ? text : `${text}.`);
const excerpt = (text, most = 160) => {
  const flat = String(text ?? "").replace(/\s+/g, " ").trim();
  return flat.length > most ? `${flat.slice(0, most - 1)}…` : flat;
};

/* ---------- what is known ---------- */

let session = null;
let known = emptyKnown();
let state = null;
let clockOffsetMs = 0; // the server's clock minus ours
let stream = null;
let streamTimer = 0;
let reconnectMs = RECONNECT_FIRST_MS;
let ownWords = false; // the visitor typed something of their own: stop suggesting

function emptyKnown() {
  return {
    events: new Map(), // seq -> event
    rows: [], // {order, node, event}, in the journal's order
    bubbles: [], // {order, node, kind, seq, messageId, text, status}
    replies: new Map(), // reply_id -> reply_committed
    turnOf: new Map(), // seq of a message -> turn
    rootOf: new Map(), // turn -> its first message's seq: turns over the same messages share it
    superseded: new Set(), // turns that gave way: their messages wait again
    answeredBy: new Map(), // seq of a message -> reply_id
    aside: new Map(), // seq of a message -> reason
    window: null, // {openedMs, untilMs, open}
  };
}

const serverNow = () => Date.now() + clockOffsetMs;
const isFresh = (atMs) => Number.isFinite(atMs) && serverNow() - atMs < FRESH_MS;
const api = (conversation, tail) =>
  `/api/companies/${encodeURIComponent(conversation.company_id)}` +
  `/conversations/${encodeURIComponent(conversation.conversation_id)}/${tail}`;

/* ---------- scrolling that stays at the newest, unless the reader went back ---------- */

class Newest {
  constructor(box, button) {
    this.box = box;
    this.button = button;
    this.stuck = true;
    this.size = 0;
    box.addEventListener("scroll", () => this.look(), { passive: true });
    button.addEventListener("click", () => this.go());
    new ResizeObserver(() => this.follow()).observe(box);
  }
  look() {
    const { scrollHeight, scrollTop, clientHeight } = this.box;
    if (clientHeight === 0) return; // the other tab is shown
    this.stuck = scrollHeight - scrollTop - clientHeight < 56;
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

const chatEnd = new Newest($("thread"), $("chat-newest"));
const logEnd = new Newest($("log-scroll"), $("log-newest"));

/* ---------- lists in order ---------- */

/** Puts an item where its order belongs; nearly always the end. */
function place(items, item, parent) {
  const from = items.indexOf(item);
  if (from >= 0) items.splice(from, 1);
  let at = items.length;
  while (at > 0 && items[at - 1].order > item.order) at -= 1;
  items.splice(at, 0, item);
  const next = items[at + 1]?.node ?? null;
  if (item.node.parentNode !== parent || item.node.nextSibling !== next) parent.insertBefore(item.node, next);
}

function trim(items) {
  while (items.length > ROWS_MAX) items.shift().node.remove();
}

/* ---------- the customer's side ---------- */

const TICK = "M1.5 6.5 5 10l7-8";
const TICK_SECOND = "M8.3 9.2 9 10l7-8";
const STATUS = {
  sending: { label: "sending", draw: () => icon("0 0 12 12", "M6 1.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6M6 3.4V6l1.8 1.2") },
  accepted: { label: "accepted, written down", draw: () => icon("0 0 13 12", TICK) },
  answered: { label: "answered", draw: () => icon("0 0 17 12", TICK, TICK_SECOND) },
  failed: { label: "not sent", draw: () => icon("0 0 12 12", "M6 2v5M6 9.6v.2") },
  aside: { label: "set aside", draw: () => icon("0 0 12 12", "M3.5 6h5") },
};
const RANK = { failed: 0, sending: 0, accepted: 1, aside: 2, answered: 3 }; // a status only rises
let localOrder = 0;

function customerBubble({ text, atMs, messageId = null, seq = null, fresh }) {
  const tick = h("span", { class: "tick", role: "img" });
  const bubble = h("div", { class: "bubble customer", dir: "auto" },
    h("p", { class: "text" }, text),
    h("p", { class: "meta" }, timeNode(atMs, clockShort), tick));
  const node = h("li", { class: fresh ? "row customer fresh" : "row customer" }, bubble);
  // Not yet in the journal: after everything that is.
  const item = { kind: "customer", node, tick, seq, messageId, text, status: null,
    conversation: session, order: seq ?? Number.MAX_SAFE_INTEGER / 2 + localOrder++ };
  lights(node, () => rootOfMessage(item.seq));
  known.bubbles.push(item);
  place(known.bubbles, item, $("messages"));
  return item;
}

function setStatus(item, status, note = null) {
  if (item.status === status && note === null) return;
  if (item.status !== null && RANK[status] < RANK[item.status]) return;
  item.status = status;
  item.node.dataset.status = status;
  item.tick.replaceChildren(STATUS[status].draw());
  item.tick.setAttribute("aria-label", STATUS[status].label);
  item.tick.title = STATUS[status].label;
  item.node.querySelector(".note")?.remove();
  if (note) item.node.append(note);
}

function adopt(item, seq) {
  if (!Number.isFinite(seq) || item.seq === seq) return;
  item.seq = seq;
  item.order = seq;
  if (item.conversation === session) place(known.bubbles, item, $("messages"));
}

const bubbleOf = (event) =>
  known.bubbles.find((b) => b.kind === "customer" &&
    ((event.message_id && b.messageId === event.message_id) || (b.seq !== null && b.seq === event.seq)));

function answerBubble(event) {
  const committed = known.replies.get(event.reply_id);
  const text = committed?.text ?? "This answer's text is no longer in the journal.";
  const answers = list(event.answers ?? committed?.answers);
  const node = h("li", { class: isFresh(event.at_ms) ? "row answer fresh" : "row answer" },
    h("div", { class: "bubble answer", dir: "auto" },
      h("p", { class: "text" }, text),
      h("p", { class: "meta" }, timeNode(event.at_ms, clockShort),
        answers.length > 1 ? h("span", {}, `answers ${answers.length} messages`) : null)));
  lights(node, () => rootOfMessage(answers[0]));
  const item = { kind: "answer", node, order: event.seq, seq: event.seq };
  known.bubbles.push(item);
  place(known.bubbles, item, $("messages"));
  if (isFresh(event.at_ms)) setText($("announcer"), `Answer: ${text}`);
}

/** Marks which neighbouring bubbles were read together, and what became of them. */
function bracketBubbles() {
  const items = known.bubbles;
  const bond = (item) => {
    if (!item || item.kind !== "customer" || item.seq === null) return null;
    if (known.answeredBy.has(item.seq)) return `answered ${known.answeredBy.get(item.seq)}`;
    if (known.aside.has(item.seq)) return null;
    if (known.turnOf.has(item.seq) && !known.superseded.has(known.turnOf.get(item.seq))) return `drafting ${rootOfMessage(item.seq)}`;
    return "open";
  };
  const bonds = items.map(bond);
  let size = 0;
  items.forEach((item, i) => {
    item.node.classList.toggle("follows", i > 0 && items[i - 1].kind === item.kind);
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

function showWelcome() {
  const customers = known.bubbles.filter((b) => b.kind === "customer");
  const sent = new Set(customers.map((b) => b.text));
  $("welcome").hidden = !session || known.bubbles.length > 0;
  const left = FRAGMENTS.filter((text) => !sent.has(text));
  const own = ownWords || customers.some((b) => !FRAGMENTS.includes(b.text));
  const show = Boolean(session) && left.length > 0 && !own && !known.bubbles.some((b) => b.kind === "answer") &&
    !(customers.length > 0 && state && ["drafting", "sending"].includes(state.phase));
  $("ghosts").hidden = !show;
  if (!show) return;
  const texts = left.join("\n");
  if ($("ghosts").dataset.texts === texts) return;
  $("ghosts").dataset.texts = texts;
  $("ghosts").replaceChildren(...left.map((text) => {
    const chip = h("button", { type: "button", class: "ghost", "aria-label": `Send: ${text}` }, text);
    chip.addEventListener("click", () => {
      say(text);
      if (!matchMedia("(pointer: coarse)").matches) $("composer").focus();
    });
    return chip;
  }));
}

/* ---------- sending ---------- */

let outbox = Promise.resolve(); // one request at a time, so that fragments arrive in the order typed

function say(text, messageId = uuid()) {
  const item = customerBubble({ text, atMs: serverNow(), messageId, fresh: true });
  setStatus(item, "sending");
  remember();
  refresh();
  chatEnd.go();
  outbox = outbox.then(() => post(item));
}

async function post(item) {
  setStatus(item, "sending");
  try {
    const answer = await fetch(api(item.conversation, "messages"), {
      method: "POST",
      credentials: "same-origin",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify({ message_id: item.messageId, text: item.text }),
      signal: AbortSignal.timeout(SEND_TIMEOUT_MS),
    });
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) return fail(item, refusal(answer, body));
    adopt(item, body.seq);
    setStatus(item, "accepted");
  } catch (error) {
    fail(item, error.name === "TimeoutError" ? "No answer from the server." : "The server could not be reached.");
  } finally {
    remember();
    refresh();
  }
}

function refusal(answer, body) {
  const detail = typeof body.detail === "string" ? sentence(capital(body.detail)) : `The server refused it (${answer.status}).`;
  const after = Number.parseInt(answer.headers.get("retry-after") ?? "", 10);
  return Number.isFinite(after) && after > 0 ? `${detail} Free again in about ${after} s.` : detail;
}

function fail(item, why) {
  if (item.seq !== null) return; // the journal has it after all: only the answer was lost
  const again = h("button", { type: "button", class: "again" }, "Try again");
  again.addEventListener("click", () => {
    setStatus(item, "sending");
    outbox = outbox.then(() => post(item)); // the same message_id: the server takes it once
    $("composer").focus();
  });
  setStatus(item, "failed", h("div", { class: "note", role: "alert" }, h("span", {}, `Not sent. ${why}`), again));
}

/** What is not yet accepted survives a reload of the page. */
function remember() {
  if (!session) return;
  const waiting = known.bubbles
    .filter((b) => b.kind === "customer" && b.seq === null)
    .map((b) => ({ text: b.text, messageId: b.messageId }));
  try {
    sessionStorage.setItem(`unsent ${session.conversation_id}`, JSON.stringify(waiting));
  } catch { /* storage may be off; the page works without */ }
}

function recall() {
  try {
    const waiting = JSON.parse(sessionStorage.getItem(`unsent ${session.conversation_id}`) ?? "[]");
    for (const { text, messageId } of list(waiting)) say(String(text), String(messageId));
  } catch { /* nothing usable was kept */ }
}

/* ---------- the journal: what each event says ---------- */

const ref = (seq) => h("span", { class: "ref" }, `#${seq}`);
const refs = (seqs) => h("span", { class: "refs" }, ...list(seqs).map(ref));
const strong = (text) => h("b", {}, text);
const quote = (text) => h("q", { dir: "auto" }, excerpt(text));
const retry = (e) => (Number.isFinite(e.retry_at_ms) ? `Next try ${seconds(Math.max(0, e.retry_at_ms - e.at_ms))} later.` : "No further try.");

/** type -> [what happened, details…]; each a list of text and nodes. */
const TELL = {
  message_received: (e) => [[strong("Customer"), " wrote ", quote(e.text)]],
  turn_started: (e) => [
    [strong(capital(turnName(e.turn))), " takes ", refs(e.covers), e.attempt > 1 ? ` (attempt ${e.attempt})` : ""],
    [e.reason ? sentence(capital(e.reason)) : "",
      e.join ? ` ${sentence(capital(JOINED[e.join.how] ?? e.join.how ?? ""))}` : ""],
    e.join?.reason && e.join.how !== "single" ? [sentence(capital(e.join.reason))] : [],
  ],
  turn_superseded: (e) => [[strong(capital(turnName(e.turn))), " gives way to ",
    String(e.by).includes(":") ? turnName(e.by) : ref(e.by), ": the customer wrote more"]],
  turn_failed: (e) => [[strong(capital(turnName(e.turn))), ` failed at attempt ${e.attempt ?? "?"}`],
    [sentence(capital(String(e.error ?? "no reason was given")))], [retry(e)]],
  turn_interrupted: (e) => [[strong(capital(turnName(e.turn))), " was interrupted"],
    [e.reason ? sentence(capital(String(e.reason))) : ""]],
  reply_committed: (e) => [[strong("Answer promised"), " to ", refs(e.answers)], [quote(e.text)],
    [[e.model, Number.isFinite(e.tokens_in) && Number.isFinite(e.tokens_out)
      ? `${e.tokens_in} tokens in, ${e.tokens_out} out` : ""].filter(Boolean).join(" · ")]],
  send_failed: (e) => [[strong("Sending failed"), ` at attempt ${e.attempt ?? "?"}`],
    [e.error ? sentence(capital(String(e.error))) : "", e.doubtful ? " It may have arrived: the channel is read back first." : ""], [retry(e)]],
  reply_sent: (e) => [
    [strong(e.how === "read back" ? "Answer found delivered" : "Answer delivered"), " to ", refs(answersOf(e))],
    [e.how === "read back" ? "The channel was read back: nothing is sent twice." : "", afterLast(e)],
  ],
  set_aside: (e) => [[strong("Set aside"), " ", refs(e.seqs)],
    [e.reason ? sentence(capital(String(e.reason))) : ""], [e.error ? sentence(capital(String(e.error))) : ""]],
};

const answersOf = (e) => list(e.answers ?? known.replies.get(e.reply_id)?.answers);

function afterLast(e) {
  const times = answersOf(e).map((seq) => known.events.get(seq)?.at_ms).filter(Number.isFinite);
  return times.length ? ` ${seconds(e.at_ms - Math.max(...times))} after the last word.` : "";
}

function generic(event) {
  const { seq, at_ms, type, ...rest } = event;
  return [[strong(String(type ?? "event"))], [h("code", {}, excerpt(JSON.stringify(rest), 240))]];
}

function tell(event) {
  try {
    return (Object.hasOwn(TELL, event.type) ? TELL[event.type] : generic)(event);
  } catch {
    return generic(event); // a field has another shape than expected: still shown
  }
}

function addRow(event) {
  const [headline, ...details] = tell(event);
  const lines = details
    .map((parts) => parts.filter((part) => part !== ""))
    .filter((parts) => parts.length > 0)
    .map((parts) => h("span", { class: "detail" }, ...parts));
  const gap = h("span", { class: "gap" });
  const summary = h("summary", {},
    h("span", { class: "seq" }, String(event.seq)),
    h("span", { class: "knot", "aria-hidden": "true" }),
    h("span", { class: "said" }, h("span", { class: "headline" }, ...headline), ...lines),
    h("span", { class: "when" }, timeNode(event.at_ms, clockLong), gap));
  const box = h("details", {}, summary);
  box.addEventListener("toggle", () => {
    if (box.open && !box.querySelector("pre")) box.append(h("pre", { tabindex: "0" }, JSON.stringify(event, null, 2)));
    logEnd.look(); // whoever reads an older event is not pulled away from it
  });
  const node = h("li", { class: isFresh(event.at_ms) ? "event fresh" : "event",
    "data-type": event.type, "data-seq": event.seq }, box);
  const item = { order: event.seq, node, gap, event };
  lights(node, () => rootOfEvent(event));
  known.rows.push(item);
  place(known.rows, item, $("journal"));
}

/* ---------- relations: all that belongs to one thought shares its first message's seq ---------- */

const rootOfTurn = (turn) => known.rootOf.get(turn) ?? null;

function rootOfMessage(seq) {
  if (seq === null || seq === undefined) return null;
  return rootOfTurn(known.turnOf.get(seq)) ?? "open";
}

function rootOfEvent(event) {
  if (event.type === "message_received") return rootOfMessage(event.seq);
  if (event.turn !== undefined && event.turn !== null) return rootOfTurn(event.turn);
  if (event.reply_id !== undefined) return rootOfTurn(known.replies.get(event.reply_id)?.turn) ?? rootOfMessage(answersOf(event)[0]);
  if (list(event.seqs).length) return rootOfMessage(event.seqs[0]);
  return null;
}

function threadRows() {
  const roots = known.rows.map((row) => rootOfEvent(row.event));
  known.rows.forEach((row, i) => {
    row.node.dataset.thread = roots[i] === null ? "none" : roots[i] === "open" ? "open" : "turn";
    row.node.classList.toggle("thread-first", roots[i - 1] !== roots[i]);
    row.node.classList.toggle("thread-last", roots[i + 1] !== roots[i]);
    const before = known.rows[i - 1]?.event.at_ms;
    const passed = row.event.at_ms - before;
    setText(row.gap, Number.isFinite(passed) && passed >= 50 ? `+${seconds(passed)}` : "");
  });
}

function highlight(root) {
  for (const row of known.rows) row.node.classList.toggle("lit", root !== null && rootOfEvent(row.event) === root);
  for (const item of known.bubbles) {
    const event = item.seq === null ? null : known.events.get(item.seq);
    item.node.classList.toggle("lit", root !== null && Boolean(event) && rootOfEvent(event) === root);
  }
}

/** Pointing at one part of a thought lights up all of it, in the chat and in the journal. */
function lights(node, root) {
  for (const on of ["pointerenter", "focusin"]) node.addEventListener(on, () => highlight(root()));
  for (const off of ["pointerleave", "focusout"]) node.addEventListener(off, () => highlight(null));
}

/* ---------- events in ---------- */

function learn(event) {
  const cover = (turn, seqs) => {
    if (!list(seqs).length) return;
    known.rootOf.set(turn, Math.min(...seqs));
    for (const seq of seqs) known.turnOf.set(seq, turn);
  };
  if (event.type === "turn_started") {
    cover(event.turn, event.covers);
    known.superseded.delete(event.turn);
  }
  if (event.type === "turn_superseded") known.superseded.add(event.turn);
  if (event.type === "reply_committed") {
    known.replies.set(event.reply_id, event);
    cover(event.turn, event.answers);
  }
  if (event.type === "reply_sent") for (const seq of answersOf(event)) known.answeredBy.set(seq, event.reply_id);
  if (event.type === "set_aside") for (const seq of list(event.seqs)) known.aside.set(seq, String(event.reason ?? ""));
}

function onJournal(event) {
  if (!event || !Number.isFinite(event.seq) || known.events.has(event.seq)) return;
  known.events.set(event.seq, event);
  learn(event);
  if (event.type === "message_received") {
    let item = bubbleOf(event);
    if (!item) {
      item = customerBubble({ text: String(event.text ?? ""), atMs: event.at_ms, messageId: event.message_id,
        seq: event.seq, fresh: isFresh(event.at_ms) });
    }
    adopt(item, event.seq);
    setStatus(item, "accepted");
    remember();
  }
  if (event.type === "reply_sent") answerBubble(event);
  addRow(event);
  refresh();
}

let refreshing = 0;

/** Redraws what depends on more than one event, once per burst. */
function refresh() {
  if (refreshing) return;
  refreshing = setTimeout(() => {
    refreshing = 0;
    for (const item of known.bubbles) {
      if (item.kind !== "customer" || item.seq === null) continue;
      if (known.answeredBy.has(item.seq)) setStatus(item, "answered");
      else if (known.aside.has(item.seq) && item.status !== "aside") {
        setStatus(item, "aside", h("div", { class: "note calm" }, `Not answered: ${known.aside.get(item.seq)}`));
      }
    }
    $("log-cut").hidden = known.rows.length <= ROWS_MAX && $("log-cut").hidden;
    trim(known.rows);
    trim(known.bubbles);
    bracketBubbles();
    threadRows();
    showWelcome();
    drawMarks();
    $("log-empty").hidden = known.rows.length > 0;
    chatEnd.follow(known.bubbles.length);
    logEnd.follow(known.rows.length);
  }, 0);
}

/* ---------- the actor's state ---------- */

function onState(next) {
  if (!next || typeof next.phase !== "string") return;
  const before = state?.phase;
  state = next;
  if (Number.isFinite(next.now_ms)) clockOffsetMs = next.now_ms - Date.now();
  if (next.phase === "window" && Number.isFinite(next.window_opened_ms)) {
    known.window = { openedMs: next.window_opened_ms, untilMs: next.until_ms, open: true };
  } else if (known.window) {
    known.window.open = false;
  }
  document.body.dataset.phase = next.phase;
  $("phase").dataset.phase = next.phase;
  setText($("phase"), next.phase);
  setText($("gloss"), GLOSS[next.phase] ?? "");
  setText($("reason"), next.reason ? sentence(capital(String(next.reason))) : "No reason was given.");
  const vital = (id, value) => {
    setText($(id), value === null || value === undefined ? "–" : String(value));
    $(id).title = $(id).textContent;
  };
  vital("v-waiting", next.waiting);
  vital("v-turn", next.turn ? String(next.turn).split(":").pop() : null);
  $("v-turn").title = next.turn ?? "";
  vital("v-seq", next.seq);
  vital("v-epoch", next.epoch);
  vital("v-host", next.host);
  vital("v-pid", next.pid);
  $("countdown").hidden = next.phase !== "window";
  $("typing").hidden = !["drafting", "sending"].includes(next.phase);
  if (before !== undefined && before !== next.phase) {
    if (next.phase === "window") setText($("announcer"), "Listening for more.");
    if (next.phase === "drafting") setText($("announcer"), "An answer is being written.");
  }
  showWelcome();
  drawMarks();
  tick();
  chatEnd.follow();
}

function presence(phase, leftMs) {
  const soon = leftMs === null ? "" : ` in ${Math.max(1, Math.ceil(leftMs / 1000))} s`;
  switch (phase) {
    case "window": return "listening…";
    case "drafting": return "writing…";
    case "sending": return "sending…";
    case "retrying": return `had trouble, tries again${soon}`;
    case "asleep": return "asleep, wakes with your next message";
    default: return `waits for ${seconds(session.pace.quiet_window_ms)} of quiet, ` +
      `at most ${seconds(session.pace.longest_wait_ms)}`;
  }
}

function drawCountdown(leftMs) {
  if (leftMs === null) {
    setText($("countdown-text"), "answers soon");
    setText($("countdown-hint"), "");
    return;
  }
  const { quiet_window_ms: quiet, longest_wait_ms: longest } = session.pace;
  const whole = Math.ceil(leftMs / 1000);
  setText($("countdown-text"), whole > 0 ? `answers in ${whole} s` : "answers any moment");
  const capped = Number.isFinite(state.window_opened_ms) && state.until_ms >= state.window_opened_ms + longest - 100;
  setText($("countdown-hint"), capped
    ? `This is the longest wait, ${seconds(longest)}`
    : "Write more, and it waits again");
  $("ring").style.strokeDashoffset = String(100 - 100 * Math.min(1, Math.max(0, leftMs / quiet)));
}

/** The window as a line from the first unanswered message to the longest wait. */
function windowSpan() {
  const w = known.window;
  const longest = Math.max(session.pace.longest_wait_ms, (w.untilMs ?? 0) - w.openedMs, 1);
  return (atMs) => `${Math.min(100, Math.max(0, (100 * (atMs - w.openedMs)) / longest))}%`;
}

function drawMarks() {
  const w = known.window;
  $("window").dataset.open = String(Boolean(w?.open));
  if (!session || !w) {
    $("window-marks").replaceChildren();
    $("window-quiet").hidden = true;
    return;
  }
  const at = windowSpan();
  const end = w.untilMs ?? w.openedMs + session.pace.longest_wait_ms;
  const times = known.rows.map((row) => row.event)
    .filter((e) => e.type === "message_received" && e.at_ms >= w.openedMs - 50 && e.at_ms <= end)
    .map((e) => e.at_ms);
  $("window-marks").replaceChildren(...times.map((ms) => {
    const mark = h("span", { class: "mark" });
    mark.style.left = at(ms);
    return mark;
  }));
  const last = times.length ? Math.max(...times) : w.openedMs;
  $("window-quiet").hidden = !Number.isFinite(w.untilMs);
  if (Number.isFinite(w.untilMs)) {
    $("window-quiet").style.left = at(last);
    $("window-quiet").style.right = `calc(100% - ${at(w.untilMs)})`;
  }
  $("window").setAttribute("aria-label", `${w.open ? "Open window" : "Last window"}: ${count(times.length, "message")}`);
}

let frame = 0;
let timer = 0;

/** Draws all that moves with time, and comes back only while something does. */
function tick() {
  clearTimeout(timer);
  cancelAnimationFrame(frame);
  if (!state || !session) return;
  const leftMs = Number.isFinite(state.until_ms) ? state.until_ms - serverNow() : null;
  const isWindow = state.phase === "window";
  if (isWindow) drawCountdown(leftMs);
  setText($("presence"), presence(state.phase, leftMs));
  const counts = leftMs !== null && state.phase !== "idle" && state.phase !== "asleep";
  $("remaining").hidden = !counts;
  if (counts) setText($("remaining"), `${(Math.max(0, leftMs) / 1000).toFixed(calm.matches ? 0 : 1)} s`);
  $("window-now").hidden = !isWindow || !known.window;
  if (isWindow && known.window) $("window-now").style.left = windowSpan()(serverNow());
  if (!counts || leftMs < -2_000) return;
  if (calm.matches) timer = setTimeout(tick, 500);
  else frame = requestAnimationFrame(tick);
}

/* ---------- the stream ---------- */

let lostTimer = 0;

function lost(isLost) {
  clearTimeout(lostTimer);
  const show = (yes) => {
    for (const node of document.querySelectorAll("[data-connection]")) node.hidden = !yes;
    document.body.classList.toggle("lost", yes);
  };
  if (isLost) lostTimer = setTimeout(() => show(true), 500); // a blink is not worth a word
  else show(false);
}

function parsed(message, then) {
  let data;
  try {
    data = JSON.parse(message.data);
  } catch {
    return; // a line that is no JSON is not ours
  }
  then(data);
}

function listen() {
  stream?.close();
  clearTimeout(streamTimer);
  const mine = new EventSource(api(session, "events"));
  stream = mine;
  mine.addEventListener("open", () => {
    reconnectMs = RECONNECT_FIRST_MS;
    lost(false);
  });
  mine.addEventListener("journal", (message) => { if (mine === stream) parsed(message, onJournal); });
  mine.addEventListener("state", (message) => { if (mine === stream) parsed(message, onState); });
  mine.addEventListener("error", () => {
    if (mine !== stream) return;
    lost(true);
    // The browser reconnects by itself, unless the server answered with an error: then it gives up.
    if (mine.readyState === EventSource.CLOSED) later(rejoin);
  });
}

function later(job) {
  clearTimeout(streamTimer);
  streamTimer = setTimeout(job, reconnectMs);
  reconnectMs = Math.min(RECONNECT_MAX_MS, reconnectMs * 2);
}

async function rejoin() {
  const found = await askSession("GET");
  if (!found) return;
  if (found.conversation_id !== session?.conversation_id) enter(found);
  else listen();
}

/* ---------- the session ---------- */

/** A session, or null: then either a retry is under way or the banner says what to do. */
async function askSession(method) {
  try {
    const answer = await fetch("/chat/session", { method, credentials: "same-origin", signal: AbortSignal.timeout(SEND_TIMEOUT_MS) });
    if (answer.ok) {
      banner(null);
      return await answer.json();
    }
    if (answer.status === 401 || answer.status === 403) {
      banner("This visit has ended. Reload the page to begin a new one.", () => location.reload());
      return null;
    }
    if (method === "POST") {
      const body = await answer.json().catch(() => ({}));
      banner(`No new conversation: ${refusal(answer, body)}`, () => banner(null), "Close");
      return null;
    }
  } catch {
    if (method === "POST") {
      banner("No new conversation: the server could not be reached.", () => banner(null), "Close");
      return null;
    }
  }
  lost(true);
  later(session ? rejoin : begin);
  return null;
}

function banner(text, action = null, label = "Reload") {
  $("banner").hidden = text === null;
  setText($("banner-text"), text ?? "");
  setText($("banner-action"), label);
  $("banner-action").onclick = action;
}

function enter(next) {
  session = next;
  known = emptyKnown();
  state = null;
  ownWords = false;
  $("messages").replaceChildren();
  $("journal").replaceChildren();
  $("countdown").hidden = true;
  $("typing").hidden = true;
  $("log-cut").hidden = true;
  $("remaining").hidden = true;
  const isOffline = next.responder === "offline";
  setText($("company"), next.company_name ?? next.company_id);
  setText($("avatar"), (next.company_name ?? next.company_id ?? "?").charAt(0).toUpperCase());
  for (const id of ["responder", "responder-near"]) setText($(id), isOffline ? "offline responder" : next.responder);
  $("responder").title = isOffline ? "A built-in responder: no model is asked" : `The model ${next.responder}`;
  setText($("quiet-window"), seconds(next.pace.quiet_window_ms));
  setText($("longest-wait"), seconds(next.pace.longest_wait_ms));
  setText($("welcome-pace"), seconds(next.pace.quiet_window_ms));
  setText($("window-to"), `longest wait, ${seconds(next.pace.longest_wait_ms)}`);
  setText($("conversation"), `${next.company_id}:${next.conversation_id}`);
  setText($("presence"), presence("idle", null));
  setText($("phase"), "…");
  setText($("gloss"), "");
  setText($("reason"), "Waiting for the first report.");
  delete document.body.dataset.phase;
  document.title = `${next.company_name ?? "Turnwise"}: a conversation, live`;
  chatEnd.go();
  logEnd.go();
  recall();
  refresh();
  listen();
}

async function begin() {
  const found = await askSession("GET");
  if (found) {
    lost(false);
    enter(found);
  }
}

/* ---------- the composer, the tabs, the button ---------- */

function fit() {
  const box = $("composer");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + box.offsetHeight - box.clientHeight}px`;
  $("send").disabled = box.value.trim() === "";
}

function submit() {
  const box = $("composer");
  const text = box.value.trim();
  if (text && session) {
    if (!FRAGMENTS.includes(text)) ownWords = true;
    say(text);
    box.value = "";
    fit();
  }
  box.focus();
}

$("composer").addEventListener("input", fit);
$("composer").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
$("compose-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
$("send").addEventListener("pointerdown", (event) => event.preventDefault()); // the keyboard stays open

function view(name) {
  document.body.dataset.view = name;
  for (const [id, at] of [["tab-chat", "chat"], ["tab-journal", "journal"]]) {
    $(id).setAttribute("aria-selected", String(at === name));
    $(id).tabIndex = at === name ? 0 : -1;
  }
  chatEnd.follow();
  logEnd.follow();
}

$("tab-chat").addEventListener("click", () => view("chat"));
$("tab-journal").addEventListener("click", () => view("journal"));
for (const id of ["tab-chat", "tab-journal"]) {
  $(id).addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const other = id === "tab-chat" ? "tab-journal" : "tab-chat";
    $(other).click();
    $(other).focus();
  });
}

$("new-conversation").addEventListener("click", async () => {
  $("new-conversation").disabled = true;
  const next = await askSession("POST");
  $("new-conversation").disabled = false;
  if (!next) return;
  enter(next);
  view("chat");
  if (!narrow.matches) $("composer").focus();
});

fit();
begin();
if (!narrow.matches) $("composer").focus();
