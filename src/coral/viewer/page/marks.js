// The marks of verdicts: colour and sign together, the shape tells the seat.

import { html } from "./vendor/preact.js";

export const VERDICTS = {
  r: { name: "right", sign: "✓" },
  w: { name: "wrong", sign: "✗" },
  u: { name: "unsure", sign: "?" },
  x: { name: "unreadable", sign: "∅" },
  n: { name: "not graded", sign: "·" },
};
const SIZE = 18;

// Of an outcome: right, wrong, or not known.
export const sign = (right) => (right == null ? "·" : right ? "✓" : "✗");

function shape(seat, x) {
  const c = x + SIZE / 2;
  const m = SIZE / 2;
  if (seat === 0) return html`<circle cx=${c} cy=${m} r="7.5" />`;
  if (seat === 1) return html`<rect x=${x + 1.5} y="1.5" width="15" height="15" rx="2" />`;
  return html`<path d=${`M${c} .8 L${x + 17.2} ${m} L${c} 17.2 L${x + 0.8} ${m} Z`} />`;
}

// `strip`: two characters per turn, the number of the seat and the letter of the verdict.
export function Strip({ strip, seats, most = 24 }) {
  const turns = (strip || "").match(/\d+[a-z]/g) || [];
  const shown = turns.slice(0, most);
  const said = turns
    .map((turn, index) => `${index + 1} ${seats[parseInt(turn)] || ""} ${VERDICTS[turn.slice(-1)].name}`)
    .join(", ");
  return html`<span class="strip" role="img" aria-label=${said || "no turn"} title=${said}>
    <svg width=${SIZE * shown.length} height=${SIZE}>
      ${shown.map((turn, index) => {
        const letter = turn.slice(-1);
        const x = index * SIZE;
        return html`<g class=${`v-${letter}`}>
          ${shape(parseInt(turn), x)}
          <text x=${x + SIZE / 2} y="13" text-anchor="middle">${VERDICTS[letter].sign}</text>
        </g>`;
      })}
    </svg>
    ${turns.length > most ? html`<small>+${turns.length - most}</small>` : null}
  </span>`;
}

export function Verdict({ reply }) {
  const { name, sign } = VERDICTS[reply.verdict];
  return html`<span class=${`verdict v-${reply.verdict}`}>${sign} ${name}</span>`;
}

export function Legend({ seats }) {
  return html`<p class="legend">
    ${Object.entries(VERDICTS).map(
      ([letter, { name, sign }]) => html`<span><i class=${`dot v-${letter}`}>${sign}</i> ${name}</span>`,
    )}
    ${seats.slice(0, 3).map(
      (seat, index) =>
        html`<span><svg width=${SIZE} height=${SIZE} class="plain">${shape(index, 0)}</svg> ${seat}</span>`,
    )}
  </p>`;
}
