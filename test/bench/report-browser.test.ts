/// <reference lib="dom" />
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeReport } from "../../bench/paper/report/report.js";
import { linesOf, madeUpResult } from "../fixtures/paper-result.js";

const executablePath = ["chromium", "chromium-browser", "google-chrome"].map((name) => `/usr/bin/${name}`).find((file) => existsSync(file));
if (executablePath === undefined) console.warn("skipped: the report in a browser (no Chromium in /usr/bin: apt-get install chromium)");

const charts = [
  ...[
    "latency-p50",
    "latency-tail",
    "capacity-absolute",
    "capacity-ratio",
    "figure9",
    "cost-unpacked",
    "cost-packed",
    "open-loop-p50",
    "open-loop-p99",
  ],
  ...["p50", "p99"].flatMap((name) => [`figure8-${name}-unpacked`, `figure8-${name}-packed`]),
  ...["replicas", "sizes", "processes", "outstanding"].flatMap((name) => [`scaling-${name}-throughput`, `scaling-${name}-latency`]),
];
const narrow = { width: 375, height: 800 };
const wide = { width: 1280, height: 900 };
/** Between margins of 15 mm, at 96 pixels an inch. */
const a4 = { width: 680, height: 1009 };

describe.skipIf(executablePath === undefined)("the report in a browser", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "squall-browser-"));
  const address = pathToFileURL(path.join(folder, "result.html")).href;
  let browser: Browser;
  let page: Page;
  const troubles: string[] = [];

  beforeAll(async () => {
    const result = path.join(folder, "result.jsonl");
    writeFileSync(result, linesOf(madeUpResult()));
    await writeReport(result, path.join(folder, "result.html"));
    // As root, as in a container, Chromium does not start with its sandbox.
    browser = await chromium.launch({ executablePath: executablePath!, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
    page = await open();
  });

  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(): Promise<Page> {
    const context = await browser.newContext({ viewport: wide, colorScheme: "light" });
    await context.setOffline(true);
    const opened = await context.newPage();
    opened.on("request", (request) => request.url() !== address && !request.url().startsWith("data:") && troubles.push(request.url()));
    opened.on("console", (message) => troubles.push(message.text()));
    opened.on("pageerror", (error) => troubles.push(error.message));
    await opened.goto(address);
    return opened;
  }

  it("opens without a network, without a word on the console", async () => {
    expect(await page.title()).toContain("result.jsonl");
    expect(await page.locator("h2").count()).toBeGreaterThanOrEqual(10);
    expect(troubles).toEqual([]);
  });

  for (const [name, viewport] of Object.entries({ wide, narrow })) {
    it(`has every plot, all marks and words within it: ${name}`, async () => {
      await page.setViewportSize(viewport);
      expect((await page.evaluate(() => [...document.querySelectorAll(".chart")].map((chart) => chart.id))).sort()).toEqual(
        [...charts].sort(),
      );
      const outside = await page.evaluate(marksOutside);
      expect(outside).toEqual([]);
    });

    it(`has no text wider than its place: ${name}`, async () => {
      await page.setViewportSize(viewport);
      await page.evaluate(() => {
        for (const details of document.querySelectorAll("details")) details.open = true;
      });
      expect(await page.evaluate(overflowing)).toEqual([]);
    });
  }

  it("has titles and texts for its plots, heads for its tables, and links that lead somewhere", async () => {
    const lacking = await page.evaluate(() => {
      const has = (element: Element, attribute: string) =>
        document.getElementById(element.getAttribute(attribute) ?? "")?.textContent?.trim() !== "";
      const plots = [...document.querySelectorAll("svg")].filter((svg) => !has(svg, "aria-labelledby") || !has(svg, "aria-describedby"));
      const tables = [...document.querySelectorAll("table")].filter(
        (table) =>
          table.caption?.textContent === "" || table.querySelector("th:not([scope])") !== null || table.querySelector("thead th") === null,
      );
      const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
      const links = [...document.querySelectorAll("a")].filter((link) => !ids.includes(link.hash.slice(1)));
      return [...plots, ...tables, ...links, ...ids.filter((id, index) => ids.indexOf(id) !== index)].map(String);
    });
    expect(lacking).toEqual([]);
  });

  it("can be read in light and in dark", async () => {
    const light = await page.evaluate(colors);
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await page.evaluate(colors);
    await page.emulateMedia({ colorScheme: "light" });
    for (const name of Object.keys(light)) expect(dark[name], name).not.toEqual(light[name]);
    for (const form of [light, dark]) {
      const page = form.page!;
      for (const name of ["ink", "ink-soft", "link", "good", "bad", "drawn", ...sideColors])
        expect(contrast(form[name]!, page), name).toBeGreaterThan(4.5);
    }
  });

  it("prints the figures that are folded away on the screen, no table wider than the paper", async () => {
    await page.evaluate(() => {
      for (const details of document.querySelectorAll("details")) details.open = false;
    });
    const shown = () => page.evaluate(() => document.querySelector("details .scroller")!.checkVisibility());
    expect(await shown()).toBe(false);
    await page.emulateMedia({ media: "print" });
    expect(await shown()).toBe(true);
    await page.setViewportSize(a4);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(a4.width);
    await page.emulateMedia({ media: "screen" });
  });
});

const sideColors = ["speculative", "fast-paxos", "paxos", "batching", "unreplicated", "leader-mode", "adaptive", "floor"];

/** Runs in the page. What of the plots lies outside of its drawing, and plots with fewer marks than a plot has. */
function marksOutside(): string[] {
  return [...document.querySelectorAll<SVGSVGElement>(".chart svg")].flatMap((svg) => {
    const frame = svg.getBoundingClientRect();
    if (frame.width === 0) return [];
    const marks = [...svg.querySelectorAll(".role-mark path, .role-mark line, .role-mark text, .role-axis text")].map((mark) => ({
      box: mark.getBoundingClientRect(),
      text: mark.textContent,
    }));
    const id = svg.parentElement!.id;
    const out = marks.filter(
      ({ box }) => box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1,
    );
    return [...out.map(({ text }) => `${id}: ${text || "a mark"}`), ...(marks.length < 12 ? [`${id}: ${marks.length} marks`] : [])];
  });
}

/** Runs in the page. Elements that are wider than the page, or whose text is wider than they are; tables may scroll. */
function overflowing(): string[] {
  const describe = (element: Element) => `${element.tagName} ${element.textContent?.slice(0, 40)}`;
  const all = [...document.querySelectorAll("body *:not(svg, svg *)")].filter((element) => element.closest(".scroller") === null);
  return all
    .filter((element) => element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0)
    .map(describe)
    .concat(document.documentElement.scrollWidth > window.innerWidth ? [`the page: ${document.documentElement.scrollWidth}`] : []);
}

/** Runs in the page. The colours that the style's variables and some of the drawn text have, as [red, green, blue]. */
function colors(): Record<string, number[]> {
  const names = [
    "page",
    "ink",
    "ink-soft",
    "link",
    "good",
    "bad",
    "speculative",
    "fast-paxos",
    "paxos",
    "batching",
    "unreplicated",
    "leader-mode",
    "adaptive",
    "floor",
  ];
  const numbers = (color: string) => color.match(/\d+/g)!.slice(0, 3).map(Number);
  const probe = document.body.appendChild(document.createElement("i"));
  const found: Record<string, number[]> = {};
  for (const name of names) {
    probe.style.color = `var(--${name})`;
    found[name] = numbers(getComputedStyle(probe).color);
  }
  probe.remove();
  found.background = numbers(getComputedStyle(document.body).backgroundColor);
  found.drawn = numbers(getComputedStyle(document.querySelector(".role-axis-title text")!).fill);
  return found;
}

/** Of the Web Content Accessibility Guidelines. */
function contrast(a: readonly number[], b: readonly number[]): number {
  const luminance = (color: readonly number[]) => {
    const [red, green, blue] = color.map((value) =>
      value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
    ) as [number, number, number];
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}
