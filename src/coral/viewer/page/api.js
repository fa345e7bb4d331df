// What the page asks for: of the viewer's server, or of the data inside the file if the page is one.

import { answer } from "./inside.js";

const TOKEN = new URLSearchParams(location.search).get("token") || "";

export class Refused extends Error {
  constructor({ error, remedy }) {
    super(error || "the server did not answer");
    this.remedy = remedy || "";
  }
}

export async function get(path, query = {}) {
  const filled = Object.fromEntries(Object.entries(query).filter(([, value]) => value !== "" && value != null));
  const inside = await answer(path, filled);
  if (inside) {
    if (inside.error && inside.remedy != null) throw new Refused(inside);
    return inside;
  }
  const words = new URLSearchParams(filled).toString();
  return ask(`api/${path}${words ? `?${words}` : ""}`, {});
}

export const post = (path, body) =>
  ask(`api/${path}`, { method: "POST", body: JSON.stringify(body), type: "application/json" });

async function ask(address, { type, ...options }) {
  const headers = { "X-Coral-Token": TOKEN, ...(type ? { "Content-Type": type } : {}) };
  let response;
  try {
    response = await fetch(address, { ...options, headers });
  } catch {
    throw new Refused({ error: "the viewer does not answer", remedy: "start `coral view` again, and reload" });
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(body);
  return body;
}
