// One conversation: both seats, and beside each turn what was read of it and by which words.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import { useFetched } from "./asking.js";
import { get } from "./api.js";
import { ForkForm, Forks } from "./fork.js";
import { isOneFile } from "./inside.js";
import { inField, useKeys } from "./keys.js";
import { Lesson, LessonsForm } from "./lessons.js";
import { sign, Verdict } from "./marks.js";
import { Problem } from "./overview.js";
import { go, link, parse } from "./route.js";
import { LONGEST, counted, inShort, markdown, marked, visible } from "./text.js";

export function Conversation({ run, query }) {
  const { id, at, ...filters } = query;
  const { value, error } = useFetched(`runs/${run}/conversation`, { id });
  const number = parseInt(at, 10);
  const [step, lost] = useSteps(run, filters, id, number);
  const list = Number.isNaN(number) ? filters : { ...filters, at: number };
  useLayoutEffect(() => scrollTo(0, 0), [id]);
  useKeys((event) => {
    if (inField(event)) return;
    if (event.key === "n" || event.key === "j") step(1);
    if (event.key === "p" || event.key === "k") step(-1);
    if (event.key === "Escape") go(`run/${run}/list`, list);
  });
  return html`<div>
    <nav class="steps" aria-label="in the list">
      <a href=${link(`run/${run}/list`, list)}>← list</a>
      ${Number.isNaN(number)
        ? null
        : html`<button onClick=${() => step(-1)} disabled=${number === 0}>previous (k)</button>
            <button onClick=${() => step(1)}>next (j)</button>`}
    </nav>
    ${error || lost ? html`<${Problem} error=${error || lost} />` : null}
    ${value ? html`<${Shown} key=${id} run=${run} conversation=${value} />` : error ? null : html`<p class="quiet">Reading…</p>`}
  </div>`;
}

// [a step to another conversation of the list, why it could not be taken]. Steps add up while the next conversation is
// on its way; where the page has gone elsewhere meanwhile, it stays there.
function useSteps(run, filters, id, number) {
  const [error, fail] = useState(null);
  const wanted = useRef(null);
  useEffect(() => {
    wanted.current = null;
    fail(null);
  }, [id, number]);
  const ask = (offset) => get(`runs/${run}/conversations`, { ...filters, offset, limit: 1 });
  const step = async (by) => {
    const next = Math.max(0, (wanted.current ?? number) + by);
    if (Number.isNaN(next) || next === number) return;
    wanted.current = next;
    try {
      const { count, rows } = await ask(next);
      const at = rows.length ? next : count - 1; // no further than to the last one
      const [row] = rows.length || at <= number ? rows : (await ask(at)).rows;
      if (wanted.current !== next || parse(location.hash).query.id !== id) return;
      if (row) go(`run/${run}/conversation`, { ...filters, id: row.id, at });
      else wanted.current = null;
    } catch (problem) {
      wanted.current = null;
      fail(problem);
    }
  };
  return [step, error];
}

export function Shown({ run, conversation, differsAt = null, narrow = false }) {
  const [rendered, render] = useState(false);
  const [begun, begin] = useState(0);
  const [rows, teach] = useState([]);
  const seats = conversation.speakers.map((one) => one.seat);
  const side = (seat) => (seats.indexOf(seat) <= 0 ? "left" : "right");
  return html`<article class=${`conversation ${narrow ? "narrow" : ""}`}>
    <header>
      <h2>${visible(conversation.id)}</h2>
      <p>
        ${conversation.stop} after ${counted(conversation.turns.length, "turn")} · gold
        <b> ${inShort(conversation.problem.target || "none")}</b>
        ${Object.entries(conversation.problem.group).map(([name, value]) => html` · ${visible(name)} ${visible(value)}`)}
      </p>
      ${(conversation.problem.target || "").includes("\n")
        ? html`<details><summary>the gold answer in full</summary><pre>${visible(conversation.problem.target)}</pre></details>`
        : null}
      <p class="quiet">
        ${visible(conversation.speakers.map((one) => `${one.seat}: ${one.model} (${one.name})`).join(" · "))}${" "}·
        seed ${conversation.seed} · ${conversation.seconds.toFixed(1)} s
        ${conversation.parent
          ? html` · forked from ${visible(conversation.parent.conversation)} after turn ${conversation.parent.turns}${
              conversation.parent.change ? html`: ${visible(conversation.parent.change)}` : null}`
          : null}
      </p>
      ${narrow ? null : html`<label class="toggle"><input type="checkbox" checked=${rendered} onChange=${() => render(!rendered)} />
        show Markdown (marks of evidence are hidden)</label>`}
      ${narrow || isOneFile ? null : html`<${LessonsForm} run=${run} conversation=${conversation} onRows=${teach} />`}
    </header>
    <section class="turn problem-text">
      <h3>Problem</h3>
      <${Body} text=${conversation.opening} rendered=${rendered} />
      ${Object.entries(conversation.briefings).map(
        ([seat, text]) => html`<div class="briefing"><h4>told to the ${seat} alone</h4><${Body} text=${text} rendered=${rendered} /></div>`,
      )}
    </section>
    ${conversation.turns.map(
      (turn, index) => html`<${Turn} run=${run} id=${conversation.id} turn=${turn} number=${index + 1} side=${side(turn.seat)}
        rendered=${rendered} differs=${differsAt === index + 1} seat=${seats.indexOf(turn.seat)}
        lessons=${rows.filter((row) => row.turn === index + 1)}
        fork=${isOneFile || narrow ? null : { speakers: conversation.speakers, onBegun: () => begin(begun + 1) }} />`,
    )}
    ${isOneFile || narrow ? null : html`<${Forks} run=${run} id=${conversation.id} begun=${begun} />`}
    ${conversation.failure
      ? html`<div class="problem"><b>failed in ${visible(conversation.failure.where)}</b>: ${visible(conversation.failure.type)}:${" "}
          ${visible(conversation.failure.message)}</div>`
      : null}
  </article>`;
}

function Turn({ run, id, turn, number, side, rendered, differs, seat, fork, lessons }) {
  const reply = turn.replies[turn.chosen];
  return html`<section class=${`turn ${side} s-${Math.min(seat, 2)} ${differs ? "differs" : ""}`} id=${`turn-${number}`}>
    <h3>
      ${number} <span>${turn.seat}</span>
      ${differs ? html`${" "}<em>first difference</em>` : null}
    </h3>
    <${Reply} reply=${reply} rendered=${rendered} />
    ${turn.probe
      ? html`<details class="aside"><summary>off the record: <${Verdict} reply=${turn.probe} />
          ${turn.probe.probability == null ? null : html` ${Math.round(100 * turn.probe.probability)}% sure`}</summary>
          <${Reply} reply=${turn.probe} rendered=${rendered} /></details>`
      : null}
    ${turn.replies.length > 1 || reply.rollouts.length ? html`<${Branches} turn=${turn} rendered=${rendered} />` : null}
    ${lessons.map((row) => html`<${Lesson} row=${row} />`)}
    ${isOneFile ? null : html`<${Prompt} run=${run} id=${id} number=${number} />`}
    ${fork
      ? html`<details class="aside"><summary>fork from here</summary>
          <${ForkForm} run=${run} id=${id} number=${number} seat=${turn.seat} text=${reply.text} ...${fork} />
        </details>`
      : null}
  </section>`;
}

function Reply({ reply, rendered }) {
  return html`${reply.reasoning
      ? html`<details class="aside"><summary>reasoning, ${counted(reply.reasoning.length, "character")}</summary>
          <${Body} text=${reply.reasoning} rendered=${rendered} /></details>`
      : null}
    <${Body} text=${reply.text} rendered=${rendered} span=${reply.evidence} />
    <p class="read">
      <${Verdict} reply=${reply} />
      ${reply.answer == null ? null : html`${" "}<b>${inShort(reply.answer)}</b>`}
      <span class="quiet">${details(reply)}</span>
    </p>
    ${reply.extractor_words
      ? html`<p class="quiet">The extractor said: “${visible(reply.extractor_words)}”</p>`
      : null}`;
}

// The candidates of a turn as branches: what each submits, what became of conversations continued from it, and
// from which one the conversation goes on.
function Branches({ turn, rendered }) {
  return html`<ul class="branches" aria-label="candidates of this turn">
    ${turn.replies.map((one, index) => {
      const goesOn = index === turn.chosen;
      const line = html`<b>${index}</b> <${Verdict} reply=${one} /> ${one.answer == null ? null : inShort(one.answer)}
        ${one.value == null ? null : html`${" "}<${Value} reply=${one} />`}
        ${goesOn ? html`${" "}<em>the conversation continues from it</em>` : null}`;
      return html`<li class=${goesOn ? "goes-on" : ""}>
        ${goesOn && !one.rollouts.length
          ? line
          : html`<details><summary>${line}</summary>
              ${goesOn ? null : html`<${Reply} reply=${one} rendered=${rendered} />`}
              ${one.rollouts.length ? html`<ol class="rollouts">${one.rollouts.map((end) => html`<li>${outcome(end)}</li>`)}</ol>` : null}
            </details>`}
      </li>`;
    })}
  </ul>`;
}

function Value({ reply }) {
  const known = reply.rollouts.filter((one) => one.correct != null);
  const right = known.filter((one) => one.correct).length;
  return html`<span class="value"><meter min="0" max="1" value=${reply.value} aria-label="value"></meter>
    ${reply.value.toFixed(2)}: ${right} of ${known.length} roll-outs right</span>`;
}

const outcome = (end) =>
  html`${sign(end.correct)} ${end.stop} after ${counted(end.turns, "more turn")}${end.answer == null ? "" : html`: <b>${inShort(end.answer)}</b>`}`;

// What is known of a reply beside its words.
function details(reply) {
  const tokens = reply.usage && reply.usage.completion_tokens;
  const parts = [
    reply.reason,
    `read by ${reply.by === "model" ? "the extractor model" : "rules"}`,
    tokens == null ? "" : counted(tokens, "token"),
    `${reply.latency_s.toFixed(1)} s`,
    reply.finish_reason === "length" ? "cut off by the limit of tokens" : "",
    reply.attempts > 1 ? `${reply.attempts} requests` : "",
    reply.overrun ? `wrote ${counted(reply.overrun, "character")} of an invented next turn` : "",
  ];
  return visible(["", ...parts.filter(Boolean)].join(" · "));
}

function Body({ text, rendered, span }) {
  const [whole, show] = useState(false);
  const long = text.length > LONGEST && !whole;
  const shown = long ? text.slice(0, LONGEST) : text;
  return html`<div class="body">
    ${rendered ? markdown(shown) : html`<div class="raw">${marked(shown, long ? null : span)}</div>`}
    ${long
      ? html`<button onClick=${() => show(true)}>show all ${text.length.toLocaleString("en")} characters</button>`
      : null}
  </div>`;
}

function Prompt({ run, id, number }) {
  const [open, toggle] = useState(false);
  return html`<details class="aside" onToggle=${(event) => toggle(event.currentTarget.open)}>
    <summary>the messages as sent</summary>
    ${open ? html`<${Messages} run=${run} id=${id} number=${number} />` : null}
  </details>`;
}

function Messages({ run, id, number }) {
  const { value, error } = useFetched(`runs/${run}/prompt`, { id, turn: number });
  if (error) return html`<${Problem} error=${error} />`;
  return (value || []).map(
    (message) => html`<h4>${message.role}</h4><div class="body"><div class="raw">${visible(message.content)}</div></div>`,
  );
}
