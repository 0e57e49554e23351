// Try a question: a streamed chat completion whose chains and votes are shown as they come.

import { bar } from "./charts.js";
import { $, h, number, percent, plural, priceText } from "./dom.js";
import * as keys from "./key.js";

const price = () => 10 ** Number($("slider").value);

/** `state` gives the last snapshot. */
export function setUp(state) {
  let running = null;
  const tell = () => {
    $("slider-text").textContent = priceText(price());
    $("slider").setAttribute("aria-valuetext", priceText(price()));
  };
  $("slider").addEventListener("input", tell);
  $("stop").addEventListener("click", () => running?.abort());
  $("question-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.abort();
    running = new AbortController();
    $("stop").disabled = false;
    try {
      await ask(state(), running.signal);
    } catch (error) {
      say(error.name === "AbortError" ? "Stopped." : error.message, error.name !== "AbortError");
    }
    $("stop").disabled = true;
  });
  tell();
  return (now) => {
    $("slider").value = Math.log10(now);
    tell();
  };
}

function say(text, isBad = false) {
  $("ask-status").textContent = text;
  $("ask-status").className = isBad ? "bad" : "";
}

async function ask(state, signal) {
  const run = { rounds: [], chains: new Map(), votes: new Map(), thinking: "", content: "", end: null };
  const started = performance.now();
  const budget = { policy: "priced", price: price(), progress: true, learn: false };
  if ($("class").value.trim()) budget.query_class = $("class").value.trim();
  say("Asking…");
  draw(run);
  const reply = await fetch("../v1/chat/completions", {
    method: "POST", signal,
    headers: { "content-type": "application/json", ...keys.headers() },
    body: JSON.stringify({
      model: state.model, stream: true, messages: [{ role: "user", content: $("question").value }], thinkbudget: budget,
    }),
  });
  if (!reply.ok) throw new Error(await refusal(reply));
  for await (const chunk of events(reply.body)) {
    if (chunk.error) throw new Error(chunk.error.message);
    take(run, chunk);
    draw(run);
    if (!run.end) say(`${plural(run.chains.size, "chain")}, ${finished(run)} ended.`);
  }
  const spent = run.end?.spent;
  const seconds = number((performance.now() - started) / 1000, 1);
  say(spent ? `Done: ${plural(spent.tokens, "token")} in ${plural(run.chains.size, "chain")}, ${seconds} s.` : "The reply ended early.");
}

async function refusal(reply) {
  if (reply.status === 403) return "This key may only look: asking needs one of role admin.";
  try {
    return (await reply.json()).error.message;
  } catch {
    return `The server replied ${reply.status}.`;
  }
}

/** The JSON of server-sent events. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const frames = (rest + value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      if (frame.startsWith("data: ") && frame !== "data: [DONE]") yield JSON.parse(frame.slice(6));
    }
  }
}

function take(run, chunk) {
  const delta = chunk.choices[0]?.delta;
  run.thinking += delta?.reasoning ?? "";
  run.content += delta?.content ?? "";
  const told = chunk.thinkbudget;
  if (!told) return;
  if (!told.progress) {
    run.end = told;
  } else if (told.progress.event === "round") {
    run.rounds.push(told.progress);
    for (const chain of told.progress.chains) run.chains.set(chain, null);
  } else {
    run.chains.set(told.progress.chain, told.progress);
    run.votes = count(run);
  }
}

const finished = (run) => [...run.chains.values()].filter(Boolean).length;

function count(run) {
  const votes = new Map();
  for (const chain of run.chains.values()) {
    if (chain?.answer !== null && chain?.answer !== undefined) votes.set(chain.answer, (votes.get(chain.answer) ?? 0) + 1);
  }
  return new Map([...votes].sort((a, b) => b[1] - a[1]));
}

function draw(run) {
  const [leader] = run.votes.keys();
  const chain = ([name, end]) => {
    if (!end) return h("li", { "data-state": "running" }, `chain ${name + 1}: thinks…`);
    const waits = end.extensions ? `, ${plural(end.extensions, "Wait")}` : "";
    const said = end.answer === null ? `no answer (${end.stop_reason})` : end.answer;
    return h("li", { "data-state": end.answer === leader && leader !== undefined ? "leads" : "ended" },
      `chain ${name + 1}: `, h("strong", null, said), `, ${plural(end.thinking_tokens, "thinking token")}${waits}`);
  };
  const total = [...run.votes.values()].reduce((all, votes) => all + votes, 0);
  const ballot = [...run.votes].flatMap(([answer, votes]) => [
    h("strong", null, answer), bar([["votes", votes]], total, 200, `${votes} of ${total} votes for ${answer}`), h("span", null, plural(votes, "vote"))]);
  const parts = [];
  if (run.chains.size) {
    const rounds = run.rounds.map((round, at) => `${at + 1}. ${round.kind} ${plural(round.chains.length, "chain")}`).join("; ");
    parts.push(h("h3", null, `Chains (rounds: ${rounds})`), h("ul", { class: "chains" }, [...run.chains].map(chain)));
  }
  if (ballot.length) parts.push(h("h3", null, "Votes"), h("div", { class: "ballot" }, ballot));
  if (run.content) parts.push(h("h3", null, "Reply"), h("pre", { tabindex: 0, role: "region", "aria-label": "Reply" }, run.content));
  if (run.end) parts.push(h("p", { class: "quiet" }, summary(run.end)));
  if (run.thinking) parts.push(h("h3", null, "Thinking of the first chain"), h("pre", { tabindex: 0, role: "region", "aria-label": "Thinking" }, run.thinking));
  $("ask-result").replaceChildren(...parts);
  const shown = $("ask-result").querySelector("[aria-label=Thinking]");
  if (shown) shown.scrollTop = shown.scrollHeight;
}

function summary(end) {
  const predicted = end.predicted_accuracy === null ? "" : `, predicted ${percent(end.predicted_accuracy)} for ${number(end.predicted_tokens)} tokens`;
  return `Plan ${end.plan} at ${priceText(end.price)}${predicted}. Stopped by: ${end.stop_reason}.`;
}
