"use strict";
// The page: asks /status every two seconds and draws it. Whatever comes from statements is put in as text, never as markup.
const KEPT = 60, EVERY = 2000, OUTCOMES = ["hit", "miss", "bypass", "write", "other"];
const PLURAL = { hit: "hits", miss: "misses", bypass: "bypasses", write: "writes", other: "others" };
const byId = (id) => document.getElementById(id);
const history = [];
let last = null, sorted = { column: "calls", down: true }, paused = false;

const number = (n, digits = 0) => n == null ? "–" : n.toLocaleString("en", { maximumFractionDigits: digits });
const percent = (r) => r == null ? "–" : (100 * r).toFixed(1) + " %";
function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) { n /= 1024; at += 1; }
  return n.toFixed(at && n < 100 ? 1 : 0) + " " + units[at];
}
function time(seconds) {
  if (seconds < 1) return number(seconds * 1000, 1) + " ms";
  if (seconds < 120) return number(seconds, 1) + " s";
  if (seconds < 7200) return number(seconds / 60, 1) + " min";
  return number(seconds / 3600, 1) + " h";
}

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text != null) made.textContent = text;
  if (name) made.className = name;
  return made;
}

// columns: [name, title, kind]; kind: n number, p ratio, b bytes, m milliseconds, q text of a statement.
function table(id, columns, rows, words, sortable) {
  const target = byId(id), head = element("tr"), body = document.createElement("tbody");
  for (const [name, title, kind] of columns) {
    const cell = element("th", null, kind && kind !== "q" ? "n" : "");
    cell.scope = "col";
    if (sortable) {
      const button = element("button", title + (sorted.column === name ? (sorted.down ? " ↓" : " ↑") : ""));
      button.type = "button";
      button.dataset.column = name;
      cell.setAttribute("aria-sort", sorted.column !== name ? "none" : sorted.down ? "descending" : "ascending");
      cell.append(button);
    } else cell.textContent = title;
    head.append(cell);
  }
  for (const row of rows) {
    const line = element("tr");
    for (const [name, , kind] of columns) {
      const value = row[name];
      let text = value == null ? "" : String(value);
      if (kind === "n") text = number(value);
      if (kind === "p") text = percent(value);
      if (kind === "b") text = value == null ? "" : bytes(value);
      if (kind === "m") text = value == null ? "" : number(value, 2);
      line.append(element("td", text, kind === "q" ? "q" : kind ? "n" : ""));
    }
    body.append(line);
  }
  if (!rows.length) {
    const cell = element("td", words, "empty");
    cell.colSpan = columns.length;
    const line = element("tr");
    line.append(cell);
    body.append(line);
  }
  // What has the focus keeps it.
  const focus = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.column : null;
  target.tHead.replaceChildren(head);
  target.tBodies[0].replaceWith(body);
  if (focus && sortable) {
    const again = [...target.tHead.querySelectorAll("button")].find((b) => b.dataset.column === focus);
    if (again) again.focus();
  }
}

function traffic() {
  const drawing = byId("traffic"), width = 600, height = 140;
  const most = Math.max(1, ...history.map((point) => OUTCOMES.reduce((sum, o) => sum + point[o], 0)));
  const floor = new Array(history.length).fill(0), paths = [];
  const x = (i) => (width * (i + KEPT - history.length)) / (KEPT - 1);
  const y = (v) => height - (v / most) * (height - 6);
  for (const outcome of OUTCOMES) {
    const low = history.map((_, i) => `${x(i).toFixed(1)},${y(floor[i]).toFixed(1)}`);
    history.forEach((point, i) => { floor[i] += point[outcome]; });
    const high = history.map((_, i) => `${x(i).toFixed(1)},${y(floor[i]).toFixed(1)}`);
    const path = document.createElementNS(drawing.namespaceURI, "path");
    path.setAttribute("class", outcome);
    if (history.length > 1) path.setAttribute("d", `M${high.join("L")}L${low.reverse().join("L")}Z`);
    paths.push(path);
  }
  drawing.replaceChildren(...paths);
  const now = history[history.length - 1];
  byId("traffic-words").textContent = now
    ? `Two minutes. Now, per second: ${OUTCOMES.map((o) => `${number(now[o])} ${PLURAL[o]}`).join(", ")}. The top is ${number(most)}.`
    : "Waiting for the first two readings.";
}

function queries(status) {
  const wanted = byId("search").value.toLowerCase();
  const rows = status.queries.filter((row) => !wanted || row.query.toLowerCase().includes(wanted) || row.id.includes(wanted));
  const way = sorted.down ? -1 : 1;
  rows.sort((a, b) => {
    const [p, q] = [a[sorted.column], b[sorted.column]];
    if (p == null || q == null) return (p == null) - (q == null);
    return (p < q ? -1 : p > q ? 1 : 0) * way;
  });
  table("queries", [["query", "Statement", "q"], ["calls", "Calls", "n"], ["hit_ratio", "Hit ratio", "p"], ["hits", "Hits", "n"], ["misses", "Misses", "n"],
    ["bypasses", "Bypasses", "n"], ["writes", "Writes", "n"], ["saved_ms", "Saved ms", "m"], ["upstream_ms_avg", "Database ms", "m"], ["bytes", "In memory", "b"],
    ["reason", "Mostly because"], ["cause", "Last made untrue by"], ["id", "Id"]],
  rows, wanted ? "No statement like that." : "No statement has come yet.", true);
}

function words(status) {
  const target = byId("word");
  const said = {
    paused: "An operator has paused the cache: everything goes to the database. What is in memory stays true.",
    observe: "Mode observe: Larder decides and counts, and serves nothing. Hits are what would have been hits.",
    off: "Mode off: everything passes through.",
  }[status.larder.mode] || (status.larder.phase !== "running" ? `Larder is ${status.larder.phase}.` : "")
    || (!status.cache.open && status.larder.mode === "on" ? "Nothing can be served now: the catalog of a database is not loaded. Is the database up?" : "");
  target.textContent = said;
  target.hidden = !said;
}

function show(status) {
  const cache = status.cache, mode = status.larder.mode;
  paused = mode === "paused";
  byId("mode").textContent = mode;
  byId("mode").className = "badge " + mode;
  byId("version").textContent = `${status.larder.version}, up ${time(status.larder.uptime_seconds)}`;
  byId("pause").textContent = paused ? "Resume" : "Pause";
  byId("saved").textContent = time(cache.time_saved_seconds);
  byId("memory").textContent = bytes(cache.bytes);
  byId("fill").value = cache.limit_bytes ? cache.bytes / cache.limit_bytes : 0;
  byId("fill").setAttribute("aria-label", `${bytes(cache.bytes)} of ${bytes(cache.limit_bytes)}, ${number(cache.entries)} answers`);
  const now = performance.now();
  if (last) {
    const seconds = (now - last.at) / 1000, point = {};
    for (const outcome of OUTCOMES) point[outcome] = Math.max(0, (cache[PLURAL[outcome]] - last.cache[PLURAL[outcome]]) / seconds);
    history.push(point);
    while (history.length > KEPT) history.shift();
    byId("rate").textContent = number(OUTCOMES.reduce((sum, o) => sum + point[o], 0));
  }
  last = { at: now, cache };
  const minute = history.slice(-30), sum = (o) => minute.reduce((all, point) => all + point[o], 0);
  const asked = sum("hit") + sum("miss");
  byId("ratio").textContent = asked > 0 ? percent(sum("hit") / asked) : percent(cache.hit_ratio);
  words(status);
  traffic();
  queries(status);
  table("reasons", [["reason", "Reason"], ["count", "Count", "n"], ["meaning", "What it means"], ["remedy", "What would help"]],
    status.reasons.filter((row) => row.count > 0).sort((a, b) => b.count - a.count), "Nothing was passed on.");
  table("tables", [["database", "Database"], ["schema", "Schema"], ["table", "Table"], ["entries", "Answers", "n"], ["bytes", "Memory", "b"], ["invalidations", "Made untrue", "n"], ["last_write", "Last"]],
    status.tables.sort((a, b) => b.entries - a.entries || b.invalidations - a.invalidations), "No table was read or written yet.");
  table("pools", [["database", "Database"], ["user", "User"], ["cl_active", "Clients", "n"], ["cl_waiting", "Waiting", "n"], ["sv_active", "Used", "n"], ["sv_idle", "Idle", "n"], ["pool_mode", "How"]], status.pools, "Nobody is connected.");
  table("sources", [["source", "Source"], ["state", "State"], ["detail", "Detail"]], status.sources, "");
  table("rules", [["rule", "Rule", "q"], ["effect", "Effect"]], status.rules, "");
}

async function look() {
  try {
    const answer = await fetch("status", { cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const status = await answer.json();
    look.status = status;
    show(status);
  } catch (error) {
    byId("mode").textContent = "lost";
    byId("mode").className = "badge lost";
    byId("word").textContent = `Larder does not answer (${error.message}). Trying again.`;
    byId("word").hidden = false;
    last = null;
  }
}

function ask(title, text) {
  const dialog = byId("ask"), token = byId("token");
  byId("ask-title").textContent = title;
  byId("ask-words").textContent = text;
  token.value = sessionStorage.getItem("token") || "";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "yes") return done(null);
    sessionStorage.setItem("token", token.value);
    done(token.value);
  }, { once: true }));
}

async function call(path, title, text, body) {
  const token = await ask(title, text);
  if (token == null) return;
  const headers = { Authorization: `Bearer ${token}` };
  let said;
  try {
    const answer = await fetch(path, { method: "POST", headers, body: body ? JSON.stringify(body) : undefined });
    said = (await answer.text()).trim();
    if (!answer.ok) sessionStorage.removeItem("token");
  } catch (error) { said = error.message; }
  await look();
  byId("word").textContent = said;
  byId("word").hidden = false;
}

byId("pause").addEventListener("click", () => paused
  ? call("resume", "Resume the cache?", "Answers are served from memory again.")
  : call("pause", "Pause the cache?", "Everything goes to the database until it is resumed."));
byId("purge").addEventListener("click", () => call("purge", "Purge all?", "Everything in memory is forgotten, and read anew from the database.", { all: true }));
byId("reload").addEventListener("click", () => call("reload", "Read the configuration again?", "What can change takes effect at once."));
byId("search").addEventListener("input", () => look.status && queries(look.status));
byId("queries").addEventListener("click", (event) => {
  const column = event.target.dataset.column;
  if (!column) return;
  sorted = { column, down: sorted.column === column ? !sorted.down : column !== "query" };
  if (look.status) queries(look.status);
});
look();
setInterval(() => { if (!document.hidden) look(); }, EVERY);
