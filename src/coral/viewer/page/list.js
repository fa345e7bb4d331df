// The list of conversations: filtered, sorted, and drawn only where it is looked at.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import { useFetched } from "./asking.js";
import { get } from "./api.js";
import { inField, useKeys } from "./keys.js";
import { Legend, Strip } from "./marks.js";
import { Problem } from "./overview.js";
import { go, link, parse } from "./route.js";
import { counted, visible } from "./text.js";

const ROW = 34; // pixels
const PART = 100; // rows per request
const COLUMNS = [
  ["id", "conversation"],
  ["", "beliefs"],
  ["right", "end"],
  ["turns", "turns"],
  ["tokens", "tokens"],
  ["seconds", "seconds"],
];
const FILTERS = (query) =>
  Object.fromEntries(Object.entries(query).filter(([name]) => !["id", "at"].includes(name)));

export function List({ run, query }) {
  const filters = FILTERS(query);
  const { value, stale } = useFetched(`runs/${run}`, {}, { every: 5000 });
  const overview = value || stale;
  const rows = useRows(run, filters, overview ? overview.taken : 0);
  const set = (changes, how) => {
    const now = parse(location.hash); // the address is ahead of what is shown
    if (now.path.join("/") === `run/${run}/list`) go(`run/${run}/list`, { ...FILTERS(now.query), ...changes }, how);
  };
  return html`<div class="list">
    <${Filters} overview=${overview} filters=${filters} set=${set} count=${rows.count} />
    ${rows.error ? html`<${Problem} error=${rows.error} />` : null}
    <${Rows} run=${run} rows=${rows} filters=${filters} begin=${Number(query.at) || 0} set=${set} seats=${overview ? overview.seats : []} />
    ${overview ? html`<${Legend} seats=${overview.seats} />` : null}
  </div>`;
}

// Rows by their number in the list, in parts that are fetched when they come into view: none but of these filters.
// While a run grows the rows of before stand until they are there anew.
function useRows(run, filters, taken) {
  const list = JSON.stringify([run, filters]);
  const key = JSON.stringify([list, taken]);
  const [found, set] = useState({});
  const state = found.list === list ? found : { parts: {}, count: null };
  const asked = useRef({ key: "", parts: new Set() });
  if (asked.current.key !== key) asked.current = { key, parts: new Set() };
  const want = (first, last) => {
    for (let part = Math.floor(first / PART); part <= Math.floor(last / PART); part += 1) {
      if (asked.current.parts.has(part)) continue;
      asked.current.parts.add(part);
      get(`runs/${run}/conversations`, { ...filters, offset: part * PART, limit: PART })
        .then(({ count, rows }) => {
          if (asked.current.key !== key) return;
          set((old) => ({ list, count, parts: { ...(old.list === list ? old.parts : {}), [part]: rows } }));
        })
        .catch((error) => asked.current.key === key && set({ list, parts: {}, count: 0, error }));
    }
  };
  useEffect(() => want(0, 0), [key]);
  return { ...state, list, want, at: (number) => (state.parts[Math.floor(number / PART)] || [])[number % PART] };
}

function Rows({ run, rows, filters, begin, set, seats }) {
  const box = useRef(null);
  const [top, setTop] = useState(0);
  const [chosen, choose] = useState(begin);
  const height = Math.max(240, (typeof innerHeight === "undefined" ? 800 : innerHeight) - 250);
  const first = Math.max(0, Math.floor(top / ROW) - 5);
  const last = Math.min((rows.count || 0) - 1, Math.ceil((top + height) / ROW) + 5);
  useEffect(() => {
    if (rows.count) rows.want(first, Math.max(first, last));
  });
  const reveal = (number) => {
    const { scrollTop } = box.current;
    if (number * ROW < scrollTop) box.current.scrollTop = number * ROW;
    if ((number + 1) * ROW > scrollTop + height) box.current.scrollTop = (number + 1) * ROW - height;
  };
  useLayoutEffect(() => {
    if (rows.count == null) return;
    choose(begin);
    reveal(begin);
  }, [rows.list, begin, rows.count == null]);
  const remember = (number) => history.replaceState(null, "", link(`run/${run}/list`, { ...filters, at: number }));
  const open = (number) => {
    const row = rows.at(number);
    if (!row) return;
    remember(number);
    go(`run/${run}/conversation`, { ...filters, id: row.id, at: number });
  };
  useKeys((event) => {
    if (inField(event)) return;
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      const next = Math.max(0, Math.min((rows.count || 1) - 1, chosen + step));
      choose(next);
      reveal(next);
    } else if (event.key === "Enter" && !event.target.matches("a, button, summary")) {
      open(chosen);
    }
  });
  const shown = [];
  for (let number = first; number <= last; number += 1) shown.push([number, rows.at(number)]);
  return html`<div class="rows">
    <div class="row head">
      ${COLUMNS.map(([name, title]) => html`<${Column} name=${name} title=${title} filters=${filters} set=${set} />`)}
    </div>
    <div class="window" ref=${box} style=${{ height: `${height}px` }} tabindex="0" role="list" aria-label="conversations"
      onScroll=${(event) => setTop(event.target.scrollTop)}>
      <div class="all" style=${{ height: `${(rows.count || 0) * ROW}px` }}>
        ${shown.map(
          ([number, row]) => html`<div key=${number} class=${`row ${number === chosen ? "chosen" : ""}`} role="listitem"
            style=${{ top: `${number * ROW}px` }} onClick=${() => { choose(number); remember(number); }}>
            ${row
              ? html`<a href=${link(`run/${run}/conversation`, { ...filters, id: row.id, at: number })}>${visible(row.id)}</a>
                  <${Strip} strip=${row.strip} seats=${seats} />
                  <span class=${`end ${row.right ? "good" : ""}`}>${row.stop}${row.right ? " ✓" : row.right === 0 ? " ✗" : ""}</span>
                  <span class="number">${row.turns}</span>
                  <span class="number">${row.tokens ?? "–"}</span>
                  <span class="number">${row.seconds.toFixed(1)}</span>`
              : html`<span class="quiet">…</span>`}
          </div>`,
        )}
      </div>
    </div>
    ${rows.count === 0 && !rows.error ? html`<p class="quiet">No conversation is like that.</p>` : null}
  </div>`;
}

function Column({ name, title, filters, set }) {
  if (!name) return html`<span>${title}</span>`;
  const now = filters.sort || "id";
  const is = now.replace("-", "") === name;
  const arrow = is ? (now.startsWith("-") ? " ↓" : " ↑") : "";
  const next = is && !now.startsWith("-") ? `-${name}` : name;
  return html`<button class="plain" onClick=${() => set({ sort: next })} aria-label=${`sort by ${title}`}>
    ${title}${arrow}
  </button>`;
}

function Filters({ overview, filters, set, count }) {
  const [text, type] = useState(filters.text || "");
  const input = useRef(null);
  const sought = useRef(text); // what the address was last told: it arrives here later, and more may be typed by then
  useEffect(() => {
    if ((filters.text || "") === sought.current) return;
    sought.current = filters.text || "";
    type(sought.current);
  }, [filters.text]);
  const seek = () => {
    if (text === sought.current) return;
    set({ text }, { replace: Boolean(text && sought.current) }); // a step back leads to before the search
    sought.current = text;
  };
  useEffect(() => {
    const timer = setTimeout(seek, 250);
    return () => clearTimeout(timer);
  }, [text]);
  useKeys((event) => {
    if (event.key !== "/" || inField(event)) return;
    event.preventDefault();
    input.current.focus();
  });
  const groups = overview ? Object.entries(overview.groups) : [];
  const flips = overview && ["lost", "gained"].includes(filters.kind);
  const active = Object.entries(filters).filter(([name, value]) => value && name !== "sort").length;
  const submit = (event) => {
    event.preventDefault();
    seek();
    input.current.blur(); // on to the rows
  };
  return html`<form class="filters" onSubmit=${submit}>
    <label>Kind
      <select value=${filters.kind || ""} onChange=${(event) => set({ kind: event.target.value, turn: "", seat: "" })}>
        <option value="">all</option>
        ${(overview ? overview.kinds : []).map(
          (kind) => html`<option value=${kind.name} selected=${filters.kind === kind.name}>${kind.title} (${kind.count})</option>`,
        )}
      </select>
    </label>
    ${flips
      ? html`<label>at turn
            <input type="number" min="1" class="short" value=${filters.turn || ""}
              onChange=${(event) => set({ turn: event.target.value })} />
          </label>
          <label>by
            <select value=${filters.seat || ""} onChange=${(event) => set({ seat: event.target.value })}>
              <option value="">either</option>
              ${overview.seats.map((seat) => html`<option value=${seat} selected=${filters.seat === seat}>${seat}</option>`)}
            </select>
          </label>`
      : null}
    ${groups.map(
      ([dimension, values]) => html`<label>${visible(dimension)}
        <select value=${filters[`group.${dimension}`] || ""}
          onChange=${(event) => set({ [`group.${dimension}`]: event.target.value })}>
          <option value="">all</option>
          ${values.map(
            (one) => html`<option value=${one.value} selected=${filters[`group.${dimension}`] === one.value}>
              ${one.value} (${one.count})
            </option>`,
          )}
        </select>
      </label>`,
    )}
    <label class="search">Search
      <input type="search" ref=${input} value=${text} placeholder="words, or “a phrase” in quotes  ( / )"
        onInput=${(event) => type(event.target.value)} />
    </label>
    <output>${count == null ? "…" : counted(count, "conversation")}</output>
    ${active ? html`<a href="#" onClick=${(event) => { event.preventDefault(); set(cleared(filters)); }}>clear</a>` : null}
  </form>`;
}

const cleared = (filters) => Object.fromEntries(Object.keys(filters).map((name) => [name, ""]));
