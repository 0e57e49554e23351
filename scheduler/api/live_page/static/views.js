// One function a view: from a snapshot of the server to elements.

import { bar, interval, legend, logTicks, plot, ticks } from "./charts.js";
import { clock, duration, empty, figures, h, number, percent, plural, points, priceText, short, table } from "./dom.js";

const KINDS = ["reasoning", "answer", "forced", "probe", "discarded"];
const LINES = {
  extensions: ["circle", 'extensions ("Wait")', (x) => plural(x, "extension")],
  votes: ["square", "votes", (x) => plural(x, "vote")],
  cap: ["triangle", "cap on thinking", (x) => `cap of ${number(x)} tokens`],
};
const sum = (values) => values.reduce((total, value) => total + value, 0);
const recent = (state, seconds) => state.slices.filter((row) => row[0] >= state.time - seconds);
// What plans do with a chain, in the colours of the lines that they are nearest to.
const PLANS = {
  whole: ["votes", "to its own end"], exit: ["cap", "until more thinking does not pay"],
  forced: ["extensions", "extensions forced in one go"], extend: ["extensions", "extended while that pays"],
};
const kindOf = (plan) => PLANS[plan]?.[0] ?? "paid";
const nameOf = (plan) => PLANS[plan]?.[1] ?? plan;

export function tiles(state) {
  const rows = recent(state, 60);
  const seconds = Math.max(1, Math.min(60, state.time - state.since));
  const queries = sum(rows.map((row) => row[1]));
  const tokens = sum(rows.map((row) => row[1] * row[2]));
  const served = pooled(state);
  const replicas = state.fleet.replicas.filter((each) => !each.is_gone);
  return [
    tile("Queries", number((60 * queries) / seconds), "a minute, over the last minute"),
    tile("Tokens", number(tokens / seconds), "a second, over the last minute"),
    tile("Tokens a query", queries ? number(tokens / queries) : "–", "over the last minute"),
    tile("Price", String(points(state.price.per_token)), "points of accuracy per 100 tokens"),
    tile("Accuracy served", served ? percent(served.accuracy) : "–",
      served ? `${percent(served.low, 0)} to ${percent(served.high, 0)}` : "no labelled answers yet"),
    tile("Queries now", `${number(state.admission.running)}`, `running, ${number(state.admission.waiting)} waiting`),
    tile("Engines", number(replicas.length), state.fleet.is_up ? "serving" : "none can serve"),
  ];
}

const tile = (title, value, note) => h("div", null, h("dt", null, title), h("dd", null, value, h("small", null, note)));

/** Over all classes and plans, by their queries. The interval is no narrower than it may be. */
function pooled(state) {
  const all = state.curves.classes.flatMap((each) => Object.values(each.served));
  const queries = sum(all.map((each) => each.queries));
  const mean = (field) => sum(all.map((each) => each.queries * each[field])) / queries;
  return queries ? { accuracy: mean("accuracy"), low: mean("low"), high: mean("high") } : null;
}

export function curves(state, width) {
  const { classes, count } = state.curves;
  if (!classes.length) return [empty("Nothing is learned yet: curves appear with the first answered queries.")];
  const entries = Object.entries(LINES).map(([kind, [mark, text]]) => [kind, mark, text]);
  const parts = [
    legend([...entries, ["", "chosen", "chosen plan"]]),
    h("div", { class: "panels" }, classes.map((each) => panel(each, width))),
  ];
  if (count > classes.length) parts.push(h("p", { class: "quiet" }, `${classes.length} of ${count} classes: those with the most queries.`));
  const rows = classes.flatMap((each) => Object.entries(each.lines).flatMap(([kind, line]) =>
    line.map(([x, accuracy, low, high, tokens]) =>
      [each.class, LINES[kind][2](x), percent(accuracy), `${percent(low)} to ${percent(high)}`, number(tokens)])));
  parts.push(figures("curves", "Learned curves", [["Class"], ["Plan"], ["Accuracy", "number"], ["95 % interval", "number"], ["Tokens", "number"]], rows));
  return parts;
}

function panel(each, width) {
  const columns = Math.max(1, Math.floor((width + 20) / 310));
  const wide = Math.floor((width - 20 * (columns - 1)) / columns);
  const all = Object.values(each.lines).flat();
  const about = each.labelled
    ? `${plural(each.queries, "query", "queries")}, ${number(each.labelled)} with a label`
    : `${plural(each.queries, "query", "queries")}, no labelled answers yet: accuracy is guessed from agreement`;
  const [best, next] = each.chosen;
  const head = [h("h3", null, each.class), h("p", { class: "quiet" }, about)];
  if (!all.length || !best) return h("div", { class: "panel" }, head, empty("No curve yet."));
  const at = [...all.map((row) => row[4]), best.tokens].filter((value) => value > 0);
  const [min, max] = [Math.min(...at) / 1.15, Math.max(...at) * 1.15];
  const lines = Object.entries(each.lines).map(([kind, line]) => ({
    kind,
    mark: LINES[kind][0],
    cells: line.map(([x, accuracy, low, high, tokens]) =>
      [tokens, accuracy, `${LINES[kind][2](x)}: ${percent(accuracy)} (${percent(low)} to ${percent(high)}) for ${number(tokens)} tokens`]),
    band: line.map(([, , low, high, tokens]) => [tokens, low, high]),
  }));
  const text = `${planText(best)}: ${percent(best.accuracy)} for ${number(best.tokens)} tokens`;
  const svg = plot({
    width: wide, height: 210, lines, label: `Accuracy against tokens of class ${each.class}. Chosen: ${text}.`,
    x: { min, max, isLog: true, label: "tokens per query", format: short, ticks: logTicks(min, max) },
    y: { min: 0, max: 1, ticks: [0, 0.25, 0.5, 0.75, 1], format: (value) => percent(value, 0) },
    chosen: { kind: kindOf(best.kind), x: best.tokens, y: best.accuracy, title: `chosen: ${text}` },
  });
  return h("div", { class: "panel" }, head, svg,
    h("p", null, h("strong", null, "Chosen: "), text),
    next ? h("p", { class: "quiet" }, `Next: ${planText(next)}, ${percent(next.accuracy)} for ${number(next.tokens)} tokens`) : null);
}

const planText = (plan) => (plan.chains > 1.05 ? `${number(plan.chains, 1)} ${plan.name}` : plan.name);

export function price(state, width) {
  const rows = state.slices;
  if (!rows.length) return [h("p", null, mover(state)), empty("No query was answered yet.")];
  const span = { min: state.time - 60 * Math.max(2, Math.ceil((state.time - rows[0][0]) / 60)), max: state.time };
  const minutes = (span.max - span.min) / 60;
  const x = {
    ...span, label: "minutes ago", format: (value) => number((state.time - value) / 60),
    ticks: ticks(0, minutes, width < 500 ? 4 : 8, 1).map((ago) => state.time - 60 * ago),
  };
  const paid = rows.map((row) => [row[0], points(row[5]), points(row[4]), points(row[6])]);
  const parts = [h("p", null, mover(state))];
  parts.push(h("h3", null, "Price, in points of accuracy per 100 tokens"),
    legend([["paid", null, "mean that queries paid, band: lowest to highest"], ["measured", null, "common price, without load and tenants' shares"]]),
    chart(width, "Price over time", x, [{ kind: "paid", cells: broken(paid.map((row) => [row[0], row[1]]), state), band: paid.map((row) => [row[0], row[2], row[3]]) },
      { kind: "measured", cells: broken(rows.map((row) => [row[0], points(row[3])]), state) }],
      null, paid.map((row) => row[3]), String));
  const goal = state.price.tokens_per_query;
  const tokens = rows.map((row) => [row[0], row[2]]);
  parts.push(h("h3", null, "Tokens a query"),
    chart(width, "Tokens a query over time", x, [{ kind: "measured", cells: broken(tokens, state) }],
      goal ? { y: goal, text: `goal ${number(goal)}` } : null, tokens.map((row) => row[1]), short));
  if (state.price.accuracy !== null) {
    const cells = (at) => broken(rows.map((row) => [row[0], row[at]]), state);
    parts.push(h("h3", null, "Accuracy, as predicted and as checked"),
      legend([["foretold", null, "predicted"], ["measured", null, "checked by a reference answer"]]),
      chart(width, "Accuracy over time", x, [{ kind: "foretold", cells: cells(8) }, { kind: "measured", cells: cells(9) }],
        { y: state.price.accuracy, text: `goal ${percent(state.price.accuracy, 0)}` }, [1], (value) => percent(value, 0)));
  }
  const load = rows.map((row) => [row[0], row[7]]);
  parts.push(h("h3", null, "Load: other queries running and waiting, by chain slot of the engines"),
    chart(width, "Load over time", x, [{ kind: "load", cells: broken(load, state) }], null, load.map((row) => row[1]), (value) => number(value, 2)));
  parts.push(figures("price", "Price over time",
    [["Time"], ["Queries", "number"], ["Price paid", "number"], ["Lowest", "number"], ["Highest", "number"], ["Tokens a query", "number"], ["Load", "number"]],
    [...rows].reverse().slice(0, 60).map((row) => [clock(row[0]), number(row[1]), points(row[5]), points(row[4]), points(row[6]), number(row[2]), number(row[7], 2)])));
  return parts;
}

function chart(width, label, x, lines, goal, values, format) {
  const max = 1.15 * Math.max(...values, goal?.y ?? 0, 1e-9);
  return plot({ width, height: 150, label, x, lines, goal, y: { min: 0, max, ticks: ticks(0, max, 4), format } });
}

/** With a gap wherever no query ended for half a minute. */
function broken(cells, state) {
  const gap = Math.max(30, 3 * state.slice_seconds);
  return cells.flatMap((cell, at) => (at && cell[0] - cells[at - 1][0] > gap ? [[cell[0], null], cell] : [cell]));
}

/** What the price is steered by, and which way it goes now. */
function mover(state) {
  const { per_token, tokens_per_query, accuracy, load_weight, is_of_policy } = state.price;
  const rows = recent(state, 60);
  const queries = sum(rows.map((row) => row[1]));
  const load = load_weight ? ` Load adds to it (weight ${load_weight}).` : "";
  const shares = state.tenants.some((each) => each.factor > 1.01) ? " Tenants above their share pay more." : "";
  if (is_of_policy) return `The policy fixes the price at ${priceText(per_token)}.`;
  if (tokens_per_query !== null) {
    const mean = queries ? sum(rows.map((row) => row[1] * row[2])) / queries : null;
    const way = mean === null ? "No query in the last minute: it stays."
      : `The last minute took ${number(mean)}: ${Math.abs(mean / tokens_per_query - 1) < 0.02 ? "the price holds" : mean > tokens_per_query ? "more, so the price rises" : "less, so the price falls"}.`;
    return `Steered to ${number(tokens_per_query)} tokens a query. ${way}${load}${shares}`;
  }
  if (accuracy !== null) {
    const known = rows.filter((row) => row[9] !== null || row[8] !== null);
    const weight = sum(known.map((row) => row[1]));
    const mean = weight ? sum(known.map((row) => row[1] * (row[9] ?? row[8]))) / weight : null;
    const way = mean === null ? "Nothing is known of the last minute: it stays."
      : `The last minute was at ${percent(mean)}: ${mean > accuracy ? "more, so the price rises" : "less, so the price falls"}.`;
    return `Steered to an accuracy of ${percent(accuracy)}. ${way}${load}${shares}`;
  }
  return `Fixed at ${priceText(per_token)}: no goal steers it.${load}${shares}`;
}

export function tokens(state, width) {
  if (!state.tokens.length) return [empty("No tokens yet: no query was answered.")];
  const seen = KINDS.filter((kind) => state.tokens.some((cell) => cell.kinds[kind]));
  const wide = Math.min(420, width - 20);
  return [
    legend(seen.map((kind) => [kind, "block", kind])),
    h("div", { class: "columns" },
      split("By query class", "Class", grouped(state.tokens, "class"), seen, wide),
      split("By plan", "Plan", grouped(state.tokens, "plan").map((group) => ({ ...group, name: nameOf(group.name) })), seen, wide)),
  ];
}

function grouped(cells, field) {
  const groups = new Map();
  for (const cell of cells) {
    const group = groups.get(cell[field]) ?? { name: cell[field], queries: 0, kinds: {}, total: 0 };
    group.queries += cell.queries;
    for (const [kind, count] of Object.entries(cell.kinds)) {
      group.kinds[kind] = (group.kinds[kind] ?? 0) + count;
      group.total += count;
    }
    groups.set(cell[field], group);
  }
  return [...groups.values()].sort((a, b) => b.total - a.total);
}

function split(caption, title, groups, seen, width) {
  const all = sum(groups.map((group) => group.total));
  const rows = groups.map((group) => {
    const label = `${group.name}: ${seen.map((kind) => `${kind} ${number(group.kinds[kind] ?? 0)}`).join(", ")}`;
    return [group.name, number(group.total), percent(group.total / (all || 1), 0), number(group.total / group.queries),
      bar(seen.map((kind) => [kind, group.kinds[kind] ?? 0]), groups[0].total, Math.max(90, width - 240), label)];
  });
  return table(caption, [[title], ["Tokens", "number"], ["Share", "number"], ["A query", "number"], ["Kinds", "drawn"]], rows);
}

export function accuracy(state, width) {
  const rows = state.curves.classes.flatMap((each) =>
    Object.entries(each.served).map(([plan, served]) => ({ name: each.class, plan, ...served })));
  if (!rows.length) {
    return [empty("No labelled answers yet; exploration runs do not count. Send a label to POST /v1/feedback, or thinkbudget.reference_answer with a request.")];
  }
  const wide = Math.max(150, Math.min(420, width - 480));
  return [table("Accuracy served", [["Class"], ["Plan"], ["Accuracy", "number"], ["0 to 100 %", "drawn"], ["95 % interval", "number"], ["Checked", "number"]],
    rows.map((row) => [row.name, nameOf(row.plan), percent(row.accuracy),
      interval({ value: row.accuracy, low: row.low, high: row.high, kind: kindOf(row.plan), width: wide, label: `${percent(row.low)} to ${percent(row.high)}` }),
      `${percent(row.low)} to ${percent(row.high)}`, `${number(row.checked)} of ${number(row.queries)}`]), true)];
}

const EVENTS = [["deaths", "engine deaths"], ["migrations", "chains moved to another engine"],
  ["replayed_tokens", "tokens read again after moves"], ["poison", "requests refused because they kill engines"]];

export function fleet(state) {
  const { replicas, events, is_up } = state.fleet;
  const most = Math.max(1, ...replicas.map((each) => each.owed_tokens));
  const parts = [];
  if (!is_up) parts.push(h("p", { class: "bad" }, "No engine can serve now."));
  parts.push(replicas.length
    ? table("Engines", [["Engine"], ["State"], ["Running chains", "number"], ["Waiting chains", "number"], ["Slots in use", "number"], ["Owed tokens", "number"], ["Owed", "drawn"]],
      replicas.map((each) => [each.name,
        each.is_gone ? h("span", { class: "bad" }, "gone") : h("span", { class: "good" }, "serving"),
        number(each.running), number(each.waiting), percent(each.utilisation, 0), number(each.owed_tokens),
        bar([["reasoning", each.owed_tokens]], most, 120, `${number(each.owed_tokens)} tokens owed`)]))
    : empty("No engine has told what it does."));
  parts.push(h("p", { class: "quiet" }, "Owed tokens are those that running and waiting chains are expected to generate yet."));
  parts.push(h("div", { class: "columns" }, table("Since the gateway started", [["Event"], ["Count", "number"]],
    EVENTS.map(([name, text]) => [text, number(events[name] ?? 0)]))));
  return parts;
}

const CODES = {
  queue_full: "queue full", rate_limit_exceeded: "rate limit of the key", insufficient_quota: "daily quota of the key",
  draining: "server drains", disconnected: "client left", engine_unavailable: "no engine", deadline_exceeded: "deadline passed",
};

export function queue(state) {
  const { running, waiting, max_running, max_queue } = state.admission;
  const of = (most) => (most === null ? "no limit" : `of ${number(most)}`);
  const ended = Object.entries(state.requests);
  const refused = ended.filter(([code]) => code !== "ok").sort((a, b) => b[1] - a[1]);
  const total = sum(state.tenants.map((each) => each.tokens)) || 1;
  return [h("div", { class: "columns" },
    table("Queue", [["Queries"], ["Now", "number"], ["Most", "number"]], [
      ["running", number(running), of(max_running)], ["waiting", number(waiting), of(max_queue)]]),
    refused.length
      ? table("Requests that failed or were refused", [["Why"], ["Requests", "number"], ["Share", "number"]],
        refused.map(([code, count]) => [CODES[code] ?? code, number(count), percent(count / sum(ended.map((each) => each[1])))]))
      : empty("No request failed or was refused."),
    state.tenants.length
      ? table("Tenants", [["Tenant"], ["Queries", "number"], ["Tokens", "number"], ["Share", "number"], ["Price factor", "number"]],
        state.tenants.map((each) => [each.name || "(no key, no user)", number(each.queries), number(each.tokens), percent(each.tokens / total, 0), number(each.factor, 2)]))
      : empty("No tenant has asked anything yet."))];
}

export function decisions(state) {
  const rows = [...state.decisions].reverse();
  if (!rows.length) return [empty("No query was answered yet.")];
  const verdict = (right) => (right === null ? "–" : right ? h("span", { class: "good" }, "right") : h("span", { class: "bad" }, "wrong"));
  return [table("Last decisions",
    [["Time"], ["Class"], ["Plan"], ["Reason", "reason"], ["Chains", "number"], ["Waits", "number"], ["Tokens", "number"], ["Chance", "number"], ["Checked", "drawn"], ["Stopped by"]],
    rows.map((each) => [clock(each.time), each.class, nameOf(each.plan) + (each.is_exploration ? " (exploration)" : ""), each.reason,
      number(each.chains), number(each.extensions), number(each.tokens), percent(each.chance, 0), verdict(each.correct), each.stop_reason]), true)];
}

export function scope(state) {
  const one = `Figures are of this gateway, ${state.gateway}, for the ${duration(state.time - state.since)} since it started`;
  if (state.gateways < 2) return `${one}.`;
  return `${one}: one of ${state.gateways} gateways. Curves, accuracy and engines are those of the whole cluster.`;
}
