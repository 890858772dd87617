"use strict";
// Everything that the process says is put in as text (textContent, and attributes that hold no
// code): names come from pipeline files, and may be anything.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const EVERY = 1000, HEAT_EVERY = 10000, LIMIT = 8000;
  // In pixels.
  const WIDTH = 196, HEIGHT = 74, ACROSS = 96, DOWN = 40, MARGIN = 20;
  // More nodes than anybody could see are in the table alone.
  const MOST_DRAWN = 300, ROUNDS = 4;
  const KEY = "trunkline-token";

  const by = (id) => document.getElementById(id);

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function shape(name, attributes, ...children) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, String(value));
    made.append(...children);
    return made;
  }

  // Figures as people read them.

  const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const count = (n) => (n ? grouped.format(n) : "");
  function rate(n) {
    if (n === null) return "–";
    return n > 0 && n < 10 ? n.toFixed(1) : grouped.format(n);
  }
  function time(s) {
    if (s === null) return "";
    if (s === 0) return "0";
    if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
    if (s < 1) return `${(s * 1e3).toFixed(s < 0.01 ? 1 : 0)} ms`;
    return s < 120 ? `${s.toFixed(1)} s` : lasted(s);
  }
  function lasted(s) {
    const two = (n) => String(Math.floor(n)).padStart(2, "0");
    const days = Math.floor(s / 86400), hours = Math.floor(s / 3600) % 24;
    return `${days ? `${days}d ` : ""}${hours}:${two((s / 60) % 60)}:${two(s % 60)}`;
  }
  function shortened(text, most) {
    const letters = Array.from(text);
    return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : text;
  }
  const sum = (map) => Object.values(map || {}).reduce((a, b) => a + b, 0);
  function reasons(map) {
    const all = Object.entries(map || {}).filter(([, n]) => n > 0);
    all.sort((a, b) => b[1] - a[1]);
    return all.slice(0, 8).map(([why, n]) => `${why} ${count(n)}`).join(", ");
  }

  // What two readings say of the time between. A process that began anew counts from nothing.

  function between(old, now) {
    const same = old && old.started === now.started ? old : null;
    const seconds = same ? now.seconds - same.seconds : 0;
    const speed = (before, after) => {
      if (!same || before > after) return null;
      if (seconds <= 0) return before === after ? 0 : null;
      return (after - before) / seconds;
    };
    const known = new Map((same ? same.nodes : []).map((node) => [node.name, node]));
    const nodes = now.nodes.map((node) => {
      const was = known.get(node.name) || { received: 0, delivered: 0 };
      return {
        ...node,
        into: speed(was.received, node.received),
        out: speed(was.delivered, node.delivered),
        p50: same ? quantile(was.latency, node.latency, 0.5) : null,
        p99: same ? quantile(was.latency, node.latency, 0.99) : null,
        fill: fill(node.buffer),
      };
    });
    return {
      ...now,
      nodes,
      into: speed(same && same.whole.received, now.whole.received),
      out: speed(same && same.whole.delivered, now.whole.delivered),
    };
  }

  function quantile(before, now, share) {
    if (!now || !now.counts.length) return null;
    const since = now.counts.map((n, at) => n - ((before && before.counts[at]) || 0));
    const rank = since[since.length - 1] * share;
    if (rank <= 0) return null;
    let low = 0, below = 0;
    for (const [at, bound] of now.bounds.entries()) {
      if (since[at] >= rank && since[at] > below) {
        return low + ((bound - low) * (rank - below)) / (since[at] - below);
      }
      [low, below] = [bound, since[at]];
    }
    return low;
  }

  function fill(buffer) {
    if (!buffer) return null;
    const part = (n, most) => (most > 0 ? n / most : 0);
    const most = Math.max(part(buffer.events, buffer.max_events), part(buffer.bytes, buffer.max_bytes));
    return Math.min(1, most);
  }

  // Where nodes stand: in layers, so that every arrow leads to the right; dead letters below.

  function layout(nodes) {
    const depth = new Map(), columns = [];
    const flow = nodes.filter((node) => node.kind !== "dead_letter");
    // Each comes after those that it reads.
    for (const node of flow) {
      const above = node.inputs.map((input) => depth.get(input.node)).filter((it) => it !== undefined);
      depth.set(node.name, above.length ? Math.max(...above) + 1 : 0);
    }
    const last = Math.max(0, ...depth.values());
    for (const node of flow) {
      const at = node.kind === "sink" ? last : depth.get(node.name);
      (columns[at] = columns[at] || []).push(node);
    }
    const rows = Math.max(1, ...columns.map((column) => (column ? column.length : 0)));
    let places = new Map();
    for (let round = 0; round < ROUNDS; round += 1) {
      const heights = new Map(places);
      const weight = (node) => {
        const above = node.inputs.map((input) => heights.get(input.node)).filter(Boolean);
        if (!above.length) return heights.has(node.name) ? heights.get(node.name).y : 0;
        return above.reduce((all, place) => all + place.y, 0) / above.length;
      };
      places = new Map();
      columns.forEach((column, x) => {
        if (round > 0) column.sort((a, b) => weight(a) - weight(b));
        column.forEach((node, y) => {
          const top = MARGIN + ((rows - column.length) * (HEIGHT + DOWN)) / 2;
          places.set(node.name, { x: MARGIN + x * (WIDTH + ACROSS), y: top + y * (HEIGHT + DOWN) });
        });
      });
    }
    const letters = nodes.filter((node) => node.kind === "dead_letter");
    const across = Math.max(1, last + 1);
    letters.forEach((node, at) => {
      const x = MARGIN + (at % across) * (WIDTH + ACROSS);
      const y = MARGIN + (rows + Math.floor(at / across)) * (HEIGHT + DOWN);
      places.set(node.name, { x, y });
    });
    const below = Math.ceil(letters.length / across);
    return {
      places,
      width: 2 * MARGIN + across * (WIDTH + ACROSS) - ACROSS,
      height: 2 * MARGIN + (rows + below) * (HEIGHT + DOWN) - DOWN + 18,
    };
  }

  // What flows along an arrow, where the figures of the nodes at its ends tell it.
  function along(input, node, nodes) {
    if (node.inputs.length === 1) return node.into;
    const readers = nodes.filter((other) => other.kind !== "dead_letter"
      && other.inputs.some((it) => it.node === input.node));
    const from = nodes.find((other) => other.name === input.node);
    return readers.length === 1 && from ? from.out : undefined;
  }

  // The picture.

  function picture(pipeline) {
    const nodes = pipeline.nodes.slice(0, MOST_DRAWN);
    const { places, width, height } = layout(nodes);
    const drawn = shape("svg", {
      viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-labelledby": "flow-title flow-text",
    });
    drawn.append(
      shape("title", { id: "flow-title" }, `Pipeline ${pipeline.name}`),
      shape("desc", { id: "flow-text" }, described(pipeline)),
      shape("rect", { class: "ground", width, height }),
    );
    for (const node of nodes) {
      if (node.kind === "dead_letter") continue;
      for (const input of node.inputs) {
        const from = places.get(input.node), to = places.get(node.name);
        if (from && to) drawn.append(arrow(input, along(input, node, nodes), from, to));
      }
    }
    for (const node of nodes) drawn.append(box(node, places.get(node.name)));
    return drawn;
  }

  function described(pipeline) {
    const nodes = pipeline.nodes.map((node) => {
      const from = node.inputs.map((it) => (it.output ? `${it.node}.${it.output}` : it.node)).join(", ");
      return `${node.name} (${node.component})${from ? ` reads ${from}` : ""}`;
    });
    return `${nodes.join("; ")}. The table below has all figures.`;
  }

  function arrow(input, flow, from, to) {
    const x1 = from.x + WIDTH, y1 = from.y + HEIGHT / 2, x2 = to.x - 7, y2 = to.y + HEIGHT / 2;
    const bend = ACROSS / 2;
    const still = flow === 0 ? " still" : "";
    const group = shape("g", { class: `way${still}` });
    // Ten times as much is twice as wide.
    const thick = flow > 0 ? Math.min(6, 1.2 + Math.log10(1 + flow)) : 1.2;
    group.append(
      shape("path", {
        class: "edge", "stroke-width": thick.toFixed(1),
        d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`,
      }),
      shape("path", { class: "head", d: `M${x2} ${y2 - 4}L${to.x} ${y2}L${x2} ${y2 + 4}z` }),
    );
    const label = (text, y, name) => group.append(
      shape("text", { class: name, x: (x1 + x2) / 2, y, "text-anchor": "middle" }, text),
    );
    if (flow !== undefined && flow !== null) label(`${rate(flow)}/s`, (y1 + y2) / 2 - 6, "figure");
    if (input.output) label(shortened(input.output, 14), (y1 + y2) / 2 + 14, "small");
    return group;
  }

  function box(node, { x, y }) {
    const kinds = ["source", "transform", "buffer", "sink", "dead_letter"];
    const group = shape("g", { class: kinds.includes(node.kind) ? node.kind : "transform" });
    const text = (words, name, dx, dy) => group.append(
      shape("text", { class: name, x: x + dx, y: y + dy }, words),
    );
    group.append(shape("title", {}, about(node)));
    group.append(shape("rect", { class: "box", x, y, width: WIDTH, height: HEIGHT, rx: 7 }));
    text(shortened(node.name, 24), "name", 10, 20);
    text(shortened(node.component, 26), "small", 10, 36);
    text(`in ${rate(node.into)}/s  out ${rate(node.out)}/s`, "figure", 10, 53);
    if (node.p99 !== null) {
      group.append(shape("text", { class: "small", x: x + WIDTH - 10, y: y + 36, "text-anchor": "end" },
        `p99 ${time(node.p99)}`));
    }
    if (node.fill !== null) gauge(group, node, x, y);
    const lost = [];
    if (sum(node.dropped)) lost.push(`${count(sum(node.dropped))} dropped`);
    if (sum(node.dead_lettered)) lost.push(`${count(sum(node.dead_lettered))} dead letters`);
    if (node.retries) lost.push(`${count(node.retries)} retries`);
    text(shortened(lost.join(", "), 36), "loss", 4, HEIGHT + 13);
    const breaker = node.breaker && node.breaker.state;
    if (breaker && breaker !== "closed") {
      const open = node.breaker.open > 1 ? `${count(node.breaker.open)} breakers open` : `breaker ${breaker}`;
      text(shortened(open.replace("_", "-"), 26), "broken", 4, -5);
    }
    return group;
  }

  function gauge(group, node, x, y) {
    const full = WIDTH - 20;
    const level = node.fill >= 0.8 ? "full" : node.fill >= 0.4 ? "half" : "";
    const width = node.fill > 0 ? Math.max(2, full * node.fill) : 0;
    group.append(
      shape("rect", { class: "gauge", x: x + 10, y: y + 60, width: full, height: 7, rx: 2 }),
      shape("rect", { class: `fill ${level}`, x: x + 10, y: y + 60, width: width.toFixed(1), height: 7, rx: 2 }),
    );
  }

  function about(node) {
    const parts = [`${node.name} (${node.component})`, `in ${rate(node.into)}/s, out ${rate(node.out)}/s`];
    if (node.fill !== null) parts.push(`buffer ${Math.round(node.fill * 100)} % full, ${node.buffer.events} events`);
    if (sum(node.dropped)) parts.push(`dropped: ${reasons(node.dropped)}`);
    if (sum(node.dead_lettered)) parts.push(`dead letters: ${reasons(node.dead_lettered)}`);
    if (node.breaker) parts.push(`breaker ${node.breaker.state}`);
    return parts.join("\n");
  }

  // The same in words and figures.

  function row(node) {
    const made = element("tr", {}, element("th", { scope: "row" }, node.name));
    const cell = (text, small) => {
      const it = element("td", {}, text);
      if (small) it.append(element("small", {}, small));
      made.append(it);
      return it;
    };
    cell(node.component);
    cell(rate(node.into));
    cell(rate(node.out));
    cell(time(node.p50));
    cell(time(node.p99));
    cell(node.fill === null ? "" : `${Math.round(node.fill * 100)} %`, node.fill === null ? "" : count(node.buffer.events));
    cell(count(Math.max(0, node.held)));
    cell(count(sum(node.dropped)), reasons(node.dropped));
    cell(count(sum(node.dead_lettered)), reasons(node.dead_lettered));
    cell(count(node.retries));
    standing(cell, node.breaker && node.breaker.state);
    return made;
  }

  function standing(cell, state) {
    const it = cell((state || "").replace("_", "-"));
    if (state === "open" || state === "half_open") it.className = state;
  }

  function waits(node, key) {
    const made = element("tr", {}, element("th", { scope: "row" }, key.key));
    const cell = (text) => {
      const it = element("td", {}, text);
      made.append(it);
      return it;
    };
    cell(node.name);
    cell(count(key.waiting));
    cell(time(key.oldest));
    cell(key.allowed ? `${count(key.used) || "0"}/${count(key.allowed)}` : "");
    standing(cell, key.breaker);
    return made;
  }

  function figures(pipeline) {
    const all = [
      ["running for", lasted(pipeline.seconds)],
      ["in", `${rate(pipeline.into)}/s`],
      ["out", `${rate(pipeline.out)}/s`],
      ["held", count(Math.max(0, pipeline.whole.held)) || "0"],
      ["dropped", count(sum(pipeline.whole.dropped)) || "0"],
      ["dead letters", count(sum(pipeline.whole.dead_lettered)) || "0"],
      ["retries", count(pipeline.whole.retries) || "0"],
    ];
    return all.map(([word, figure]) => element("div", {}, element("dt", {}, word), element("dd", {}, figure)));
  }

  // 24 rows of 60 minutes.
  function heatmap(grid) {
    const side = 11, left = 44, top = 18, width = left + 60 * side + 4, height = top + 24 * side + 4;
    const most = Math.max(1, ...grid.map((hour) => Math.max(...hour)));
    let [peak, at] = [0, ""];
    const drawn = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
    drawn.append(shape("rect", { class: "ground", width, height }));
    for (const minute of [0, 15, 30, 45]) {
      drawn.append(shape("text", { class: "small", x: left + minute * side, y: 12 }, `:${String(minute).padStart(2, "0")}`));
    }
    grid.forEach((hour, y) => {
      const name = String(y).padStart(2, "0");
      drawn.append(shape("text", { class: "small", x: 4, y: top + y * side + 9 }, `${name}:00`));
      hour.forEach((n, x) => {
        if (n > peak) [peak, at] = [n, `${name}:${String(x).padStart(2, "0")}`];
        if (n > 0) {
          drawn.append(shape("rect", {
            class: "heat", x: left + x * side, y: top + y * side, width: side - 1, height: side - 1,
            opacity: (0.15 + (0.85 * n) / most).toFixed(2),
          }, shape("title", {}, `${name}:${String(x).padStart(2, "0")}: ${n}`)));
        }
      });
    });
    const words = peak ? `Most active at ${at}: ${grouped.format(peak)} interactions` : "Nothing was active today";
    drawn.setAttribute("aria-label", words);
    return drawn;
  }

  // What was told last, and what is shown of it.

  const told = { before: null, now: null, chosen: null, paused: false, heat: null, heatAt: 0 };

  function show() {
    const { now } = told;
    if (!now) return;
    const pipeline = now.find((it) => it.name === told.chosen) || now[0];
    by("main").hidden = !pipeline;
    tabs(now, pipeline);
    if (!pipeline) return;
    const old = (told.before || []).find((it) => it.name === pipeline.name);
    const shown = between(old, pipeline);
    by("name").textContent = shown.name;
    by("state").textContent = shown.reason ? `${shown.state}: ${shown.reason}` : shown.state;
    by("state").className = ["running", "failed"].includes(shown.state) ? shown.state : "";
    alerts(shown.alerts);
    by("whole").replaceChildren(...figures(shown));
    by("picture").replaceChildren(picture(shown));
    by("nodes").replaceChildren(...shown.nodes.map(row));
    const keys = shown.nodes.flatMap((node) => (node.keys || []).map((key) => waits(node, key)));
    by("waiting").hidden = keys.length === 0;
    by("keys").replaceChildren(...keys);
    document.title = `${shown.alerts.length ? "! " : ""}${shown.name} – Trunkline`;
    heat(shown);
  }

  // Only what changed is put in, so that it is read out once.
  function alerts(all) {
    const words = all.slice(0, 50).map((it) => `${it.name} ${it.node || "pipeline"}: ${it.message}`);
    const list = by("alerts");
    const known = Array.from(list.children, (item) => item.textContent);
    if (known.join("\n") === words.join("\n")) return;
    list.replaceChildren(...words.map((word) => element("li", {}, word)));
  }

  // The buttons stay as long as the names do: whoever has the focus keeps it.
  function tabs(now, pipeline) {
    const nav = by("pipelines"), names = now.map((it) => it.name);
    const known = Array.from(nav.children, (button) => button.textContent);
    if (known.join("\n") !== names.join("\n")) {
      nav.replaceChildren(...names.map((name) => {
        const button = element("button", { type: "button" }, name);
        button.addEventListener("click", () => {
          told.chosen = name;
          [told.heat, told.heatAt] = [null, 0];
          show();
        });
        return button;
      }));
    }
    nav.hidden = names.length < 2;
    for (const button of nav.children) {
      button.setAttribute("aria-current", String(button.textContent === (pipeline && pipeline.name)));
    }
  }

  async function heat(pipeline) {
    const node = pipeline.nodes.find((it) => it.component === "activity");
    by("activity").hidden = !(node && told.heat);
    if (!node || Date.now() - told.heatAt < HEAT_EVERY) return;
    told.heatAt = Date.now();
    const query = new URLSearchParams({ pipeline: pipeline.name, node: node.name });
    try {
      const { heatmap: map } = await ask(`api/v1/state?${query}`);
      // Another pipeline may have been chosen meanwhile.
      if (told.chosen && told.chosen !== pipeline.name) return;
      told.heat = map.data;
      by("heatmap").replaceChildren(heatmap(told.heat));
      by("activity").hidden = false;
    } catch {
      told.heat = null;
    }
  }

  // Asking.

  class Refused extends Error {}

  async function ask(path) {
    const headers = {}, token = sessionStorage.getItem(KEY);
    if (token) headers.authorization = `Bearer ${token}`;
    const signal = AbortSignal.timeout(LIMIT);
    const answer = await fetch(path, { headers, signal, cache: "no-store", credentials: "omit", redirect: "error" });
    if (answer.status === 401) throw new Refused(token ? "This token is not taken." : "");
    if (!answer.ok) throw new Error(`the process answers ${answer.status}`);
    return answer.json();
  }

  async function refresh() {
    try {
      const now = await ask("api/v1/pipelines");
      if (told.paused) return;
      [told.before, told.now] = [told.now, now];
      by("access").hidden = true;
      say(now.length ? `As of ${new Date().toLocaleTimeString()}` : "No pipeline runs here", false);
      show();
    } catch (error) {
      if (error instanceof Refused) return locked(error.message);
      say("The process does not answer; asking again", true);
    }
  }

  function say(text, bad) {
    // A status that changes every second would be read out every second.
    by("status").setAttribute("aria-live", bad ? "polite" : "off");
    by("status").textContent = text;
    by("status").className = bad ? "bad" : "";
  }

  function locked(why) {
    sessionStorage.removeItem(KEY);
    say("A token is needed", false);
    by("main").hidden = true;
    by("refused").textContent = why;
    if (by("access").hidden) {
      by("access").hidden = false;
      by("token").focus();
    }
  }

  by("access").addEventListener("submit", (event) => {
    event.preventDefault();
    const token = by("token").value.trim();
    by("token").value = "";
    if (!/^[\x21-\x7e]+$/.test(token)) return void (by("refused").textContent = "This is no token.");
    sessionStorage.setItem(KEY, token);
    refresh();
  });
  by("pause").addEventListener("click", () => {
    told.paused = !told.paused;
    by("pause").setAttribute("aria-pressed", String(told.paused));
    by("pause").textContent = told.paused ? "Go on" : "Pause";
    if (told.paused) say("Paused", false);
  });

  // One after the other, and nobody asks for a page that nobody sees or that waits for a token.
  async function forever() {
    if (!told.paused && !document.hidden && by("access").hidden) await refresh();
    setTimeout(forever, EVERY);
  }
  forever();
})();
