// Somebody else's words as text nodes: never as HTML. What would hide or reorder is shown as an escape.

import { html } from "./vendor/preact.js";

const HIDDEN =
  // eslint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40[\udc00-\udfff]/g;
/** Such as "1 turn" and "2,000 turns". */
export const counted = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

export const LONGEST = 50000; // characters of a text that are shown at first: a reply may have millions

export function visible(text) {
  const parts = [];
  let at = 0;
  for (const found of text.replaceAll("\r\n", "\n").matchAll(HIDDEN)) {
    parts.push(found.input.slice(at, found.index));
    const code = found[0].codePointAt(0).toString(16).padStart(4, "0");
    parts.push(html`<span class="escape" title="a character that cannot be seen">\\u${code}</span>`);
    at = found.index + found[0].length;
  }
  parts.push(text.replaceAll("\r\n", "\n").slice(at));
  return parts;
}

/** An answer within a line: of a program, how long it is and where it begins; its turn shows it in full. */
export function inShort(answer) {
  const lines = answer.split("\n");
  if (lines.length === 1) return visible(answer);
  const first = lines.find((line) => /^(def|class|async def) /.test(line)) ?? lines[0];
  return visible(`${first.slice(0, 60)} … (${lines.length} lines)`);
}

// `span` counts code points, as Python does.
export function marked(text, span) {
  if (!span) return visible(text);
  const points = Array.from(text);
  const part = (a, b) => visible(points.slice(a, b).join(""));
  return [
    ...part(0, span[0]),
    html`<mark title="these words submit the answer">${part(span[0], span[1])}</mark>`,
    ...part(span[1], points.length),
  ];
}

const FENCE = /^```.*$/;

// A small part of Markdown: fenced code, headings, lists, bold, italic, inline code. Links stay text.
export function markdown(text) {
  const blocks = [];
  let lines = text.replaceAll("\r\n", "\n").split("\n");
  while (lines.length) {
    const line = lines[0];
    if (FENCE.test(line)) {
      const end = lines.findIndex((one, index) => index > 0 && FENCE.test(one));
      const body = lines.slice(1, end < 0 ? undefined : end);
      blocks.push(html`<pre class="code">${visible(body.join("\n"))}</pre>`);
      lines = end < 0 ? [] : lines.slice(end + 1);
    } else if (!line.trim()) {
      lines = lines.slice(1);
    } else if (/^#{1,6}\s/.test(line)) {
      blocks.push(html`<p class="heading">${inline(line.replace(/^#+\s+/, ""))}</p>`);
      lines = lines.slice(1);
    } else if (/^\s*([-*+]|\d+[.)])\s/.test(line)) {
      const end = lines.findIndex((one) => !/^\s*([-*+]|\d+[.)])\s/.test(one));
      const items = end < 0 ? lines : lines.slice(0, end);
      blocks.push(html`<ul>${items.map((one) => html`<li>${inline(one.trim())}</li>`)}</ul>`);
      lines = end < 0 ? [] : lines.slice(end);
    } else {
      const end = lines.findIndex((one) => !one.trim() || FENCE.test(one));
      blocks.push(html`<p>${inline((end < 0 ? lines : lines.slice(0, end)).join("\n"))}</p>`);
      lines = end < 0 ? [] : lines.slice(end);
    }
  }
  return blocks;
}

function inline(text) {
  const pieces = text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*|(?<![\w*])\*[^*\n]+\*(?![\w*]))/);
  return pieces.map((piece) => {
    if (/^`.+`$/.test(piece)) return html`<code>${visible(piece.slice(1, -1))}</code>`;
    if (/^\*\*.+\*\*$/.test(piece)) return html`<b>${visible(piece.slice(2, -2))}</b>`;
    if (/^\*.+\*$/.test(piece)) return html`<i>${visible(piece.slice(1, -1))}</i>`;
    return visible(piece);
  });
}
