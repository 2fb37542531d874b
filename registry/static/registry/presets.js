// Fills the page of a new provider in from the preset that is chosen, for its user to look at and to edit.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const select = document.querySelector("select[data-presets]");
  if (!select) return;
  const presets = JSON.parse(select.dataset.presets);
  let filled = {};

  select.addEventListener("change", () => {
    const field = (name) => document.getElementById(`id_${name}`);
    for (const [name, text] of Object.entries(filled)) {
      if (field(name).value === text) field(name).value = "";
    }
    filled = presets[select.value] || {};
    for (const [name, text] of Object.entries(filled)) field(name).value = text;
    // The server fills in as well, where no script runs; here it would bring back what was emptied on purpose.
    select.removeAttribute("name");
  });
});
