"use strict";

const place = document.getElementById("operations");
const words = place.dataset;

const element = (name, text, className) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
};

const resolve = (document, schema) =>
  schema?.$ref ? schema.$ref.split("/").slice(1).reduce((part, name) => part[name], document) : schema;

// A body to start from: the examples of the fields that have one.
const exampleBody = (document, operation) => {
  const schema = resolve(document, operation.requestBody?.content["application/json"]?.schema);
  if (!schema) return undefined;
  const fields = Object.entries(schema.properties ?? {});
  return Object.fromEntries(fields.filter(([, field]) => "example" in field).map(([name, field]) => [name, field.example]));
};

// JSON on several lines. It is not parsed, because numbers of JavaScript do not hold every id.
const pretty = (json) => {
  let indent = "\n";
  return json.replace(/"(?:[^"\\]|\\.)*"|\{\}|\[\]|[{}[\],:]/g, (token) => {
    if (token === "{" || token === "[") return token + (indent += "  ");
    if (token === "}" || token === "]") return (indent = indent.slice(0, -2)) + token;
    if (token === ",") return token + indent;
    return token === ":" ? ": " : token;
  });
};

const field = (name, about, input) => {
  const label = element("label");
  const caption = element("span", about);
  if (name) caption.prepend(element("code", name));
  label.append(caption, input);
  return label;
};

const describe = (document, path, method, operation) => {
  const details = element("details");
  const summary = element("summary");
  summary.append(element("span", method.toUpperCase(), `method ${method}`), element("span", path, "path"),
    element("span", operation.summary ?? operation.description, "about"));
  const form = element("form");
  const inputs = (operation.parameters ?? []).map((parameter) => {
    const input = element("input");
    input.name = parameter.name;
    input.value = parameter.example ?? "";
    input.required = parameter.required ?? false;
    input.autocomplete = "off";
    form.append(field(parameter.name, parameter.description ?? "", input));
    return { parameter, input };
  });
  const example = exampleBody(document, operation);
  const text = element("textarea");
  if (example !== undefined) {
    text.value = JSON.stringify(example, null, 2);
    text.spellcheck = false;
    form.append(field("", words.body, text));
  }
  const button = element("button", words.send);
  button.type = "submit";
  form.append(button);
  const output = element("pre");
  output.hidden = true;
  output.setAttribute("role", "status");
  const answers = Object.entries(operation.responses).map(([status, { description }]) => `${status}  ${description}`);
  details.append(summary, form, output, element("p", words.answers, "note"), element("pre", answers.join("\n")));

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (method === "delete" && !confirm(words.sure)) return;
    let target = path;
    const query = new URLSearchParams();
    for (const { parameter, input } of inputs) {
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value !== "") query.set(parameter.name, input.value);
    }
    if ([...query].length > 0) target += `?${query}`;
    const options = { method: method.toUpperCase() };
    if (example !== undefined) {
      options.headers = { "content-type": "application/json" };
      options.body = text.value;
    }
    output.hidden = false;
    output.textContent = words.loading;
    try {
      const answer = await fetch(target, options);
      const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
      const body = await answer.text();
      const isJson = answer.headers.get("content-type")?.includes("json");
      output.textContent =
        `${options.method} ${target}\n\n${answer.status}\n${headers}\n\n${isJson ? pretty(body) : body}`;
    } catch (error) {
      output.textContent = `${words.failed} ${error.message}`;
    }
  });
  return details;
};

const show = async () => {
  place.textContent = words.loading;
  const document = await (await fetch("/openapi.json")).json();
  place.replaceChildren();
  for (const tag of document.tags) {
    place.append(element("h2", tag.name), element("p", tag.description, "note"));
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags?.includes(tag.name)) place.append(describe(document, path, method, operation));
      }
    }
  }
};

show().catch((error) => {
  place.textContent = `${words.failed} ${error.message}`;
});
