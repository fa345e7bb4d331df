// What a conversation would teach: the rows that `coral build` makes of it, below the turns that they are of.

import { html, useEffect, useState } from "./vendor/preact.js";
import { get } from "./api.js";
import { Problem } from "./overview.js";
import { LONGEST, counted, visible } from "./text.js";

const KINDS = { "": "none", dpo: "DPO pairs", sft: "SFT rows", kto: "KTO rows" };
const SCORES = { correct: "is right", majority: "is what most say", rollouts: "leads to right answers (roll-outs)" };

export function LessonsForm({ run, conversation, onRows }) {
  const [kind, choose] = useState("");
  const [score, by] = useState("correct");
  const [count, tell] = useState(null);
  const [error, fail] = useState(null);
  useEffect(() => {
    let ended = false;
    const take = (rows, problem = null) => {
      if (ended) return;
      onRows(rows);
      tell(kind && !problem ? rows.length : null);
      fail(problem);
    };
    if (!kind) return take([]);
    onRows([]); // those of what was chosen before
    tell(null);
    get(`runs/${run}/lessons`, { id: conversation.id, kind, score }).then(take, (problem) => take([], problem));
    return () => {
      ended = true;
    };
  }, [run, conversation.id, kind, score]);
  const sampled = conversation.turns.some((turn) => turn.replies.some((reply) => reply.rollouts.length));
  return html`<p class="lessons">
      <label>training rows ${" "}<select value=${kind} onChange=${(event) => choose(event.target.value)}>
        ${Object.entries(KINDS).map(([name, title]) => html`<option value=${name} selected=${kind === name}>${title}</option>`)}
      </select></label>
      ${kind
        ? html`<label>good is what ${" "}<select value=${score} onChange=${(event) => by(event.target.value)}>
              ${Object.entries(SCORES)
                .filter(([name]) => sampled || name !== "rollouts")
                .map(([name, title]) => html`<option value=${name} selected=${score === name}>${title}</option>`)}
            </select></label>
            <output>${count == null ? "" : `${counted(count, "row")} of this conversation`}</output>
            <span>as <code>coral build --kind ${kind}${score === "correct" ? "" : ` --score ${score}`}</code></span>`
        : null}
    </p>
    ${error ? html`<${Problem} error=${error} />` : null}`;
}

// What training does to the words of a column.
const EFFECTS = {
  chosen: "trained: made likelier than the rejected words",
  rejected: "trained: made less likely than the chosen words",
  completion: "trained: made likelier",
};

export function Lesson({ row }) {
  const down = row.label === false;
  const title =
    row.rejected != null
      ? `pair: candidate ${row.candidate} over ${row.rejected}, margin ${row.margin.toFixed(2)}`
      : row.label == null
        ? `row: candidate ${row.candidate}`
        : `row: candidate ${row.candidate}, ${row.label ? "desirable" : "undesirable"}`;
  return html`<details class="lesson"><summary>${title}</summary>
    <p class="quiet">prompt: ${counted(row.prompt, "message")} as sent${row.context == null ? "" : `, ${counted(row.context, "token")}`}, context
      only, no loss</p>
    ${row.why
      ? html`<p class="quiet">Not token by token: ${visible(row.why)}. What is marked is trained, with its end mark.
          <code>coral view --tokenizer FOLDER</code> names the model that is to be trained.</p>`
      : html`<p class="quiet">Each box is a trained token, of ${visible(row.tokenizer)}'s tokenizer and chat template; marks
          of the template have a double frame.</p>`}
    ${row.trained.map(
      ({ column, text, tokens }) => html`<h4>${column} <small>${down ? "trained: made less likely" : EFFECTS[column]}, ${tokens
          ? counted(tokens.count, "token")
          : "with its end mark"}</small></h4>
        <div class=${`trained ${column === "rejected" || down ? "down" : ""}`}>
          ${tokens
            ? html`<${Tokens} tokens=${tokens} />`
            : html`<div class="raw whole-text">${visible(text.slice(0, LONGEST))}${text.length > LONGEST ? "…" : ""}</div>`}
        </div>`,
    )}
  </details>`;
}

// Tokens that share a character stand in one box, which says so; text of no token stands in none.
function Tokens({ tokens }) {
  const left = tokens.count - tokens.pieces.reduce((sum, [, ids]) => sum + ids.length, 0);
  return html`<div class="raw tokens">${tokens.pieces.map(([text, ids, mark]) =>
      ids.length
        ? html`<span class=${mark ? "token mark" : "token"} title=${`${ids.length > 1 ? "tokens" : "token"} ${ids.join(", ")}`}>
            ${inBox(text)}${ids.length > 1 ? html`<sub>${ids.length}</sub>` : null}</span>`
        : visible(text),
    )}${left ? ` … and ${counted(left, "more token")}` : ""}</div>`;
}

// A line's end would be an empty box.
const inBox = (text) =>
  text.split("\n").map((line, index) => (index ? html`<i aria-hidden="true">↵</i>${"\n"}${visible(line)}` : visible(line)));
