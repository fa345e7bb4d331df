// Requests to the viewer's server. The token of the page's address goes along as a header.

const TOKEN = new URLSearchParams(location.search).get("token") || "";

export class Refused extends Error {
  constructor({ error, remedy }) {
    super(error || "the server did not answer");
    this.remedy = remedy || "";
  }
}

export async function get(path, query = {}) {
  const filled = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  const words = new URLSearchParams(filled).toString();
  let response;
  try {
    response = await fetch(`api/${path}${words ? `?${words}` : ""}`, { headers: { "X-Coral-Token": TOKEN } });
  } catch {
    throw new Refused({ error: "the viewer does not answer", remedy: "start `coral view` again, and reload" });
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(body);
  return body;
}
