// How people take part in what is shown: in a seat, as judges, or reading answers. Each has a page of their own, since
// nothing of these pages may be seen there: the commands start them.

import { html, useState } from "./vendor/preact.js";
import { visible } from "./text.js";

export function People({ invitations }) {
  return html`<section class="card wide people">
    <h2>People</h2>
    <ul>${invitations.map((one) => html`<li>${one.what}: <${Command} command=${one.command} /></li>`)}</ul>
    <p class="quiet">Each command prints links: pages of their own, without gold answers, verdicts or models, for you or for
      others.</p>
  </section>`;
}

export function JudgeThese({ runs }) {
  const command = `coral judge ${runs.map((one) => one.quoted_path).join(" ")} --output judged`;
  return html`<details class="aside people"><summary>have people judge these two, blind</summary>
    <p>A page where judges see two conversations on one problem side by side and say which one is better:</p>
    <${Command} command=${command} /></details>`;
}

function Command({ command }) {
  const [copied, tell] = useState(false);
  const copy = () => navigator.clipboard.writeText(command).then(() => tell(true), () => {});
  return html`<span class="command"><code>${visible(command)}</code>
    ${navigator.clipboard ? html`${" "}<button onClick=${copy} aria-label=${`copy: ${command}`}>${copied ? "copied" : "copy"}</button>` : null}</span>`;
}
