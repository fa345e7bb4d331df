// The answers of a page that is one file: its data lie in it, compressed, and are looked through here.

const element = document.getElementById("data");
export const isOneFile = element !== null;
let unpacked;

async function unpack() {
  const bytes = Uint8Array.from(atob(JSON.parse(element.textContent)), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// What the server would answer; null where there is one to ask.
export async function answer(path, query) {
  if (!isOneFile) return null;
  unpacked ??= unpack();
  const data = await unpacked;
  if (path === "runs") return [data.overview];
  if (path === "runs/0") return data.overview;
  if (path === "runs/0/conversations") return list(data, query);
  if (path === "runs/0/conversation") {
    return data.conversations[query.id] || { error: `this file holds no conversation '${query.id}'`, remedy: "" };
  }
  return { error: "this file does not hold that", remedy: "`coral view` shows it from the run folder" };
}

function list(data, query) {
  const found = data.rows.filter((row) => fits(row, data.conversations[row.id], query));
  const sort = query.sort || "id";
  const name = { lost: "lost_turn", gained: "gained_turn" }[sort.replace("-", "")] || sort.replace("-", "");
  if (name !== "id") {
    const way = sort.startsWith("-") ? -1 : 1;
    const order = (a, b) => (a === b ? 0 : a == null ? 1 : b == null ? -1 : way * (a < b ? -1 : 1));
    found.sort((a, b) => order(a[name], b[name])); // stable: equal ones stay in the order of their ids
  } else if (sort.startsWith("-")) found.reverse();
  const offset = Number(query.offset || 0);
  return { count: found.length, rows: found.slice(offset, offset + Number(query.limit || 100)) };
}

function fits(row, conversation, query) {
  return Object.entries(query).every(([name, value]) => {
    if (["sort", "offset", "limit"].includes(name)) return true;
    if (name === "kind") return row.kinds.includes(value);
    if (name === "turn") return `${row[`${query.kind}_turn`]}` === value;
    if (name === "seat") return row[`${query.kind}_seat`] === value;
    if (name.startsWith("group.")) return conversation.problem.group[name.slice(6)] === value;
    if (name === "text") return searched(conversation, value);
    return `${row[name]}` === value;
  });
}

// As the server's search: all words, a phrase where it is quoted, the last word as a beginning.
function searched(conversation, text) {
  const words = (said) => ` ${fold(said).match(/[\p{L}\p{N}]+/gu)?.join(" ") || ""} `;
  conversation.words ??= words(
    [conversation.id, conversation.opening, ...conversation.turns.flatMap((turn) => turn.replies.map((one) => one.text))].join(" "),
  );
  const pieces = [...text.matchAll(/"([^"]+)"|(\S+)/g)].map((piece) => words(piece[1] || piece[2]));
  return pieces.every((piece, index) => {
    const open = index === pieces.length - 1 && !text.trimEnd().endsWith('"');
    return conversation.words.includes(open ? piece.slice(0, -1) : piece);
  });
}

const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
