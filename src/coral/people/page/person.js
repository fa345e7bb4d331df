// A person's page: the conversation as their seat sees it, and their turn.

import { html, render, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import { get, post } from "./ask.js";
import * as draft from "./draft.js";
import { useSent } from "./sent.js";
import { Study } from "./study.js";
import { LONGEST, visible } from "./text.js";

const AGAIN_MS = 3000; // until a server that did not answer is asked again
const LONG_MS = 30000; // a reply that takes longer is spoken of

const NAMES = { instructions: "Your instructions", problem: "Problem", beginning: "The problem, and what your partner says", other: "Partner", you: "You", aside: "Between us" };

function App() {
  const [state, show] = useState(null);
  const [error, fail] = useState(null);
  const [lost, lose] = useState(false);
  const known = useRef("");
  const take = (found) => {
    fail(null);
    lose(false);
    if (isOlder(found.version, known.current)) return;
    known.current = found.version || "";
    show(found);
  };
  useEffect(() => {
    let over = false;
    const follow = async () => {
      while (!over) {
        try {
          const found = await get("seat", { version: known.current });
          take(found);
          if (found.phase === "study" || (found.closed && isFinished(found))) return;
          if (found.closed) await pause();
        } catch (refused) {
          if (refused.isOurs) return fail(refused);
          lose(true);
          await pause();
        }
      }
    };
    follow();
    return () => (over = true);
  }, []);
  if (error) return html`<main class="talk"><${Ended} error=${error} /></main>`;
  if (!state) return html`<main class="talk">${lost ? html`<${Away} />` : html`<p class="quiet">Loading…</p>`}</main>`;
  if (state.phase === "study") return html`<${Study} />`;
  return html`<${Talk} state=${state} take=${take} lost=${(lost || state.closed) && !isFinished(state)} />`;
}

// Versions are EPOCH.NUMBER, an epoch per process of the server. What the page waits for and what is answered to words
// that it sends arrive in any order.
function isOlder(version, known) {
  const [[epoch, number], [before, latest]] = [version || "", known].map((one) => one.split("."));
  return epoch === before && Number(number) < Number(latest);
}

const isFinished = (state) => state.phase === "over" && !state.more;

const pause = () => new Promise((resolve) => setTimeout(resolve, AGAIN_MS));

function Talk({ state, take, lost }) {
  const { phase } = state;
  const talking = phase === "yours" || phase === "waiting" || phase === "trouble";
  const title = { yours: "Your turn", waiting: "Your partner writes", trouble: "A pause" }[phase] || "Conversation";
  useEffect(() => {
    document.title = phase === "yours" ? "● Your turn" : title;
  }, [phase]);
  const isTold = (one) => ["instructions", "problem", "beginning"].includes(one.who);
  const said = state.messages.filter((one) => !isTold(one));
  const told = state.messages.filter(isTold);
  return html`<header class="top"><b>${talking ? `Problem ${state.number}` : "Conversation"}</b>
      <span class="quiet">${state.done} done</span></header>
    <main class="talk">
      <h1 class="hidden">${title}</h1>
      <p class="hidden" role="status" aria-live="polite">${announced(state)}</p>
      ${phase === "welcome" || phase === "gathering" ? html`<${Welcome} state=${state} take=${take} />` : null}
      ${told.map((one) => html`<${Told} key=${`${state.number}${one.who}`} one=${one} open=${said.length === 0 || one.who !== "instructions"} />`)}
      ${said.map((one, index) => html`<${Said} key=${`${state.number} ${index}`} one=${one} last=${index === said.length - 1} />`)}
      ${lost ? html`<${Away} />` : null}
      ${lost && phase !== "yours" ? null : html`<${Below} state=${state} take=${take} />`}
    </main>`;
}

function announced({ phase, messages, outcome }) {
  const last = messages[messages.length - 1];
  if (phase === "yours") return last && last.who === "other" ? `Your partner wrote: ${last.text.slice(0, 500)}` : "It is your turn.";
  if (phase === "waiting") return "Sent. Your partner is writing.";
  if (phase === "trouble") return "Your partner cannot be reached.";
  if (phase === "over") return OVER[outcome] || "";
  return "";
}

function Below({ state, take }) {
  if (state.phase === "yours") return html`<${Turn} key=${state.turn} state=${state} take=${take} />`;
  if (state.phase === "waiting") return html`<${Waiting} key=${state.messages.length} slow=${state.slow} />`;
  if (state.phase === "trouble") return html`<${Trouble} take=${take} />`;
  if (state.phase === "over") return html`<${Over} state=${state} take=${take} />`;
  return null;
}

function Welcome({ state, take }) {
  const [begin, error, busy] = useSent(() => post("seat/next"), take);
  if (state.phase === "gathering") {
    return html`<section class="card welcome" role="status"><h2>Waiting for your partner</h2>
      <p>It begins as soon as they are here. You can leave this page open.</p></section>`;
  }
  if (!state.more) return html`<section class="card welcome"><h2>There is no problem left</h2><p>Thank you for coming.</p></section>`;
  return html`<section class="card welcome">
    <h2>Welcome</h2>
    <div class="raw">${visible(state.welcome)}</div>
    <${Failed} error=${error} />
    <p><button class="strong" disabled=${busy} onClick=${() => begin()} autofocus>Begin</button></p>
  </section>`;
}

function Told({ one, open }) {
  return html`<details class=${`turn whole told ${one.who === "instructions" ? "" : "subject"}`} open=${open}>
    <summary>${NAMES[one.who]}</summary><${Text} text=${one.text} />
  </details>`;
}

function Said({ one, last }) {
  const here = useRef(null);
  useEffect(() => {
    if (last && here.current) here.current.scrollIntoView({ block: one.who === "you" ? "nearest" : "start" });
  }, [last]);
  const side = one.who === "you" ? "right s-0" : one.who === "aside" ? "aside-question" : "s-1";
  return html`<section class=${`turn ${side}`} ref=${here}><h2>${NAMES[one.who]}</h2><${Text} text=${one.text} /></section>`;
}

function Text({ text }) {
  const [all, show] = useState(false);
  const cut = !all && text.length > LONGEST;
  return html`<div class="raw">${visible(cut ? text.slice(0, LONGEST) : text)}</div>
    ${cut ? html`<button onClick=${() => show(true)}>show all ${text.length} characters</button>` : null}`;
}

function Turn({ state, take }) {
  const [text, set] = useState(() => draft.open(state.turn).text);
  const box = useRef(null);
  const sent = (found) => {
    draft.drop(state.turn);
    take(found);
  };
  const [send, error, busy] = useSent(() => post("seat/say", { turn: state.turn, text, spell: draft.spell() }), sent);
  useLayoutEffect(() => box.current.focus({ preventScroll: true }), []);
  const write = (event) => {
    draft.write(event.target.value);
    set(event.target.value);
  };
  const empty = !text.trim();
  const submit = (event) => {
    event.preventDefault();
    if (!empty && !busy) send();
  };
  const press = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
  };
  return html`<form class="say" onSubmit=${submit}>
    <label for="words">Your turn</label>
    <textarea id="words" ref=${box} rows="5" value=${text} onInput=${write} onKeyDown=${press} aria-describedby="how"></textarea>
    <${Failed} error=${error} />
    <p class="bar"><span id="how" class="quiet"><kbd>Ctrl</kbd> + <kbd>Enter</kbd> sends</span>
      <button class="strong" disabled=${empty || busy}>${busy ? "Sending…" : "Send"}</button></p>
  </form>`;
}

function Waiting({ slow }) {
  const [long, tell] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => tell(true), LONG_MS);
    return () => clearTimeout(timer);
  }, []);
  return html`<div class="waits"><p><span class="dots" aria-hidden="true"><i></i><i></i><i></i></span> Your partner is writing…</p>
    ${slow
      ? html`<p class="quiet">Your partner cannot be reached at the moment. It is being tried again; what you wrote is kept.</p>`
      : long
        ? html`<p class="quiet">This takes longer than usual. You can leave this page open, or come back later.</p>`
        : null}
  </div>`;
}

function Trouble({ take }) {
  const [again, error, busy] = useSent((yes) => post("seat/again", { again: yes }), take);
  const button = useRef(null);
  useLayoutEffect(() => button.current.focus(), []);
  return html`<section class="problem" role="alert">
    <p><b>Your partner cannot be reached.</b> What you wrote is kept.</p>
    <${Failed} error=${error} />
    <p class="bar"><button disabled=${busy} onClick=${() => again(false)}>Give this problem up</button>
      <button class="strong" ref=${button} disabled=${busy} onClick=${() => again(true)}>Try again</button></p>
  </section>`;
}

const OVER = {
  agreed: "You agree.",
  open: "You did not come to the same answer.",
  failed: "This conversation could not be finished. That is not your fault.",
  "handed on": "You were away for long, and somebody else finishes this one.",
};

function Over({ state, take }) {
  const [next, error, busy] = useSent(() => post("seat/next"), take);
  const { more } = state;
  const done = `${state.done} ${state.done === 1 ? "problem" : "problems"} done`;
  const button = useRef(null);
  useLayoutEffect(() => {
    if (button.current) button.current.focus();
  }, [more]);
  return html`<section class="card end">
    <h2>This conversation is over</h2>
    <p>${OVER[state.outcome] || ""}</p>
    ${more
      ? html`<p>Thank you. ${done}. Go on when you like: this link stays yours.</p>`
      : html`<p><b>Thank you: that was the last problem.</b> ${done}. You can close this page.</p>`}
    <${Failed} error=${error} />
    ${more ? html`<p><button class="strong" ref=${button} disabled=${busy} onClick=${() => next()}>Next problem</button></p>` : null}
  </section>`;
}

function Away() {
  return html`<section class="problem" role="alert"><p><b>The study is not there at the moment.</b> What you wrote is kept.</p>
    <p>This page goes on by itself when it is back; you can also close it and come back later with the same link.</p></section>`;
}

function Ended({ error }) {
  return html`<section class="problem" role="alert"><h1>${error.message}</h1>
    <p>${error.remedy || "Ask whoever gave you the link for a new one."}</p></section>`;
}

function Failed({ error }) {
  if (!error) return null;
  const words = error.status ? error.message : "nobody answers: your words are still here, send them again in a moment";
  return html`<p class="problem" role="alert">${visible(words)}${error.remedy ? html`<br />${visible(error.remedy)}` : null}</p>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
