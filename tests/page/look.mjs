// Looks at the page of a running Larder as a person does, in Chromium. It starts nothing but the browser.
//
//   PAGE_URL     the admin listener of a Larder with traffic      PAGE_TOKEN   its admin.token
//   PAGE_OUT     where screenshots go                             CHROMIUM     the browser (/usr/bin/chromium)
//   PAGE_FILES   take page.css and page.js from this directory instead, while one works on them
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRequire } from "node:module";

const { PAGE_URL, PAGE_TOKEN, PAGE_OUT = ".", CHROMIUM = "/usr/bin/chromium", PAGE_FILES, PAGE_MODULES = "." } = process.env;
const { chromium } = createRequire(join(PAGE_MODULES, "package.json"))("playwright-core");

let failed = 0;
function check(what, holds, found) {
  console.log(`${holds ? "ok  " : "FAIL"} ${what}${holds || found === undefined ? "" : ": " + JSON.stringify(found)}`);
  if (!holds) failed += 1;
}

const profile = mkdtempSync(join(tmpdir(), "larder-page-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  viewport: { width: 1280, height: 900 },
});
const page = browser.pages()[0] || await browser.newPage();
const wrong = [], outside = [];
page.on("console", (message) => { if (["error", "warning"].includes(message.type())) wrong.push(message.text()); });
page.on("pageerror", (error) => wrong.push(String(error)));
page.on("request", (request) => { if (!request.url().startsWith(PAGE_URL) && !request.url().startsWith("data:")) outside.push(request.url()); });
if (PAGE_FILES) {
  const types = { "page.css": "text/css", "page.js": "text/javascript", "": "text/html" };
  await page.route((url) => url.pathname.slice(1) in types, (route) => {
    const name = new URL(route.request().url()).pathname.slice(1);
    route.fulfill({ contentType: types[name], body: readFileSync(join(PAGE_FILES, name || "page.html"), "utf8") });
  });
}
const text = (id) => page.locator("#" + id).innerText();
const until = (what, argument) => page.waitForFunction(what, argument, { timeout: 20000 });

// All visible text against what is behind it, by WCAG 2's formula: 4.5, or 3 where it is large.
const contrast = () => page.evaluate(() => {
  const rgb = (css) => { const [r, g, b, a = 1] = css.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
  const light = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.matches(".skip")) continue;
    const style = getComputedStyle(element);
    let behind = element;
    while (behind && rgb(getComputedStyle(behind).backgroundColor).a < 1) behind = behind.parentElement;
    const [a, b] = [light(rgb(style.color)), light(rgb(getComputedStyle(behind || document.documentElement).backgroundColor))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) poor.push(`${element.tagName} ${element.className} ${ratio.toFixed(2)} ${element.textContent.slice(0, 30)}`);
  }
  return [...new Set(poor)];
});

try {
  await page.emulateMedia({ colorScheme: "light" });
  await page.goto(PAGE_URL + "/");
  await until(() => document.querySelector("#rate").textContent !== "–" && document.querySelectorAll("#queries tbody tr.row").length > 2);
  await page.waitForTimeout(Number(process.env.PAGE_WAIT || 9000));

  // Numbers.
  for (const id of ["ratio", "rate", "saved", "memory", "total", "entries"]) check(`#${id} shows a number`, /\d/.test(await text(id)), await text(id));
  check("the mode", await text("mode") === "on", await text("mode"));
  check("traffic is drawn", await page.locator("#traffic path").count() === 5);
  check("the hit ratio is drawn", await page.locator("#hits path.curve").count() >= 1);
  for (const id of ["reasons", "tables", "pools", "sources", "rules"]) check(`#${id} has rows`, await page.locator(`#${id} tbody tr.row`).count() > 0);
  check("reasons come with what helps", /\w/.test((await page.locator("#reasons tbody tr.row td:nth-child(4)").allInnerTexts()).join("")));

  // What a client has sent is text.
  await page.fill("#search", "onerror");
  check("hostile text is shown as text", (await page.locator("#queries .open").first().innerText()).includes("<img src=x onerror="));
  check("and made nothing of itself", await page.locator("img, iframe, object, #queries script").count() === 0);
  await page.fill("#search", "no such statement at all");
  check("an empty search has words", (await page.locator("#queries tbody").innerText()).includes("No statement like that"));
  await page.fill("#search", "");

  // By keyboard: sort, open.
  const calls = page.locator('#queries th button[data-column="calls"]');
  await calls.focus();
  await page.keyboard.press("Enter");
  check("sorted upwards", await page.locator("#queries th[aria-sort=ascending]").innerText() === "Calls ↑");
  const column = (await page.locator("#queries tr.row td:nth-child(2)").allInnerTexts()).map((n) => Number(n.replaceAll(",", "")));
  check("rows follow", column.every((n, i) => !i || column[i - 1] <= n), column);
  check("the focus stays", await page.evaluate(() => document.activeElement.dataset.column) === "calls");
  await page.waitForTimeout(2500);
  check("the focus stays when numbers change", await page.evaluate(() => document.activeElement.dataset.column) === "calls");
  await page.keyboard.press("Enter");
  await page.locator("#queries .open").first().focus();
  await page.keyboard.press("Enter");
  check("a statement opens", await page.locator("#queries tr.more dt").count() > 2);
  check("and says so", await page.locator('#queries .open[aria-expanded="true"]').count() === 1);

  // Names for whoever does not see.
  const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, svg[role=img], [role=region], nav, section, progress:not([aria-hidden])")]
    .filter((e) => e.checkVisibility() && !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.labels?.length || e.textContent.trim()))
    .map((e) => e.outerHTML.slice(0, 80)));
  check("everything has a name", nameless.length === 0, nameless);
  const dangling = await page.evaluate(() => [...document.querySelectorAll("[aria-labelledby], [aria-describedby]")]
    .flatMap((e) => [e.getAttribute("aria-labelledby"), e.getAttribute("aria-describedby")]).filter((id) => id && !document.getElementById(id)));
  check("names exist", dangling.length === 0, dangling);
  check("one h1, a language, a title", await page.evaluate(() => document.querySelectorAll("h1").length === 1 && document.documentElement.lang === "en" && document.title === "Larder"));

  // Focus is seen, wherever the keyboard goes.
  await page.evaluate(() => document.activeElement.blur());
  const unseen = [], visited = new Set();
  for (let i = 0; i < 40; i += 1) {
    await page.keyboard.press("Tab");
    const [name, seen] = await page.evaluate(() => {
      const style = getComputedStyle(document.activeElement);
      return [document.activeElement.outerHTML.slice(0, 60), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
    });
    visited.add(name);
    if (!seen && !name.startsWith("<body")) unseen.push(name);
  }
  check("the focus is always seen", unseen.length === 0 && visited.size > 15, unseen);
  await page.evaluate(() => document.activeElement.blur());
  await page.mouse.move(0, 0);

  check("contrast, light", (await contrast()).length === 0, await contrast());
  await page.evaluate(() => [document.scrollingElement, ...document.querySelectorAll(".scroll")].forEach((e) => e.scrollTo(0, 0)));
  await page.screenshot({ path: join(PAGE_OUT, "page-light.png") });
  await page.screenshot({ path: join(PAGE_OUT, "page-light-whole.png"), fullPage: true });
  await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
  await page.waitForTimeout(300);
  check("contrast, dark", (await contrast()).length === 0, await contrast());
  check("nothing moves for who wants that", await page.evaluate(() => document.getAnimations().length === 0));
  await page.screenshot({ path: join(PAGE_OUT, "page-dark.png") });
  await page.setViewportSize({ width: 360, height: 740 });
  await page.waitForTimeout(300);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  check("a phone scrolls one way only", wide <= 360, wide);
  const tiny = await page.evaluate(() => [...document.querySelectorAll("button, input")].filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 24).map((e) => e.outerHTML.slice(0, 60)));
  check("a finger hits every button", tiny.length === 0, tiny);
  await page.screenshot({ path: join(PAGE_OUT, "page-phone.png") });
  await page.screenshot({ path: join(PAGE_OUT, "page-phone-whole.png"), fullPage: true });
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });

  check("no console error", wrong.length === 0, wrong);
  check("no request elsewhere", outside.length === 0, outside);

  // Changes: refused without the token, done with it; asked for once.
  const act = async (button, token) => {
    await page.evaluate(() => { document.querySelector("#said").textContent = ""; });
    await page.click(button);
    const asked = await page.locator("#token").isVisible();
    if (asked) await page.fill("#token", token);
    if (process.env.PAGE_SHOTS) await page.screenshot({ path: join(PAGE_OUT, "page-ask.png") });
    if (asked) await page.press("#token", "Enter"); else await page.click("#yes");
    await until(() => document.querySelector("#said").textContent !== "");
    return [await text("said"), asked];
  };
  const status = async () => (await fetch(PAGE_URL + "/status")).json();
  await page.click("#purge");
  await page.keyboard.press("Escape");
  check("what is not confirmed is not done", await page.locator("#said").isHidden());
  let [said, asked] = await act("#pause", "");
  check("refused without the token", said.startsWith("Refused") && !(await status()).larder.paused, said);
  [said, asked] = await act("#pause", "wrong");
  check("refused with a wrong one", said.startsWith("Refused") && !(await status()).larder.paused, said);
  [said, asked] = await act("#pause", PAGE_TOKEN);
  check("paused with the right one", asked && (await status()).larder.paused, said);
  check("the page says so", await text("mode") === "paused" && (await text("word")).includes("paused") && await text("pause") === "Resume");
  [said, asked] = await act("#pause", "");
  check("resumed, and not asked again", !asked && !(await status()).larder.paused, said);
  [said] = await act("#purge", "");
  check("purged", /^\d+ answers are gone$/.test(said), said);
  [said] = await act('#tables button[data-table]', "");
  check("a table is purged", /^\d+ answers are gone$/.test(said), said);
  [said] = await act('#queries button[data-purge]', "");
  check("a statement is purged", /^\d+ answers are gone$/.test(said), said);
  [said] = await act("#reload", "");
  check("reloaded", said.startsWith("applied"), said);
  check("the token is kept for this tab alone", await page.evaluate(() => localStorage.length === 0 && document.cookie === "" && sessionStorage.length === 1));

  // A Larder that is gone.
  await page.route("**/status", (route) => route.abort());
  await until(() => document.querySelector("#mode").textContent === "lost");
  check("a lost Larder has words", (await text("word")).includes("does not answer"));
  await page.unroute("**/status");
  await until(() => document.querySelector("#mode").textContent === "on");
  check("and is found again", await page.locator("#word").isHidden(), await text("word"));

  // A Larder with nothing to say.
  const empty = await status();
  Object.assign(empty, { queries: [], report: [], tables: [], pools: [], reasons: [], sources: empty.sources.slice(0, 2) });
  for (const [mode, words] of [["observe", "serves nothing"], ["off", "passes through"], ["on", "Nobody has come yet"]]) {
    empty.larder.mode = mode;
    empty.cache.open = false;
    await page.route("**/status", (route) => route.fulfill({ json: empty }));
    await until((wanted) => document.querySelector("#mode").textContent === wanted, mode);
    check(`mode ${mode} has words`, (await text("word")).includes(words), await text("word"));
    await page.unroute("**/status");
  }
  check("empty tables have words", (await page.locator("#queries tbody").innerText()).includes("No statement has come yet"));
} catch (error) {
  check("looking at the page", false, String(error));
  await page.screenshot({ path: join(PAGE_OUT, "page-failed.png") }).catch(() => {});
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
