// Draws the page anew when the platform says that something changed. Without it, reloading does the same.
"use strict";

const main = document.getElementById("main");
const live = document.getElementById("live");
let drawing = false;
let again = false;

async function draw() {
  if (drawing) {
    again = true;
    return;
  }
  drawing = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    // What the reader opened or closed stays as it is.
    const details = main.querySelectorAll("details");
    fresh.querySelectorAll("details").forEach((d, i) => { if (details[i]) d.open = details[i].open; });
    if (fresh.innerHTML !== main.innerHTML) main.replaceChildren(...fresh.childNodes);
  } catch {
    live.classList.add("away"); // the platform is away; the stream says when it is back
  } finally {
    drawing = false;
  }
  if (again) {
    again = false;
    draw();
  }
}

const stream = new EventSource("/events");
stream.addEventListener("open", () => { live.hidden = false; live.classList.remove("away"); live.textContent = "live"; draw(); });
stream.addEventListener("error", () => { live.classList.add("away"); live.textContent = "away"; });
stream.addEventListener("change", draw);

// A build writes its log without a change of state, so its page looks each second while it runs.
setInterval(() => { if (main.querySelector("[data-follow]")) draw(); }, 1000);
