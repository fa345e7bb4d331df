// What a page asks of its server, with the token of its link.

export const TOKEN = new URLSearchParams(location.search).get("token") || "";

export class Refused extends Error {
  constructor({ error, remedy }, status) {
    super(error || "the server could not answer");
    this.remedy = remedy || "";
    this.status = status; // 0: nobody answered
    this.isOurs = Boolean(error && status); // not of what stands between, such as a proxy of a server that is away
  }
}

// What counts of a query: an empty value asks for nothing.
export const filled = (query) =>
  Object.fromEntries(Object.entries(query).filter(([, value]) => value !== "" && value != null));

export function get(path, query = {}) {
  const words = new URLSearchParams(filled(query)).toString();
  return ask(`api/${path}${words ? `?${words}` : ""}`, {});
}

export const post = (path, body = {}) =>
  ask(`api/${path}`, { method: "POST", body: JSON.stringify(body), type: "application/json" });

async function ask(address, { type, ...options }) {
  const headers = { "X-Coral-Token": TOKEN, ...(type ? { "Content-Type": type } : {}) };
  let response;
  try {
    response = await fetch(address, { ...options, headers });
  } catch {
    throw new Refused({ error: "nobody answers" }, 0);
  }
  const body = await response.json().catch(() => null); // such as an answer that broke off
  if (!response.ok || body === null) throw new Refused(body || {}, response.status);
  return body;
}
