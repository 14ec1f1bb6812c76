// Everything here is an addition: pages read, link and submit without it.
"use strict";
const $ = (query, at = document) => at.querySelector(query);
const $$ = (query, at = document) => [...at.querySelectorAll(query)];
const typing = (event) => event.target.closest("input, textarea, select, [contenteditable]");

// Theme: the system's, unless the reader chose; kept in this browser.
const root = document.documentElement;
const kept = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
if (kept) root.dataset.theme = kept;
$("[data-theme-toggle]")?.addEventListener("click", (event) => {
  event.preventDefault();
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a private window keeps nothing */ }
});

// Times in the reader's zone; the title keeps UTC.
const pad = (n, size = 2) => String(n).padStart(size, "0");
const clock = (t, seconds) => `${pad(t.getHours())}:${pad(t.getMinutes())}${seconds ? `:${pad(t.getSeconds())}` : ""}`;
const day = (t) => t.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
function localTimes(at = document) {
  const now = new Date();
  for (const node of $$("time[datetime]", at)) {
    const t = new Date(node.dateTime), show = node.dataset.show;
    if (Number.isNaN(t.getTime())) continue;
    const text = show === "ms" ? `${clock(t, true)}.${pad(t.getMilliseconds(), 3)}` : clock(t, show === "hms");
    const far = now - t > 6 * 864e5;
    node.textContent = t.toDateString() === now.toDateString() ? text : `${far ? day(t) : t.toLocaleDateString("en-GB", { weekday: "short" })} ${text}`;
  }
}

// Axes and sentences say hours of UTC until the script reads them: a place of the axis tells the day of its tick.
function localHours(at = document) {
  const range = $("[data-range]");
  for (const node of $$("text.tick", at)) {
    const hour = /^(\d\d):(\d\d)$/.exec(node.textContent);
    if (!hour || !range || node.dataset.utc) continue;
    const since = +range.dataset.since, place = since + ((+range.dataset.until - since) * parseFloat(node.getAttribute("x"))) / 100;
    const ofDay = hour[1] * 3600 + hour[2] * 60, moment = Math.round((place - ofDay) / 86400) * 86400 + ofDay;
    node.dataset.utc = node.textContent;
    node.textContent = clock(new Date(moment * 1000));
  }
  for (const node of $$(".utc", at)) {
    if (node.title) continue;
    const [hours, minutes] = node.textContent.split(/[: ]/), t = new Date();
    t.setUTCHours(hours, minutes);
    node.title = node.textContent;
    node.textContent = clock(t);
  }
}
localHours();
const zone = $("[data-zone]");
if (zone) zone.textContent = `Times are ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`;
localTimes();

// Keys. Never while typing.
const PLACES = { o: "/", i: "/incidents", r: "/requests", e: "/reports" };
let goSince = 0;
addEventListener("keydown", (event) => {
  if (typing(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { "[": "prev", "]": "next" }[event.key];
  if (event.key === "/") { event.preventDefault(); ($(".filter input") || $(".find input"))?.focus(); }
  else if (event.key === "?") showKeys();
  else if (event.key === "g") goSince = Date.now();
  else if (step) $(`a[rel="${step}"]`)?.click();
  else if (event.key === "l") setPaused(!paused);
  else if (PLACES[event.key] && Date.now() - goSince < 1200) location.href = PLACES[event.key];
});
function showKeys() {
  let box = $("dialog.keys");
  if (!box) {
    box = document.createElement("dialog");
    box.className = "keys";
    box.setAttribute("aria-label", "Keys");
    const list = document.createElement("dl");
    list.className = "kv";
    const rows = [["/", "find or filter"], ["g o", "overview"], ["g i", "incidents"], ["g r", "requests"], ["g e", "reports"], ["← ↑ ↓ →", "move in the heat map"], ["Enter", "requests of the cell"], ["[ ]", "earlier, later"], ["l", "pause or resume"], ["Esc", "close"]];
    for (const [key, what] of rows) {
      const term = document.createElement("dt"), said = document.createElement("dd"), cap = document.createElement("kbd");
      cap.textContent = key;
      term.append(cap);
      said.textContent = what;
      list.append(term, said);
    }
    box.append(list);
    document.body.append(box);
    box.addEventListener("click", () => box.close());
  }
  box.showModal();
}
$("[data-keys]")?.addEventListener("click", (event) => { event.preventDefault(); showKeys(); });

// One menu at a time; Esc and a click outside close it.
addEventListener("click", (event) => $$("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; }));
addEventListener("keydown", (event) => {
  if (event.key === "Escape") $$("details.menu[open]").forEach((menu) => { menu.open = false; $("summary", menu).focus(); });
});

// Heat map: one tab stop, arrows move a cell, the readout above says what it is.
function heatMap(heat) {
  const out = $("#readout-text"), start = +heat.dataset.start * 1000, step = +heat.dataset.step * 1000;
  const words = ["healthy", "low", "medium", "severe"];
  let y = 0, x = -1;
  const rows = () => $$("[data-row]", heat);
  const span = (n) => [new Date(start + n * step), new Date(start + (n + 1) * step)];
  const requests = (row) => `${heat.dataset.requests}&since=${span(x)[0].toISOString()}&until=${span(x)[1].toISOString()}${row.dataset.where ? `&where=${encodeURIComponent(row.dataset.where)}` : ""}`;
  const show = () => {
    const row = rows()[y], strip = $(".strip", row), levels = strip.dataset.levels, count = levels.length;
    if (x < 0) x = count - 1;
    x = Math.min(count - 1, x);
    const value = strip.dataset.values.split(" ")[x], level = levels[x];
    $$(".cursor", heat).forEach((c) => c.setAttribute("visibility", "hidden"));
    const cursor = $(".cursor", strip);
    cursor.setAttribute("x", `${(x / count) * 100}%`);
    cursor.setAttribute("width", `${100 / count}%`);
    cursor.setAttribute("visibility", "visible");
    const [from, to] = span(x), bold = document.createElement("b"), link = document.createElement("a");
    bold.textContent = `${clock(from)}–${clock(to)}`;
    link.href = requests(row);
    link.textContent = "requests";
    const said = level === "n" ? "no traffic" : level === "u" ? "not judged: too few rows, or nothing to compare with" : `${(+value * 100).toFixed(1)} % of rows ${row.dataset.unit} · ${words[level]}`;
    out.replaceChildren(bold, ` · ${row.dataset.row} · ${said} · `, link);
  };
  heat.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (move) {
      event.preventDefault();
      if (x < 0) show();
      y = Math.min(rows().length - 1, Math.max(0, y + move[0]));
      x = Math.max(0, x + move[1]);
      show();
    } else if (event.key === "Enter" && event.target === heat && x >= 0) location.href = requests(rows()[y]);
  });
  const point = (event) => {
    const strip = event.target.closest?.(".strip");
    if (!strip?.dataset.levels) return false;
    const box = strip.getBoundingClientRect(), count = strip.dataset.levels.length;
    x = Math.min(count - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * count)));
    y = rows().indexOf(strip.closest("[data-row]"));
    show();
    return true;
  };
  heat.addEventListener("pointermove", point);
  heat.addEventListener("click", (event) => { if (!event.target.closest("a") && point(event)) location.href = requests(rows()[y]); });
}
if ($("#heat")) heatMap($("#heat"));

// Charts share a cursor, and a drag on one chooses the range for the page.
function charts() {
  const all = () => $$("svg[data-chart]");
  let from = null;
  const place = (chart, event) => { const box = chart.getBoundingClientRect(); return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)); };
  document.addEventListener("pointermove", (event) => {
    const chart = event.target.closest?.("svg[data-chart]");
    if (!chart) return;
    const at = `${place(chart, event) * 100}%`;
    for (const other of all()) {
      let line = $(".cross", other);
      if (!line) {
        line = document.createElementNS("http://www.w3.org/2000/svg", "line");
        line.setAttribute("class", "cross axis-line");
        line.setAttribute("y1", "10%");
        line.setAttribute("y2", "86%");
        other.append(line);
      }
      line.setAttribute("x1", at);
      line.setAttribute("x2", at);
    }
  });
  document.addEventListener("pointerdown", (event) => { const chart = event.target.closest?.("svg[data-chart]"); from = chart ? place(chart, event) : null; });
  document.addEventListener("pointerup", (event) => {
    const chart = event.target.closest?.("svg[data-chart]"), range = $("[data-range]");
    if (!chart || from === null || !range) return;
    const to = place(chart, event), [low, high] = [Math.min(from, to), Math.max(from, to)];
    from = null;
    if (high - low < 0.02) return;
    const since = +range.dataset.since, until = +range.dataset.until, url = new URL(location.href);
    url.searchParams.delete("range");
    url.searchParams.set("since", new Date((since + (until - since) * low) * 1000).toISOString());
    url.searchParams.set("until", new Date((since + (until - since) * high) * 1000).toISOString());
    location.href = url;
  });
}
charts();

// A box that need not scroll is no tab stop.
const scrolls = () => $$(".wrap, .scroll, pre").forEach((box) => { box.tabIndex = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight + 1 ? 0 : -1; });
scrolls();
addEventListener("resize", scrolls);
if (matchMedia("(max-width: 52rem)").matches) $$("details.facets").forEach((facets) => { facets.open = false; });

// Live: the stream says that something changed; the page then asks for its own parts and puts in those that differ, in place.
// A part that the reader is in (focus, selection, an open menu) waits.
let paused = false, asking = false, again = false, heard = Date.now();
const held = {};
const live = $("#live");
function say(text, stale) {
  if (!live || $("span", live).textContent === text) return;
  live.classList.toggle("stale", stale);
  $("use", live).setAttribute("href", stale ? "#g-low" : "#g-ok");
  $("span", live).textContent = text;
}
function setPaused(value) { paused = value; say(paused ? "paused" : "live", paused); if (!paused) refresh(); }
function busy(part) {
  const selection = getSelection();
  return part.contains(document.activeElement) || $("details.menu[open], dialog[open]", part) || (selection && !selection.isCollapsed && part.contains(selection.anchorNode));
}
function place(found) {
  for (const part of $$("[data-part]")) {
    const html = found[part.dataset.part];
    if (html === undefined || part.lastHtml === html) continue;
    if (busy(part)) { held[part.dataset.part] = html; continue; }
    part.lastHtml = html;
    delete held[part.dataset.part];
    const opened = $$("details", part).map((d) => d.open), scrolled = $$(".scroll, .wrap", part).map((b) => [b.scrollTop, b.scrollLeft, b.scrollHeight - b.clientHeight - b.scrollTop < 4]);
    const template = document.createElement("template");
    template.innerHTML = html;
    localTimes(template.content);
    localHours(template.content);
    if (template.innerHTML === part.innerHTML) continue;
    part.replaceChildren(template.content);
    $$("details", part).forEach((d, i) => { if (opened[i] !== undefined) d.open = opened[i]; });
    $$(".scroll, .wrap", part).forEach((b, i) => { if (scrolled[i]) [b.scrollTop, b.scrollLeft] = [scrolled[i][2] ? b.scrollHeight : scrolled[i][0], scrolled[i][1]]; });
  }
  scrolls();
  heard = Date.now();
  say("live", false);
}
async function refresh() {
  const parts = $$("[data-part]");
  if (!parts.length || paused || document.hidden) return;
  if (asking) { again = true; return; }
  asking = true;
  try {
    const url = new URL(location.href);
    url.searchParams.set("parts", parts.map((part) => part.dataset.part).join(","));
    const answer = await fetch(url, { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    place(await answer.json());
  } catch { say("away", true); }
  asking = false;
  if (again) { again = false; setTimeout(refresh, 1000); }
}
if ($("[data-part]")) {
  const names = $$("[data-part]").map((part) => part.dataset.part).join(",");
  const stream = new EventSource(`/events?page=${encodeURIComponent(location.pathname + location.search)}&parts=${names}`);
  let last = 0, waiting = 0;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { last = Date.now(); refresh(); }, Math.max(0, 1000 - (Date.now() - last)));
  };
  stream.addEventListener("open", () => { heard = Date.now(); say(paused ? "paused" : "live", paused); });
  setInterval(() => { if (!paused && Object.keys(held).length) place(held); }, 1000);
  stream.addEventListener("change", soon);
  stream.addEventListener("parts", (event) => { if (!paused) place(JSON.parse(event.data)); });
  stream.addEventListener("beat", () => { heard = Date.now(); });
  stream.addEventListener("error", () => say("away", true));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  setInterval(() => { const age = Math.round((Date.now() - heard) / 1000); if (!paused && age > 20) say(`${age} s old`, true); }, 5000);
  setInterval(() => { if ($("[data-follow]")) refresh(); }, 1000);
}
