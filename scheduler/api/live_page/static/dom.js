// Elements, tables and the words of figures.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const h = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

/**
 * A table in a region that can be scrolled by keyboard. Columns: [title, class]; cells: text or
 * element. The caption is only read out where a heading says the same.
 */
export function table(caption, columns, rows, isTitled = false) {
  const head = columns.map(([title, kind]) => h("th", { scope: "col", class: kind }, title));
  const body = rows.map((row) =>
    h("tr", null, row.map((cell, at) => h(at ? "td" : "th", { scope: at ? null : "row", class: columns[at][1] }, cell ?? "–"))),
  );
  return h("div", { class: "scroll", role: "region", "aria-label": `${caption}: table`, tabindex: 0 },
    h("table", null, h("caption", { class: isTitled && "unseen" }, caption), h("thead", null, h("tr", null, head)), h("tbody", null, body)));
}

export const empty = (text) => h("p", { class: "empty" }, text);

/** The figures of a chart as a table, closed at first. */
export const figures = (id, caption, columns, rows) =>
  h("details", { "data-id": id }, h("summary", null, "Figures as a table"), table(caption, columns, rows));

export const number = (value, digits = 0) =>
  value === null || value === undefined ? "–"
    : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export function short(value) {
  if (value >= 1e9) return `${number(value / 1e9, 1)}G`;
  if (value >= 1e6) return `${number(value / 1e6, 1)}M`;
  return value >= 1e4 ? `${number(value / 1e3, value < 1e5 ? 1 : 0)}k` : number(value);
}

export const percent = (share, digits = 1) =>
  share === null || share === undefined ? "–" : `${number(100 * share, digits)} %`;

/** Accuracy per token, as points for 100 tokens. */
export const points = (price) => Number((1e4 * price).toPrecision(3));
export const priceText = (price) => `${points(price)} points per 100 tokens`;

export const clock = (unix) => new Date(1000 * unix).toLocaleTimeString("en-GB");

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${number(seconds / 3600, 1)} h`;
}

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${Math.round(count) === 1 ? one : many}`;
