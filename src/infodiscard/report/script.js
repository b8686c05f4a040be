// What the page does beyond showing: choosing, sorting, reading values, and maps over images and of differences.
// Texts are set as text only; nothing is fetched.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector, at = document) => [...at.querySelectorAll(selector)];
  const make = (tag, attributes = {}, text = null) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== null) made.textContent = text;
    return made;
  };
  const figure = (value) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(3);
  const known = new Map();  // picture → its codes
  const diverging = new Uint32Array(Uint8Array.from(data.diverging.flatMap((colour) => [...colour, 255])).buffer);
  document.documentElement.classList.add("js");

  // Lists choose among the panels of their section.
  for (const section of all("main > section")) {
    const panels = all(".panel", section), lists = all("select", section);
    if (!panels.length) continue;
    const none = make("p", {}, "This network has none of this measure.");
    panels[0].before(none);
    const choose = () => {
      const key = lists.map((list) => list.value).join("|");
      for (const panel of panels) panel.hidden = lists.length > 0 && panel.dataset.key !== key;
      none.hidden = panels.some((panel) => !panel.hidden);
    };
    for (const list of lists) list.addEventListener("change", choose);
    choose();
  }

  // The legend hides networks; a readout says the values of one layer.
  const shown = new Set(data.entries.keys());
  const curves = all(".curve").map(readable);
  for (const button of all(".legend button")) {
    button.addEventListener("click", () => {
      const entry = Number(button.dataset.entry), on = !shown.has(entry);
      if (on) shown.add(entry); else shown.delete(entry);
      button.setAttribute("aria-pressed", on);
      for (const group of all(`.series[data-entry="${entry}"]`)) group.toggleAttribute("hidden", !on);
      for (const read of curves) read();
    });
  }

  function readable(region) {
    const svg = region.querySelector(".plot"), cursor = svg.querySelector(".cursor");
    const readout = region.parentElement.querySelector(".readout"), values = data.curves[region.dataset.metric];
    let layer = null;
    const read = (at = layer) => {
      layer = at;
      if (layer === null) return;
      cursor.removeAttribute("hidden");
      for (const end of ["x1", "x2"]) cursor.setAttribute(end, `${(100 * (layer + 0.5)) / data.layers.length}%`);
      readout.replaceChildren(make("span", {}, `${data.layers[layer]}:`));
      for (const entry of shown) {
        if (!values[entry][layer]) continue;
        const item = make("span");
        item.append(document.querySelector(`.legend button[data-entry="${entry}"] svg`).cloneNode(true));
        item.append(`${data.entries[entry].name} ${values[entry][layer]}`);
        readout.append(item);
      }
    };
    svg.addEventListener("pointermove", (event) => {
      const { left, width } = svg.getBoundingClientRect();
      const at = Math.floor(((event.clientX - left) / width) * data.layers.length);
      if (at >= 0 && at < data.layers.length && at !== layer) read(at);
    });
    region.addEventListener("keydown", (event) => {
      const last = data.layers.length - 1;
      const to = { ArrowLeft: layer === null ? last : Math.max(0, layer - 1),
        ArrowRight: layer === null ? 0 : Math.min(last, layer + 1), Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      read(to);
    });
    return read;
  }

  // Tables are sorted by a click on a heading: numbers by their value, texts by their letters.
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table), body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = make("button", { type: "button" }, head.textContent);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
        const rows = [...body.rows].map((row) => [key(row), row]);
        const number = rows.some(([value]) => value !== "–") &&
          rows.every(([value]) => value === "–" || Number.isFinite(Number(value)));
        const value = (text) => (text === "–" ? -Infinity : Number(text));
        rows.sort(([a], [b]) => (number ? value(a) - value(b) : a.localeCompare(b)) * (up ? 1 : -1));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  const strip = (entry, metric, row) => document.querySelector(`img[data-strip="${entry}|${metric}|${row}"]`);
  const scales = (section, metric) => {
    for (const scale of all("[data-scale]", section)) scale.hidden = scale.dataset.scale !== metric;
  };

  // A map over its image.
  const over = document.getElementById("over");
  if (over) {
    const [network, metric, sample, layer, opacity] =
      ["network", "metric", "sample", "layer", "opacity"].map((name) => over.querySelector(`[name="${name}"]`));
    const canvas = over.querySelector("canvas"), status = over.querySelector("[role=status]"), pictures = new Map();
    const picture = (place) => {
      if (place === null) return null;
      if (!pictures.has(place)) {
        const image = new Image();
        image.src = data.pictures[place];
        pictures.set(place, image);
      }
      return pictures.get(place);
    };
    let names = data.entries[0].layers, turn = 0;
    const renew = () => {  // the layers and samples of another network, kept where it has them, too
      const entry = data.entries[network.value], at = entry.layers.indexOf(names[layer.value]);
      names = entry.layers;
      layer.max = names.length - 1;
      if (at >= 0) layer.value = at;
      const before = sample.selectedOptions[0].textContent;
      sample.replaceChildren(...entry.samples.map((name, i) => make("option", { value: i }, name)));
      sample.value = Math.max(0, entry.samples.indexOf(before));
    };
    const draw = async () => {
      const mine = ++turn, entry = data.entries[network.value], row = Number(sample.value), at = Number(layer.value);
      const [height, width] = entry.size, means = entry.means[metric.value];
      const layers = [picture(entry.inputs[row]), strip(network.value, metric.value, row), picture(entry.outlines[row])];
      await Promise.all(layers.map((image) => image && image.decode()));
      if (mine !== turn) return;  // another choice came meanwhile
      const [input, map, outline] = layers, context = canvas.getContext("2d");
      canvas.height = Math.round((canvas.width * height) / width);
      context.imageSmoothingEnabled = false;
      if (input) context.drawImage(input, 0, 0, canvas.width, canvas.height);
      context.globalAlpha = Number(opacity.value) / 100;
      if (map) context.drawImage(map, at * (width + 1), 0, width, height, 0, 0, canvas.width, canvas.height);
      context.globalAlpha = 1;
      if (outline) context.drawImage(outline, 0, 0, canvas.width, canvas.height);
      const mean = means && means[row][at];
      const said = mean === null || mean === undefined ? "not measured" : `mean ${figure(mean)} ${data.unit}`;
      const who = entry.names[row] === entry.samples[row] ? entry.samples[row] : `${entry.names[row]} (${entry.samples[row]})`;
      status.textContent = `${data.metrics[metric.value]} of ${entry.name}, ${names[at]}, ${who}: ${said}`;
      canvas.setAttribute("aria-label", `${status.textContent}, over the image at ${opacity.value} % opacity`);
      layer.setAttribute("aria-valuetext", names[at]);
      opacity.setAttribute("aria-valuetext", `${opacity.value} %`);
      scales(over, metric.value);
    };
    network.addEventListener("change", renew);
    for (const control of [network, metric, sample, layer, opacity]) control.addEventListener("input", draw);
    draw();
  }

  // Differences of maps, from the codes that the pictures hold.
  const differences = document.getElementById("map-differences");
  if (differences) {
    const place = differences.querySelector(".difference");
    const [pair, metric] = ["pair", "metric"].map((name) => differences.querySelector(`[name="${name}"]`));
    let turn = 0;
    const draw = async () => {
      const mine = ++turn, chosen = data.pairs[pair.value], name = data.metrics[metric.value];
      const a = data.entries[chosen.a], b = data.entries[chosen.b];
      const rows = b.samples.flatMap((sample, i) => (a.samples.includes(sample) ? [[sample, a.samples.indexOf(sample), i]] : []));
      const alike = String(a.size) === String(b.size) && a.means[metric.value] && b.means[metric.value] && rows.length;
      scales(differences, metric.value);
      if (!alike) {
        place.replaceChildren(make("p", {}, "These two have no such maps of the same samples and size."));
        return;
      }
      const drawn = await Promise.all(rows.map(async ([, left, right]) => difference(chosen, metric.value, left, right,
        await codes(strip(chosen.a, metric.value, left)), await codes(strip(chosen.b, metric.value, right)))));
      if (mine !== turn) return;
      const title = `${name} of ${b.name} minus that of ${a.name}, ${rows.length} samples`;
      const table = make("table", { class: data.wide ? "maps" : "maps lines" }), head = table.createTHead().insertRow();
      table.prepend(make("caption", {}, title));
      const heads = data.wide ? chosen.layers.map(([label]) => label) : ["layer", "difference"];
      head.append(make("th", { scope: "col" }, "sample"));
      head.append(...heads.map((label) => make("th", data.wide ? { scope: "col", class: "layer" } : { scope: "col" }, label)));
      const body = table.createTBody();
      rows.forEach(([sample, , right], i) => {
        const row = body.insertRow(), cell = make("th", { scope: "row", class: "sample" }, b.names[right]);
        if (b.names[right] !== sample) cell.append(make("span", { class: "small" }, sample));
        row.append(cell);
        if (!data.wide) {
          const list = make("ul", { class: "lines" });
          list.append(...chosen.layers.map(([label]) => make("li", {}, label)));
          row.insertCell().append(list);
        }
        drawn[i].setAttribute("aria-label", `difference of the maps of ${sample}: ${drawn[i].dataset.means}`);
        const wide = row.insertCell();
        if (data.wide) wide.colSpan = chosen.layers.length;
        wide.append(drawn[i]);
      });
      const region = make("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": title });
      region.append(table);
      place.replaceChildren(region);
    };
    for (const list of [pair, metric]) list.addEventListener("change", draw);
    draw();
  }

  // The canvas with the differences of one sample: layers side by side, or one below the other where maps are lines.
  function difference(pair, metric, left, right, a, b) {
    const [height, width] = data.entries[pair.a].size, count = pair.layers.length, gap = data.wide ? 1 : 0;
    const [low, high] = data.scales[metric], limit = data.limits[metric] ?? 1, means = [];
    const canvas = make("canvas", { role: "img" });
    canvas.width = data.wide ? count * (width + gap) : width;
    canvas.height = data.wide ? height : count;
    const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
    const points = new Uint32Array(image.data.buffer);  // a pixel each
    const at = (layer, y, x, stride) => (data.wide ? y * stride + layer * (width + gap) + x : layer * stride + x);
    pair.layers.forEach(([label, first, second], layer) => {
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
        const codeA = a.codes[at(first, y, x, a.width)], codeB = b.codes[at(second, y, x, b.width)];
        if (codeA === 255 || codeB === 255) continue;
        const share = (((codeB - codeA) / 254) * (high - low)) / limit;
        points[at(layer, y, x, canvas.width)] = diverging[Math.round((Math.max(-1, Math.min(1, share)) * 0.5 + 0.5) * 254)];
      }
      const before = data.entries[pair.a].means[metric][left][first], after = data.entries[pair.b].means[metric][right][second];
      if (before !== null && after !== null) means.push(`${label} ${figure(after - before)}`);
    });
    context.putImageData(image, 0, 0);
    canvas.dataset.means = means.join(", ");
    const size = data.wide ? [count * 88, Math.round((88 * height) / width)] : [Math.max(120, Math.min(900, 12 * width)), 16 * count];
    [canvas.style.width, canvas.style.height] = size.map((length) => `${length}px`);
    return canvas;
  }

  // The codes of an indexed PNG, read from its bytes: what a canvas gives back may be altered by the browser.
  function codes(image) {
    if (!known.has(image)) known.set(image, unpack(image.src));
    return known.get(image);
  }

  async function unpack(url) {
    const bytes = Uint8Array.from(atob(url.split(",")[1]), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer), width = view.getUint32(16), height = view.getUint32(20), parts = [];
    for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at)) {
      if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === "IDAT") {
        parts.push(bytes.subarray(at + 8, at + 8 + view.getUint32(at)));
      }
    }
    const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
    const rows = new Uint8Array(await new Response(stream).arrayBuffer());  // each begins with its filter, which is none
    const found = new Uint8Array(width * height);
    for (let y = 0; y < height; y++) found.set(rows.subarray(y * (width + 1) + 1, (y + 1) * (width + 1)), y * width);
    return { codes: found, width };
  }
})();
