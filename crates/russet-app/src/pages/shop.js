"use strict";

const shop = document.getElementById("shop");
const [table, mine, message] = [".products tbody", ".mine", ".message"].map((css) => shop.querySelector(css));
const buyer = document.getElementById("buyer");
const numbers = new Intl.NumberFormat("en");
const text = (name, parameters) => Object.entries(parameters ?? {}).reduce(
  (said, [key, value]) => said.replace(`{${key}}`, () => value), shop.dataset[name]);

// What is remembered here at most.
const MOST = 20;

// What people typed comes in as text, never as markup.
const element = (name, content, ...classes) => {
  const made = document.createElement(name);
  made.textContent = content;
  made.classList.add(...classes);
  return made;
};

// What the server refuses comes back as an error with its body; the text is the server's own.
const send = async (method, path, value) => {
  const body = value && { headers: { "content-type": "application/json" }, body: JSON.stringify(value) };
  const answer = await fetch(path, { method, ...body });
  const said = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(said.error), { status: answer.status, said });
  return said;
};

const failed = ({ message: why, said }) => {
  const rest = said?.available === undefined ? "" : ` ${text("available", { n: numbers.format(said.available) })}`;
  message.textContent = `${text("failed")} ${why}.${rest}`;
};

// ---- products ----

const orderForm = (product) => {
  const form = document.createElement("form");
  const quantity = Object.assign(document.createElement("input"), { type: "number", name: "quantity", min: 1, value: 1, required: true });
  quantity.setAttribute("aria-label", `${text("quantity")}: ${product}`);
  const button = element("button", text("reserve"));
  button.setAttribute("aria-label", `${text("reserve")}: ${product}`);
  form.append(quantity, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    reserve(product, Number(quantity.value));
  });
  return form;
};

const line = ({ product, free, reserved, sold, total }) => {
  const tr = document.createElement("tr");
  tr.dataset.product = product;
  const name = element("td", "");
  name.append(element("span", product, "who"));
  const order = element("td", "", "order");
  order.append(orderForm(product));
  tr.append(name, element("td", numbers.format(free), "number"), element("td", numbers.format(reserved), "number", "wide"),
    element("td", numbers.format(sold), "number", "wide"), element("td", numbers.format(total), "number", "wide"), order);
  return tr;
};

const remark = (content) => {
  const tr = document.createElement("tr");
  const td = element("td", content, "note");
  td.colSpan = 6;
  tr.append(td);
  return tr;
};

const showProducts = (products) => {
  const lines = new Map([...table.rows].map((tr) => [tr.dataset.product, tr]));
  const rows = products.map((stock) => {
    const tr = lines.get(stock.product);
    if (!tr) return line(stock);
    // The figures alone: somebody may be typing into the field beside them.
    [stock.free, stock.reserved, stock.sold, stock.total].forEach((figure, nth) => {
      tr.cells[nth + 1].textContent = numbers.format(figure);
    });
    return tr;
  });
  if (rows.length === 0) rows.push(remark(text("empty")));
  const isSame = rows.length === table.rows.length && rows.every((tr, nth) => tr === table.rows[nth]);
  if (!isSame) table.replaceChildren(...rows);
};

const follow = async () => showProducts(await send("GET", "/api/stock?limit=100"));

const followOn = async () => {
  if (!document.hidden) {
    await follow().catch(() => table.replaceChildren(remark(text("away"))));
  }
  setTimeout(followOn, 2000);
};

// ---- reservations: their ids are remembered here, what they are is asked for ----

const held = new Map();

const remembered = () => {
  try {
    const ids = JSON.parse(localStorage.getItem("reservations") ?? "[]");
    return Array.isArray(ids) ? ids : [];
  } catch {
    return [];
  }
};
const remember = (ids) => localStorage.setItem("reservations", JSON.stringify(ids.slice(0, MOST)));

const clock = (ms) => {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
};

const act = async (method, id, verb, value) => {
  message.textContent = "";
  try {
    await send(method, `/api/reservations/${encodeURIComponent(id)}${verb}`, value);
  } catch (error) {
    failed(error);
  }
  await Promise.allSettled([look(id), follow()]);
};

const showHold = (reservation) => {
  const { id, product, quantity, state, left } = reservation;
  const item = held.get(id)?.item ?? document.createElement("li");
  const hadFocus = item.contains(document.activeElement);
  item.className = state;
  const what = element("span", `${numbers.format(quantity)} × ${product}`, "what");
  const how = element("span", state === "held" ? "" : text(state), "how");
  item.replaceChildren(what, how);
  if (state === "held") {
    const button = (name, press, ...classes) => {
      const made = element("button", text(name), ...classes);
      made.type = "button";
      made.setAttribute("aria-label", `${text(name)}: ${what.textContent}`);
      made.addEventListener("click", async () => {
        for (const one of item.querySelectorAll("button")) one.disabled = true;
        await press();
      });
      return made;
    };
    item.append(button("pay", () => act("POST", id, "/confirm")),
      button("extend", () => act("POST", id, "/extend", { hold: 300 }), "quietly"),
      button("cancel", () => act("DELETE", id, ""), "quietly"));
  }
  if (hadFocus) (item.querySelector("button") ?? mine).focus();
  held.set(id, { item, how, ends: state === "held" ? performance.now() + left * 1000 : null });
  tick();
};

const look = async (id) => {
  try {
    showHold(await send("GET", `/api/reservations/${encodeURIComponent(id)}`));
  } catch (error) {
    if (error.status !== 404) return failed(error);
    held.get(id)?.item.remove();
    held.delete(id);
    remember(remembered().filter((other) => other !== id));
  }
  listMine();
};

const listMine = () => {
  const items = remembered().map((id) => held.get(id)?.item).filter(Boolean);
  items.forEach((item, nth) => {
    if (mine.children[nth] !== item) mine.insertBefore(item, mine.children[nth] ?? null);
  });
  while (mine.children.length > items.length) mine.lastElementChild.remove();
  shop.querySelector(".none").hidden = items.length > 0;
};

// The end is the server's to say: when the time is over here, it is asked.
const tick = () => {
  for (const [id, hold] of held) {
    if (hold.ends === null) continue;
    const left = hold.ends - performance.now();
    hold.how.textContent = text("held", { time: clock(left) });
    if (left < -100) {
      hold.ends = null;
      look(id).then(follow).catch(() => {});
    }
  }
};

const reserve = async (product, quantity) => {
  message.textContent = "";
  if (!buyer.form.reportValidity()) return;
  localStorage.setItem("buyer", buyer.value);
  try {
    // A name for the call: made again, it would reserve nothing more.
    const reservation = await send("POST", "/api/reservations",
      { product, quantity, user: buyer.value.trim(), request_id: crypto.randomUUID() });
    remember([reservation.id, ...remembered()]);
    showHold(reservation);
    listMine();
    message.textContent = text("done", { quantity: numbers.format(quantity), product });
  } catch (error) {
    failed(error);
  }
  await follow().catch(() => {});
};

buyer.value = localStorage.getItem("buyer") ?? "";
buyer.form.addEventListener("submit", (event) => event.preventDefault());
mine.tabIndex = -1;
for (const tr of table.rows) {
  if (tr.dataset.product !== undefined) tr.querySelector(".order").append(orderForm(tr.dataset.product));
}
for (const id of remembered()) look(id);
setInterval(tick, 250);
setTimeout(followOn, 2000);
