"use strict";
const events = JSON.parse(document.getElementById("data").textContent);
const more = Number(document.getElementById("more").textContent);
const [COMMIT, TIME, LISTED, CLUSTER, KIND, NAMESPACE, NAME, CHANGE, WHAT, DIFF] = Array(10).keys();
const CHUNK = 100;
const chosen = { cluster: "", kind: "", namespace: "", day: "", text: "", object: "" };

const make = (tag, text, name) => {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  if (name) node.className = name;
  return node;
};
const objectOf = event => [event[CLUSTER], event[KIND], event[NAMESPACE], event[NAME]].join("\u0000");
const titleOf = event =>
  `${event[KIND]} ${event[NAMESPACE] ? event[NAMESPACE] + "/" : ""}${event[NAME]}`.trim() || "cluster";

const matches = event =>
  (!chosen.cluster || event[CLUSTER] === chosen.cluster) &&
  (!chosen.kind || event[KIND] === chosen.kind) &&
  (!chosen.namespace || event[NAMESPACE] === chosen.namespace) &&
  (!chosen.day || event[TIME].startsWith(chosen.day)) &&
  (!chosen.object || objectOf(event) === chosen.object) &&
  (!chosen.text || `${titleOf(event)} ${event[WHAT]}`.toLowerCase().includes(chosen.text));

const list = document.getElementById("events");
const end = make("div");
let shown = [];
let count = 0;

const diffOf = lines => {
  const pre = make("pre", "", "diff");
  for (const line of lines) {
    const tag = { "+": "ins", "-": "del", "@": "i" }[line[0]] || "span";
    pre.append(make(tag, line), "\n");
  }
  return pre;
};
const rowOf = event => {
  const row = make("article", "", "event");
  const name = make("button", titleOf(event), "name");
  name.type = "button";
  name.title = "Show the timeline of this object";
  name.onclick = () => choose("object", chosen.object ? "" : objectOf(event));
  const tone = { A: "good", D: "bad" }[event[CHANGE]] || "plain";
  const word = { A: "new", D: "deleted" }[event[CHANGE]] || "modified";
  const head = make("div");
  head.append(make("span", word, `badge ${tone}`), name);
  const listed = event[LISTED] ? `, listed ${event[LISTED]}` : "";
  const when = make("div", `${event[TIME]}, ${event[CLUSTER]}, commit ${event[COMMIT]}${listed}`, "when");
  row.append(when, head, make("div", event[WHAT]));
  if (event[DIFF].length) {
    const details = make("details");
    details.append(make("summary", "Difference"));
    details.ontoggle = () => {
      if (details.open && details.children.length === 1) details.append(diffOf(event[DIFF]));
    };
    row.append(details);
  }
  return row;
};
const showMore = () => {
  const rows = shown.slice(count, count + CHUNK).map(rowOf);
  count += rows.length;
  end.before(...rows);
  end.hidden = count >= shown.length;
};
const show = () => {
  shown = events.filter(matches);
  count = 0;
  list.replaceChildren(end);
  showMore();
  const rest = more ? ` (${more.toLocaleString("en")} older events are not in this page)` : "";
  const one = shown.length === 1 ? "event" : "events";
  document.getElementById("count").textContent = `${shown.length.toLocaleString("en")} ${one}${rest}`;
  for (const button of document.querySelectorAll(".days button"))
    button.setAttribute("aria-pressed", button.value === `${chosen.cluster} ${chosen.day}`);
  document.getElementById("reset").hidden = !Object.values(chosen).some(Boolean);
};
const choose = (name, value) => {
  chosen[name] = value;
  show();
};
new IntersectionObserver(seen => {
  if (seen[0].isIntersecting && count < shown.length) showMore();
}, { rootMargin: "1500px" }).observe(end);

const filters = document.getElementById("filters");
const inputs = [];
for (const [name, index] of [["cluster", CLUSTER], ["kind", KIND], ["namespace", NAMESPACE]]) {
  const label = make("label", name[0].toUpperCase() + name.slice(1));
  const select = make("select");
  const values = [...new Set(events.map(event => event[index]))].filter(Boolean).sort();
  for (const value of ["", ...values]) {
    const option = make("option", value || "all");
    option.value = value;
    select.append(option);
  }
  select.id = name;
  select.onchange = () => choose(name, select.value);
  label.append(select);
  filters.append(label);
  inputs.push(select);
}
const search = make("input");
search.type = "search";
search.id = "search";
search.oninput = () => choose("text", search.value.toLowerCase());
const label = make("label", "Search");
label.append(search);
const reset = make("button", "Show all");
reset.id = "reset";
reset.type = "button";
reset.onclick = () => {
  for (const name of Object.keys(chosen)) chosen[name] = "";
  for (const input of [...inputs, search]) input.value = "";
  show();
};
filters.append(label, reset);

const days = new Map();
for (const event of events) {
  const cluster = days.get(event[CLUSTER]) || days.set(event[CLUSTER], new Map()).get(event[CLUSTER]);
  const day = event[TIME].slice(0, 10);
  cluster.set(day, (cluster.get(day) || 0) + 1);
}
const calendar = document.getElementById("calendar");
for (const cluster of [...days.keys()].sort()) {
  const box = make("div", "", "cluster");
  const grid = make("div", "", "days");
  for (const [day, number] of [...days.get(cluster)].sort()) {
    const button = make("button", "", `l${Math.min(4, 1 + Math.floor(Math.log10(number) * 2))}`);
    button.type = "button";
    button.value = `${cluster} ${day}`;
    button.title = `${day}: ${number}`;
    button.setAttribute("aria-label", button.title);
    button.onclick = () => {
      const again = chosen.day === day && chosen.cluster === cluster;
      inputs[0].value = chosen.cluster = again ? "" : cluster;
      choose("day", again ? "" : day);
    };
    grid.append(button);
  }
  box.append(make("h2", cluster), grid);
  calendar.append(box);
}
show();
document.documentElement.dataset.ready = "true";
