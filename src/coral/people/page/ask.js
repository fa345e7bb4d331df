// What the pages ask of their server, with the token of their link.

export const TOKEN = new URLSearchParams(location.search).get("token") || "";

export class Refused extends Error {
  constructor({ error, remedy }, status) {
    super(error || "the server could not answer");
    this.remedy = remedy || "";
    this.status = status; // 0: nobody answered
  }
}

export const get = (path, query = {}) => ask(`api/${path}?${new URLSearchParams(query)}`, {});

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
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(body, response.status);
  return body;
}
