// The draft of a turn, and how it is written: kept in this browser until it is sent.

import { TOKEN } from "./ask.js";

const KEY = `coral draft ${TOKEN}`;

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) || {};
  } catch {
    return {}; // no storage here: the draft lasts as long as the page
  }
}

function keep(draft) {
  try {
    localStorage.setItem(KEY, JSON.stringify(draft));
  } catch {
    // as above
  }
}

let draft = {};

// The draft of a turn, begun now if there is none.
export function open(turn) {
  if (draft.turn !== turn) {
    const before = kept();
    const now = Date.now();
    draft = before.turn === turn ? before : { turn, text: "", shown: now, first: null, away: 0, left: null };
    if (document.visibilityState === "visible") come();
    else if (draft.left === null) leave();
    keep(draft);
  }
  return draft;
}

export function write(text) {
  draft.text = text;
  if (draft.first === null) draft.first = Date.now() - draft.shown;
  keep(draft);
}

export function spell() {
  const seconds = (ms) => Math.max(0, Math.round(ms) / 1000);
  return {
    seconds: seconds(Date.now() - draft.shown),
    first_key_s: draft.first === null ? null : seconds(draft.first),
    away_s: seconds(draft.away),
  };
}

// What was sent needs no draft; the next turn may have begun one since.
export function drop(turn) {
  if (draft.turn !== turn) return;
  draft = {};
  keep(draft);
}

function come() {
  if (draft.left != null) draft.away += Date.now() - draft.left;
  draft.left = null;
}

function leave() {
  draft.left = Date.now();
}

function turned() {
  if (!draft.turn) return;
  if (document.visibilityState === "visible") come();
  else leave();
  keep(draft);
}

addEventListener("visibilitychange", turned);
addEventListener("pagehide", () => {
  if (!draft.turn || draft.left !== null) return;
  leave();
  keep(draft);
});
