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

const describe = (document, path, method, operation) => {
  const details = element("details");
  const summary = element("summary");
  summary.append(element("span", method.toUpperCase(), "method"), element("span", path, "path"),
    element("span", operation.summary ?? operation.description, "about"));
  const form = element("form");
  const inputs = (operation.parameters ?? []).map((parameter) => {
    const label = element("label", `${parameter.name} (${parameter.in}) ${parameter.description ?? ""}`);
    const input = element("input");
    input.name = parameter.name;
    input.required = parameter.required ?? false;
    label.append(input);
    form.append(label);
    return { parameter, input };
  });
  const example = exampleBody(document, operation);
  const text = element("textarea");
  if (example !== undefined) {
    text.value = JSON.stringify(example, null, 2);
    text.spellcheck = false;
    const label = element("label", words.body);
    label.append(text);
    form.append(label);
  }
  const button = element("button", words.send);
  button.type = "submit";
  form.append(button);
  const output = element("pre");
  output.hidden = true;
  const answers = Object.entries(operation.responses).map(([status, { description }]) => `${status}  ${description}`);
  details.append(summary, element("p", words.answers, "note"), element("pre", answers.join("\n")), form, output);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
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
    try {
      const answer = await fetch(target, options);
      const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
      const body = await answer.text();
      output.textContent = `${options.method} ${target}\n\n${answer.status}\n${headers}\n\n${pretty(body)}`;
    } catch (error) {
      output.textContent = `${words.failed} ${error.message}`;
    }
  });
  return details;
};

const pretty = (body) => {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
};

const show = async () => {
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
