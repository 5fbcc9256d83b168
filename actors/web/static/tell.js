/* Says each event of the journal as a sentence, with what explains it below. */

import { h } from "./page.js";
import { capital, count, excerpt, list, seconds, sentence, told, turnName, until } from "./words.js";

const JOINED = {
  space: "read as one sentence",
  newline: "read line by line",
  "blank line": "read as paragraphs",
  single: "a single message",
  apart: "read as separate messages",
};

const strong = (text) => h("b", {}, text);
const quote = (text) => h("q", { dir: "auto" }, excerpt(text));
const ref = (seq) => h("span", { class: "ref" }, `#${seq}`);
const refs = (seqs) => h("span", { class: "refs" }, ...list(seqs).map(ref));
const turn = (e) => strong(capital(turnName(e.turn)));
const wasted = (tokens) => (tokens ? `${count(tokens, "token")} wasted.` : "");
const retry = (e) => (Number.isFinite(e.retry_at_ms) ? `Next try ${seconds(Math.max(0, e.retry_at_ms - e.at_ms))} later.` : "No further try.");
const files = (e) => (list(e.attachments).length ? `With ${count(list(e.attachments).length, "file")}: ${list(e.attachments).map((file) => file.kind).join(", ")}.` : "");

/** type -> [what happened, details…]; each a list of text and nodes. */
const TELL = {
  message_received: (e) => [[strong("Customer"), " wrote ", quote(e.text)], [files(e)],
    [e.how === "caught up" ? "No webhook told of it: it was found in the channel." : ""]],
  message_missed: (e) => [[strong("Customer"), " had written ", quote(e.text)], [files(e)],
    [`Found too late to be answered: ${sentence(e.reason)}`]],
  message_amended: (e) => [[strong("Message changed"), " to ", quote(e.text)],
    ["The channel delivered it anew: a transcript came, or it was edited."]],
  customer_typing: (e) => [[strong("Customer"), e.on ? " is typing: the window stays open" : " stopped typing: the window counts from here"]],
  standing_seen: (e) => [[strong("The channel says"), " who may speak"], [standing(e)],
    [e.how === "before sending" ? "It was looked up right before sending." : ""],
    [e.how === "caught up" ? "No webhook told of it: it was found in the channel." : ""]],
  person_replied: (e) => [[strong(e.name || "A person"), e.how === "phone app" ? " answered on the phone " : " answered ", quote(e.text)],
    ["A person has the word: the bot is silent."]],
  paused: (e) => [[strong("Bot paused"), Number.isFinite(e.until_ms) ? ` until ${until(e.until_ms, e.at_ms)}` : " until somebody gives the word back"],
    [told(e.reason)]],
  resumed: () => [[strong("Bot has the word again")], ["It answers what is written from now on."]],
  turn_started: (e) => [
    [turn(e), e.early ? " is drafted early, for " : " takes ", refs(e.covers), e.attempt > 1 ? ` (attempt ${e.attempt})` : ""],
    [told(e.reason)],
    [e.window_reason ? `The window is ${sentence(e.window_reason)}` : ""],
    [e.join ? told(JOINED[e.join.how] ?? e.join.how) : "", e.join?.reason && e.join.how !== "single" ? ` ${told(e.join.reason)}` : ""],
  ],
  turn_superseded: (e, { pace }) => [
    [turn(e), e.early ? ": the early draft is thrown away, " : " gives way to ",
      e.early ? "the customer went on writing: " : "", ref(e.by), e.early ? "" : ", the customer wrote more"],
    [wasted(e.tokens_wasted), e.early || !pace ? "" : ` At most ${count(pace.supersede_max, "time")} in a turn, then it answers.`]],
  turn_failed: (e) => [[turn(e), ` failed at attempt ${e.attempt ?? "?"}`], [told(e.error) || "No reason was given."], [retry(e)]],
  turn_interrupted: (e) => [[turn(e), " was interrupted"], [told(e.reason)]],
  left_unanswered: (e) => [[strong("Left to people"), " ", refs(e.seqs)], [told(e.reason)],
    [e.turn ? `${capital(turnName(e.turn))} was cancelled. ${wasted(e.tokens_wasted)}` : ""]],
  reply_committed: (e) => [
    [strong("Answer promised"), " to ", refs(e.answers), list(e.parts).length > 1 ? `, in ${e.parts.length} parts` : ""],
    e.text ? [quote(e.text)] : [],
    [told(e.reason)],
    [cost(e)],
    [list(e.tools).map((run) => `${run.name} (${seconds(run.took_ms)}${run.error ? `, failed: ${excerpt(run.error, 80)}` : ""})`).join(", ")],
    [list(e.read).length ? `${count(list(e.read).length, "attachment")} read.` : ""],
    [e.hand_over ? `Then a person takes over: ${sentence(e.hand_over)}` : ""],
  ],
  send_failed: (e) => [[strong("Sending failed"), ` at attempt ${e.attempt ?? "?"}`],
    [told(e.error), e.doubtful ? " It may have arrived: the channel is read back first." : ""], [retry(e)]],
  part_sent: (e, { known }) => [
    [strong(part(e, known.textsOf(e.reply_id).length)), " to ", refs(known.answersOf(e))], [readBack(e)]],
  reply_sent: (e, { known }) => [
    [strong(e.how === "read back" ? "Answer found delivered" : "Answer delivered"), " to ", refs(known.answersOf(e))],
    [readBack(e), afterLast(e, known)]],
  handed_over: (e) => [[strong("Handed over to a person")], [told(e.reason)], ["The bot is silent until the word is given back."]],
  reply_withheld: (e) => [[strong("Answer withheld"), " from ", refs(e.answers)],
    [e.parts_sent ? `${count(e.parts_sent, "part")} had been sent. ` : "", told(e.reason)]],
  set_aside: (e) => [[strong("Set aside"), " ", refs(e.seqs)], [told(e.reason)], [told(e.error)]],
};

function standing(e) {
  return told([
    e.status && `status ${e.status}`,
    e.assignee && (e.assignee === "user" ? "assigned to a person" : `assigned to a ${e.assignee}`),
    list(e.labels).length && `labels ${e.labels.join(", ")}`,
    e.blocked && "the contact is blocked",
    e.can_reply === false && "no reply can be sent",
  ].filter(Boolean).join("; "));
}

const part = (e, parts) => (parts === 1 ? "Answer delivered" : `Part ${Number(e.part) + 1} of ${parts || "?"} delivered`);

function cost(e) {
  const known = Number.isFinite(e.tokens_in) && Number.isFinite(e.tokens_out) && e.tokens_in + e.tokens_out > 0;
  return [e.model, known ? `${e.tokens_in} tokens in, ${e.tokens_out} out` : ""].filter(Boolean).join(" · ");
}

const readBack = (e) => (e.how === "read back" ? "The channel was read back: nothing is sent twice. " : "");

function afterLast(e, known) {
  const times = known.answersOf(e).map((seq) => known.events.get(seq)?.at_ms).filter(Number.isFinite);
  return times.length ? `${seconds(e.at_ms - Math.max(...times))} after the last word.` : "";
}

function generic(event) {
  const { seq, at_ms, type, ...rest } = event;
  return [[strong(String(type ?? "event"))], [h("code", {}, excerpt(JSON.stringify(rest), 240))]];
}

/** [headline, details…] of an event; about: {known, pace}. */
export function tell(event, about) {
  let lines;
  try {
    lines = Object.hasOwn(TELL, event.type) ? TELL[event.type](event, about) : generic(event);
  } catch {
    lines = generic(event); // a field has another shape than expected: still shown
  }
  const [headline, ...details] = lines;
  return [headline, ...details.map((parts) => parts.filter((part) => part !== "")).filter((parts) => parts.length > 0)];
}
