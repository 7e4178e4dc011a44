// The words of the page, in English or Chinese, and the two buttons between them. The address keeps Chinese.
// Words that a script puts into an element by setText or setLabel follow the language by themselves.

const HTML_LANGUAGES = { en: "en", zh: "zh-Hans" };
const languageCallbacks = [];
// From an element to the {key, values} of its text and of its label.
const textOfElement = new WeakMap();
const labelOfElement = new WeakMap();
let language = "en";

/** Returns "en" or "zh". */
function currentLanguage() {
  return language;
}

/** Returns the text of a key in the page's language, each {name} in it replaced by values.name. */
function t(key, values = {}) {
  const text = pageData().text[language][key];
  if (text === undefined) throw new Error(`text.json has no "${key}" in ${language}`);
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Calls the callback after each change of the language: for words that are drawn, or made of other words. */
function onLanguage(callback) {
  languageCallbacks.push(callback);
}

/** Gives an element the text of a key, now and after each change of the language. Returns the element. */
function setText(target, key, values) {
  textOfElement.set(target, { key, values });
  target.dataset.textKey = key;
  showText(target);
  return target;
}

/** Gives an element the accessible name of a key (an image's alt), now and after each change of the language. */
function setLabel(target, key, values) {
  labelOfElement.set(target, { key, values });
  target.dataset.ariaKey = key;
  showLabel(target);
  return target;
}

const SAY_DELAY = 900; // ms

/** Returns a function that gives an element the text of a key once it has not been asked to for a while: for status. */
function sayLater(target) {
  let timer = 0;
  return (key, values) => {
    clearTimeout(timer);
    timer = setTimeout(() => setText(target, key, values), SAY_DELAY);
  };
}

function showText(target) {
  const { key, values } = textOfElement.get(target) || { key: target.dataset.textKey };
  const text = t(key, values);
  if (target.textContent !== text) target.textContent = text;
}

function showLabel(target) {
  const { key, values } = labelOfElement.get(target) || { key: target.dataset.ariaKey };
  target.setAttribute(target.tagName === "IMG" ? "alt" : "aria-label", t(key, values));
}

/** Shows the page in a language, "en" or "zh". */
function setLanguage(name) {
  if (!Object.keys(HTML_LANGUAGES).includes(name) || name === language) return;
  language = name;
  document.documentElement.lang = HTML_LANGUAGES[name];
  document.documentElement.dataset.language = name;
  document.title = t("title");
  for (const button of document.querySelectorAll("[data-set-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.setLanguage === name));
  }
  document.querySelectorAll("[data-text-key]").forEach(showText);
  document.querySelectorAll("[data-aria-key]").forEach(showLabel);
  for (const callback of languageCallbacks) callback();
}

/** Wires the header's buttons and takes the language of the address. */
function startLanguage() {
  for (const button of document.querySelectorAll("[data-set-language]")) {
    button.addEventListener("click", () => {
      setLanguage(button.dataset.setLanguage);
      writeState("lang", currentLanguage() === "en" ? null : currentLanguage());
    });
  }
  const follow = () => setLanguage(readState().lang || "en");
  onState(follow);
  follow();
}
