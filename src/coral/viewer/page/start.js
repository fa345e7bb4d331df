// The start page: runs, studies and loops below a folder, to choose from.

import { html, useState } from "./vendor/preact.js";
import { useFetched } from "./asking.js";
import { post } from "./api.js";
import { Problem } from "./overview.js";
import { go } from "./route.js";
import { useSent } from "./sent.js";
import { visible } from "./text.js";

export function Start() {
  const { value, error } = useFetched("places", {});
  const [words, type] = useState("");
  const [open, refused] = useSent(
    (number) => post("places", { number }),
    ({ run, several }) => {
      dispatchEvent(new Event("runs"));
      go(several ? "compare" : `run/${run}`);
    },
  );
  document.title = "Coral";
  sessionStorage.setItem("home", "start");
  if (error) return html`<${Problem} error=${error} />`;
  if (!value) return html`<p class="quiet">Looking for runs…</p>`;
  const shown = value.places.filter((one) => `${one.name} ${one.headline}`.toLowerCase().includes(words.toLowerCase()));
  return html`<h1>Runs</h1>
    <p class="quiet">below ${visible(value.root)}</p>
    ${refused ? html`<${Problem} error=${refused} />` : null}
    ${value.places.length
      ? html`<form class="filters" onSubmit=${(event) => event.preventDefault()}>
            <label class="search">Search <input type="search" value=${words} onInput=${(event) => type(event.target.value)} /></label>
          </form>
          <div class="scroll" tabindex="0" role="group" aria-label="wide content"><table class="start">
            <thead><tr><th scope="col">run</th><th scope="col">headline</th><th scope="col">ended</th><th scope="col">cost</th>
              <th scope="col">changed</th></tr></thead>
            <tbody>${shown.map(
              (one) => html`<tr>
                <th scope="row"><button class="link" onClick=${() => open(one.number)}>${visible(one.name)}</button></th>
                <td>${visible(one.headline)}</td><td class="number">${one.ended}</td><td class="number">${one.cost}</td>
                <td class="number quiet">${new Date(1000 * one.changed).toLocaleString()}</td></tr>`,
            )}</tbody></table></div>`
      : html`<p class="card">No run lies here. <code>coral eval</code> makes one; <code>coral view RUN</code> shows one elsewhere.</p>`}`;
}
