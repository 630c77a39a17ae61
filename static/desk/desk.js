/* What the pages of the desk do beyond plain HTML: nothing here is needed to issue, move or end a visit. */
"use strict";

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function say(words) {
  const said = one("#said");
  if (said) said.textContent = words;
}

/* The first field that is wrong has the focus, so that it is read and can be mended at once. */
function focusFirstError(root = document) {
  one('[aria-invalid="true"]', root)?.focus();
}

/* Menus: Escape closes and gives the focus back; a click elsewhere closes. */
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = event.target.closest?.("details.menu[open]") ?? one("details.menu[open]");
  if (open) {
    open.open = false;
    one("summary", open).focus();
  }
});
document.addEventListener("click", (event) => {
  for (const open of all("details.menu[open]")) if (!open.contains(event.target)) open.open = false;
});

/* A form is sent once; a PIN must not be issued twice by a double click. */
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  if (form.method === "post") {
    form.dataset.sent = "1";
    /* On a slow line the page stays for seconds: the button says that it has heard. */
    event.submitter?.setAttribute("aria-busy", "true");
    setTimeout(() => mayBeSentAgain(form), 8000);
  }
});
function mayBeSentAgain(form) {
  delete form.dataset.sent;
  for (const button of form.elements) button.removeAttribute("aria-busy");
}
window.addEventListener("pageshow", (event) => {
  for (const form of all("form[data-sent]")) mayBeSentAgain(form);
  /* A page with a PIN that comes back from the browser's memory shows it no more. */
  if (event.persisted) for (const pin of all("[data-shown-once]")) pin.remove();
});

/* The PIN that is shown once: reloading asks for the visit, not for the form again. */
function showOnce() {
  const shown = one("[data-shown-once]");
  const page = one("[data-page]")?.dataset.page;
  if (shown && page) history.replaceState(null, "", page);
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = one(button.dataset.copy).textContent.replaceAll("-", "").trim();
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const range = document.createRange();
    range.selectNodeContents(one(button.dataset.copy));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    if (!document.execCommand("copy")) return;
  }
  const words = one("span", button);
  const before = words.textContent;
  words.textContent = document.body.dataset.copied;
  say(document.body.dataset.copied);
  setTimeout(() => (words.textContent = before), 2000);
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) print();
});

/* The form of a visit: own times appear when they are wanted, the address says how the message goes. */
function visitForm(form) {
  const times = one("[data-times]", form);
  const follow = () => {
    const period = form.elements.period?.value;
    if (times && period !== undefined) times.hidden = period !== "other";
    const address = form.elements.address?.value.trim() ?? "";
    const deliver = all('[name="deliver"]', form);
    if (deliver.length && !form.dataset.chose) {
      const wanted = address.includes("@") ? "email" : /^\+?[\d\s()/-]{5,}$/.test(address) ? "sms" : "none";
      const choice = deliver.find((input) => input.value === wanted && !input.disabled);
      (choice ?? deliver.find((input) => input.value === "none")).checked = true;
    }
    const who = one("[data-says=name]");
    if (who) who.textContent = form.elements.name?.value.trim() || who.dataset.empty;
    const doors = one("[data-says=doors]");
    if (doors) {
      const names = all('[name="doors"]:checked', form).map((box) => box.closest("label").textContent.trim());
      doors.textContent = names.join(", ") || doors.dataset.empty;
    }
    const when = one("[data-says=when]");
    if (when) {
      const chosen = one('[name="period"]:checked', form);
      when.textContent = chosen?.value === "other"
        ? `${form.elements.start.value.replace("T", " ")} – ${form.elements.end.value.replace("T", " ")}`
        : chosen?.closest("label").textContent.trim() ?? "";
    }
    const sent = one("[data-says=deliver]");
    if (sent) sent.textContent = one('[name="deliver"]:checked', form)?.closest("label").textContent.trim() ?? "";
  };
  form.addEventListener("input", (event) => {
    if (event.target.name === "deliver") form.dataset.chose = "1";
    if (event.target.name === "name" && form.elements.person_id) form.elements.person_id.value = "";
    follow();
  });
  follow();
}

/* What was typed outlives the lock screen: kept in this tab, for this person, until it is sent or left. */
const DRAFT = "gatehouse-draft";
function keepDraft(form) {
  const whose = `${document.body.dataset.who} ${location.pathname}`;
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem(DRAFT));
    if (!form) sessionStorage.removeItem(DRAFT);
  } catch {}
  if (!form) return;
  const note = () => {
    const sent = [...new FormData(form)].filter(([name, value]) => name !== "csrfmiddlewaretoken" && value.trim);
    try {
      sessionStorage.setItem(DRAFT, JSON.stringify({ whose, sent }));
    } catch {}
  };
  /* A form that comes back with its errors holds all of it already. */
  if (kept?.whose === whose && !("bound" in form.dataset)) {
    for (const field of form.elements) {
      const values = kept.sent.filter(([name]) => name === field.name).map(([, value]) => value);
      if (field.type === "checkbox" || field.type === "radio") field.checked = values.includes(field.value);
      else if (values.length && field.type !== "file") field.value = values[0];
    }
  }
  form.addEventListener("input", note);
  form.addEventListener("change", note);
}

/* Returning visitors: the list under the name, with the arrow keys; Tab and Enter go on as if it were not there. */
function finder(input) {
  const list = document.getElementById(input.getAttribute("aria-controls"));
  const options = () => all("[role=option]", list);
  const current = () => options().findIndex((option) => option.getAttribute("aria-selected") === "true");
  const close = () => {
    list.replaceChildren();
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (index) => {
    const found = options();
    found.forEach((option, number) => option.setAttribute("aria-selected", String(number === index)));
    if (found[index]) {
      input.setAttribute("aria-activedescendant", found[index].id);
      found[index].scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  };
  const take = (option) => {
    const { name, address, language, person } = option.dataset;
    const form = input.form;
    input.value = name;
    if (form.elements.address && address) form.elements.address.value = address;
    if (form.elements.language && language) form.elements.language.value = language;
    close();
    form.dispatchEvent(new Event("input", { bubbles: true }));
    form.elements.person_id.value = person;
    htmx.trigger(form, "taken");
  };
  list.addEventListener("htmx:afterSwap", () => {
    if (document.activeElement !== input) return close();
    input.setAttribute("aria-expanded", String(options().length > 0));
    if (list.dataset.found) say(list.dataset.found);
  });
  input.addEventListener("keydown", (event) => {
    const found = options();
    if (!found.length) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      mark((current() + step + found.length) % found.length);
    } else if (event.key === "Enter" && current() >= 0) {
      event.preventDefault();
      take(found[current()]);
    } else if (event.key === "Escape") {
      event.preventDefault();
      close();
    }
  });
  list.addEventListener("mousedown", (event) => {
    const option = event.target.closest("[role=option]");
    if (!option) return;
    event.preventDefault();
    take(option);
  });
  input.addEventListener("blur", () => setTimeout(close, 150));
  input.form.addEventListener("submit", close);
}

/* A link to one of the steps of a visit opens it. */
function openStep() {
  const step = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
  if (step?.localName !== "details") return;
  step.open = true;
  one("summary", step).focus();
}

/* The board: each second the server is asked whether anything is new, and sends only the parts that changed. */
function board(root) {
  const live = one("#live");
  const parts = () => all("[data-part]").map((part) => `${part.id}:${part.dataset.part}`).join(" ");
  document.body.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.elt !== root) return;
    event.detail.parameters.have = parts();
    event.detail.parameters.seen = one("#seen")?.dataset.seen ?? "";
  });
  const reach = (is) => {
    if (live) {
      live.classList.toggle("off", !is);
      live.textContent = is ? live.dataset.on : live.dataset.off;
    }
  };
  root.addEventListener("htmx:afterRequest", (event) => reach(event.detail.successful));
  /* A part that is replaced while somebody stands in it: the focus goes to the same place in the new one. */
  let kept = null;
  const places = (id) => all("a, button", document.getElementById(id) ?? undefined);
  document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target } = event.detail;
    kept = target.contains(document.activeElement)
      ? { id: target.id, place: places(target.id).indexOf(document.activeElement) }
      : null;
  });
  document.body.addEventListener("htmx:oobAfterSwap", () => {
    if (kept && document.activeElement === document.body) places(kept.id)[kept.place]?.focus();
  });
}

/* One menu for all lines of the board, opened at the button of a line; without it that button leads to the visit. */
function lineMenu(menu) {
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-more]");
    if (!opener || !menu.showPopover || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    for (const entry of all("[data-to]", menu)) {
      const address = opener.getAttribute("href") + entry.dataset.to;
      entry.hidden = "live" in entry.dataset && !("live" in opener.dataset);
      if (entry.localName === "a") entry.href = address;
      else {
        entry.formAction = address;
        entry.value = opener.dataset.more;
      }
    }
    menu.showPopover();
    const at = opener.getBoundingClientRect();
    const below = at.bottom + 4 + menu.offsetHeight <= innerHeight;
    menu.style.left = `${Math.max(8, at.right - menu.offsetWidth)}px`;
    menu.style.top = `${Math.max(8, below ? at.bottom + 4 : at.top - 4 - menu.offsetHeight)}px`;
    one("[data-to]", menu).focus();
  });
  for (const gone of ["scroll", "resize"]) window.addEventListener(gone, () => menu.hidePopover(), { passive: true });
}

window.addEventListener("hashchange", openStep);
document.addEventListener("DOMContentLoaded", () => {
  openStep();
  focusFirstError();
  showOnce();
  keepDraft(one("form[data-visit]"));
  all("form[data-visit]").forEach(visitForm);
  all("input[role=combobox]").forEach(finder);
  const root = one("#poll");
  if (root) board(root);
  const menu = one("#more");
  if (menu) lineMenu(menu);
});
