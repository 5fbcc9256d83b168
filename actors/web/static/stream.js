/* Keeps the live view of a conversation open: its journal and its actor's state, as they come. */

import { api } from "./server.js";

const RECONNECT_FIRST_MS = 1_000;
const RECONNECT_MAX_MS = 15_000;

export class Stream {
  /** on: {journal, state, lost, refused}; the last when the server will not have it any more. */
  constructor(on) {
    this.on = on;
    this.source = null;
    this.timer = 0;
    this.waitMs = RECONNECT_FIRST_MS;
  }

  open(conversation) {
    this.source?.close();
    clearTimeout(this.timer);
    const mine = new EventSource(api(conversation, "/events"));
    this.source = mine;
    const ifMine = (then) => (message) => { if (mine === this.source) then(message); };
    mine.addEventListener("open", ifMine(() => {
      this.waitMs = RECONNECT_FIRST_MS;
      this.on.lost(false);
    }));
    mine.addEventListener("journal", ifMine((message) => parsed(message, this.on.journal)));
    mine.addEventListener("state", ifMine((message) => parsed(message, this.on.state)));
    mine.addEventListener("error", ifMine(() => {
      this.on.lost(true);
      // The browser reconnects by itself, unless the server answered with an error: then it gives up.
      if (mine.readyState === EventSource.CLOSED) this.later(this.on.refused);
    }));
  }

  /** Tries again, each time later. */
  later(job) {
    clearTimeout(this.timer);
    this.timer = setTimeout(job, this.waitMs);
    this.waitMs = Math.min(RECONNECT_MAX_MS, this.waitMs * 2);
  }
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
