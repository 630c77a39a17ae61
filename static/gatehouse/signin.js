// A form is sent once: the second click of a double click must not meet a session that the first one has renewed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "1";
});
// Whoever comes back to a page that the browser has kept may send it again.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
if (document.querySelector("[data-locked]")) {
  try {
    localStorage.setItem("gatehouse-locked", String(Date.now()));
  } catch {
    // Storage may be closed to pages: then each tab locks by its own clock.
  }
}
const known = document.querySelector('input[name="username"]');
const first =
  document.querySelector("[aria-invalid=true]") ||
  (known && known.value && document.querySelector("#id_password")) ||
  document.querySelector(".bare input.pin");
if (first) first.focus();
// A chosen name leads on to its PIN.
for (const person of document.querySelectorAll(".people input")) {
  person.addEventListener("change", () => {
    const pin = document.querySelector("input.pin");
    if (pin) pin.value = "";
  });
}
