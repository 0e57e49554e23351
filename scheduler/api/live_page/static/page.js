// Polls the snapshot and renders each view whose figures have changed.

import * as ask from "./ask.js";
import { $, clock, h } from "./dom.js";
import * as keys from "./key.js";
import * as views from "./views.js";

const RETRY_SECONDS = 5;
const TIMEOUT_SECONDS = 15;
const states = new Map();
let shown = null;
let timer = null;
let isSliderSet = false;
const drawn = new Map();

const state = () => states.get(shown);
const setSlider = ask.setUp(state);

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  let wait = RETRY_SECONDS;
  try {
    const reply = await fetch(`state${location.search}`, { headers: keys.headers(), signal: AbortSignal.timeout(1000 * TIMEOUT_SECONDS) });
    if (keys.isRefused(reply)) return askForKey(reply);
    if (!reply.ok) throw new Error(`the server replied ${reply.status}`);
    const news = await reply.json();
    wait = news.poll_seconds;
    take(news);
  } catch (error) {
    const since = state() ? ` Figures are of ${clock(state().time)}.` : "";
    status("stale", `no connection (${error.name === "TimeoutError" ? "no reply in time" : error.message}); trying again.${since}`);
  }
  timer = setTimeout(poll, 1000 * wait);
}

function take(news) {
  states.set(news.gateway, news);
  for (const [name, each] of states) if (news.time - each.time > 120) states.delete(name);
  if (!states.has(shown)) shown = news.gateway;
  if (!isSliderSet) setSlider(news.price.per_token);
  isSliderSet = true;
  keys.accepted();
  $("views").hidden = false;
  render();
}

function render() {
  const now = state();
  const others = now.models.filter((name) => name !== now.model);
  const links = others.flatMap((name) => [", ", h("a", { href: `?model=${encodeURIComponent(name)}` }, name)]);
  update("server", [now.model, now.policy, others], () =>
    $("server").replaceChildren(`model ${now.model}, policy ${now.policy}`, ...(links.length ? ["; others", ...links] : [])));
  const at = `, ${clock(now.time)}`;
  if (now.admission.is_draining) status("draining", `drains: no new requests${at}`);
  else if (!now.fleet.is_up) status("stale", `no engine can serve${at}`);
  else status("live", "live");
  $("scope").textContent = views.scope(now);
  choices();
  const classes = now.curves.classes.map((each) => each.class);
  update("classes", classes, () => $("classes").replaceChildren(...classes.map((name) => h("option", { value: name }))));
  for (const place of document.querySelectorAll("[data-view]")) {
    const name = place.dataset.view;
    const width = Math.max(260, place.clientWidth);
    update(name, [needs[name](now), width], () => fill(place, views[name](now, width)));
  }
}

// What each view is made of: it is drawn again only when this changes.
const needs = {
  tiles: (now) => [now.slices.at(-1), Math.round(now.time), now.admission, now.fleet],
  curves: (now) => now.curves,
  price: (now) => [now.slices, now.price, now.tenants.map((each) => each.factor), Math.round(now.time / 5)],
  tokens: (now) => now.tokens,
  accuracy: (now) => now.curves.classes.map((each) => each.served),
  fleet: (now) => now.fleet,
  queue: (now) => [now.admission, now.tenants, now.requests],
  decisions: (now) => now.decisions,
};

function update(name, made, draw) {
  const text = JSON.stringify(made);
  if (drawn.get(name) === text) return;
  drawn.set(name, text);
  draw();
}

/** Keeps which tables are open, how far they are scrolled, and where the keyboard is. */
function fill(place, parts) {
  const open = new Set([...place.querySelectorAll("details[open]")].map((each) => each.dataset.id));
  const scrolled = new Map([...place.querySelectorAll(".scroll")].map((each) => [each.ariaLabel, each.scrollLeft]));
  const focus = place.contains(document.activeElement) ? document.activeElement : null;
  place.replaceChildren(...parts);
  for (const each of place.querySelectorAll("details")) each.open = open.has(each.dataset.id);
  for (const each of place.querySelectorAll(".scroll")) each.scrollLeft = scrolled.get(each.ariaLabel) ?? 0;
  if (focus?.tagName === "SUMMARY") place.querySelector("summary")?.focus({ preventScroll: true });
  else if (focus) [...place.querySelectorAll(".scroll")].find((each) => each.ariaLabel === focus.ariaLabel)?.focus({ preventScroll: true });
}

/** A load balancer may send each poll to another gateway: each is kept, and one is shown. */
function choices() {
  $("gateways").hidden = states.size < 2;
  update("gateways", [...states.keys(), shown], () =>
    $("gateway").replaceChildren(...[...states.keys()].sort().map((name) => h("option", { selected: name === shown || null }, name))));
}

function status(kind, text) {
  if ($("status").textContent !== text) $("status").textContent = text;
  $("status").dataset.state = kind;
}

function askForKey(reply) {
  $("views").hidden = true;
  $("server").textContent = "";
  status("stale", "no key");
  keys.askFor(reply, "This key may not see the figures.");
}

keys.setUp(poll, () => states.clear());
$("gateway").addEventListener("change", (event) => {
  shown = event.target.value;
  render();
});
document.addEventListener("visibilitychange", () => document.hidden || poll());
window.addEventListener("resize", () => state() && render());
poll();
