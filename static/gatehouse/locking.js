// Locks the screen before the eyes when nobody has used it, in every tab at once. The server locks by itself too:
// this hides what is shown, and tells the server of somebody who types or reads without sending anything.
(() => {
  const meta = document.querySelector('meta[name="gatehouse-idle"]');
  if (!meta) return;
  const limit = Number(meta.content) * 1000;
  const tellEvery = Math.min(60_000, limit / 3);
  const shared = "gatehouse-used";
  const area = location.pathname.startsWith("/desk/") ? "desk" : "admin";
  let used = Date.now();
  let told = Date.now();
  let leaving = false;

  const token = () => (document.cookie.match(/(?:^|; )csrftoken=([^;]*)/) || [])[1] || "";
  const send = (address) =>
    fetch(address, {
      method: "POST",
      keepalive: true,
      headers: { "X-CSRFToken": token(), Accept: "application/json" },
      body: new URLSearchParams({ area }),
    });
  // Storage may be closed to pages; then each tab counts for itself.
  const remember = (moment) => {
    try {
      localStorage.setItem(shared, String(moment));
    } catch {}
  };
  const latest = () => {
    try {
      return Math.max(used, Number(localStorage.getItem(shared)) || 0);
    } catch {
      return used;
    }
  };
  const leave = () => {
    if (leaving) return;
    leaving = true;
    // Nothing stays in sight while the lock screen is on its way, or cannot come.
    document.documentElement.hidden = true;
    const here = location.pathname + location.search;
    location.replace(`${meta.dataset.locked}?next=${encodeURIComponent(here)}`);
  };
  const lock = () => send(meta.dataset.lock).then(leave, leave);

  const note = () => {
    const now = Date.now();
    if (now - used > 1000) {
      used = now;
      remember(now);
    }
    if (now - told > tellEvery) {
      told = now;
      send(meta.dataset.seen).then(
        (answer) => {
          if (answer.status === 401) leave();
        },
        () => {},
      );
    }
  };
  for (const kind of ["keydown", "pointerdown", "pointermove", "wheel", "touchstart"]) {
    addEventListener(kind, note, { capture: true, passive: true });
  }
  remember(used);
  setInterval(() => {
    if (Date.now() - latest() >= limit) lock();
  }, Math.min(5000, limit / 4));
  // A sleeping computer stops the clock above; on waking it is looked at first.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() - latest() >= limit) lock();
  });
  // The lock screen in one tab is the lock screen in all of them.
  addEventListener("storage", (event) => {
    if (event.key === "gatehouse-locked") leave();
  });
  // The back button must not bring a page back that was left by the lock.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
  // Pieces of a page, such as lists that refresh, are turned away with this header once the screen is locked.
  document.addEventListener("htmx:afterRequest", (event) => {
    const answer = event.detail.xhr;
    if (answer && answer.getResponseHeader("X-Gatehouse-Locked") === meta.dataset.locked) leave();
  });
})();
