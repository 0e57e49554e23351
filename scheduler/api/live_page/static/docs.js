// Shows the OpenAPI document of the server: its routes, then the shapes of their bodies.

import { $, h, table } from "./dom.js";
import * as keys from "./key.js";

const LIMITS = [["minimum", "from"], ["exclusiveMinimum", "above"], ["maximum", "to"], ["exclusiveMaximum", "below"]];

async function load() {
  try {
    const reply = await fetch("openapi.json", { headers: keys.headers() });
    if (keys.isRefused(reply)) return askForKey(reply);
    if (!reply.ok) throw new Error(`the server replied ${reply.status}`);
    show(await reply.json());
  } catch (error) {
    $("status").dataset.state = "stale";
    $("status").textContent = `no connection (${error.message}); load the page again`;
  }
}

function show(api) {
  $("version").textContent = `version ${api.info.version}`;
  $("status").textContent = "";
  keys.accepted();
  const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, what]) => ({ title: `${method.toUpperCase()} ${path}`, what })));
  const shapes = Object.entries(api.components.schemas);
  $("routes").replaceChildren(
    h("section", { class: "card", "aria-labelledby": "h-routes" }, h("h2", { id: "h-routes" }, "Routes"),
      h("p", { class: "quiet" }, "The same as JSON, to generate clients from: ", h("code", null, "GET /openapi.json"), "."),
      table("Routes", [["Route"], ["What it does"], ["Body"]], operations.map(({ title, what }) => [
        h("code", null, title), what.description ?? what.summary, bodyOf(what)]), true)),
    h("section", { class: "card", "aria-labelledby": "h-bodies" }, h("h2", { id: "h-bodies" }, "Bodies"),
      shapes.filter(([, shape]) => shape.properties).map(([name, shape]) => described(name, shape))));
  $("routes").hidden = false;
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

const bodyOf = (what) => {
  const schema = what.requestBody?.content["application/json"]?.schema;
  return schema ? h("span", null, typeOf(schema)) : "";
};

function described(name, shape) {
  const needed = new Set(shape.required ?? []);
  const rows = Object.entries(shape.properties).map(([field, schema]) => [
    h("code", null, field), h("span", null, typeOf(schema)),
    needed.has(field) ? "required" : fallback(schema.default), schema.description ?? ""]);
  const about = (shape.description ?? "").split("\n\n").map((part) => h("p", { class: "quiet" }, part));
  return h("div", null, h("h3", { id: `shape-${name}` }, name), about,
    table(name, [["Field"], ["Value"], ["Default"], ["What it does"]].slice(0, rows.some((row) => row[3]) ? 4 : 3),
      rows.map((row) => row.slice(0, rows.some((each) => each[3]) ? 4 : 3)), true));
}

const fallback = (value) => (value === undefined || value === null ? "" : h("code", null, JSON.stringify(value)));

/** Words and links for a schema of a field, as a list of parts. */
function typeOf(schema) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return [h("a", { href: `#shape-${name}` }, name)];
  }
  const several = (schema.anyOf ?? schema.oneOf)?.filter((each) => each.type !== "null");
  if (several) return several.flatMap((each, at) => [...(at ? [" or "] : []), ...typeOf(each)]);
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.enum) return [schema.enum.map((each) => JSON.stringify(each)).join(", ")];
  if (schema.type === "array") return ["list of ", ...typeOf(schema.items ?? {})];
  const limits = LIMITS.filter(([name]) => name in schema).map(([name, word]) => ` ${word} ${schema[name]}`).join("");
  return [`${schema.type ?? "any"}${limits}`];
}

function askForKey(reply) {
  $("routes").hidden = true;
  $("version").textContent = "";
  keys.askFor(reply, "This key may not read the routes.");
}

keys.setUp(load, () => $("routes").replaceChildren());
load();
