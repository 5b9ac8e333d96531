"use strict";
// The page: asks /status every two seconds and draws it. Whatever comes from statements is put in as text, never as markup.
const KEPT = 150, LEAST = 30, EVERY = 2000, WIDTH = 600, HEIGHT = 150;
const OUTCOMES = ["hit", "miss", "bypass", "write", "other"];
const PLURAL = { hit: "hits", miss: "misses", bypass: "bypasses", write: "writes", other: "others" };
const byId = (id) => document.getElementById(id);
const history = [], opened = new Set();
let last = null, sorted = { column: "calls", down: true }, status = null;

const number = (n, digits = 0) => n == null ? "–" : n.toLocaleString("en", { maximumFractionDigits: digits });
const rate = (n) => number(n, n > 0 && n < 10 ? 1 : 0);
const percent = (r) => r == null ? "–" : (100 * r).toFixed(1) + " %";
function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) { n /= 1024; at += 1; }
  return n.toFixed(at && n < 100 ? 1 : 0) + " " + units[at];
}
function time(seconds) {
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return number(seconds * 1e6) + " µs";
  if (seconds < 1) return number(seconds * 1000, seconds < 0.1 ? 1 : 0) + " ms";
  if (seconds < 120) return number(seconds, 1) + " s";
  if (seconds < 7200) return number(seconds / 60, 1) + " min";
  if (seconds < 172800) return number(seconds / 3600, 1) + " h";
  return number(seconds / 86400, 1) + " d";
}

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text != null) made.textContent = text;
  if (name) made.className = name;
  return made;
}
function put(id, text) {
  const target = byId(id);
  if (target.textContent !== text) target.textContent = text;
}
function drawn(name, points) {
  const path = document.createElementNS(byId("traffic").namespaceURI, name);
  for (const key of Object.keys(points)) path.setAttribute(key, points[key]);
  return path;
}

// A table: columns are [name, title, kind]; kind: n number, p ratio, b bytes, m milliseconds, w words, t a time, q a statement.
const SHOWN = {
  n: (v) => number(v), p: percent, b: (v) => v == null ? "" : bytes(v), m: (v) => v == null ? "" : time(v / 1000),
};
function cell(row, name, kind) {
  const value = row[name];
  const made = element("td", null, "npbm".includes(kind || "-") ? "n" : kind);
  if (kind === "p" && value != null) {
    const meter = element("progress", null, "meter");
    meter.value = value;
    meter.setAttribute("aria-hidden", "true");
    made.append(meter);
  }
  if (value === 0) made.classList.add("zero");
  made.append(SHOWN[kind] ? SHOWN[kind](value) : value == null ? "" : String(value));
  return made;
}
function heads(columns, sortable) {
  const line = element("tr");
  for (const [name, title, kind] of columns) {
    const head = element("th", null, "npbm".includes(kind || "-") ? "n" : "");
    head.scope = "col";
    if (sortable) {
      const here = sorted.column === name;
      const button = element("button", title + (here ? (sorted.down ? " ↓" : " ↑") : ""));
      button.type = "button";
      button.dataset.key = "sort " + name;
      button.dataset.column = name;
      head.setAttribute("aria-sort", !here ? "none" : sorted.down ? "descending" : "ascending");
      head.append(button);
    } else head.textContent = title;
    line.append(head);
  }
  return line;
}
function table(id, columns, rows, empty, how = {}) {
  const target = byId(id), body = element("tbody");
  for (const row of rows) {
    const line = element("tr", null, "row");
    for (const [name, , kind] of columns) line.append(how.special && how.special[name] ? how.special[name](row) : cell(row, name, kind));
    body.append(line);
    const more = how.more && how.more(row, columns.length);
    if (more) body.append(more);
  }
  if (!rows.length) {
    const line = element("tr"), words = element("td", empty, "empty");
    words.colSpan = columns.length;
    line.append(words);
    body.append(line);
  }
  // A table that says the same stays, with what is selected in it; else what has the focus keeps it.
  const head = heads(columns, how.sortable);
  if (target.tHead.firstChild && target.tHead.firstChild.isEqualNode(head) && target.tBodies[0].isEqualNode(body)) return;
  const active = document.activeElement, focus = target.contains(active) ? active.dataset.key : null;
  target.tHead.replaceChildren(head);
  target.tBodies[0].replaceWith(body);
  const again = focus && [...target.querySelectorAll("button")].find((button) => button.dataset.key === focus);
  if (again) again.focus({ preventScroll: true });
}

// The time that is drawn grows from one minute to five.
const span = () => Math.max(LEAST, history.length);
const x = (i) => ((WIDTH * (i + span() - history.length)) / (span() - 1)).toFixed(1);
const lines = () => [0.5, 75, 149.5].map((y) => drawn("line", { x1: 0, x2: WIDTH, y1: y, y2: y }));
function round(most) {
  const ten = 10 ** Math.floor(Math.log10(most));
  return ten * [1, 2, 4, 6, 8, 10].find((step) => most <= step * ten * 1.0001);
}
function traffic() {
  const sums = history.map((point) => OUTCOMES.reduce((sum, o) => sum + point[o], 0));
  const top = round(Math.max(1, ...sums)), y = (v) => (HEIGHT - (v / top) * HEIGHT).toFixed(1);
  const floor = history.map(() => 0), paths = lines();
  for (const outcome of OUTCOMES) {
    const low = history.map((_, i) => `${x(i)},${y(floor[i])}`);
    history.forEach((point, i) => { floor[i] += point[outcome]; });
    const high = history.map((_, i) => `${x(i)},${y(floor[i])}`);
    if (history.length > 1) paths.push(drawn("path", { class: outcome, d: `M${high.join("L")}L${low.reverse().join("L")}Z` }));
  }
  byId("traffic").replaceChildren(...paths);
  put("traffic-top", history.length > 1 ? number(top, 1) : "");
  put("traffic-half", history.length > 1 ? number(top / 2, 1) : "");
  for (const label of document.querySelectorAll(".since")) label.textContent = `${time((span() * EVERY) / 1000)} ago`;
  const now = history[history.length - 1], calm = history.length > 1 && sums.every((sum) => sum === 0);
  byId("traffic-note").hidden = history.length > 1 && !calm;
  put("traffic-note", calm ? "No statement in this time." : "Waiting for two readings.");
  byId("traffic").setAttribute("aria-label", now
    ? `Statements per second now: ${OUTCOMES.map((o) => `${rate(now[o])} ${PLURAL[o]}`).join(", ")}; at most ${rate(Math.max(...sums))} in that time`
    : "No reading yet");
  const items = OUTCOMES.map((outcome) => {
    const item = element("li", null, outcome);
    item.append(`${outcome} `, element("b", now ? rate(now[outcome]) : "–"));
    return item;
  });
  byId("legend").replaceChildren(...items);
}
// The hit ratio of ten seconds around each reading: one alone jumps where little comes.
function smooth(i) {
  const near = history.slice(Math.max(0, i - 4), i + 1), sum = (o) => near.reduce((all, point) => all + point[o], 0);
  const asked = sum("hit") + sum("miss");
  return asked > 0 ? sum("hit") / asked : null;
}
function hits() {
  const parts = [], paths = lines();
  history.forEach((_, i) => {
    const ratio = smooth(i);
    if (ratio == null) return parts.push(null);
    parts.push(`${x(i)},${(HEIGHT - 1 - ratio * (HEIGHT - 2)).toFixed(1)}`);
  });
  let run = [];
  const end = () => {
    if (run.length > 1) {
      const first = run[0].split(",")[0], final = run[run.length - 1].split(",")[0];
      paths.push(drawn("path", { class: "area", d: `M${first},${HEIGHT}L${run.join("L")}L${final},${HEIGHT}Z` }));
      paths.push(drawn("path", { class: "curve", d: `M${run.join("L")}` }));
    }
    run = [];
  };
  for (const part of parts) if (part) run.push(part); else end();
  end();
  byId("hits").replaceChildren(...paths);
  const known = parts.filter(Boolean).length;
  byId("hits-note").hidden = known > 1;
  put("hits-note", history.length > 1 ? "Nothing came that may be cached." : "Waiting for two readings.");
  const now = history.length ? smooth(history.length - 1) : null;
  byId("hits").setAttribute("aria-label", now == null ? "No hit ratio in the last ten seconds" : `Hit ratio of the last ten seconds: ${percent(now)}`);
  put("hits-words", now == null ? "Last ten seconds: –" : `Last ten seconds: ${percent(now)}`);
}

function statement(row) {
  const made = element("td"), button = element("button", null, "open");
  button.type = "button";
  button.dataset.key = "open " + row.id;
  button.dataset.id = row.id;
  button.setAttribute("aria-expanded", String(opened.has(row.id)));
  button.append(element("span", row.query));
  made.append(button);
  return made;
}
function small(text, label, key, data) {
  const button = element("button", text, "small");
  button.type = "button";
  button.setAttribute("aria-label", label);
  button.dataset.key = key;
  Object.assign(button.dataset, data);
  return button;
}
function more(row, width) {
  if (!opened.has(row.id)) return null;
  const line = element("tr", null, "more"), all = element("td"), list = element("dl");
  all.colSpan = width;
  const report = status.report.find((found) => found.id === row.id) || {};
  const pairs = [["Id", row.id], ["Calls", `${number(row.calls)}: ${OUTCOMES.map((o) => `${number(row[PLURAL[o]])} ${PLURAL[o]}`).join(", ")}`],
    ["In memory", `${number(row.entries)} answers, ${bytes(row.bytes)}`], ["Not from memory", row.reasons], ["What would help", report.remedy],
    ["Last made untrue", row.last_invalidation && `${row.last_invalidation}, by ${row.cause}`], ["A rule to paste", report.rule]];
  for (const [name, text] of pairs) if (text) list.append(element("dt", name), element("dd", text));
  all.append(list);
  if (/[1-9a-f]/.test(row.id)) all.append(small("Purge its answers", "Purge the answers of statement " + row.id, "purge " + row.id, { purge: row.id }));
  line.append(all);
  return line;
}
function queries() {
  const wanted = byId("search").value.trim().toLowerCase();
  const rows = status.queries.filter((row) => !wanted || row.query.toLowerCase().includes(wanted) || row.id.includes(wanted));
  const way = sorted.down ? -1 : 1;
  rows.sort((a, b) => {
    const [p, q] = [a[sorted.column], b[sorted.column]];
    if (p == null || q == null) return (p == null) - (q == null);
    return (p < q ? -1 : p > q ? 1 : 0) * way;
  });
  table("queries", [["query", "Statement", "q"], ["calls", "Calls", "n"], ["hit_ratio", "Hit ratio", "p"], ["hits", "Hits", "n"], ["misses", "Misses", "n"],
    ["bypasses", "Bypasses", "n"], ["writes", "Writes", "n"], ["saved_ms", "Saved", "m"], ["upstream_ms_avg", "Database", "m"], ["bytes", "Memory", "b"]],
  rows, wanted ? "No statement like that." : "No statement has come yet.", { sortable: true, special: { query: statement }, more });
}

function words() {
  const { larder, cache } = status;
  const said = larder.phase !== "running" ? `Larder is ${larder.phase}.` : {
    paused: "An operator has paused the cache: everything goes to the database. What is in memory stays true.",
    observe: "Mode observe: Larder decides and counts, and serves nothing. Hits are what would have been hits.",
    off: "Mode off: everything passes through, and nothing is kept.",
  }[larder.mode] || (cache.open ? "" : status.sources.length > 2
    ? "Shut: the catalog of a database is not loaded, so everything goes to the database. Is the database up?"
    : "Nobody has come yet. Let the application connect to Larder's port instead of the database's.");
  put("word", said);
  byId("word").hidden = !said;
}

function glance() {
  const { cache, larder } = status, now = performance.now();
  put("mode", larder.mode);
  byId("mode").className = "badge " + larder.mode;
  put("version", `${larder.version}, up ${time(larder.uptime_seconds)}`);
  put("pause", larder.paused ? "Resume" : "Pause");
  put("memory", bytes(cache.bytes));
  put("entries", `of ${bytes(cache.limit_bytes)}, ${number(cache.entries)} answers`);
  byId("fill").value = cache.limit_bytes ? cache.bytes / cache.limit_bytes : 0;
  put("saved", time(cache.time_saved_seconds));
  put("total", `${number(OUTCOMES.reduce((sum, o) => sum + cache[PLURAL[o]], 0))} since the start`);
  const restarted = last && cache.uptime_seconds < last.cache.uptime_seconds;
  if (last && !restarted && now > last.at) {
    const seconds = (now - last.at) / 1000, point = {};
    for (const outcome of OUTCOMES) point[outcome] = Math.max(0, (cache[PLURAL[outcome]] - last.cache[PLURAL[outcome]]) / seconds);
    history.push(point);
    while (history.length > KEPT) history.shift();
    put("rate", rate(OUTCOMES.reduce((sum, o) => sum + point[o], 0)));
    put("saving", `of waiting for the database, now ${time(Math.max(0, cache.time_saved_seconds - last.cache.time_saved_seconds) / seconds)} each second`);
  }
  last = { at: now, cache };
  const minute = history.slice(-30), sum = (o) => minute.reduce((all, point) => all + point[o], 0);
  const asked = sum("hit") + sum("miss");
  put("ratio", percent(asked > 0 ? sum("hit") / asked : cache.hit_ratio));
  put("ratio-words", `of what may be cached, ${asked > 0 ? "last minute" : "since the start"}`);
}

function show() {
  glance();
  words();
  traffic();
  hits();
  queries();
  table("reasons", [["reason", "Reason", "t"], ["count", "Count", "n"], ["meaning", "What it means", "w"], ["remedy", "What would help", "w"]],
    status.reasons.filter((row) => row.count > 0).sort((a, b) => b.count - a.count), "Nothing was passed on.");
  const purge = (row) => {
    const made = element("td", null, "n"), name = `${row.schema}.${row.table}`;
    made.append(small("Purge", "Purge what was read from " + name, "purge " + row.database + " " + name, { table: name }));
    return made;
  };
  table("tables", [["database", "Database"], ["schema", "Schema"], ["table", "Table"], ["entries", "Answers", "n"], ["bytes", "Memory", "b"], ["invalidations", "Made untrue", "n"],
    ["last_write", "Last time", "t"], ["purge", "", "n"]],
  status.tables.sort((a, b) => b.entries - a.entries || b.invalidations - a.invalidations), "No table was read or written yet.", { special: { purge } });
  table("pools", [["database", "Database"], ["user", "User"], ["cl_active", "Clients", "n"], ["cl_waiting", "Waiting", "n"], ["sv_active", "In use", "n"], ["sv_idle", "Idle", "n"], ["pool_mode", "How"]],
    status.pools, "Nobody is connected.");
  table("sources", [["source", "Source"], ["state", "State", "t"], ["detail", "Detail", "w"]], status.sources, "Nothing is known.");
  table("rules", [["rule", "Rule", "w"], ["effect", "Effect"]], status.rules, "There is no rule.");
}

async function look() {
  try {
    const answer = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(`it says ${answer.status}`);
    status = await answer.json();
  } catch (error) {
    put("mode", "lost");
    byId("mode").className = "badge lost";
    put("word", `Larder does not answer (${error.message}). What is shown is the last it said; trying again.`);
    byId("word").hidden = false;
    last = null;
    return;
  }
  show();
}

function ask(title, text) {
  const dialog = byId("ask"), token = byId("token"), kept = sessionStorage.getItem("token");
  put("ask-title", title);
  put("ask-words", text);
  token.value = kept || "";
  // Asked once: it is kept until the tab is closed, or until Larder does not take it.
  byId("token-label").hidden = Boolean(kept);
  dialog.returnValue = "no";
  dialog.showModal();
  (kept ? byId("yes") : token).focus();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "yes" ? token.value : null), { once: true }));
}
async function call(path, title, text, body) {
  const token = await ask(title, text);
  if (token == null) return;
  let said;
  try {
    const answer = await fetch(path, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: body ? JSON.stringify(body) : undefined });
    said = (await answer.text()).trim();
    if (answer.status === 401 || answer.status === 403) {
      sessionStorage.removeItem("token");
      said = "Refused: " + said;
    } else sessionStorage.setItem("token", token);
  } catch (error) { said = error.message; }
  await look();
  put("said", said);
  byId("said").hidden = false;
  clearTimeout(call.ends);
  call.ends = setTimeout(() => { byId("said").hidden = true; }, 20000);
}

// Return in the field means yes, though Cancel is the first button of the form.
byId("token").addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); byId("yes").click(); }
});
byId("pause").addEventListener("click", () => status && status.larder.paused
  ? call("resume", "Resume the cache?", "Answers are served from memory again.")
  : call("pause", "Pause the cache?", "Everything goes to the database until it is resumed."));
byId("purge").addEventListener("click", () => call("purge", "Purge all?", "Everything in memory is forgotten, and read anew from the database.", { all: true }));
byId("reload").addEventListener("click", () => call("reload", "Read the configuration again?", "What can change takes effect at once."));
byId("search").addEventListener("input", () => status && queries());
byId("queries").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { column, id, purge } = button.dataset;
  if (purge) call("purge", "Purge a statement?", `The answers of statement ${purge} are forgotten.`, { statement: purge });
  if (id && !opened.delete(id)) opened.add(id);
  if (column) sorted = { column, down: sorted.column === column ? !sorted.down : column !== "query" };
  queries();
});
byId("tables").addEventListener("click", (event) => {
  const name = event.target.dataset.table;
  if (name) call("purge", "Purge a table?", `Every answer that was read from ${name} is forgotten.`, { table: name });
});
look();
setInterval(() => { if (!document.hidden) look(); }, EVERY);
document.addEventListener("visibilitychange", () => { if (!document.hidden) { last = null; look(); } });
