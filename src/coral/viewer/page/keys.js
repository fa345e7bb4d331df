// Keys of a screen, wherever the focus is.

import { useLayoutEffect, useRef } from "./vendor/preact.js";

export const inField = (event) => event.target.matches("input, select, textarea");

// The screen as it is shown answers, from the moment it stands in the document: an effect would wait until it is
// painted, and a key pressed before that would go to the screen of before. Who is `first` hears a key before others.
export function useKeys(press, { first = false } = {}) {
  const latest = useRef(press);
  latest.current = press;
  useLayoutEffect(() => {
    const heard = (event) => {
      if (!event.ctrlKey && !event.metaKey && !event.altKey) latest.current(event);
    };
    addEventListener("keydown", heard, first);
    return () => removeEventListener("keydown", heard, first);
  }, []);
}
