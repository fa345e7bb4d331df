// A run at a glance.

import { useFetched } from "./asking.js";
import { html } from "./vendor/preact.js";
import { VERDICTS, Legend } from "./marks.js";
import { link } from "./route.js";
import { counted, visible } from "./text.js";

export const percent = (x, digits = 1) => (x == null ? "–" : `${(100 * x).toFixed(digits)}%`);

export function Problem({ error }) {
  return html`<div class="problem" role="alert">
    <b>${visible(error.message)}</b>${error.remedy ? html`<br />${visible(error.remedy)}` : null}
  </div>`;
}

// What the share on top is of.
function headline({ protocol, seats, beside_control }) {
  if (beside_control) return "Last answer right";
  return protocol === "cot" || seats.length === 1 ? "Right" : "Agreed, and right";
}

export function Overview({ run }) {
  const { value, error, stale } = useFetched(`runs/${run}`, {}, { every: 2000 });
  const found = value || stale;
  if (error && !found) return html`<${Problem} error=${error} />`;
  if (!found) return html`<p class="quiet">Reading the run…</p>`;
  const list = (query) => link(`run/${run}/list`, query);
  return html`${error ? html`<${Problem} error=${error} />` : null}<div class="overview">
    <${Notes} found=${found} />
    <section class="card headline">
      <h2>${headline(found)}</h2>
      <p class="figure">${percent(found.headline)}</p>
      <${Interval} found=${found} />
      <p class="quiet">
        ${size(found)}${found.finished ? "" : html` · <b>unfinished</b>`}
      </p>
      <p><a class="button" href=${list({})}>Read the conversations</a></p>
    </section>
    <section class="card">
      <h2>What happened</h2>
      <ul class="kinds">
        ${found.kinds
          .filter((kind) => kind.count)
          .map(
            (kind) => html`<li>
              <a href=${list({ kind: kind.name })}><b>${kind.count.toLocaleString("en")}</b> ${kind.title}</a>
            </li>`,
          )}
      </ul>
    </section>
    <section class=${found.flow.some((one) => one.turn > 8) ? "card wide" : "card"}>
      <h2>Beliefs over turns</h2>
      <${Flow} flow=${found.flow} seats=${found.seats} />
    </section>
    <section class="card">
      <h2>Turns per conversation</h2>
      <${Histogram} steps=${found.turns} name="turns" />
    </section>
    <section class="card">
      <h2>Tokens written per conversation</h2>
      <${Histogram} steps=${found.tokens} name="tokens" />
    </section>
    ${Object.entries(found.groups).map(
      ([dimension, values]) => html`<section class="card">
        <h2>By ${visible(dimension)}</h2>
        <table>
          <tbody>
            ${values.map(
              (one) => html`<tr>
                <th scope="row"><a href=${list({ [`group.${dimension}`]: one.value })}>${visible(one.value)}</a></th>
                <td class="number">${percent(one.scored ? one.right / one.scored : null)}</td>
                <td><meter min="0" max="1" value=${one.scored ? one.right / one.scored : 0} aria-label="right"></meter></td>
                <td class="number quiet">${one.count}</td>
              </tr>`,
            )}
          </tbody>
        </table>
      </section>`,
    )}
    ${found.failures.length
      ? html`<section class="card">
          <h2>Failures</h2>
          <ul>
            ${found.failures.map((one) => html`<li><b>${one.count}</b> ${visible(one.cause || "")}</li>`)}
          </ul>
          <p><a href=${list({ kind: "failed" })}>Show them</a></p>
        </section>`
      : null}
    ${found.metrics.length ? html`<${Metrics} metrics=${found.metrics} />` : null}
    <section class="card wide">
      <h2>How it was made</h2>
      <details>
        <summary>Options and versions</summary>
        <pre class="code">${visible(JSON.stringify(found.run, null, 2))}</pre>
      </details>
      ${found.prompts
        ? html`<details>
            <summary>Prompts</summary>
            ${Object.entries(found.prompts.systems || {}).map(
              ([name, text]) => html`<h3>${visible(name)}</h3><pre class="code">${visible(text)}</pre>`,
            )}
            ${found.prompts.extraction
              ? html`<h3>extraction</h3><pre class="code">${visible(found.prompts.extraction)}</pre>`
              : null}
          </details>`
        : null}
      <p class="quiet">${visible(found.path)}</p>
    </section>
  </div>`;
}

const size = (found) =>
  [
    `${found.scored.toLocaleString("en")} of ${counted(found.conversations, "conversation")} scored`,
    counted(found.problems, "problem"),
    `${found.failed} failed`,
    ...(found.cost == null ? [] : [`$${found.cost.toFixed(2)}`]),
  ].join(" · ");

function Notes({ found }) {
  const notes = [...found.notes, ...found.damaged, ...(found.error ? [found.error] : [])];
  return html`${found.indexing
    ? html`<p class="note" role="status">Reading the run: ${counted(found.taken, "line")} so far…</p>`
    : null}
  ${notes.map((note) => html`<p class="note bad">${visible(note)}</p>`)}`;
}

function Interval({ found }) {
  if (!found.interval) return null;
  const [low, high] = found.interval;
  return html`<svg class="interval" viewBox="0 0 100 8" preserveAspectRatio="none" role="img"
      aria-label=${`95% interval from ${percent(low)} to ${percent(high)}`}>
      <rect class="track" x="0" y="3" width="100" height="2" />
      <rect class="span" x=${100 * low} y="2" width=${Math.max(100 * (high - low), 0.4)} height="4" />
      <rect class="point" x=${100 * found.headline - 0.3} y="0" width="0.6" height="8" />
    </svg>
    <p>95% interval ${percent(low)} to ${percent(high)}</p>`;
}

const ORDER = ["r", "u", "n", "x", "w"];

function Flow({ flow, seats }) {
  const turns = [...new Set(flow.map((one) => one.turn))];
  if (!turns.length) return html`<p class="quiet">No turn yet.</p>`;
  const most = Math.max(...turns.map((turn) => sum(flow.filter((one) => one.turn === turn))));
  const width = Math.max(22, Math.min(64, 860 / turns.length));
  const height = 180;
  return html`<div class="scroll" tabindex="0" role="group" aria-label="wide content">
      <svg class="flow" width=${turns.length * width + 4} height=${height + 34} role="img"
        aria-label="Conversations that take each turn, by what the turn submits">
        ${turns.map((turn, index) => {
          const here = flow.filter((one) => one.turn === turn);
          const seat = here[0].seat;
          let y = height;
          return html`<g>
            ${ORDER.map((letter) => {
              const count = sum(here.filter((one) => one.verdict === letter));
              const tall = (count / most) * height;
              y -= tall;
              return count
                ? html`<g class=${`v-${letter}`}>
                    <rect x=${index * width + 2} y=${y} width=${width - 4} height=${tall}>
                      <title>turn ${turn}, ${seat}: ${count} ${VERDICTS[letter].name}</title>
                    </rect>
                    ${tall > 16 && width > 26
                      ? html`<text x=${index * width + width / 2} y=${y + tall / 2 + 4} text-anchor="middle">
                          ${count}
                        </text>`
                      : null}
                  </g>`
                : null;
            })}
            <text class="axis" x=${index * width + width / 2} y=${height + 15} text-anchor="middle">${turn}</text>
            <text class="axis" x=${index * width + width / 2} y=${height + 29} text-anchor="middle">
              ${width > 40 ? seat.slice(0, 9) : ""}
            </text>
          </g>`;
        })}
      </svg>
    </div>
    <${Legend} seats=${seats} />`;
}

const sum = (rows) => rows.reduce((total, one) => total + one.count, 0);

function Histogram({ steps, name }) {
  if (!steps.length) return html`<p class="quiet">Not counted.</p>`;
  const most = Math.max(...steps.map((one) => one.count));
  const last = steps[steps.length - 1];
  const width = last.to - last.from + 1;
  const slots = Math.round((last.from - steps[0].from) / width) + 1;
  const w = Math.min(40, 300 / slots);
  return html`<svg width="300" height="104" class="histogram" role="img" aria-label=${`Conversations by ${name}`}>
    ${steps.map((one) => {
      const tall = (one.count / most) * 80;
      return html`<rect x=${((one.from - steps[0].from) / width) * w + 1} y=${82 - tall} width=${Math.max(w - 2, 1)}
        height=${Math.max(tall, 1)}>
        <title>${one.from === one.to ? one.from : `${one.from} to ${one.to}`}: ${one.count}</title>
      </rect>`;
    })}
    <text class="axis" x="0" y="100">${steps[0].from}</text>
    ${last.to === steps[0].from ? null : html`<text class="axis" x=${Math.max(Math.min(slots * w, 300), 60)} y="100" text-anchor="end">${last.to}</text>`}
  </svg>`;
}

const FORMS = {
  share: (x) => percent(x),
  points: (x) => `${x < 0 ? "−" : "+"}${Math.abs(100 * x).toFixed(1)}`,
  USD: (x) => `$${x.toFixed(4)}`,
  tokens: (x) => Math.round(x).toLocaleString("en"),
};
export const amount = (unit, x) => (x == null ? "–" : (FORMS[unit] || ((y) => signed(unit, y.toFixed(2))))(x));
const signed = (unit, text) => (unit.endsWith(" more") && !text.startsWith("-") ? `+${text}` : text).replace("-", "−");

function Metrics({ metrics }) {
  return html`<section class="card wide">
    <h2>Metrics</h2>
    <div class="scroll" tabindex="0" role="group" aria-label="wide content">
      <table>
        <thead>
          <tr><th scope="col">metric</th><th scope="col">value</th><th scope="col">95% interval</th><th scope="col">n</th>
            <th scope="col">failed</th><th scope="col">unscored</th></tr>
        </thead>
        <tbody>
          ${metrics
            .filter((one) => one.mean != null)
            .map(
              (one) => html`<tr class=${one.headline ? "strong" : ""}>
                <th scope="row" title=${one.help}>${visible(one.title)}</th>
                <td class="number">${amount(one.unit, one.mean)}</td>
                <td class="number">
                  ${one.low == null ? "–" : `${amount(one.unit, one.low)} to ${amount(one.unit, one.high)}`}
                </td>
                <td class="number quiet">${one.n}</td>
                <td class=${one.failed ? "number" : "number faint"}>${one.failed}</td>
                <td class=${one.unscored ? "number" : "number faint"}>${one.unscored}</td>
              </tr>`,
            )}
        </tbody>
      </table>
    </div>
  </section>`;
}
