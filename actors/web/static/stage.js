/* Reads from the actor's state and the journal what stage a turn is in, until when, and why. Pure. */

import { quietWords, seconds, sentence, told, until } from "./words.js";

export const STAGES = {
  idle: { name: "idle", gloss: "nothing to answer" },
  window: { name: "window", gloss: "the thought may not be finished" },
  early: { name: "drafting early", gloss: "the model writes while the window is open" },
  ready: { name: "draft ready", gloss: "it waits for the customer to finish" },
  "in line": { name: "in line", gloss: "its company is busy" },
  drafting: { name: "drafting", gloss: "the model is writing" },
  sending: { name: "sending", gloss: "the answer is on its way" },
  retrying: { name: "retrying", gloss: "something failed, it goes on" },
  silent: { name: "silent", gloss: "a person has the word" },
  asleep: { name: "asleep", gloss: "nothing in memory" },
};

/** The draft that the actor has in hand, as its turn_started; null where it has none. */
export const draftOf = (state, known) => (state?.turn && known.drafts.get(state.turn)) || null;

/**
 * Until when the window is open (ms), null where it is not open or nobody can say.
 *
 * While a draft is begun early, the actor may tell no time of its own: it follows from the draft's
 * window and from what the customer did since.
 */
export function openUntil(state, known, pace) {
  if (state.phase === "window") return state.until_ms;
  if (state.phase !== "drafting" || !state.early) return null;
  if (Number.isFinite(state.until_ms)) return state.until_ms;
  const draft = draftOf(state, known);
  if (!draft || known.typingMs) return null;
  const capMs = state.window_opened_ms + pace.longest_wait_ms;
  return Math.min(Math.max(known.lastMs, known.typedMs) + draft.window_ms, capMs);
}

/** One of STAGES; early: until the window closes, ready: the draft waits for that. */
export function stageOf(live) {
  const { state, known, session } = live;
  if (!state) return null;
  if (state.phase === "drafting" && state.early) {
    const untilMs = openUntil(state, known, session.pace);
    return untilMs === null ? (known.typingMs ? "early" : "drafting") : untilMs > live.now() ? "early" : "drafting";
  }
  if (state.phase === "window" && draftOf(state, known)?.early) return "ready";
  return Object.hasOwn(STAGES, state.phase) ? state.phase : "asleep";
}

export const isOpen = (stage) => ["window", "early", "ready"].includes(stage);

/** Why the actor does what it does, as a sentence. */
export function reasonOf(live, stage) {
  const draft = draftOf(live.state, live.known);
  if (stage === "early" && draft) return told(draft.reason);
  return told(live.state.reason) || "No reason was given.";
}

/** {of, text}: why the window of this turn, or of the last one, is as long as it is. */
export function windowReason(live, stage) {
  const { state, known, session } = live;
  const started = isOpen(stage) ? draftOf(state, known) : known.lastStarted;
  const said = (isOpen(stage) && state.window_reason) || started?.window_reason;
  const of = isOpen(stage) || stage === "drafting" || !started ? "this window" : "the last window";
  if (said) return { of, text: sentence(said) };
  const { pace } = session;
  const first = known.replies.size === 0 && known.lastSeq !== 0 && Number.isFinite(pace.first_window_ms);
  const text = pace.learned
    ? `${quietWords(pace)}, by how this customer writes and how the text ends.`
    : `${first ? seconds(pace.first_window_ms) : quietWords(pace)}: the company's window${first ? " for a first message" : ""}.`;
  return { of: isOpen(stage) ? "this window" : "the next window", text };
}

/** Why drafts are begun early, or not. */
export function leadReason(live) {
  if (live.state?.lead) return told(live.state.lead);
  return live.session.pace.draft_early
    ? "Begun before the window closes, once it is known how long the model takes."
    : "The company has them switched off.";
}

/** What stands below the name of the company. */
export function presence(live, stage, leftMs) {
  const { pace } = live.session;
  const soon = leftMs === null ? "" : ` in ${Math.max(1, Math.ceil(leftMs / 1000))} s`;
  switch (stage) {
    case "window": return "listening…";
    case "early": return "listening, drafting already…";
    case "ready": return "listening, a draft is ready";
    case "in line": return "writing soon, others come first";
    case "drafting": return "writing…";
    case "sending": return "sending…";
    case "retrying": return `had trouble, tries again${soon}`;
    case "silent": return "a person has the word";
    case "asleep": return live.silence ? "a person has the word" : "asleep, wakes with your next message";
    default: return `waits for ${quietWords(pace)} of quiet, at most ${seconds(pace.longest_wait_ms)}`;
  }
}

/** Who has the word, and until when, as a sentence. */
export function whoHasTheWord(live) {
  const { silence } = live;
  if (!silence) return "The bot has the word: it answers the customer.";
  const why = String(silence.reason ?? "").replace(/^paused: (.*)$/s, "the bot was paused ($1)");
  const ends = Number.isFinite(silence.until_ms) ? until(silence.until_ms, live.now()) : "the word is given back";
  return `A person has the word: ${why}. The bot is silent until ${ends}.`;
}
