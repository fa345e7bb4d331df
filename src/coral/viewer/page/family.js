// Runs that belong together: the arms of a study, the models of a loop, or several runs that were given.

import { html, useState } from "./vendor/preact.js";
import { useFetched, useParts } from "./asking.js";
import { sign } from "./marks.js";
import { amount, percent, Problem } from "./overview.js";
import { link } from "./route.js";
import { counted, visible } from "./text.js";

const PART = 50;

export function FamilyCard({ family, runs }) {
  const title = family.title || "all runs";
  return html`<section class="card family">
    <h2>${visible(title)}</h2>
    ${family.note ? html`<p class="note">${visible(family.note)}</p>` : null}
    ${family.found.length ? html`<${Found} family=${family} />` : null}
    ${family.baseline == null
      ? html`<ul>${family.runs.map((one) => html`<li><a href=${link(`run/${one}`)}>${visible(runs[one].name)}</a></li>`)}</ul>`
      : html`<${Standings} family=${family} runs=${runs} /><${Problems} family=${family} runs=${runs} />`}
  </section>`;
}

// What the family's own report says.
function Found({ family }) {
  return html`<div class="scroll" tabindex="0" role="group" aria-label="wide content"><table>
    <thead><tr><th scope="col">${family.kind === "study" ? "contrast" : "change"}</th><th scope="col" class="words">of</th>
      <th scope="col">difference</th><th scope="col">95% interval</th><th scope="col">p</th>
      ${family.kind === "study" ? html`<th scope="col">p (Holm)</th>` : null}<th scope="col">problems</th></tr></thead>
    <tbody>
      ${family.found.map((one) => {
        const unit = ["share", "points"].includes(one.unit) ? "points" : `${one.unit} more`;
        const both = one.left != null && one.right != null;
        return html`<tr>
          <th scope="row">${both
            ? html`<a href=${link("compare", { a: one.right, b: one.left })}>${visible(one.text)}</a>`
            : visible(one.text)}${one.reading_alone ? html` <em class="quiet">reading alone could do this</em>` : null}</th>
          <td class="quiet">${visible(one.title)}</td>
          <td class="number">${amount(unit, one.difference)}</td>
          <td class="number">${one.low == null ? "–" : `${amount(unit, one.low)} to ${amount(unit, one.high)}`}</td>
          <td class="number">${chance(one.p_value)}</td>
          ${family.kind === "study" ? html`<td class="number">${chance(one.p_holm)}</td>` : null}
          <td class="number quiet">${one.problems}</td>
        </tr>`;
      })}
    </tbody></table></div>`;
}

export const chance = (p) => (p == null ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3));

function Standings({ family, runs }) {
  const base = family.baseline;
  const { value, error } = useFetched("standings", { runs: family.runs.join(), base });
  if (error) return html`<${Problem} error=${error} />`;
  if (!value) return html`<p class="quiet">Counting…</p>`;
  return html`<div class="scroll" tabindex="0" role="group" aria-label="wide content"><table>
    <thead><tr><th scope="col">run</th><th scope="col">right</th><th scope="col">of</th>
      <th scope="col">right only here</th><th scope="col">right only in ${visible(runs[base].name)}</th></tr></thead>
    <tbody>
      ${family.runs.map((number, place) => {
        const { right, scored, changes, error: why } = value[place];
        const count = (change) =>
          html`<td class="number">${changes[change] == null
            ? html`<span class="quiet" title=${why}>–</span>`
            : html`<a href=${link("compare", { a: base, b: number, change })}>${changes[change]}</a>`}</td>`;
        return html`<tr>
          <th scope="row"><a href=${link(`run/${number}`)}>${visible(runs[number].name)}</a>
            ${number === base ? html` <span class="quiet">baseline</span>` : null}
            ${family.beside.includes(number) ? html` <span class="quiet">trained beside the loop</span>` : null}</th>
          <td class="number">${percent(scored ? right / scored : null)}</td>
          <td class="number quiet">${scored.toLocaleString("en")}</td>
          ${count("won")}${count("lost")}
        </tr>`;
      })}
    </tbody></table></div>`;
}

// A row for each problem, a column for each run.
function Problems({ family, runs }) {
  const [open, toggle] = useState(false);
  return html`<details class="aside" onToggle=${(event) => toggle(event.currentTarget.open)}>
    <summary>problem by problem</summary>
    ${open ? html`<${Matrix} family=${family} runs=${runs} />` : null}
  </details>`;
}

function Matrix({ family, runs }) {
  const [differ, only] = useState(true);
  const query = { runs: family.runs.join(), differ: differ ? 1 : "" };
  const { rows, count, error, more } = useParts("problems", query, PART);
  if (error) return html`<${Problem} error=${error} />`;
  return html`<p><label><input type="checkbox" checked=${differ} onChange=${() => only(!differ)} />
        ${" "}only problems on which they differ</label>
      <span class="quiet"> ${count == null ? "…" : counted(count, "problem")}</span></p>
    <div class="scroll" tabindex="0" role="group" aria-label="wide content"><table class="matrix">
      <thead><tr><th scope="col">problem</th>${family.runs.map((one) => html`<th scope="col">${visible(runs[one].name)}</th>`)}</tr></thead>
      <tbody>
        ${rows.map(
          (row) => html`<tr><th scope="row">${visible(row.problem)}</th>
            ${row.cells.map((cell, place) => html`<td><${Cell} cell=${cell} run=${family.runs[place]} problem=${row.problem} /></td>`)}</tr>`,
        )}
      </tbody></table></div>
    ${count > rows.length
      ? html`<button onClick=${more}>show more of ${count.toLocaleString("en")}</button>`
      : null}`;
}

function Cell({ cell, run, problem }) {
  if (!cell || !cell[1]) return html`<span class="quiet">–</span>`;
  const [right, scored] = cell;
  const kind = right === scored ? "r" : right ? "m" : "w";
  const said = scored === 1 ? sign(right === 1) : `${right}/${scored}`;
  return html`<a class=${`cell-${kind}`} href=${link(`run/${run}/list`, { problem })}
    aria-label=${`${right} of ${scored} right`}>${said}</a>`;
}
