// Blind judgements: two conversations on one problem, and a choice for each aspect.

import { html, useEffect, useState } from "./vendor/preact.js";
import { get, post } from "./api.js";
import { Problem } from "./overview.js";
import { go } from "./route.js";
import { useSent } from "./sent.js";
import { counted, visible } from "./text.js";

export function Judge({ query }) {
  const judge = query.judge || "";
  return judge ? html`<${Pairs} key=${judge} judge=${judge} />` : html`<${Welcome} screen="judge" title="Which conversation is better?">
      You will see two conversations about one problem, side by side, and say for each aspect which one is better.
      Every choice is kept at once: come back to this address with the same name to resume.
    </${Welcome}>`;
}

export function Welcome({ screen, title, children }) {
  const [name, write] = useState("");
  const begin = (event) => {
    event.preventDefault();
    if (name.trim()) go(screen, { judge: name.trim() });
  };
  return html`<form class="card welcome" onSubmit=${begin}>
    <h2>${title}</h2>
    <p>${children}</p>
    <label>Your name <input value=${name} maxlength="60" onInput=${(event) => write(event.target.value)} autofocus /></label>
    <button>Begin</button>
  </form>`;
}

function Pairs({ judge }) {
  const [pair, show] = useState(null);
  const [choices, choose] = useState({});
  const take = (found) => {
    show(found);
    choose({});
    scrollTo(0, 0);
  };
  const [ask, error, busy] = useSent((request) => request(), take);
  useEffect(() => {
    ask(() => get("judging", { judge }));
  }, []);
  const send = (event) => {
    event.preventDefault();
    ask(() => post("judging", { judge, pair: pair.pair, choices }));
  };
  if (!pair) return error ? html`<${Problem} error=${error} />` : html`<p class="quiet">Loading…</p>`;
  if (pair.done === true) return html`<p class="card">All pairs are judged. Thank you.</p>`;
  const missing = pair.aspects.filter((aspect) => !choices[aspect]);
  return html`<p class="quiet" role="status">${pair.done} of ${counted(pair.count, "pair")} judged</p>
    <section class="turn problem-text"><h2>Problem</h2><div class="raw">${visible(pair.problem)}</div></section>
    <div class="side-by-side">
      ${["left", "right"].map((side) => html`<div><h2>${side === "left" ? "Left" : "Right"}</h2><${Turns} turns=${pair[side]} /></div>`)}
    </div>
    <form class="card judge" onSubmit=${send}>
      ${pair.aspects.map(
        (aspect) => html`<fieldset disabled=${busy}>
          <legend>${visible(aspect)}</legend>
          ${["left", "neither", "right"].map(
            (side) => html`<label><input type="radio" name=${aspect} checked=${choices[aspect] === side}
              onChange=${() => choose({ ...choices, [aspect]: side })} /> ${side}</label>`,
          )}
        </fieldset>`,
      )}
      ${error ? html`<${Problem} error=${error} />` : null}
      <button disabled=${missing.length > 0 || busy}>${missing.length ? `${missing.length} to choose` : "Next pair"}</button>
    </form>`;
}

function Turns({ turns }) {
  const seats = [...new Set(turns.map((turn) => turn.seat))];
  return turns.map(
    (turn, index) => html`<section class=${`turn whole s-${Math.min(seats.indexOf(turn.seat), 2)}`}>
      <h3>${index + 1} <span>${turn.seat}</span></h3><div class="raw">${visible(turn.text)}</div>
    </section>`,
  );
}
