// Fills the page of a new provider in from the preset that is chosen, for its user to look at and to edit.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const select = document.querySelector("select[data-presets]");
  if (!select) return;
  const presets = JSON.parse(select.dataset.presets);
  let filled = {};

  select.addEventListener("change", () => {
    const field = (name) => document.getElementById(`id_${name}`);
    const fill = (input, text) => {
      if (input.type === "checkbox") input.checked = text === "true";
      else input.value = text;
    };
    for (const [name, text] of Object.entries(filled)) {
      if (field(name).type === "checkbox" || field(name).value === text) fill(field(name), "");
    }
    filled = presets[select.value] || {};
    for (const [name, text] of Object.entries(filled)) fill(field(name), text);
    // The server fills in as well, where no script runs; here it would bring back what was emptied on purpose.
    select.removeAttribute("name");
  });
});
