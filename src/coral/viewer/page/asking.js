// What a screen asks for and what it sends: what is shown is never the answer to an older question.

import { useEffect, useRef, useState } from "./vendor/preact.js";
import { get } from "./api.js";

// The answer as `value`; until it is there, and where it fails, the one before as `stale`. With `every`, what is not
// finished is asked for again after so many milliseconds.
export function useFetched(path, query, { every = 0 } = {}) {
  const [state, set] = useState({});
  const key = JSON.stringify([path, query]);
  useEffect(() => {
    let ended = false;
    let timer;
    let waits = false; // whether more is to come
    const look = async () => {
      try {
        const value = await get(path, query);
        if (ended) return;
        set({ value, key });
        waits = Array.isArray(value) ? value.some((one) => one.indexing) : value.indexing || value.finished === false;
      } catch (error) {
        if (ended) return;
        set((old) => ({ error, key, stale: old.value ?? old.stale }));
      }
      if (every && waits) timer = setTimeout(look, every);
    };
    look();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [key]);
  return state.key === key ? state : { stale: state.value ?? state.stale };
}

// Rows that are shown part after part: `more()` asks for the next one.
export function useParts(path, query, limit) {
  const [state, set] = useState({ rows: [], count: null });
  const latest = useRef(null);
  const ask = async (offset) => {
    const asked = (latest.current = {});
    try {
      const found = await get(path, { ...query, offset, limit });
      if (latest.current === asked) set((old) => ({ ...found, rows: offset ? [...old.rows, ...found.rows] : found.rows }));
    } catch (error) {
      if (latest.current === asked) set({ rows: [], count: 0, error });
    }
  };
  useEffect(() => {
    ask(0);
  }, [JSON.stringify([path, query])]);
  return { ...state, more: () => ask(state.rows.length) };
}
