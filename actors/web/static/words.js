/* Puts times, lengths and texts into words. */

import { h } from "./page.js";

const DAY = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
export const clockShort = new Intl.DateTimeFormat([], DAY);
export const clockLong = new Intl.DateTimeFormat([], { ...DAY, second: "2-digit" });
const clockWhole = new Intl.DateTimeFormat([], {
  ...DAY, second: "2-digit", year: "numeric", month: "short", day: "numeric",
});

export function timeNode(atMs, format) {
  const at = new Date(Number.isFinite(atMs) ? atMs : Date.now());
  return h("time", { datetime: at.toISOString(), title: clockWhole.format(at) }, format.format(at));
}

/** "22:10", with the day where it is another one. */
export function until(atMs, nowMs) {
  const sameDay = new Date(atMs).toDateString() === new Date(nowMs).toDateString();
  return (sameDay ? clockShort : clockWhole).format(new Date(atMs));
}

export function seconds(ms) {
  const s = ms / 1000;
  if (Math.abs(s) >= 5_400) return `${Number((s / 3_600).toFixed(1))} h`;
  if (Math.abs(s) >= 90) return `${Math.round(s / 60)} min`;
  return `${Number(s.toFixed(Math.abs(s) < 20 ? 1 : 0))} s`;
}

export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
export const list = (value) => (Array.isArray(value) ? value : []);
export const turnName = (turn) => `turn ${String(turn ?? "?").split(":").pop()}`;
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const sentence = (text) => (/[.!?…]["”')\]]?$/.test(text) ? text : `${text}.`);
/** A server's reason as a sentence; "" where it gave none. */
export const told = (text) => (text ? sentence(capital(String(text))) : "");

/** The beginning of a text on one line; it is never cut between a stop and its ellipsis. */
export function excerpt(text, most = 160) {
  const flat = String(text ?? "").replace(/\s+/g, " ").trim();
  if (flat.length <= most) return flat;
  const cut = flat.slice(0, most - 1);
  const word = cut.lastIndexOf(" ");
  const whole = flat[most - 1] === " " || word < most / 2 ? cut : cut.slice(0, word);
  return `${whole.replace(/[\s.,;:!?…–—-]+$/u, "")}…`;
}

/** How long a company waits for quiet. */
export function quietWords(pace) {
  if (!pace.learned) return seconds(pace.quiet_window_ms);
  const [low, high] = [pace.window_min_ms, Math.min(pace.window_max_ms, pace.longest_wait_ms)];
  return low < high ? `${seconds(low).replace(/ s$/, "")} to ${seconds(high)}` : seconds(low);
}

/** crypto.randomUUID exists only on https and localhost; a phone on the same network has neither. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
