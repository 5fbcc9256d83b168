/* Folds the journal's events into what belongs together, what became of it, and who types. */

import { list } from "./words.js";

const ATTEMPTS_MAX = 50; // early drafts remembered for the picture of the window
const FRESH_MS = 5_000; // an older event is history: shown, neither announced nor animated

export class Known {
  events = new Map(); // seq -> event
  replies = new Map(); // reply_id -> reply_committed
  turnOf = new Map(); // seq of a message -> turn
  rootOf = new Map(); // turn -> its first message's seq: turns over the same messages share it
  nearOf = new Map(); // seq of a customer_typing -> seq of the message before it
  seqOf = new Map(); // message_id -> seq
  superseded = new Set(); // turns that gave way: their messages wait again
  outcomes = new Map(); // seq of a message -> {kind: answered | handed | left | aside, why, reply, last}
  drafts = new Map(); // turn -> turn_started: drafts being written, or ready and not yet promised
  attempts = []; // early drafts: {turn, fromMs, toMs, fate: open | kept | thrown}
  thrown = new Map(); // seq of a message -> turn_superseded that it brought about
  lastStarted = null; // the newest turn_started
  lastMs = 0; // when the customer last wrote
  typingMs = 0; // since when the customer types, 0: they do not
  typedMs = 0; // when they last typed, since their last message
  lastSeq = 0; // of the customer's newest message

  /** Takes an event in; false if it was known. */
  take(event) {
    if (!event || !Number.isFinite(event.seq) || this.events.has(event.seq)) return false;
    this.events.set(event.seq, event);
    if (Object.hasOwn(FOLD, event.type)) FOLD[event.type](this, event);
    return true;
  }

  answersOf(event) {
    return list(event.answers ?? this.replies.get(event.reply_id)?.answers);
  }

  /** The texts in which a reply is sent. */
  textsOf(replyId) {
    const reply = this.replies.get(replyId);
    if (!reply) return [];
    return list(reply.parts).length ? reply.parts : [reply.text].filter(Boolean);
  }

  /* All that belongs to one thought shares its first message's seq. */

  rootOfTurn(turn) {
    return this.rootOf.get(turn) ?? null;
  }

  rootOfMessage(seq) {
    if (seq === null || seq === undefined) return null;
    return this.rootOfTurn(this.turnOf.get(seq)) ?? "open";
  }

  rootOfEvent(event) {
    if (event.type === "message_received") return this.rootOfMessage(event.seq);
    if (event.type === "message_amended") return this.rootOfMessage(this.seqOf.get(event.message_id));
    if (event.type === "customer_typing") return this.rootOfMessage(this.nearOf.get(event.seq));
    if (event.turn) return this.rootOfTurn(event.turn);
    if (event.reply_id !== undefined) {
      return this.rootOfTurn(this.replies.get(event.reply_id)?.turn) ?? this.rootOfMessage(this.answersOf(event)[0]);
    }
    if (list(event.seqs).length) return this.rootOfMessage(event.seqs[0]);
    return null;
  }

  isAfterLast(event) {
    return event.seq > this.lastSeq;
  }

  covers(turn, seqs) {
    if (!list(seqs).length) return;
    this.rootOf.set(turn, Math.min(...seqs));
    for (const seq of seqs) this.turnOf.set(seq, turn);
  }

  settle(seqs, kind, { why = "", reply = null } = {}) {
    const last = Math.max(...seqs);
    for (const seq of seqs) this.outcomes.set(seq, { kind, why: String(why ?? ""), reply, last });
    const alone = seqs.filter((seq) => !this.turnOf.has(seq));
    if (alone.length) this.covers(`settled:${Math.min(...alone)}`, alone);
  }

  endDraft(turn, fate, atMs) {
    this.drafts.delete(turn);
    for (const attempt of this.attempts) {
      if (attempt.turn === turn && attempt.fate === "open") Object.assign(attempt, { fate, toMs: atMs });
    }
  }
}

const FOLD = {
  message_received(known, e) {
    known.seqOf.set(e.message_id, e.seq);
    known.lastSeq = Math.max(known.lastSeq, e.seq);
    known.lastMs = e.at_ms;
    known.typingMs = 0;
    known.typedMs = 0;
  },
  customer_typing(known, e) {
    if (known.lastSeq) known.nearOf.set(e.seq, known.lastSeq);
    known.typingMs = e.on ? e.at_ms : 0;
    known.typedMs = e.at_ms;
  },
  turn_started(known, e) {
    known.covers(e.turn, e.covers);
    known.superseded.delete(e.turn);
    known.endDraft(e.turn, "thrown", e.at_ms); // of a process that died
    known.drafts.set(e.turn, e);
    known.lastStarted = e;
    if (!e.early) return;
    known.attempts.push({ turn: e.turn, fromMs: e.at_ms, toMs: null, fate: "open" });
    if (known.attempts.length > ATTEMPTS_MAX) known.attempts.shift();
  },
  turn_superseded(known, e) {
    known.superseded.add(e.turn);
    known.thrown.set(e.by, e);
    known.endDraft(e.turn, "thrown", e.at_ms);
  },
  turn_failed: (known, e) => known.endDraft(e.turn, "thrown", e.at_ms),
  turn_interrupted: (known, e) => known.endDraft(e.turn, "thrown", e.at_ms),
  reply_committed(known, e) {
    known.replies.set(e.reply_id, e);
    known.covers(e.turn, e.answers);
    known.endDraft(e.turn, "kept", e.at_ms);
  },
  left_unanswered(known, e) {
    known.settle(list(e.seqs), "left", { why: e.reason });
    if (e.turn) known.endDraft(e.turn, "thrown", e.at_ms);
  },
  set_aside(known, e) {
    known.settle(list(e.seqs), "aside", { why: e.reason });
    for (const seq of list(e.seqs)) known.drafts.delete(known.turnOf.get(seq));
  },
  reply_sent: (known, e) => known.settle(known.answersOf(e), "answered", { reply: e.reply_id }),
  handed_over: (known, e) => known.settle(known.answersOf(e), "handed", { why: e.reason, reply: e.reply_id }),
  reply_withheld: (known, e) => known.settle(known.answersOf(e), "left", { why: e.reason }),
};

/** What every part of the page shares: the session, what is known, what the actor does. */
export class Live {
  session = null;
  known = new Known();
  state = null;
  offsetMs = 0; // the server's clock minus ours
  #silence = null;

  begin(session) {
    this.session = session;
    this.known = new Known();
    this.state = null;
    this.#silence = null;
  }

  /** {reason, until_ms} while the bot may not speak, else null. */
  get silence() {
    const untilMs = this.#silence?.until_ms;
    return Number.isFinite(untilMs) && untilMs <= this.now() ? null : this.#silence;
  }

  set silence(silence) {
    this.#silence = silence;
  }

  now() {
    return Date.now() + this.offsetMs;
  }

  isFresh(atMs) {
    return Number.isFinite(atMs) && this.now() - atMs < FRESH_MS;
  }
}
