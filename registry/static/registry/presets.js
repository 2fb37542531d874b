// Fills the page of a new provider in from the preset that is chosen, for its user to look at and to edit.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const select = document.querySelector("select[data-presets]");
  if (!select) return;
  const presets = JSON.parse(select.dataset.presets);
  let filled = {};

  select.addEventListener("change", () => {
    const field = (name) => document.getElementById(`id_${name}`);
    const isCheckbox = (name) => field(name).type === "checkbox";
    const value = (name) => (isCheckbox(name) ? String(field(name).checked) : field(name).value);
    const fill = (name, text) => {
      if (isCheckbox(name)) field(name).checked = text === "true";
      else field(name).value = text;
    };
    const isEmpty = (name) => ["", "{}", "[]", "false"].includes(value(name).trim());
    // What the preset before filled in goes with it; what a person typed stays.
    for (const [name, text] of Object.entries(filled)) {
      if (value(name) === text) fill(name, "");
    }
    const chosen = Object.entries(presets[select.value] || {});
    filled = Object.fromEntries(chosen.filter(([name]) => isEmpty(name)));
    for (const [name, text] of Object.entries(filled)) fill(name, text);
    // The server fills in as well, where no script runs; here it would bring back what was emptied on purpose.
    select.removeAttribute("name");
  });
});
