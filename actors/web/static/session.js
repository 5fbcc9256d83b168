/* Asks which conversation this browser holds, and says so when it holds none any more. */

import { $, setText } from "./page.js";
import { CALL_TIMEOUT_MS, refusal } from "./server.js";

const BLINK_MS = 500; // a shorter loss of the connection is not worth a word

export function banner(text, action = null, label = "Reload") {
  $("banner").hidden = text === null;
  setText($("banner-text"), text ?? "");
  setText($("banner-action"), label);
  $("banner-action").onclick = action;
}

let lostTimer = 0;

/** Says that what is shown may be old. */
export function lost(isLost) {
  clearTimeout(lostTimer);
  const show = (yes) => {
    for (const node of document.querySelectorAll("[data-connection]")) node.hidden = !yes;
    document.body.classList.toggle("lost", yes);
  };
  if (isLost) lostTimer = setTimeout(() => show(true), BLINK_MS);
  else show(false);
}

/** A session, or null: then `unreached` was called, or the banner says what to do. */
export async function askSession(method, unreached) {
  try {
    const answer = await fetch("/chat/session", {
      method, credentials: "same-origin", signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    });
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
  unreached();
  return null;
}
