"use strict";
// What the report and the demo's page share: making elements, preferences, the switches of language and theme.
const $ = (id) => document.getElementById(id);
const preferences = {}; // where the browser keeps nothing
let language = "en";

// An element: h("p", {class: "x", onclick: f}, "text", child, ...). Text is always text.
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function preference(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(`report ${name}`, value);
    return localStorage.getItem(`report ${name}`);
  } catch {
    if (value !== undefined) preferences[name] = value;
    return preferences[name] ?? null;
  }
}

// Shows the fixed words of the page in its language; `word`: gives a word by its name.
function showFixedWords(word) {
  document.documentElement.lang = language;
  for (const item of document.querySelectorAll("[data-word]")) item.textContent = word(item.dataset.word);
  for (const button of document.querySelectorAll("[data-language]")) button.setAttribute("aria-pressed", String(button.dataset.language === language));
  $("languages").setAttribute("aria-label", word("language"));
  showTheme(word);
}

function showTheme(word) {
  const theme = preference("theme") || "auto";
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("theme").textContent = word(`theme.${theme}`);
}

// Has the two switches do what they say; `showWords`: shows all words of the page.
function listenToSwitches(word, showWords) {
  language = preference("language") || (navigator.language.startsWith("ko") ? "ko" : "en");
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => { language = preference("language", button.dataset.language); showWords(); });
  }
  $("theme").addEventListener("click", () => {
    const order = ["auto", "light", "dark"];
    preference("theme", order[(order.indexOf(preference("theme") || "auto") + 1) % 3]);
    showTheme(word);
  });
}
