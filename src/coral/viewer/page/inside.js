// The answers of a page without a server. Its data lie in it, compressed, or in scripts beside it, which are loaded
// when they are looked at: a page from the disk may fetch nothing.

const element = document.getElementById("data");
export const isOneFile = element !== null;
const begun = element && JSON.parse(element.textContent);
const inFolder = isOneFile && typeof begun !== "string";
const KEPT = 8; // parts of a folder that are kept unpacked
const MOST_SEARCHED = 20000; // conversations whose words are kept for the next search

async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const arrived = {};
if (inFolder) globalThis.coral = (name, packed) => (arrived[name] = packed);

function load(name) {
  return new Promise((done, fail) => {
    const script = document.createElement("script");
    script.src = `data/${name}.js`;
    script.onload = () => {
      done(unpack(arrived[name]));
      delete arrived[name];
      script.remove();
    };
    script.onerror = () => fail({ error: `data/${name}.js is missing`, remedy: "copy the whole folder" });
    document.head.append(script);
  });
}

const parts = new Map();

// The conversations of a row's part, by id.
function conversations(data, row) {
  if (!inFolder) return data.conversations;
  const name = `part-${String(Math.floor(row.place / begun.part)).padStart(5, "0")}`;
  const found = parts.get(name) || load(name);
  parts.delete(name);
  parts.set(name, found); // the latest stands last
  if (parts.size > KEPT) parts.delete(parts.keys().next().value);
  return found;
}

let unpacked;

async function whole() {
  const data = await (inFolder ? load("run") : unpack(begun));
  data.rows.forEach((row, place) => (row.place = place));
  data.byId = new Map(data.rows.map((row) => [row.id, row]));
  return data;
}

// What the server would answer; null where there is one to ask.
export async function answer(path, query) {
  if (!isOneFile) return null;
  try {
    unpacked ??= whole();
    const data = await unpacked;
    if (path === "runs") return [data.overview];
    if (path === "runs/0") return data.overview;
    if (path === "runs/0/conversations") return await list(data, query);
    if (path === "runs/0/conversation") {
      const row = data.byId.get(query.id);
      return row ? (await conversations(data, row))[query.id] : { error: `this file holds no conversation '${query.id}'`, remedy: "" };
    }
  } catch (problem) {
    if (problem.error) return problem;
    throw problem;
  }
  return { error: "this file does not hold that", remedy: "`coral view` shows it from the run folder" };
}

async function list(data, query) {
  let found = data.rows.filter((row) => fits(row, query));
  if (query.text) found = await searched(data, found, query.text);
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

function fits(row, query) {
  return Object.entries(query).every(([name, value]) => {
    if (["sort", "offset", "limit", "text"].includes(name)) return true;
    if (name === "kind") return row.kinds.includes(value);
    if (name === "turn") return `${row[`${query.kind}_turn`]}` === value;
    if (name === "seat") return row[`${query.kind}_seat`] === value;
    if (name.startsWith("group.")) return row.group[name.slice(6)] === value;
    return `${row[name]}` === value;
  });
}

// As the server's search: all words, a phrase where it is quoted, the last word as a beginning.
async function searched(data, rows, text) {
  const pieces = [...text.matchAll(/"([^"]+)"|(\S+)/g)].map((piece) => words(piece[1] || piece[2]));
  const open = !text.trimEnd().endsWith('"');
  const wanted = pieces.map((piece, index) => (open && index === pieces.length - 1 ? piece.slice(0, -1) : piece));
  const found = [];
  for (const row of rows) {
    const said = row.words ?? saidIn((await conversations(data, row))[row.id]);
    if (data.rows.length <= MOST_SEARCHED) row.words = said;
    if (wanted.every((piece) => said.includes(piece))) found.push(row);
  }
  return found;
}

const saidIn = (conversation) =>
  words([conversation.id, conversation.opening, ...conversation.turns.flatMap((turn) => turn.replies.map((one) => one.text))].join(" "));
const words = (said) => ` ${fold(said).match(/[\p{L}\p{N}]+/gu)?.join(" ") || ""} `;
const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
