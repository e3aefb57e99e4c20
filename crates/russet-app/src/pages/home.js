"use strict";

const numbers = new Intl.NumberFormat("en");
const byId = (id) => document.getElementById(id);

// Everything that people typed comes in as text here, never as markup.
const cell = (text, ...classes) => {
  const td = document.createElement("td");
  td.textContent = text;
  td.classList.add(...classes);
  return td;
};

const row = (...cells) => {
  const tr = document.createElement("tr");
  tr.append(...cells);
  return tr;
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

const showBoard = (lines) => {
  const table = document.querySelector("#leaderboard tbody");
  const before = new Map([...table.rows].map((line) => [line.cells[1]?.textContent, line.cells[2]?.textContent]));
  table.replaceChildren(...lines.map(({ rank, player, score }) => {
    const line = row(cell(rank, "number"), cell(player), cell(score, "number"));
    if (before.get(player) !== String(score)) line.classList.add("fresh");
    return line;
  }));
  byId("nobody")?.toggleAttribute("hidden", lines.length > 0);
};

const follow = async () => {
  const { body: now } = await send("/api/overview");
  const away = byId("redis").dataset.away;
  byId("redis").textContent = now.redis ? `${now.redis.server} ${now.redis.version}` : away;
  byId("commands-run").textContent = now.redis ? numbers.format(now.redis.commands) : away;
  byId("users").textContent = now.database ? numbers.format(now.database.users) : away;
  byId("total-views").textContent = now.page_views ? numbers.format(now.page_views.total_views) : away;
  byId("daily-views").textContent = now.page_views ? numbers.format(now.page_views.daily_views) : "–";
  if (now.leaderboard) showBoard(now.leaderboard);
};

const followOn = async () => {
  if (!document.hidden) await follow().catch(() => {});
  setTimeout(followOn, 2000);
};
setTimeout(followOn, 2000);

// ---- look up a user ----

const lookup = byId("lookup");
lookup.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = event.target.elements.id.value;
  const rows = lookup.querySelector("tbody");
  let line;
  try {
    const { answer, body } = await send(`/api/users/${encodeURIComponent(id)}`);
    const source = answer.headers.get("x-cache");
    const took = Number(answer.headers.get("server-timing").match(/dur=([0-9.]+)/)[1]);
    const who = answer.ok ? `${body.id} · ${body.name} · ${body.email}` : `${id} · ${lookup.dataset.none}`;
    line = row(cell(who), cell(lookup.dataset[source], source),
      cell(`${took.toFixed(2)} ms`, "number"), cell(answer.headers.get("x-redis-commands"), "number"));
  } catch (error) {
    line = row(cell(`${id} · ${lookup.dataset.failed} ${error.message}`, "bad"), cell(""), cell(""), cell(""));
  }
  line.classList.add("fresh");
  rows.prepend(line);
  while (rows.rows.length > 5) rows.lastChild.remove();
  lookup.querySelector("table").hidden = false;
});

// ---- 1,000 callers, one cold key ----

const cold = byId("cold");
cold.querySelector("button").addEventListener("click", async ({ target: button }) => {
  const message = cold.querySelector(".message");
  button.disabled = true;
  message.textContent = cold.dataset.running;
  try {
    const { answer, body } = await post("/api/demo/cold_key", {});
    if (!answer.ok) throw new Error(body.error);
    message.textContent = "";
    cold.querySelector(".bars").hidden = false;
    const most = Math.max(body.unprotected.sql_queries, body.protected.sql_queries, 1);
    for (const [id, run] of [["without", body.unprotected], ["with", body.protected]]) {
      byId(id).querySelector(".value").textContent =
        `${numbers.format(run.sql_queries)} ${cold.dataset.queries} · ${numbers.format(Math.round(run.ms))} ms`;
      byId(id).querySelector(".bar").style.inlineSize = `${(100 * run.sql_queries) / most}%`;
    }
  } catch (error) {
    message.textContent = `${cold.dataset.failed} ${error.message}`;
  }
  button.disabled = false;
});

// ---- leaderboard ----

const board = byId("leaderboard");
board.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { player, score } = event.target.elements;
  const message = board.querySelector(".message");
  try {
    const { body } = await post("/api/leaderboard/update", { player: player.value, score: Number(score.value) });
    message.textContent = `${body.player} ${board.dataset.ranked} ${body.rank ?? "–"} · ${body.new_score}`;
    await follow();
  } catch (error) {
    message.textContent = `${board.dataset.failed} ${error.message}`;
  }
});
