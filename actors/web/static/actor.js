/* Shows what the actor does now: its stage and reason, the countdown, the window as a line. */

import { $, announce, calm, h, setText } from "./page.js";
import { isOpen, leadReason, openUntil, presence, reasonOf, STAGES, stageOf, whoHasTheWord, windowReason } from "./stage.js";
import { count, seconds, until } from "./words.js";

const LATE_MS = 2_000; // so long after its time a countdown still waits for the next report
const CALM_TICK_MS = 500;
const SLOW_TICK_MS = 15_000; // silence lasts hours: it is not drawn sixty times a second
const SAID = {
  window: "Listening for more.",
  early: "An answer is drafted early; the window is still open.",
  ready: "A draft is ready. It waits for you to finish.",
  drafting: "An answer is being written.",
};

export class Actor {
  constructor(live) {
    this.live = live;
    this.frame = 0;
    this.timer = 0;
    this.stage = null;
    this.window = null; // {openedMs, untilMs}: the open one, or the last
  }

  clear() {
    this.stage = null;
    this.window = null;
    for (const id of ["countdown", "typing", "remaining", "silence"]) $(id).hidden = true;
    setText($("phase"), "…");
    setText($("gloss"), "");
    setText($("reason"), "Waiting for the first report.");
    setText($("why-window"), "");
    setText($("why-early"), "");
    setText($("presence"), presence(this.live, "idle", null));
    delete document.body.dataset.phase;
    this.draw();
  }

  /** Draws everything anew: after a report of the actor, or events of the journal. */
  draw() {
    const { live } = this;
    if (!live.state) return this.drawWindow();
    const { state } = live;
    const stage = stageOf(live);
    const before = this.stage;
    this.stage = stage;
    if (isOpen(stage)) this.window = { openedMs: state.window_opened_ms, untilMs: openUntil(state, live.known, live.session.pace) };
    document.body.dataset.phase = stage;
    $("phase").dataset.phase = stage;
    setText($("phase"), STAGES[stage].name);
    setText($("gloss"), STAGES[stage].gloss);
    setText($("reason"), reasonOf(live, stage));
    this.drawWhys(stage);
    this.drawVitals(state);
    $("countdown").hidden = !isOpen(stage);
    $("typing").hidden = !["drafting", "sending"].includes(stage);
    $("silence").hidden = !live.silence;
    setText($("silence-text"), live.silence ? whoHasTheWord(live) : "");
    if (before !== null && before !== stage && SAID[stage]) announce(SAID[stage]);
    this.drawWindow();
    this.tick();
  }

  drawWhys(stage) {
    const why = windowReason(this.live, stage);
    setText($("why-window-of"), why.of);
    setText($("why-window"), why.text);
    setText($("why-early"), leadReason(this.live));
  }

  drawVitals(state) {
    const vital = (id, value) => {
      setText($(id), value === null || value === undefined ? "–" : String(value));
      $(id).title = $(id).textContent;
    };
    vital("v-waiting", state.waiting);
    vital("v-turn", state.turn ? String(state.turn).split(":").pop() : null);
    $("v-turn").title = state.turn ?? "";
    vital("v-seq", state.seq);
    vital("v-epoch", state.epoch);
    vital("v-host", state.host);
    vital("v-pid", state.pid);
  }

  drawCountdown(stage, untilMs, leftMs) {
    const { known, session, state } = this.live;
    const longest = session.pace.longest_wait_ms;
    const capped = untilMs !== null && untilMs >= state.window_opened_ms + longest - 100;
    const whole = leftMs === null ? null : Math.ceil(leftMs / 1000);
    const typing = known.typingMs > 0;
    const soon = whole === null ? "" : whole > 0 ? `answers in ${whole} s` : "answers any moment";
    $("countdown").dataset.draft = { early: "writing", ready: "ready" }[stage] ?? "none";
    $("countdown").dataset.typing = String(typing);
    setText($("countdown-text"), typing ? "You are typing, the window stays open" : `Listening… ${soon}`);
    setText($("countdown-hint"), typing ? (capped && whole > 0 ? `For ${whole} s at most: then the longest wait is over` : "It waits until you stop")
      : capped ? `This is the longest wait, ${seconds(longest)}` : "Write more, and it waits again");
    $("countdown-draft").hidden = stage === "window";
    setText($("countdown-draft-text"), stage === "ready"
      ? "A draft is ready, waiting for you to finish" : "Drafting early: an answer is written meanwhile");
    const full = untilMs === null ? 1 : Math.max(1, untilMs - Math.max(known.lastMs, known.typedMs));
    const share = leftMs === null ? 1 : Math.min(1, Math.max(0, leftMs / full));
    $("ring").style.strokeDashoffset = String(100 - 100 * share);
  }

  /** The window as a line from the first unanswered message to the longest wait. */
  drawWindow() {
    const w = this.window;
    const open = isOpen(this.stage);
    $("window").dataset.open = String(open);
    if (!this.live.session || !w) {
      $("window-marks").replaceChildren();
      $("window-drafts").replaceChildren();
      $("window-quiet").hidden = true;
      return;
    }
    const at = this.span();
    const end = w.untilMs ?? w.openedMs + this.live.session.pace.longest_wait_ms;
    const times = [...this.live.known.events.values()]
      .filter((e) => e.type === "message_received" && e.at_ms >= w.openedMs - 50 && e.at_ms <= end)
      .map((e) => e.at_ms);
    $("window-marks").replaceChildren(...times.map((ms) => {
      const mark = h("span", { class: "mark" });
      mark.style.left = at(ms);
      return mark;
    }));
    const attempts = this.drawDrafts(at, end);
    const last = times.length ? Math.max(...times) : w.openedMs;
    $("window-quiet").hidden = !Number.isFinite(w.untilMs);
    if (Number.isFinite(w.untilMs)) {
      $("window-quiet").style.left = at(last);
      $("window-quiet").style.right = `calc(100% - ${at(w.untilMs)})`;
    }
    const early = attempts ? `, ${count(attempts, "early draft")}` : "";
    $("window").setAttribute("aria-label", `${open ? "Open window" : "Last window"}: ${count(times.length, "message")}${early}`);
  }

  drawDrafts(at, end) {
    const w = this.window;
    const mine = this.live.known.attempts.filter((each) => each.fromMs >= w.openedMs - 50 && each.fromMs <= end);
    $("window-drafts").replaceChildren(...mine.map((each) => {
      const bar = h("span", { class: "early", "data-fate": each.fate });
      bar.style.left = at(each.fromMs);
      bar.style.right = `calc(100% - ${at(Math.min(each.toMs ?? this.live.now(), end))})`;
      return bar;
    }));
    return mine.length;
  }

  span() {
    const w = this.window;
    const longest = Math.max(this.live.session.pace.longest_wait_ms, (w.untilMs ?? 0) - w.openedMs, 1);
    return (atMs) => `${Math.min(100, Math.max(0, (100 * (atMs - w.openedMs)) / longest))}%`;
  }

  /** Draws all that moves with time, and comes back only while something does. */
  tick() {
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    const { live } = this;
    if (!live.state || !live.session) return;
    const stage = stageOf(live);
    if (stage !== this.stage) return this.draw(); // the window closed while the model writes
    const open = isOpen(stage);
    const untilMs = open ? openUntil(live.state, live.known, live.session.pace) : live.state.until_ms;
    const leftMs = Number.isFinite(untilMs) ? untilMs - live.now() : null;
    if (open) this.drawCountdown(stage, Number.isFinite(untilMs) ? untilMs : null, leftMs);
    setText($("presence"), presence(live, stage, leftMs));
    $("remaining").hidden = leftMs === null || ["idle", "asleep"].includes(stage);
    $("window-now").hidden = !open || !this.window;
    if (open && this.window) this.drawNow();
    if (leftMs !== null) setText($("remaining"), this.left(stage, untilMs, leftMs));
    if (open || (leftMs !== null && leftMs >= -LATE_MS)) this.again(stage, leftMs);
  }

  drawNow() {
    $("window-now").style.left = this.span()(this.live.now());
    const bar = $("window-drafts").querySelector('[data-fate="open"]');
    if (bar && this.stage === "early") bar.style.right = `calc(100% - ${this.span()(this.live.now())})`;
  }

  left(stage, untilMs, leftMs) {
    if (stage === "silent") return `until ${until(untilMs, this.live.now())}`;
    return `${(Math.max(0, leftMs) / 1000).toFixed(calm.matches ? 0 : 1)} s`;
  }

  again(stage, leftMs) {
    if (stage === "silent") this.timer = setTimeout(() => this.tick(), SLOW_TICK_MS);
    else if (calm.matches || (leftMs !== null && leftMs < -LATE_MS)) this.timer = setTimeout(() => this.tick(), CALM_TICK_MS);
    else this.frame = requestAnimationFrame(() => this.tick());
  }
}
