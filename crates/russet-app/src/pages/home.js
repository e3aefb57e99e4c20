"use strict";

const byId = (id) => document.getElementById(id);

const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

// Everything that people typed comes in as text here, never as markup.
const element = (name, text, ...classes) => {
  const made = document.createElement(name);
  made.textContent = text;
  made.classList.add(...classes);
  return made;
};

const cell = (content, ...classes) => {
  const td = element("td", "", ...classes);
  td.append(content);
  return td;
};

const row = (...cells) => {
  const tr = document.createElement("tr");
  tr.append(...cells);
  return tr;
};

const remark = (text, columns) => {
  const td = cell(text, "note");
  td.colSpan = columns;
  return row(td);
};

// The text of an error is the server's own.
const send = async (path, options) => {
  const answer = await fetch(path, options);
  const body = await answer.json();
  if (!answer.ok && answer.status !== 404) throw new Error(body.error);
  return { answer, body };
};

const post = (path, value) =>
  send(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(value) });

// ---- page views, server, leaderboard: followed ----

const board = byId("leaderboard");
let shown = "";

const showBoard = (lines) => {
  // What has not changed stays as it is: somebody may be selecting it.
  if (JSON.stringify(lines) === shown) return;
  shown = JSON.stringify(lines);
  const table = board.querySelector("tbody");
  const before = new Map([...table.rows].map((line) => [line.cells[1]?.textContent, line.cells[2]?.textContent]));
  const rows = (lines ?? []).map(({ rank, player, score }) => {
    const line = row(cell(rank, "number"), cell(element("span", player, "who")), cell(numbers.format(score), "number"));
    if (before.get(player) !== numbers.format(score)) line.classList.add("fresh");
    return line;
  });
  if (rows.length === 0) rows.push(remark(lines ? board.dataset.nobody : board.dataset.away, 3));
  table.replaceChildren(...rows);
};

const follow = async () => {
  const { body: now } = await send("/api/overview");
  const away = byId("redis").dataset.away;
  byId("redis").textContent = now.redis ? `${now.redis.server} ${now.redis.version}` : away;
  byId("memory").textContent = now.redis ? megabytes(now.redis.used_memory) : away;
  byId("commands-run").textContent = now.redis ? numbers.format(now.redis.commands) : away;
  byId("users").textContent = now.database ? numbers.format(now.database.users) : away;
  byId("total-views").textContent = now.page_views ? numbers.format(now.page_views.total_views) : away;
  byId("daily-views").textContent = now.page_views ? numbers.format(now.page_views.daily_views) : "–";
  showBoard(now.leaderboard);
};

const followOn = async () => {
  if (!document.hidden) {
    byId("lost").hidden = await follow().then(() => true, () => false);
  }
  setTimeout(followOn, 2000);
};
setTimeout(followOn, 2000);

// ---- look up a user ----

const lookup = byId("lookup");

const who = ({ id, name, email }) => {
  const all = document.createDocumentFragment();
  all.append(element("span", `${id} · ${name}`, "who"), element("span", email, "who", "note"));
  return all;
};

lookup.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = event.target.elements.id.value;
  const rows = lookup.querySelector("tbody");
  let line;
  try {
    const { answer, body } = await send(`/api/users/${encodeURIComponent(id)}`);
    const source = answer.headers.get("x-cache");
    const took = Number(answer.headers.get("server-timing").match(/dur=([0-9.]+)/)[1]);
    // The id as it was typed: a number of JavaScript does not hold every one.
    const found = answer.ok ? who({ ...body, id }) : `${id} · ${lookup.dataset.none}`;
    line = row(cell(found), cell(lookup.dataset[source], ["near", "hit"].includes(source) ? "good" : "bad"),
      cell(`${took.toFixed(2)} ms`, "number"), cell(answer.headers.get("x-redis-commands"), "number"));
  } catch (error) {
    line = remark(`${id} · ${lookup.dataset.failed} ${error.message}`, 4);
  }
  line.classList.add("fresh");
  rows.prepend(line);
  while (rows.rows.length > 5) rows.lastElementChild.remove();
  lookup.querySelector("table").hidden = false;
});

// ---- 1,000 callers, one cold key ----

const cold = byId("cold");
const CALLERS = 1000;

// One of a thousand, as a dot of an SVG path in rows of 50.
const dot = (nth) => `M${(nth % 50) + 0.5} ${Math.floor(nth / 50) + 0.5}h0`;
const dots = (from, to) => Array.from({ length: to - from }, (_, nth) => dot(from + nth)).join("");

const draw = (figure, queries, callers) => {
  figure.querySelector(".asked").setAttribute("d", dots(0, queries));
  figure.querySelector(".spared").setAttribute("d", dots(queries, callers));
};

const showRun = (figure, run, callers) => {
  const value = figure.querySelector(".value");
  value.replaceChildren(element("strong", numbers.format(run.sql_queries)),
    run.sql_queries === 1 ? cold.dataset.one : cold.dataset.many);
  const failed = run.failed > 0 ? ` · ${numbers.format(run.failed)} ${cold.dataset.errors}` : "";
  figure.querySelector(".took").textContent =
    `${cold.dataset.answered} ${numbers.format(Math.round(run.ms))} ms${failed}`;
  draw(figure, run.sql_queries, callers);
};

for (const figure of cold.querySelectorAll("figure")) draw(figure, 0, CALLERS);
cold.querySelector(".crates").hidden = false;

cold.querySelector("button").addEventListener("click", async ({ target: button }) => {
  const message = cold.querySelector(".message");
  button.disabled = true;
  message.textContent = cold.dataset.running;
  try {
    const { answer, body } = await post("/api/demo/cold_key", {});
    if (!answer.ok) throw new Error(body.error);
    showRun(byId("without"), body.unprotected, body.callers);
    showRun(byId("with"), body.protected, body.callers);
    const late = body.callers - body.unprotected.sql_queries;
    message.textContent = late > 0 ? cold.dataset.late.replace("{n}", numbers.format(late)) : "";
  } catch (error) {
    message.textContent = `${cold.dataset.failed} ${error.message}`;
  }
  button.disabled = false;
});

// ---- flash sale ----

const sale = byId("sale");

const showSale = ({ buyers, stock, bought, error }) => {
  const states = new Map([...sale.querySelectorAll("[data-state]")].map((one) => [one.dataset.state, []]));
  [...buyers].forEach((state, nth) => states.get(state).push(nth));
  for (const [state, all] of states) {
    sale.querySelector(`path.${state}`).setAttribute("d", all.map(dot).join(""));
    sale.querySelector(`[data-state=${state}] strong`).textContent = numbers.format(all.length);
  }
  sale.querySelector(`[data-state=f]`).hidden = states.get("f").length === 0;
  const write = (text, parameters) => Object.entries(parameters)
    .reduce((said, [name, value]) => said.replace(`{${name}}`, numbers.format(value)), text);
  if (stock) {
    const { free, reserved, sold, total } = stock;
    sale.querySelector(".sum").textContent = write(sale.dataset.sum, { free, reserved, sold, total });
    sale.querySelector(".sold").setAttribute("width", (100 * sold) / total);
    sale.querySelector(".reserved").setAttribute("x", (100 * sold) / total);
    sale.querySelector(".reserved").setAttribute("width", (100 * reserved) / total);
  }
  sale.querySelector(".drawn").hidden = buyers.length === 0;
  return write(sale.dataset.over, { bought, sold: stock?.sold ?? 0, cancelled: states.get("c").length, expired: states.get("e").length });
};

sale.querySelector("button").addEventListener("click", async ({ target: button }) => {
  const message = sale.querySelector(".message");
  button.disabled = true;
  message.textContent = "";
  try {
    let { answer, body: now } = await post("/api/demo/flash_sale", {});
    if (!answer.ok) throw new Error(now.error);
    showSale(now);
    while (now.phase === "open") {
      await wait(100);
      ({ body: now } = await send("/api/demo/flash_sale"));
      message.textContent = "";
      const over = showSale(now);
      if (now.phase === "over") message.textContent = over;
    }
    if (now.error) throw new Error(now.error);
  } catch (error) {
    message.textContent = `${sale.dataset.failed} ${error.message}`;
  }
  button.disabled = false;
});

// ---- a worker is killed ----

const kill = byId("kill");
const [workersList, tasksList] = [kill.querySelector(".workers"), kill.querySelector(".tasks")];
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const showKill = ({ workers, tasks, held, back_ms: back, error }) => {
  const processes = workers.map(({ pid, state }) => {
    const line = element("li", "", state);
    line.append(element("span", kill.dataset.pid.replace("{pid}", pid)), " ", element("strong", kill.dataset[state]));
    return line;
  });
  workersList.replaceChildren(...processes);
  tasksList.replaceChildren(...tasks.map(({ state, attempts }, number) => {
    const shown = state === "done" && attempts > 1 ? "again" : state;
    const cell = element("li", number + 1, shown);
    cell.title = `${kill.dataset.task} ${number + 1}: ${kill.dataset[shown]}`;
    cell.append(element("span", `, ${kill.dataset[shown]}`, "unseen"));
    return cell;
  }));
  for (const part of [workersList, tasksList, kill.querySelector(".legend")]) part.hidden = tasks.length === 0;
  const message = kill.querySelector(".message");
  if (error) {
    message.textContent = `${kill.dataset.failed} ${error}`;
  } else if (back !== null) {
    message.textContent = (held === 1 ? kill.dataset.backOne : kill.dataset.back)
      .replace("{held}", held).replace("{seconds}", (back / 1000).toFixed(1));
  } else {
    message.textContent = "";
  }
};

kill.querySelector("button").addEventListener("click", async ({ target: button }) => {
  button.disabled = true;
  try {
    const { answer, body } = await post("/api/demo/killed_worker", {});
    if (!answer.ok) throw new Error(body.error);
    let now = body;
    showKill(now);
    while (["working", "killed"].includes(now.phase)) {
      await wait(200);
      ({ body: now } = await send("/api/demo/killed_worker"));
      showKill(now);
    }
  } catch (error) {
    kill.querySelector(".message").textContent = `${kill.dataset.failed} ${error.message}`;
  }
  button.disabled = false;
});

// ---- leaderboard ----

board.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { player, score } = event.target.elements;
  const message = board.querySelector(".message");
  try {
    const { body } = await post("/api/leaderboard/update", { player: player.value, score: Number(score.value) });
    message.textContent =
      `${body.player} · ${board.dataset.rank} ${body.rank ?? "–"} · ${board.dataset.score} ${numbers.format(body.new_score)}`;
    await follow();
  } catch (error) {
    message.textContent = `${board.dataset.failed} ${error.message}`;
  }
});
