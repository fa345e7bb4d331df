// How people take part in what is shown: in a seat, as judges, or reading answers. Each has a page with a token of its
// own, since nothing of these pages may be seen there. Where no model is asked this server opens it; else a command does.

import { html, useState } from "./vendor/preact.js";
import { useFetched } from "./asking.js";
import { post } from "./api.js";
import { Problem } from "./overview.js";
import { useSent } from "./sent.js";
import { counted, visible } from "./text.js";

export function People({ run, runs }) {
  const { value: found, error } = useFetched("people", { run });
  const others = runs.filter((one) => one.number !== Number(run));
  const [chosen, choose] = useState(null);
  if (error) return html`<${Problem} error=${error} />`;
  if (!found) return html`<p class="quiet">Loading…</p>`;
  const other = others.find((one) => `${one.number}` === chosen) || others[0];
  return html`<h2>People</h2>
    <p class="quiet">Pages of their own, without gold answers, verdicts or models, for you or for others.</p>
    <div class="overview people">
      <section class="card">
        <h3>Sit in a seat</h3>
        ${found.seat
          ? html`<p>${found.seat.what} This asks the agent's model, so a command does it, which prints a link for each person:</p>
              <${Command} command=${found.seat.command} />`
          : html`<p>There is nobody to talk with here: this run's agent is a control, or its options cannot be read.</p>`}
      </section>
      <section class="card">
        <h3>Read answers, blind</h3>
        <p>Which answer does each message submit? For an <b>audit</b> of how answers were read.</p>
        <${Opened} key=${run} what="label" runs=${[runs[run]]} command=${found.label} />
      </section>
      <section class="card">
        <h3>Judge conversations, blind</h3>
        ${other
          ? html`<p>Of this run and ${others.length > 1
                ? html`<label><select aria-label="the other run" onChange=${(event) => choose(event.target.value)}>
                    ${others.map((one) => html`<option value=${`${one.number}`} selected=${one === other}>${visible(one.name)}</option>`)}
                  </select></label>`
                : html`<b>${visible(other.name)}</b>`}: two conversations on one problem, side by side. Which is better?</p>
              <${Judged} runs=${[runs[run], other]} />`
          : html`<p>Two runs are judged against each other: open both, as in <code>coral view RUN RUN</code>.</p>`}
      </section>
    </div>`;
}

export function JudgeThese({ runs }) {
  return html`<details class="aside people"><summary>have people judge these two, blind</summary>
    <p>A page where judges see two conversations on one problem side by side and say which one is better:</p>
    <${Judged} runs=${runs} /></details>`;
}

function Judged({ runs }) {
  const command = `coral judge ${runs.map((one) => one.quoted_path).join(" ")} --output judged`;
  return html`<${Opened} key=${command} what="judge" runs=${runs} command=${command} />`;
}

const ITEMS = { label: "text", judge: "pair" };

function Opened({ what, runs, command }) {
  const [page, show] = useState(null);
  const [open, error, busy] = useSent(() => post("people", { what, runs: runs.map((one) => one.number) }), show);
  const address = page && `${location.protocol}//${location.hostname}:${page.port}${page.path}`;
  return html`${page
      ? html`<p><a class="button" href=${address} target="_blank" rel="noopener noreferrer">Go there</a>
          ${" "}${counted(page.count, ITEMS[what])}; kept in <code>${visible(page.folder)}</code></p>
          <p>Its address shows nothing else, and holds while <code>coral view</code> runs:</p>
          <${Command} command=${address} />
          <p>Then, for what came out:</p>
          <${Command} command=${page.then} />`
      : html`<button onClick=${() => open()} disabled=${busy}>Open this page</button>`}
    ${error ? html`<${Problem} error=${error} />` : null}
    <details class="aside"><summary>with options of your own</summary><${Command} command=${command} /></details>`;
}

function Command({ command }) {
  const [copied, tell] = useState(false);
  const copy = () => navigator.clipboard.writeText(command).then(() => tell(true), () => {});
  return html`<span class="command"><code>${visible(command)}</code>
    ${navigator.clipboard ? html`${" "}<button onClick=${copy} aria-label=${`copy: ${command}`}>${copied ? "copied" : "copy"}</button>` : null}</span>`;
}
