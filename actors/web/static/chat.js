/* Shows one conversation from all sides: its customer's, its journal's, its actor's, its people's. */

import { Actor } from "./actor.js";
import { Agent } from "./agent.js";
import { Composer } from "./composer.js";
import { Journal } from "./journal.js";
import { Live } from "./known.js";
import { $, narrow, setText } from "./page.js";
import { askSession, lost } from "./session.js";
import { Stream } from "./stream.js";
import { Thread } from "./thread.js";
import { quietWords, seconds } from "./words.js";

const live = new Live();
const thread = new Thread(live, lights);
const journal = new Journal(live, lights);
const actor = new Actor(live);
const composer = new Composer(live, thread, refresh);
const agent = new Agent(live, refresh);
const stream = new Stream({ journal: onJournal, state: onState, lost, refused: rejoin });

/* ---------- what comes in ---------- */

function onJournal(event) {
  if (!live.known.take(event)) return;
  thread.take(event);
  if (event.type === "message_received") composer.remember();
  journal.take(event);
  agent.take(event);
  refresh();
}

function onState(state) {
  if (!state || typeof state.phase !== "string") return;
  live.state = state;
  if (Number.isFinite(state.now_ms)) live.offsetMs = state.now_ms - Date.now();
  agent.hear(state);
  actor.draw();
  composer.draw();
  thread.end.follow();
}

let refreshing = 0;

/** Redraws what depends on more than one event, once per burst. */
function refresh() {
  if (refreshing) return;
  refreshing = setTimeout(() => {
    refreshing = 0;
    thread.draw();
    journal.draw();
    composer.draw();
    agent.drawSaid(thread.items);
    actor.draw();
    thread.end.follow();
  }, 0);
}

/** Pointing at one part of a thought lights up all of it, in the chat and in the journal. */
function lights(node, root) {
  for (const on of ["pointerenter", "focusin"]) node.addEventListener(on, () => highlight(root()));
  for (const off of ["pointerleave", "focusout"]) node.addEventListener(off, () => highlight(null));
}

function highlight(root) {
  const isLit = (event) => root !== null && Boolean(event) && live.known.rootOfEvent(event) === root;
  for (const row of journal.rows) row.node.classList.toggle("lit", isLit(row.event));
  for (const item of thread.items) item.node.classList.toggle("lit", isLit(live.known.events.get(item.seq)));
}

/* ---------- the session ---------- */

const unreached = () => stream.later(live.session ? rejoin : begin);

function enter(session) {
  live.begin(session);
  introduce(session);
  thread.clear();
  journal.clear();
  actor.clear();
  agent.clear();
  composer.clear();
  if (document.body.dataset.view === "agent" && !session.webchat_agent) view("chat");
  refresh();
  stream.open(session);
}

function introduce({ company_id, company_name, conversation_id, responder, pace }) {
  const name = company_name ?? company_id;
  const isOffline = responder === "offline";
  setText($("company"), name);
  setText($("avatar"), String(name ?? "?").charAt(0).toUpperCase());
  for (const id of ["responder", "responder-near"]) setText($(id), isOffline ? "offline responder" : responder);
  $("responder").title = isOffline ? "A built-in responder: no model is asked" : responder;
  setText($("quiet-window"), pace.learned ? `${quietWords(pace)}, learned` : quietWords(pace));
  setText($("longest-wait"), seconds(pace.longest_wait_ms));
  setText($("draft-early"), pace.draft_early ? "yes" : "no");
  setText($("on-message"), pace.on_new_message === "supersede" ? "begins anew" : "waits its turn");
  setText($("welcome-pace"), quietWords(pace));
  setText($("welcome-how"), pace.learned ? " (the more it knows how you write, the better it fits)" : "");
  setText($("window-to"), `longest wait, ${seconds(pace.longest_wait_ms)}`);
  setText($("conversation"), `${company_id}:${conversation_id}`);
  document.title = `${name ?? "Turnwise"}: a conversation, live`;
}

async function begin() {
  const found = await askSession("GET", unreached);
  if (!found) return;
  lost(false);
  enter(found);
}

async function rejoin() {
  const found = await askSession("GET", unreached);
  if (!found) return;
  if (found.conversation_id !== live.session?.conversation_id) enter(found);
  else stream.open(live.session);
}

/* ---------- the tabs, the button ---------- */

const tabs = ["chat", "journal", "agent"];

function view(name) {
  document.body.dataset.view = name;
  for (const at of tabs) {
    $(`tab-${at}`).setAttribute("aria-selected", String(at === name));
    $(`tab-${at}`).tabIndex = at === name ? 0 : -1;
  }
  thread.end.follow();
  journal.end.follow();
}

for (const at of tabs) {
  $(`tab-${at}`).addEventListener("click", () => view(at));
  $(`tab-${at}`).addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const shown = tabs.filter((each) => !$(`tab-${each}`).hidden);
    const other = shown[(shown.indexOf(at) + step + shown.length) % shown.length];
    view(other);
    $(`tab-${other}`).focus();
  });
}

$("new-conversation").addEventListener("click", async () => {
  $("new-conversation").disabled = true;
  const next = await askSession("POST", unreached);
  $("new-conversation").disabled = false;
  if (!next) return;
  enter(next);
  view("chat");
  if (!narrow.matches) $("composer").focus();
});

begin();
if (!narrow.matches) $("composer").focus();
