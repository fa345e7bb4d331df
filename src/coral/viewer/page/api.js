// What the page asks for: of the viewer's server, or of the data inside the file if the page is one.

import { Refused, filled, get as fetched, post as sent } from "./ask.js";
import { answer } from "./inside.js";

export async function get(path, query = {}) {
  const inside = await answer(path, filled(query));
  if (!inside) return told(fetched(path, query));
  if (inside.error && inside.remedy != null) throw new Refused(inside);
  return inside;
}

export const post = (path, body) => told(sent(path, body));

// Who sees the page is who started its server.
const GONE = { error: "the viewer does not answer", remedy: "start its command again, and open the address that it prints" };

async function told(asking) {
  try {
    return await asking;
  } catch (error) {
    throw error.status === 0 ? new Refused(GONE, 0) : error;
  }
}
