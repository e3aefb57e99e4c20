"use strict";

// Whoever is signed in sends the session's token with everything that changes something (CSRF). After a refusal it is
// asked for again: it is another one after a login, perhaps in another tab.
{
  const send = window.fetch.bind(window);
  let token = null;
  const ask = async () => {
    const answer = await send("/api/session").catch(() => null);
    return answer?.ok ? (await answer.json()).csrf_token : null;
  };
  window.fetch = async (resource, options = {}) => {
    const changes = !["GET", "HEAD"].includes((options.method ?? "GET").toUpperCase());
    if (!changes) return send(resource, options);
    const attempt = () => {
      const headers = new Headers(options.headers);
      if (token) headers.set("x-csrf-token", token);
      return send(resource, { ...options, headers });
    };
    token ??= await ask();
    const answer = await attempt();
    if (answer.status !== 403) return answer;
    token = await ask();
    if (!token) return answer;
    return attempt();
  };
}

// The switch between light and dark: the choice is kept in a cookie, so that the server renders it.
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme === "dark" ||
    (root.dataset.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `theme=${root.dataset.theme}; Path=/; Max-Age=31536000; SameSite=Lax`;
});
