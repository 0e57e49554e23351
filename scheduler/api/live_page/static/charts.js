// Charts as SVG: their colours are those of the style sheet, their words are text.

import { h, s } from "./dom.js";

const PAD = { top: 10, right: 14, bottom: 34, left: 46 };

export const scale = (min, max, from, to, isLog = false) => {
  const f = isLog ? Math.log : (value) => value;
  const span = f(max) - f(min) || 1;
  return (value) => from + ((f(value) - f(min)) / span) * (to - from);
};

/** Round values from min to max, about `count` of them, at least `least` apart. */
export function ticks(min, max, count, least = 0) {
  const rough = Math.max(least, (max - min) / count) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((each) => each * power >= rough) ?? 10);
  const found = [];
  for (let at = Math.ceil(min / step - 1e-9); at * step <= max + step * 1e-6; at++) found.push(Number((at * step).toPrecision(12)));
  return found;
}

export function logTicks(min, max) {
  const found = [];
  for (let power = 10 ** Math.floor(Math.log10(min)); power <= max; power *= 10) {
    for (const step of [1, 2, 5]) if (step * power >= min && step * power <= max) found.push(step * power);
  }
  return found.length > 5 ? found.filter((value) => /^1/.test(String(value)) || found.length < 8) : found;
}

const path = (cells) => cells.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

const MARKS = {
  circle: (x, y, r, attributes) => s("circle", { cx: x, cy: y, r, ...attributes }),
  square: (x, y, r, attributes) => s("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r, ...attributes }),
  triangle: (x, y, r, attributes) =>
    s("path", { d: `M${x} ${y - 1.2 * r}L${x + 1.1 * r} ${y + 0.9 * r}L${x - 1.1 * r} ${y + 0.9 * r}Z`, ...attributes }),
  diamond: (x, y, r, attributes) => s("path", { d: `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`, ...attributes }),
};

/** A sign for a legend: a line with its mark, a block, or a dashed line. */
export function sign(kind, mark) {
  const box = s("svg", { viewBox: "0 0 22 12", class: kind, "aria-hidden": "true" });
  if (mark === "block") box.append(s("rect", { x: 3, y: 0, width: 16, height: 12, class: "fill" }));
  else if (mark === "goal") box.append(s("path", { d: "M0 6H22", class: "goal" }));
  else if (mark === "chosen") box.append(MARKS.diamond(11, 6, 5, { class: "chosen", fill: "none" }));
  else {
    box.append(s("path", { d: "M0 6H22", class: "line" }));
    if (mark) box.append(MARKS[mark](11, 6, 3.5, { class: "fill" }));
  }
  return box;
}

export const legend = (entries) =>
  h("ul", { class: "legend" }, entries.map(([kind, mark, text]) => h("li", null, sign(kind, mark), text)));

/**
 * Lines over x. `x` and `y` are axes: {min, max, label, format, ticks, isLog}. `lines` are
 * {kind, mark, cells: [[x, y, title]], band: [[x, low, high]]}, null in y breaks a line; `goal` is a
 * level {y, text}; `chosen` is {kind, x, y, title}.
 */
export function plot({ width, height, label, x, y, lines, goal, chosen }) {
  const at = scale(x.min, x.max, PAD.left, width - PAD.right, x.isLog);
  const up = scale(y.min, y.max, height - PAD.bottom, PAD.top);
  const svg = s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
  for (const tick of y.ticks) {
    svg.append(
      s("path", { d: `M${PAD.left} ${up(tick).toFixed(1)}H${width - PAD.right}`, class: tick === y.min ? "base" : "grid" }),
      s("text", { x: PAD.left - 6, y: up(tick) + 4, "text-anchor": "end", class: "axis" }, y.format(tick)),
    );
  }
  let end = -Infinity;
  for (const tick of [...x.ticks].sort((a, b) => at(a) - at(b))) {
    const half = 3.5 * x.format(tick).length;
    if (at(tick) - half < end + 6) continue;
    end = at(tick) + half;
    svg.append(s("text", { x: at(tick), y: height - PAD.bottom + 15, "text-anchor": "middle", class: "axis" }, x.format(tick)));
  }
  svg.append(s("text", { x: (PAD.left + width - PAD.right) / 2, y: height - 4, "text-anchor": "middle", class: "axis" }, x.label));
  for (const { kind, band } of lines) {
    if (!band?.length) continue;
    const upper = band.map(([bx, , high]) => [at(bx), up(Math.min(y.max, high))]);
    const lower = band.map(([bx, low]) => [at(bx), up(Math.max(y.min, low))]).reverse();
    svg.append(s("path", { d: `${path([...upper, ...lower])}Z`, class: `band ${kind}` }));
  }
  if (goal) {
    svg.append(
      s("path", { d: `M${PAD.left} ${up(goal.y).toFixed(1)}H${width - PAD.right}`, class: "goal" }),
      s("text", { x: width - PAD.right, y: up(goal.y) - 5, "text-anchor": "end", class: "note" }, goal.text),
    );
  }
  for (const { kind, mark, cells } of lines) {
    for (const run of unbroken(cells)) svg.append(s("path", { d: path(run.map(([cx, cy]) => [at(cx), up(cy)])), class: `line ${kind}` }));
    for (const [cx, cy, title] of mark ? cells : []) {
      const drawn = MARKS[mark](at(cx), up(cy), cells.length > 9 ? 2.4 : 3.4, { class: `fill ${kind}` });
      drawn.append(s("title", null, title));
      svg.append(drawn);
    }
  }
  if (chosen) {
    const drawn = MARKS.diamond(at(chosen.x), up(chosen.y), 8, { class: `chosen fill ${chosen.kind}` });
    drawn.append(s("title", null, chosen.title));
    svg.append(drawn);
  }
  return svg;
}

function unbroken(cells) {
  const runs = [[]];
  for (const cell of cells) {
    if (cell[1] === null) runs.push([]);
    else runs.at(-1).push(cell);
  }
  return runs.filter((run) => run.length);
}

/** One bar of parts [kind, amount], as long as its sum has a share of `most`. */
export function bar(parts, most, width, label) {
  const svg = s("svg", { class: "chart", viewBox: `0 0 ${width} 18`, height: 18, preserveAspectRatio: "xMinYMid", role: "img", "aria-label": label });
  let x = 0;
  for (const [kind, amount] of parts) {
    const wide = (amount / (most || 1)) * width;
    const drawn = s("rect", { x: x.toFixed(1), y: 1, width: Math.max(0, wide - 0.5).toFixed(1), height: 16, class: `fill ${kind}` });
    drawn.append(s("title", null, `${kind}: ${amount.toLocaleString("en")}`));
    svg.append(drawn);
    x += wide;
  }
  return svg;
}

/** A value with its interval on a scale from 0 to 1. */
export function interval({ value, low, high, kind, width, label }) {
  const at = scale(0, 1, 4, width - 4);
  const svg = s("svg", { class: "chart", viewBox: `0 0 ${width} 20`, height: 20, preserveAspectRatio: "xMinYMid", role: "img", "aria-label": label });
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) svg.append(s("path", { d: `M${at(tick)} 0V20`, class: "grid" }));
  svg.append(
    s("path", { d: `M${at(low)} 10H${at(high)}M${at(low)} 5V15M${at(high)} 5V15`, class: `line ${kind}` }),
    MARKS.circle(at(value), 10, 4.5, { class: `fill ${kind}` }),
  );
  return svg;
}
