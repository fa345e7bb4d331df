// Forks: change a turn, and see what becomes of the conversation, beside what becomes of it unchanged.

import { html, useEffect, useState } from "./vendor/preact.js";
import { get, post } from "./api.js";
import { percent, Problem } from "./overview.js";
import { link } from "./route.js";
import { useSent } from "./sent.js";
import { visible } from "./text.js";

const CONTROLS = ["right", "wrong", "echo", "unsure", "random"];

export function ForkForm({ run, id, number, seat, speakers, text, onBegun }) {
  const [kind, choose] = useState("replace");
  const [words, write] = useState(text);
  const [control, take] = useState(CONTROLS[0]);
  const [options, set] = useState({ model: "", base_url: "", temperature: "" });
  const [samples, count] = useState(10);
  const name = speakers.find((one) => one.seat === seat).name;
  const same = kind === "replace" ? words === text : kind === "agent" && !Object.values(options).some(Boolean);
  const wish = () => {
    const filled = Object.entries(options).filter(([, value]) => value !== "");
    const agent = Object.fromEntries(filled.map(([key, value]) => [key, key === "temperature" ? Number(value) : value]));
    const change = { replace: { replace: words }, control: { control }, agent: { [name]: agent } }[kind];
    return { run: Number(run), conversation: id, turn: number, samples: Number(samples), ...change };
  };
  const [send, error, busy] = useSent(() => post("forks", wish()), onBegun);
  const submit = (event) => {
    event.preventDefault();
    send();
  };
  return html`<form class="fork" onSubmit=${submit}>
    <label>What is changed
      <select value=${kind} onChange=${(event) => choose(event.target.value)}>
        <option value="replace">the words of this turn</option>
        <option value="control">a control partner speaks from here on</option>
        ${["agent", "partner"].includes(name)
          ? html`<option value="agent">another model or temperature of the ${seat} from here on</option>`
          : null}
      </select>
    </label>
    ${kind === "replace"
      ? html`<label>In its place<textarea rows="5" value=${words} onInput=${(event) => write(event.target.value)}></textarea></label>`
      : null}
    ${kind === "control"
      ? html`<label>It is
          <select value=${control} onChange=${(event) => take(event.target.value)}>
            ${CONTROLS.map((one) => html`<option value=${one}>${one}</option>`)}
          </select></label>`
      : null}
    ${kind === "agent"
      ? Object.keys(options).map(
          (key) => html`<label>${key.replace("_", " ")}
            <input value=${options[key]} placeholder="as in the run" onInput=${(event) => set({ ...options, [key]: event.target.value })} />
          </label>`,
        )
      : null}
    <label>Continuations of each kind
      <input type="number" min="1" max="1000" class="short" value=${samples} onInput=${(event) => count(event.target.value)} />
    </label>
    <button disabled=${same || busy}>${same ? "Nothing is changed yet" : "Continue from here"}</button>
    ${error ? html`<${Problem} error=${error} />` : null}
  </form>`;
}

export function Forks({ run, id, begun }) {
  const [forks, set] = useState([]);
  useEffect(() => {
    let timer;
    let ended = false;
    const look = async () => {
      const all = await get("forks").catch(() => null);
      if (ended) return;
      if (!all) return void (timer = setTimeout(look, 1000)); // they are in work all the same
      const found = all.filter((one) => `${one.run}` === run && one.conversation === id);
      set(found);
      if (found.some((one) => !one.ended || (one.results && Object.keys(one.shown).length < 2))) timer = setTimeout(look, 1000);
      else if (found.length) dispatchEvent(new Event("runs"));
    };
    look();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [run, id, begun]);
  return forks.map((one) => html`<section class="card" aria-live="polite">
    <h3>Fork at turn ${one.turn}</h3>
    ${one.error ? html`<div class="problem">${visible(one.error)}</div>` : one.results ? html`<${Results} fork=${one} />` : html`<p>in work…</p>`}
  </section>`);
}

function Results({ fork }) {
  const { results, shown } = fork;
  const points = (x) => `${x < 0 ? "−" : "+"}${Math.abs(100 * x).toFixed(1)}`;
  const row = (title, share, number) => html`<tr>
    <th scope="row">${number == null ? title : html`<a href=${link(`run/${number}/list`)}>${title}</a>`}</th>
    <td class="number">${percent(share.value)}</td>
    <td class="number">${share.low == null ? "–" : `${percent(share.low)} to ${percent(share.high)}`}</td>
    <td class="number quiet">${share.n}</td>
  </tr>`;
  return html`<table>
      <thead><tr><th scope="col">continuations</th><th scope="col">right</th><th scope="col">95% interval</th><th scope="col">n</th></tr></thead>
      <tbody>
        ${row("as it was", results.unchanged, shown.unchanged)} ${row("with the change", results.changed, shown.changed)}
      </tbody>
    </table>
    <p>The original was ${results.original ? "right" : "not right"}. Difference
      ${" "}<b>${points(results.difference)} points</b>${results.low == null ? "" : `, 95% interval ${points(results.low)} to ${points(results.high)}`}.</p>`;
}
