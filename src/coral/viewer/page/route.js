// Where the page is: all of it stands in the address behind the #, so that a link shows the same.

export function parse(hash) {
  const [path, words = ""] = hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean), query: Object.fromEntries(new URLSearchParams(words)) };
}

export function link(path, query = {}) {
  const filled = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  const words = new URLSearchParams(filled).toString();
  return `#/${path}${words ? `?${words}` : ""}`;
}

export function go(path, query, { replace = false } = {}) {
  const target = link(path, query);
  if (replace) {
    history.replaceState(null, "", target);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = target;
  }
}
