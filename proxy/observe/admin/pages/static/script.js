// What the page cannot do without a script: follow what happens, and copy. Everything else works without it.
"use strict";

// === live: the same address is fetched again, and the parts that may change take the place of the old ones ===

const QUIET_MS = 2000;
let due = false, waiting = false, last = 0;

function isBusy(part) {
  const selection = document.getSelection();
  return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
}

function replace(part, fresh) {
  const folded = part.querySelector("details[id]");
  const open = new Set([...part.querySelectorAll("details[open][id]")].map((each) => each.id));
  const checked = [...part.querySelectorAll("input[type=radio]:checked")].map((each) => each.id);
  const scrolled = [...part.querySelectorAll("nav ul, .scroll")].map((each) => each.scrollLeft);
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const mark = focused && (focused.id ? "#" + CSS.escape(focused.id) : focused.getAttribute("href") && `[href="${CSS.escape(focused.getAttribute("href"))}"]`);
  const known = new Set([...part.querySelectorAll("[data-row]")].map((each) => each.dataset.row));
  part.replaceWith(fresh);
  const cases = [...fresh.querySelectorAll("details[id]")];
  // What was open stays so, and alone; where it has gone, the page opens what it opens by itself.
  if (folded && (!open.size || cases.some((each) => open.has(each.id)))) for (const each of cases) each.open = open.has(each.id);
  for (const id of checked) { const radio = fresh.querySelector("#" + CSS.escape(id)); if (radio) radio.checked = true; }
  [...fresh.querySelectorAll("nav ul, .scroll")].forEach((each, place) => { each.scrollLeft = scrolled[place] || 0; });
  if (mark) fresh.querySelector(mark)?.focus({ preventScroll: true });
  for (const row of fresh.querySelectorAll("[data-row]")) if (!known.has(row.dataset.row)) row.classList.add("fresh");
  addCopying(fresh);
}

async function refresh() {
  waiting = true;
  due = false;
  last = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(part.id);
        if (fresh && !isBusy(part) && fresh.outerHTML !== part.dataset.seen) {
          const seen = fresh.outerHTML;
          const adopted = document.adoptNode(fresh);
          replace(part, adopted);
          adopted.dataset.seen = seen;
        }
      }
      document.documentElement.dataset.updates = 1 + Number(document.documentElement.dataset.updates || 0);
    }
  } catch { /* The proxy is not there; the next event or tick tries again. */ }
  waiting = false;
  if (due) soon();
}

function soon() {
  due = true;
  if (waiting || document.hidden) return;
  waiting = true;
  setTimeout(refresh, Math.max(0, last + QUIET_MS - Date.now()));
}

function follow() {
  const events = new EventSource("/api/events");
  for (const name of ["status", "history", "problems"]) events.addEventListener(name, soon);
  events.addEventListener("error", () => {
    // Refused (too many look already): without a stream the clock tells when to look.
    if (events.readyState === EventSource.CLOSED) setInterval(soon, 5000);
  });
  document.addEventListener("visibilitychange", () => { if (due) soon(); });
}

// === copying ===

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

function addCopying(root) {
  for (const pre of root.querySelectorAll("pre[data-copy]")) {
    if (pre.parentElement.classList.contains("copyable")) continue;
    const box = document.createElement("div");
    box.className = "copyable";
    pre.replaceWith(box);
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
    button.setAttribute("aria-label", "Copy " + pre.dataset.copy);
    button.addEventListener("click", async () => {
      try { await copy(pre.textContent); button.textContent = "Copied"; } catch { button.textContent = "Not allowed"; }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    box.append(pre, button);
  }
}

addCopying(document);
// On a phone the views stand in a row that is longer than the screen.
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
if (document.querySelector("[data-live]")) follow();
