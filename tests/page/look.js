// Opens the page that a process serves, in a document without a screen, and does what a person does.
// Prints what it saw as JSON. Arguments: the address, the token (empty: none), a file for the picture.
"use strict";
const path = require("path");
const fs = require("fs");
const { JSDOM } = require(path.join(process.env.MODULES, "jsdom"));

const [address, token, file] = process.argv.slice(2);

async function until(what, holds) {
  const end = Date.now() + 30000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`${what} did not come about`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function main() {
  const answer = await fetch(address);
  const html = await answer.text();
  const asked = [], errors = [];
  const dom = new JSDOM(html, {
    url: address,
    runScripts: "dangerously",
    pretendToBeVisual: true,
    beforeParse(window) {
      window.AbortSignal = AbortSignal;
      window.fetch = (where, options) => {
        asked.push([String(where), options.headers.authorization || ""]);
        return fetch(new URL(where, window.location.href), options);
      };
      window.addEventListener("error", (event) => errors.push(String(event.error)));
    },
  });
  const { document, sessionStorage, Event } = dom.window;
  const by = (id) => document.getElementById(id);
  const seen = { steps: [] };
  if (token) {
    await until("the form", () => !by("access").hidden);
    seen.focused = document.activeElement.id;
    const send = async (value) => {
      by("token").value = value;
      by("access").dispatchEvent(new Event("submit", { cancelable: true, bubbles: true }));
    };
    await send("wrong");
    await until("the refusal", () => by("refused").textContent.includes("not taken"));
    seen.steps.push("refused");
    await send(token);
  }
  await until("figures", () => !by("main").hidden && /in[1-9]/.test(by("whole").textContent));
  seen.stored = sessionStorage.getItem("trunkline-token");
  const svg = document.querySelector("#picture svg");
  const texts = (root, selector) => Array.from(root.querySelectorAll(selector), (it) => it.textContent);
  seen.title = document.title;
  seen.state = by("state").textContent;
  seen.names = texts(svg, ".name");
  seen.kinds = Array.from(svg.querySelectorAll("g"), (it) => it.getAttribute("class")).filter((it) => !it.startsWith("way"));
  seen.edges = svg.querySelectorAll(".way").length;
  seen.flows = texts(svg, ".way .figure");
  seen.described = svg.querySelector("desc").textContent;
  seen.rows = texts(document, "#nodes th");
  seen.losses = texts(svg, ".loss").filter(Boolean);
  seen.gauges = svg.querySelectorAll(".gauge").length;
  seen.scripts = document.querySelectorAll("script").length;
  seen.foreign = document.querySelectorAll("img, iframe, object, embed, b").length;
  seen.tabs = texts(document, "#pipelines button");
  await until("the heatmap", () => !seen.rows.includes("wall") || !by("activity").hidden);
  const heat = document.querySelector("#heatmap svg");
  seen.heat = heat && heat.getAttribute("aria-label");
  seen.headings = texts(document, "h1, h2, h3");
  seen.unlabelled = Array.from(document.querySelectorAll("[role=region], nav, svg[role=img]"))
    .filter((it) => !it.getAttribute("aria-label") && !it.getAttribute("aria-labelledby")).length;
  // A picture for others: the colours come along.
  if (file) {
    const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
    const rules = document.querySelector("style").textContent.replace(/\s+/g, " ");
    // The colours, and what is said of pictures.
    const [colours, rest] = rules.split("[hidden]");
    style.textContent = colours + rest.slice(rest.indexOf("svg {"));
    svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    svg.insertBefore(style, svg.firstChild);
    fs.writeFileSync(file, `${svg.outerHTML}\n`);
  }
  if (seen.tabs.length > 1) {
    const other = document.querySelectorAll("#pipelines button")[1];
    other.click();
    seen.steps.push(`chose ${by("name").textContent}`);
    seen.current = other.getAttribute("aria-current");
  }
  by("pause").click();
  const paused = by("nodes").innerHTML;
  await new Promise((resolve) => setTimeout(resolve, 1500));
  seen.pausedHolds = paused === by("nodes").innerHTML && by("pause").getAttribute("aria-pressed") === "true";
  by("pause").click();
  await until("it goes on", () => by("status").textContent.startsWith("As of"));
  // The process goes, and is said to be gone.
  console.log(JSON.stringify({ seen }));
  await until("the end", () => by("status").textContent.includes("does not answer"));
  console.log(JSON.stringify({ gone: by("main").hidden === false, errors,
    asked: asked.map(([where]) => where), tokens: [...new Set(asked.map(([, sent]) => sent))] }));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
