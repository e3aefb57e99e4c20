"use strict";

const chat = document.getElementById("chat");
const [join, say] = [chat.querySelector(".join"), chat.querySelector(".say")];
const [list, state, refused] = [".messages", ".state", ".refused"].map((css) => chat.querySelector(css));
const earlier = chat.querySelector(".earlier");
const [people, typing] = [".people", ".typing"].map((css) => chat.querySelector(css));
const text = (name, parameters) => Object.entries(parameters ?? {}).reduce(
  (said, [key, value]) => said.replace(`{${key}}`, value), chat.dataset[name]);

// How long until the next try after a lost connection, in ms.
const [FIRST, LONGEST] = [500, 10000];
// What is shown at most: who wants more asks for the earlier ones.
const MOST = 500;
// How often the others are told that one is typing, and for how long that is shown, in ms.
const [TYPES, TYPED] = [2500, 5000];
// A session ends when it is not used: talking is using it. How often it is said, in ms.
const ALIVE = 300000;

let room = null;
let socket = null;
let pause = FIRST;
let retry = 0;

// What people typed comes in as text, never as markup.
const element = (name, content, ...classes) => {
  const made = document.createElement(name);
  made.textContent = content;
  made.classList.add(...classes);
  return made;
};

// A name; that of an account has a mark that nobody can type.
const named = (name, signedIn) => {
  const made = element("span", name);
  if (signedIn) {
    const mark = element("span", "✓", "account");
    mark.title = text("account");
    mark.setAttribute("aria-label", text("account"));
    mark.setAttribute("role", "img");
    made.append(mark);
  }
  return made;
};

// ---- messages, in the order of their ids, each once ----

const parts = (id) => id.split("-").map(Number);
const isLater = (one, other) => {
  const [[ms, seq], [otherMs, otherSeq]] = [parts(one), parts(other)];
  return ms > otherMs || (ms === otherMs && seq > otherSeq);
};

const line = ({ id, at, name, signed_in: signedIn, text: said }) => {
  const item = element("li", "");
  item.dataset.id = id;
  const time = element("time", new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = new Date(at * 1000).toISOString();
  const head = element("p", "", "by");
  const by = element("strong", "");
  by.append(named(name, signedIn));
  head.append(by, time);
  item.append(head, element("p", said, "said"));
  return item;
};

const isAtEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 40;
const toEnd = () => { list.scrollTop = list.scrollHeight; };

const add = (message) => {
  let before = list.lastElementChild;
  while (before?.dataset.id && isLater(before.dataset.id, message.id)) before = before.previousElementSibling;
  if (before?.dataset.id === message.id) return;
  const made = line(message);
  if (before) before.after(made);
  else list.prepend(made);
};

const show = (messages) => {
  const follow = isAtEnd();
  list.querySelector(".empty")?.remove();
  messages.forEach(add);
  while (follow && list.childElementCount > MOST) list.firstElementChild.remove();
  if (list.childElementCount === 0) list.append(element("li", text("empty"), "empty", "note"));
  if (follow) toEnd();
};

// ---- who is there, and who is typing ----

const showPeople = ({ people: all, count }) => {
  const [before, after] = chat.dataset.people.split("{names}");
  people.replaceChildren(before);
  all.forEach(({ name, signed_in: signedIn }, nth) => people.append(nth > 0 ? ", " : "", named(name, signedIn)));
  people.append(count > all.length ? ` +${count - all.length}` : "", after);
};

let typed = 0;
const showTyping = (name) => {
  typing.textContent = text("typing", { name });
  clearTimeout(typed);
  typed = setTimeout(() => { typing.textContent = ""; }, TYPED);
};

// ---- the connection ----

const hear = ({ data }) => {
  const word = JSON.parse(data);
  switch (word.type) {
    case "history": {
      // More was missed than is told: what is here already is to be asked for again.
      const last = list.lastElementChild?.dataset.id;
      if (last && word.messages.length > 0 && isLater(word.messages[0].id, last)) list.replaceChildren();
      if (list.childElementCount === 0) earlier.hidden = word.messages.length < 50;
      show(word.messages);
      break;
    }
    case "message":
      typing.textContent = "";
      show([word]);
      break;
    case "gap":
      state.textContent = text("gap");
      break;
    case "here":
      showPeople(word);
      break;
    case "typing":
      showTyping(word.name);
      break;
    case "error":
      refused.textContent = `${text("failed")} ${word.error}`;
      break;
  }
};

const connect = () => {
  const { name } = join.elements;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const here = new WebSocket(`${scheme}://${location.host}/api/chat/${room}/ws?name=${encodeURIComponent(name.value)}`);
  socket = here;
  here.addEventListener("open", () => {
    pause = FIRST;
    state.textContent = text("here", { room });
    chat.querySelector(".room").hidden = false;
    say.elements.text.focus();
  });
  here.addEventListener("message", hear);
  here.addEventListener("close", ({ reason }) => {
    if (socket !== here) return;
    if (reason === "signed out") {
      leave();
      showJoined(false);
      state.textContent = text("out");
      return whoAmI();
    }
    state.textContent = text("lost");
    retry = setTimeout(connect, pause * (0.5 + Math.random() / 2));
    pause = Math.min(pause * 2, LONGEST);
  });
};

const leave = () => {
  const here = socket;
  clearTimeout(retry);
  [room, socket] = [null, null];
  here?.close();
  state.textContent = "";
};

// Who is signed in talks by that name.
let account = null;
const whoAmI = async () => {
  const answer = await fetch("/api/session").catch(() => null);
  if (!answer?.ok) return;
  const { user, needs_login: needsLogin } = await answer.json();
  account = user;
  const { name } = join.elements;
  if (account) name.value = account;
  name.readOnly = account !== null;
  join.querySelector("button").disabled = needsLogin && !account;
  if (!needsLogin || account) return;
  const link = element("a", text("login"));
  link.href = "/login?next=/chat";
  state.append(" ", link);
};
whoAmI();

const showJoined = (joined) => {
  for (const field of join.querySelectorAll("input")) field.readOnly = joined;
  join.elements.name.readOnly ||= account !== null;
  join.querySelector("button").textContent = text(joined ? "leave" : "join");
  if (!joined) chat.querySelector(".room").hidden = true;
};

join.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (room) {
    leave();
    return showJoined(false);
  }
  room = join.elements.room.value;
  list.replaceChildren();
  refused.textContent = "";
  state.textContent = text("connecting");
  showJoined(true);
  // What is wrong with the room is said here: a refused WebSocket says nothing.
  const answer = await fetch(`/api/chat/${encodeURIComponent(room)}/messages?limit=1`).catch(() => null);
  if (answer && answer.status === 400) {
    const { error } = await answer.json();
    leave();
    showJoined(false);
    state.textContent = `${text("failed")} ${error}`;
    return;
  }
  connect();
});

let told = 0;
let alive = Date.now();
say.elements.text.addEventListener("input", () => {
  if (socket?.readyState !== WebSocket.OPEN || Date.now() - told < TYPES) return;
  told = Date.now();
  socket.send(JSON.stringify({ typing: true }));
});

say.addEventListener("submit", (event) => {
  event.preventDefault();
  const field = say.elements.text;
  if (socket?.readyState !== WebSocket.OPEN) return;
  refused.textContent = "";
  socket.send(JSON.stringify({ text: field.value }));
  if (account && Date.now() - alive > ALIVE) {
    alive = Date.now();
    fetch("/api/session").catch(() => null);
  }
  field.value = "";
});

earlier.addEventListener("click", async () => {
  const first = list.querySelector("[data-id]");
  const answer = await fetch(`/api/chat/${room}/messages?limit=50&before=${first.dataset.id}`);
  const messages = await answer.json();
  if (!answer.ok) {
    refused.textContent = `${text("failed")} ${messages.error}`;
    return;
  }
  const height = list.scrollHeight;
  messages.forEach(add);
  // What was being read stays where it was.
  list.scrollTop += list.scrollHeight - height;
  earlier.hidden = messages.length < 50;
});
