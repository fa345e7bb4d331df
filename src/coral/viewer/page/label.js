// Readings by people, blind: a message with its problem, and which answer it submits.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import { get, post } from "./api.js";
import { Welcome } from "./judge.js";
import { inField, useKeys } from "./keys.js";
import { Problem } from "./overview.js";
import { useSent } from "./sent.js";
import { counted, visible } from "./text.js";

export function Label({ query }) {
  const judge = query.judge || "";
  if (judge) return html`<${Texts} key=${judge} judge=${judge} />`;
  return html`<${Welcome} screen="label" title="Which answer does a message submit?">
    You will see messages, each with its problem, and write which answer it submits, whether it is right or not.
    Every answer is kept at once: come back to this address with the same name to resume.
  </${Welcome}>`;
}

function Texts({ judge }) {
  const [text, show] = useState(null);
  const [written, write] = useState("");
  const input = useRef(null);
  const typing = useRef(true); // until Esc: then letters work, from text to text
  const take = (found) => {
    show(found);
    write(found.answer || "");
    scrollTo(0, 0);
  };
  const [ask, error] = useSent((request) => request(), take); // until the next text is here, a key answers nothing
  const go = (at) => ask(() => get("labels", { judge, at }));
  const send = (answer) => ask(() => post("labels", { judge, key: text.key, answer }));
  useEffect(() => {
    go();
  }, []);
  useLayoutEffect(() => {
    if (input.current && typing.current) input.current.focus();
  }, [text && text.key]);
  const step = (by) => text && !text.done && text.number + by >= 0 && text.number + by < text.count && go(text.number + by);
  useKeys((event) => {
    if (!text || text.done) return;
    if (inField(event)) {
      if (event.key === "Escape") {
        typing.current = false;
        event.target.blur();
      }
      return;
    }
    if (event.key === "u") send(text.words[0]);
    if (event.key === "x") send(text.words[1]);
    if (event.key === "k") step(-1);
    if (event.key === "j") step(1);
    if (event.key === "/") {
      event.preventDefault();
      input.current.focus();
    }
  });
  if (!text) return error ? html`<${Problem} error=${error} />` : html`<p class="quiet">Loading…</p>`;
  if (text.done) {
    return html`<p class="card">All texts are read. Thank you.
      <button onClick=${() => go(text.count - 1)}>look at them again</button></p>`;
  }
  const submit = (event) => {
    event.preventDefault();
    send(written);
  };
  return html`<p class="quiet" role="status">${text.read} of ${counted(text.count, "text")} read; this is number ${text.number + 1}</p>
    <section class="turn problem-text"><h2>Problem</h2><div class="raw">${visible(text.question)}</div></section>
    <section class="turn whole s-0"><h2>Message</h2><div class="raw">${visible(text.message)}</div></section>
    <form class="card label" onSubmit=${submit}>
      <label>Which answer does the message submit?
        <input ref=${input} value=${written} onInput=${(event) => write(event.target.value)}
          onFocus=${() => (typing.current = true)} autocomplete="off" /></label>
      <button>Keep (Enter)</button>
      <button type="button" onClick=${() => send(text.words[0])}>it says that it is unsure (u)</button>
      <button type="button" onClick=${() => send(text.words[1])}>nobody can tell (x)</button>
      <button type="button" onClick=${() => step(-1)} disabled=${text.number === 0}>previous (k)</button>
      <button type="button" onClick=${() => step(1)} disabled=${text.number === text.count - 1}>next (j)</button>
      <p class="quiet">How speakers were told to answer: ${visible(text.how)}<br />The letters work once Esc has left the field.</p>
      ${error ? html`<${Problem} error=${error} />` : null}
    </form>`;
}
