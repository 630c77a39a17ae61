/* Weekly hours painted on a week. What is saved stays in the text field of each day: this draws it, and writes it. */
"use strict";

(() => {
  const CELL = 30;
  const CELLS = 1440 / CELL;
  const STRETCH = /^(\d{1,2})(?::(\d{2}))?\s*(?:-|–|to)\s*(\d{1,2})(?::(\d{2}))?$/;

  const clock = (minutes) =>
    `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;

  const minutesOf = (hour, minute) => {
    const minutes = Number(hour) * 60 + Number(minute || 0);
    return Number(minute || 0) < 60 && minutes <= 1440 ? minutes : NaN;
  };

  /* The stretches of a day in minutes after its midnight; past 1440 is the next day. None where it cannot be read. */
  const read = (words) => {
    const stretches = [];
    for (const part of words.split(/[,;]/).map((one) => one.trim()).filter(Boolean)) {
      const found = part.match(STRETCH);
      if (!found) return null;
      const start = minutesOf(found[1], found[2]);
      const end = minutesOf(found[3], found[4]);
      if (Number.isNaN(start) || Number.isNaN(end) || start === 1440) return null;
      stretches.push([start, end <= start ? end + 1440 : end]);
    }
    return stretches;
  };

  const merged = (stretches) => {
    const result = [];
    for (const [start, end] of [...stretches].sort((a, b) => a[0] - b[0])) {
      const last = result.at(-1);
      if (last && start <= last[1]) last[1] = Math.max(last[1], end);
      else result.push([start, end]);
    }
    return result;
  };

  const without = (stretches, from, to) =>
    stretches.flatMap(([start, end]) => [
      [start, Math.min(end, from)],
      [Math.max(start, to), end],
    ]).filter(([start, end]) => start < end);

  const written = (stretches) => stretches.map(([start, end]) => `${clock(start)}-${clock(end)}`).join(", ");

  document.addEventListener("DOMContentLoaded", () => {
    const fields = [...Array(7).keys()].map((day) => document.getElementById(`id_day_${day}`));
    if (fields.some((field) => !field || field.readOnly || field.disabled)) return;

    const rows = fields.map((field, day) => {
      const strip = document.createElement("div");
      strip.className = "gh-day";
      strip.dataset.day = day;
      // The text field beside it says the same to whoever does not see or point.
      strip.setAttribute("aria-hidden", "true");
      for (let cell = 0; cell < CELLS; cell += 1) {
        const box = document.createElement("span");
        box.dataset.cell = cell;
        box.title = `${clock(cell * CELL)}-${clock((cell + 1) * CELL)}`;
        strip.append(box);
      }
      field.before(strip);
      return strip;
    });

    const scale = document.createElement("div");
    scale.className = "gh-scale";
    scale.setAttribute("aria-hidden", "true");
    for (const hour of [0, 6, 12, 18]) {
      const mark = document.createElement("span");
      mark.textContent = clock(hour * 60);
      scale.append(mark);
    }
    rows[0].before(scale);

    /* What each day shows: its own stretches up to midnight, and what reaches over from the day before. */
    const week = () => {
      const own = fields.map((field) => read(field.value));
      return own.map((stretches, day) => ({
        readable: stretches !== null,
        shown: merged([
          ...(stretches || []).map(([start, end]) => [start, Math.min(end, 1440)]),
          ...(own[(day + 6) % 7] || []).filter(([, end]) => end > 1440).map(([, end]) => [0, end - 1440]),
        ]),
      }));
    };

    const draw = (selected) => {
      week().forEach(({ readable, shown }, day) => {
        rows[day].classList.toggle("gh-unread", !readable);
        for (const box of rows[day].children) {
          const start = Number(box.dataset.cell) * CELL;
          const covered = shown.reduce(
            (sum, [from, to]) => sum + Math.max(0, Math.min(to, start + CELL) - Math.max(from, start)), 0);
          box.dataset.open = covered === CELL ? "yes" : covered ? "partly" : "no";
          box.classList.toggle("gh-chosen", Boolean(selected && selected(day, start)));
        }
      });
    };

    /* A stretch over midnight of a day that is painted on becomes two, one in each day; they mean the same. */
    const split = (day) => {
      const stretches = read(fields[day].value) || [];
      const next = (day + 1) % 7;
      const over = stretches.filter(([, end]) => end > 1440).map(([, end]) => [0, end - 1440]);
      if (!over.length) return;
      fields[day].value = written(stretches.map(([start, end]) => [start, Math.min(end, 1440)]));
      fields[next].value = written(merged([...(read(fields[next].value) || []), ...over]));
    };

    const paint = (days, from, to, open) => {
      for (const day of days) {
        split((day + 6) % 7);
        split(day);
        const rest = without(read(fields[day].value) || [], from, to);
        fields[day].value = written(merged(open ? [...rest, [from, to]] : rest));
      }
      fields[days[0]].dispatchEvent(new Event("change", { bubbles: true }));
    };

    let drag = null;
    const area = (end) => {
      const days = [drag.day, end.day].sort((a, b) => a - b);
      const cells = [drag.cell, end.cell].sort((a, b) => a - b);
      return {
        days: [...Array(days[1] - days[0] + 1).keys()].map((step) => days[0] + step),
        from: cells[0] * CELL,
        to: (cells[1] + 1) * CELL,
      };
    };
    const boxAt = (event) => {
      const box = document.elementFromPoint(event.clientX, event.clientY)?.closest(".gh-day > span");
      return box && { day: Number(box.parentElement.dataset.day), cell: Number(box.dataset.cell) };
    };
    const preview = () => {
      const { days, from, to } = area(drag.end);
      draw((day, start) => days.includes(day) && start >= from && start < to);
    };

    for (const strip of rows) {
      strip.addEventListener("pointerdown", (event) => {
        const box = boxAt(event);
        if (!box || event.button) return;
        event.preventDefault();
        const open = strip.children[box.cell].dataset.open !== "yes";
        drag = { ...box, end: box, open };
        preview();
      });
    }
    document.addEventListener("pointermove", (event) => {
      const box = drag && boxAt(event);
      if (!box) return;
      drag.end = box;
      preview();
    });
    document.addEventListener("pointerup", () => {
      if (!drag) return;
      const { days, from, to } = area(drag.end);
      paint(days, from, to, drag.open);
      drag = null;
      draw();
    });
    for (const stop of ["pointercancel", "keydown"]) {
      document.addEventListener(stop, (event) => {
        if (!drag || (event.key && event.key !== "Escape")) return;
        drag = null;
        draw();
      });
    }
    for (const field of fields) field.addEventListener("input", () => draw());
    draw();
  });
})();
