/* Calls the server, and says in words for people what it refused. */

import { told } from "./words.js";

export const CALL_TIMEOUT_MS = 15_000;

export const api = (conversation, tail) =>
  `/api/companies/${encodeURIComponent(conversation.company_id)}` +
  `/conversations/${encodeURIComponent(conversation.conversation_id)}${tail}`;

/** Why it was refused, with the time after which it may work. */
export function refusal(answer, body) {
  const detail = typeof body.detail === "string" ? told(body.detail) : `The server refused it (${answer.status}).`;
  const after = Number.parseInt(answer.headers.get("retry-after") ?? "", 10);
  return Number.isFinite(after) && after > 0 ? `${detail} Free again in about ${after} s.` : detail;
}

/** The answer to a request. Throws an Error whose message is a sentence for people. */
async function call(url, options) {
  let answer;
  try {
    answer = await fetch(url, {
      credentials: "same-origin",
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
      ...options,
    });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "No answer from the server." : "The server could not be reached.");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(refusal(answer, body));
  return body;
}

export const ask = (conversation) => call(api(conversation, ""), { headers: { accept: "application/json" } });

export const post = (conversation, tail, body) =>
  call(api(conversation, tail), {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(body),
  });
