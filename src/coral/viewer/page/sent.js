// Sending something once at a time.

import { useRef, useState } from "./vendor/preact.js";

// [send, what went wrong, whether it is under way]; meanwhile a second press sends nothing.
export function useSent(request, take) {
  const [error, fail] = useState(null);
  const [busy, work] = useState(false);
  const sending = useRef(false); // `busy` is known to the next painting only
  const send = async (...given) => {
    if (sending.current) return;
    sending.current = true;
    work(true);
    fail(null);
    try {
      take(await request(...given));
    } catch (refused) {
      fail(refused);
    }
    sending.current = false;
    work(false);
  };
  return [send, error, busy];
}
