// The page: which screen stands at which address, and the keys that work everywhere.

import { html, render, useEffect, useState } from "./vendor/preact.js";
import { useFetched } from "./asking.js";
import { Compare } from "./compare.js";
import { Conversation } from "./conversation.js";
import { Judge } from "./judge.js";
import { inField, useKeys } from "./keys.js";
import { Label } from "./label.js";
import { isOneFile } from "./inside.js";
import { List } from "./list.js";
import { Overview, Problem } from "./overview.js";
import { People } from "./people.js";
import { go, link, parse } from "./route.js";
import { Start } from "./start.js";
import { visible } from "./text.js";

const KEYS = [
  ["j, k", "next, previous"],
  ["Enter", "open"],
  ["Esc", "back to the list"],
  ["/", "search"],
  ["o, l, c", "overview, list, compare"],
  ["?", "these keys"],
];

const ALONE = ["judge", "label", "start"]; // screens without runs to go to

// Where the page began: sessions that began with a choice of runs lead back to it. A page from the disk may be
// refused the storage, and has no choice.
function home() {
  try {
    return sessionStorage.getItem("home") || "run/0";
  } catch {
    return "run/0";
  }
}

function App() {
  const [route, set] = useState(parse(location.hash));
  const [help, toggle] = useState(false);
  useEffect(() => {
    const change = () => set(parse(location.hash));
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  const [version, look] = useState(0);
  useEffect(() => {
    const again = () => look((before) => before + 1);
    addEventListener("runs", again);
    return () => removeEventListener("runs", again);
  }, []);
  const { value: fetched, stale, error } = useFetched("runs", { version }, { every: 1000 });
  const runs = fetched || stale;
  const [screen = "run", run = "0", part = ""] = route.path;
  useEffect(() => {
    if (runs && !ALONE.includes(screen) && screen !== "compare" && !runs[run]) look((before) => before + 1); // begun since
  }, [screen, run]);
  useKeys((event) => {
    if (ALONE.includes(screen) || inField(event)) return;
    if (event.key === "?") toggle((shown) => !shown);
    if (event.key === "Escape" && help) {
      toggle(false);
      event.stopImmediatePropagation(); // it leads no further
    }
    if (event.key === "o") go(`run/${run}`);
    if (event.key === "l") go(`run/${run}/list`);
    if (event.key === "c" && runs && runs.length > 1) go("compare");
  }, { first: true });
  if (error && !runs) return html`<main><${Problem} error=${error} /></main>`;
  if (!runs) return html`<p class="quiet">Loading…</p>`;
  if (screen === "judge") return html`<main><h1 class="hidden">Judge</h1><${Judge} query=${route.query} /></main>`;
  if (screen === "label") return html`<main><h1 class="hidden">Label</h1><${Label} query=${route.query} /></main>`;
  if (screen === "start") return html`<main><${Start} /></main>`;
  const current = screen === "compare" ? null : runs[run];
  document.title = current ? `${current.name} · Coral` : "Compare · Coral";
  return html`<header class="top">
      <a class="brand" href=${link(home())}>Coral</a>
      <h1 class="hidden">${document.title}</h1>
      ${current && runs.length > 1
        ? html`<label><span class="hidden">Run</span>
            <select value=${run} onChange=${(event) => go(`run/${event.target.value}/${["list", "people"].includes(part) ? part : ""}`)}>
              ${runs.map((one) => html`<option value=${`${one.number}`} selected=${`${one.number}` === run}>${visible(one.name)}</option>`)}
            </select></label>`
        : html`<b>${current ? visible(current.name) : "Compare"}</b>`}
      <nav aria-label="screens">
        <a href=${link(`run/${current ? run : 0}`)} aria-current=${current && !part ? "page" : null}>Overview</a>
        <a href=${link(`run/${current ? run : 0}/list`)} aria-current=${part === "list" ? "page" : null}>Conversations</a>
        ${runs.length > 1
          ? html`<a href=${link("compare")} aria-current=${screen === "compare" ? "page" : null}>Compare</a>`
          : null}
        ${isOneFile
          ? null
          : html`<a href=${link(`run/${current ? run : 0}/people`)} aria-current=${part === "people" ? "page" : null}>People</a>`}
      </nav>
      <button class="plain" onClick=${() => toggle(!help)} aria-label="keys">?</button>
    </header>
    ${help
      ? html`<aside class="card keys" role="dialog" aria-label="keys"><dl>
          ${KEYS.map(([key, what]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}
        </dl></aside>`
      : null}
    <main>${Screen({ screen, run, part, query: route.query, runs })}</main>`;
}

function Screen({ screen, run, part, query, runs }) {
  if (screen === "compare") return html`<${Compare} runs=${runs} query=${query} />`;
  if (screen !== "run" || !runs[run]) {
    return html`<${Problem} error=${{ message: "this address shows nothing", remedy: "choose a run above" }} />`;
  }
  if (part === "list") return html`<${List} key=${run} run=${run} query=${query} />`;
  if (part === "conversation") return html`<${Conversation} key=${run} run=${run} query=${query} />`;
  if (part === "people") return html`<${People} key=${run} run=${run} runs=${runs} />`;
  return html`<${Overview} key=${run} run=${run} />`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
