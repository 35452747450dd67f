"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const KEY = `ipo-label-${data.drawing}`;
const KINDS = ["first", "second", "both", "neither"];
let answers = load();
let further = false;

// The answers that the browser kept; none if they are damaged or of another page.
function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) || "[]");
    const good = (one, i) => one && i < data.showings.length && one.picture === data.showings[i][0] && KINDS.includes(one.answer);
    return Array.isArray(kept) && kept.every(good) ? kept : [];
  } catch {
    return [];
  }
}

function keep() {
  try {
    localStorage.setItem(KEY, JSON.stringify(answers));
  } catch {
    at("unkept").hidden = false;
  }
}

// How many answers are planned: the showings of the pictures wanted, with the pictures that come again.
function planned() {
  const seen = new Set();
  let wanted = data.beforehand, decided = 0;
  for (const [i, showing] of data.showings.entries()) {
    if (i >= answers.length || seen.size === data.first) break;
    if (!seen.has(showing[1])) decided += ["first", "second"].includes(answers[i].answer);
    seen.add(showing[1]);
  }
  if (seen.size === data.first) wanted = data.needed[decided];
  seen.clear();
  let count = 0;
  for (const showing of data.showings) {
    if (!seen.has(showing[1]) && seen.size === wanted) break;
    seen.add(showing[1]);
    count += 1;
  }
  return count;
}

function show(section) {
  for (const one of ["start", "ask", "done"]) at(one).hidden = one !== section;
}

function next() {
  const plan = planned();
  at("download").disabled = answers.length === 0;
  at("progress").textContent = `${answers.length} of about ${Math.max(plan, answers.length)} answered`;
  const all = answers.length === data.showings.length;
  if (all || (answers.length >= plan && !further)) {
    at("done-title").textContent = all ? "These are all pictures" : "That is enough";
    at("summary").textContent = `${answers.length} answers are given.`;
    at("more").hidden = all;
    show("done");
    at("save").focus();
    return;
  }
  const [, picture, first, second] = data.showings[answers.length];
  at("picture").src = data.pictures[picture];
  at("picture").alt = `Picture ${answers.length + 1}`;
  const names = at("choices").querySelectorAll("bdi");
  names[0].textContent = data.classes[first][0];
  names[1].textContent = data.classes[second][0];
  at("naming").hidden = true;
  at("choices").hidden = false;
  at("back").hidden = answers.length === 0;
  show("ask");
}

function answer(kind, label) {
  const one = { picture: data.showings[answers.length][0], answer: kind };
  if (label !== undefined) one.label = label;
  answers.push(one);
  keep();
  next();
}

function back() {
  if (!answers.length) return;
  answers.pop();
  keep();
  next();
}

function ask(kind) {
  if (kind !== "neither") return answer(kind);
  at("choices").hidden = true;
  at("back").hidden = true;
  at("naming").hidden = false;
  at("class").value = "";
  at("unknown").textContent = "";
  at("class").focus();
}

// The number of the class that was typed: undefined for no text, null for a name that is no class.
function typed() {
  const text = at("class").value.trim().toLowerCase();
  if (!text) return undefined;
  const found = data.classes.findIndex((names) => names.some((name) => name.toLowerCase() === text));
  return found < 0 ? null : found;
}

function named(event) {
  event.preventDefault();
  const label = typed();
  const [, , first, second] = data.showings[answers.length];
  if (label === null) at("unknown").textContent = "No class has this name. Choose one of the list, or leave it empty.";
  else if (label === first) answer("first");
  else if (label === second) answer("second");
  else answer("neither", label);
}

function download() {
  const content = JSON.stringify({ schema: 1, drawing: data.drawing, answers }, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  link.download = data.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || at("ask").hidden) return;
  if (!at("naming").hidden) {
    if (event.key === "Escape") next();
    return;
  }
  const place = { 1: 0, ArrowLeft: 0, 2: 1, ArrowRight: 1, 3: 2, 4: 3 }[event.key];
  if (place === undefined && event.key !== "Backspace") return;
  event.preventDefault();
  if (place === undefined) back();
  else ask(KINDS[place]);
}

for (const name of data.classes.flat()) at("classes").append(new Option(name, name));
for (const button of at("choices").querySelectorAll("button")) button.addEventListener("click", () => ask(button.dataset.answer));
if (answers.length) at("begin").textContent = `Go on after ${answers.length} answers`;
at("download").disabled = answers.length === 0;
at("begin").addEventListener("click", next);
at("naming").addEventListener("submit", named);
at("cancel").addEventListener("click", next);
at("back").addEventListener("click", back);
at("undo").addEventListener("click", back);
at("more").addEventListener("click", () => { further = true; next(); });
for (const id of ["download", "save"]) at(id).addEventListener("click", download);
document.addEventListener("keydown", pressed);
keep();
