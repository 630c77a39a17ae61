/* Follows a bulk step: the part of the page that changes is asked for again each second until it is finished. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const part = document.querySelector("[data-progress]:not([data-progress=''])");
  const address = part?.dataset.progress;
  if (!address) return;

  const follow = async () => {
    try {
      const answer = await fetch(address, { headers: { "X-Background": "1" } });
      if (answer.redirected || [401, 403, 404].includes(answer.status)) return location.reload();
      if (answer.ok) part.innerHTML = await answer.text();
    } catch {
      /* No network: the step goes on without this page, which asks again. */
    }
    // The buttons above belong to a step that runs.
    if (part.querySelector("[data-state=Finished]")) location.reload();
    else setTimeout(follow, 1000);
  };
  setTimeout(follow, 1000);
});
