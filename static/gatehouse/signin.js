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
const wrong = document.querySelector("[aria-invalid=true]") || document.querySelector("input.pin");
if (wrong) wrong.focus();
// A chosen name leads on to its PIN.
for (const person of document.querySelectorAll(".people input")) {
  person.addEventListener("change", () => {
    const pin = document.querySelector("input.pin");
    if (pin) pin.value = "";
  });
}
