// Who runs a study sees how far each session is, and makes new links. No words, no beliefs.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { get, post } from "./ask.js";

const EVERY_MS = 2000;
const PHASES = {
  welcome: "has not begun",
  gathering: "waits for the other",
  yours: "writes",
  waiting: "waits for a reply",
  trouble: "was told that a request failed",
  over: "between two problems",
};

export function Study() {
  const [found, show] = useState(null);
  const [lost, lose] = useState(false);
  const [refused, refuse] = useState(null);
  const latest = useRef(0);
  const ask = async (request) => {
    const asked = (latest.current += 1);
    try {
      const value = await request();
      if (latest.current === asked) show(value); // not over the answer to what was pressed since
      lose(false);
    } catch (error) {
      if (error.isOurs) refuse(error);
      else lose(true);
    }
  };
  useEffect(() => {
    document.title = "Sessions · Coral";
    const look = () => ask(() => get("people"));
    look();
    const timer = setInterval(look, EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const press = (request) => {
    refuse(null);
    ask(request);
  };
  const add = () => press(() => post("people"));
  const handOn = (number) => press(() => post("people/hand_on", { number }));
  if (!found) return html`<main><p class="quiet">Loading…</p></main>`;
  return html`<header class="top"><h1>Sessions</h1></header>
    <main>
      ${lost ? html`<p class="problem" role="alert">Nobody answers: the chat has ended, or is being started again.</p>` : null}
      ${refused ? html`<p class="problem" role="alert">${refused.message}: ${refused.remedy}</p>` : null}
      ${found.plain ? html`<p class="note bad">Plain HTTP: whoever can read the network reads what is written, and the links.</p>` : null}
      <p>${found.left} ${found.left === 1 ? "conversation has" : "conversations have"} not begun.
        Each link is one person's: whoever has it speaks in their place.</p>
      <div class="scroll card" tabindex="0" role="region" aria-label="sessions"><table class="sessions">
        <thead><tr><th>session</th><th>seat</th><th>done</th><th>now</th><th>page</th><th>link</th></tr></thead>
        <tbody>${found.sessions.map((one) => html`<tr key=${one.number}>
          <th scope="row">${one.number}</th><td>${one.seat}</td><td>${one.done}</td><td>${PHASES[one.phase]}
            ${one.left ? html` <button onClick=${() => handOn(one.number)} aria-label=${`hand the conversation of session ${one.number} on`}>hand on</button>` : null}</td>
          <td>${one.present ? "open" : "closed"}</td><td><${Link} address=${one.link} number=${one.number} /></td>
        </tr>`)}</tbody>
      </table></div>
      <p><button class="strong" onClick=${add} disabled=${lost}>New link</button></p>
      <p class="quiet">What is said stands in the run: <code>${found.reads}</code> shows it while it is written.</p>
    </main>`;
}

function Link({ address, number }) {
  const [copied, tell] = useState(false);
  const copy = () => navigator.clipboard.writeText(address).then(() => tell(true), () => tell(false));
  return html`<a href=${address} target="_blank" rel="noreferrer">${address}</a>
    ${navigator.clipboard
      ? html` <button onClick=${copy} aria-label=${`copy the link of session ${number}`}>${copied ? "copied" : "copy"}</button>`
      : null}`;
}
