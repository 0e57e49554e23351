// The key of the pages: kept for the tab, asked for where the server refuses, and forgotten on demand.

import { $ } from "./dom.js";

const NAME = "thinkbudget.key";

const key = () => sessionStorage.getItem(NAME) ?? "";
export const headers = () => (key() ? { authorization: `Bearer ${key()}` } : {});
export const isRefused = (reply) => reply.status === 401 || reply.status === 403;

/** `load` runs when a key is given or forgotten; `clear` runs first when it is forgotten. */
export function setUp(load, clear) {
  $("key").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(NAME, $("secret").value.trim());
    $("secret").value = "";
    load();
  });
  $("forget").addEventListener("click", () => {
    sessionStorage.removeItem(NAME);
    clear();
    load();
  });
}

export function accepted() {
  $("key").hidden = true;
  $("forget").hidden = !key();
}

/** Forgets the key that got this reply; `mayNot` says what a key of another role may not do. */
export function askFor(reply, mayNot) {
  $("key").hidden = false;
  $("refused").textContent = !key() ? "" : reply.status === 401 ? "The server does not know this key." : mayNot;
  sessionStorage.removeItem(NAME);
  $("forget").hidden = true;
  $("secret").focus();
}
