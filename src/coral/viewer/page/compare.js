// Two runs problem by problem.

import { html } from "./vendor/preact.js";
import { useFetched, useParts } from "./asking.js";
import { Shown } from "./conversation.js";
import { chance, FamilyCard } from "./family.js";
import { sign, Strip } from "./marks.js";
import { amount, Problem } from "./overview.js";
import { JudgeThese } from "./people.js";
import { go, link } from "./route.js";
import { visible } from "./text.js";

const TITLES = {
  won: "right only in the second",
  lost: "right only in the first",
  both_right: "right in both",
  both_wrong: "wrong in both",
  unscored: "not scored in one of them",
};
const PART = 100;

export function Compare({ runs, query }) {
  const { value, stale, error } = useFetched("families", { version: runs.length });
  const families = value || stale;
  if (error) return html`<${Problem} error=${error} />`;
  if (!families) return html`<p class="quiet">Loading…</p>`;
  const waiting = runs.filter((one) => one.indexing);
  if (waiting.length) {
    const lines = runs.reduce((total, one) => total + one.taken, 0);
    return html`<p class="note" role="status">Reading the runs, ${runs.length - waiting.length} of ${runs.length} done: ${lines.toLocaleString("en")} lines so far…</p>`;
  }
  const whole = families.filter((one) => one.runs.length > 2 || one.found.length || one.note);
  const family = families.find((one) => one.runs.length > 1 && one.baseline != null);
  const [first, second] = family ? [family.baseline, family.runs.find((one) => one !== family.baseline)] : [0, Math.min(1, runs.length - 1)];
  return html`<div class="compare">
    ${query.id ? null : whole.map((one) => html`<${FamilyCard} key=${one.runs.join()} family=${one} runs=${runs} />`)}
    <${Two} runs=${runs} query=${{ a: `${first}`, b: `${second}`, ...query }} />
  </div>`;
}

function Two({ runs, query }) {
  const { a, b } = query;
  const set = (changes) => go("compare", { a, b, change: query.change, ...changes });
  const { value: difference, error } = useFetched("difference", { a, b });
  return html`<h2 class="hidden">Two runs</h2>
    <form class="filters" onSubmit=${(event) => event.preventDefault()}>
      <${Choice} title="First run" runs=${runs} value=${a} onChoose=${(value) => set({ a: value, id: "" })} />
      <${Choice} title="Second run" runs=${runs} value=${b} onChoose=${(value) => set({ b: value, id: "" })} />
      <button onClick=${() => set({ a: b, b: a })}>swap</button>
    </form>
    ${query.id || a === b ? null : html`<${JudgeThese} runs=${[runs[a], runs[b]].filter(Boolean)} />`}
    ${error ? html`<${Problem} error=${error} />` : difference ? html`<${Differences} found=${difference} />` : html`<p class="quiet">Comparing…</p>`}
    ${query.id
      ? html`<${Pair} a=${a} b=${b} id=${query.id} back=${link("compare", { a, b, change: query.change })} runs=${runs} />`
      : html`<${Aligned} key=${`${a} ${b}`} a=${a} b=${b} change=${query.change || ""} set=${set} />`}`;
}

function Choice({ title, runs, value, onChoose }) {
  return html`<label>${title}
    <select value=${value} onChange=${(event) => onChoose(event.target.value)}>
      ${runs.map((run) => html`<option value=${`${run.number}`} selected=${value === `${run.number}`}>${visible(run.name)}</option>`)}
    </select>
  </label>`;
}

const FIRST = 6; // rows that are shown at once

function Differences({ found }) {
  const rows = found.filter((one) => one.difference != null);
  return html`<div class="card">
    <div class="scroll" tabindex="0" role="group" aria-label="wide content"><${Table} rows=${rows.slice(0, FIRST)} /></div>
    ${rows.length > FIRST
      ? html`<details class="aside"><summary>${rows.length - FIRST} more metrics</summary>
          <div class="scroll" tabindex="0" role="group" aria-label="wide content"><${Table} rows=${rows.slice(FIRST)} /></div></details>`
      : null}
  </div>`;
}

function Table({ rows }) {
  return html`<table>
    <thead><tr><th scope="col">metric</th><th scope="col">first</th><th scope="col">second</th><th scope="col">difference</th>
      <th scope="col">95% interval</th><th scope="col">p</th><th scope="col">problems</th></tr></thead>
    <tbody>
      ${rows.map((one) => {
        const change = ["share", "points"].includes(one.unit) ? "points" : `${one.unit} more`;
        return html`<tr>
          <th scope="row" title=${one.help}>${visible(one.title)}</th>
          <td class="number">${amount(one.unit, one.a)}</td><td class="number">${amount(one.unit, one.b)}</td>
          <td class="number">${amount(change, one.difference)}</td>
          <td class="number">${one.low == null ? "–" : `${amount(change, one.low)} to ${amount(change, one.high)}`}</td>
          <td class="number">${chance(one.p_value)}</td>
          <td class="number quiet">${one.num_problems}</td>
        </tr>`;
      })}
    </tbody></table>`;
}

function Aligned({ a, b, change, set }) {
  const { rows, count, changes = {}, error, more } = useParts("compare", { a, b, change }, PART);
  if (error) return html`<${Problem} error=${error} />`;
  return html`<p class="chips" role="group" aria-label="changes">
      <button aria-pressed=${!change} onClick=${() => set({ change: "" })}>all</button>
      ${Object.entries(TITLES).map(
        ([name, title]) => html`<button aria-pressed=${change === name} onClick=${() => set({ change: name })}>
          <b>${changes[name] ?? "…"}</b> ${title}
        </button>`,
      )}
    </p>
    <div class="scroll" tabindex="0" role="group" aria-label="wide content"><table class="aligned">
      <thead><tr><th scope="col">conversation</th><th scope="col">first</th><th scope="col">second</th></tr></thead>
      <tbody>
        ${rows.map(
          (row) => html`<tr>
            <th scope="row"><a href=${link("compare", { a, b, change, id: row.id })}>${visible(row.id)}</a></th>
            <td><${Strip} strip=${row.strip_a} seats=${[]} most=${10} /> ${row.stop_a}${mark(row.right_a)}</td>
            <td><${Strip} strip=${row.strip_b} seats=${[]} most=${10} /> ${row.stop_b}${mark(row.right_b)}</td>
          </tr>`,
        )}
      </tbody>
    </table></div>
    ${count === 0 ? html`<p class="quiet">No conversation is like that.</p>` : null}
    ${count > rows.length
      ? html`<button onClick=${more}>show more of ${count.toLocaleString("en")}</button>`
      : null}`;
}

const mark = (right) => (right == null ? "" : ` ${sign(right)}`);

function Pair({ a, b, id, back, runs }) {
  const first = useFetched(`runs/${a}/conversation`, { id });
  const second = useFetched(`runs/${b}/conversation`, { id });
  const error = first.error || second.error;
  if (error) return html`<${Problem} error=${error} />`;
  if (!first.value || !second.value) return html`<p class="quiet">Reading…</p>`;
  const at = firstDifference(first.value, second.value);
  return html`<nav class="steps"><a href=${back}>← all conversations</a></nav>
    <div class="side-by-side">
      ${[[a, first.value], [b, second.value]].map(
        ([run, conversation]) => html`<div>
          <h2>${visible(runs[run].name)}</h2>
          <${Shown} run=${run} conversation=${conversation} differsAt=${at} narrow=${true} />
        </div>`,
      )}
    </div>`;
}

// The first turn (from 1) in which the two differ; null where they are alike.
export function firstDifference(a, b) {
  const said = (one, index) => {
    const turn = one.turns[index];
    return turn && turn.replies[turn.chosen].text;
  };
  const most = Math.max(a.turns.length, b.turns.length);
  for (let index = 0; index < most; index += 1) if (said(a, index) !== said(b, index)) return index + 1;
  return null;
}
