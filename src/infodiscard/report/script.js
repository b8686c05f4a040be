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
  const pictures = new Map();  // number → an input
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

  // What is wider than the screen says so.
  const widths = new ResizeObserver((seen) => {
    for (const { target } of seen) target.previousElementSibling?.classList.toggle("on", target.scrollWidth > target.clientWidth + 1);
  });
  for (const region of all(".scroll")) if (region.previousElementSibling?.matches(".hint")) widths.observe(region);

  const picture = (place) => {
    if (place === null) return null;
    if (!pictures.has(place)) {
      const image = new Image();
      image.src = data.pictures[place];
      pictures.set(place, image);
    }
    return pictures.get(place);
  };

  // The border of a sample's object, over a whole canvas.
  function frame(canvas, entry, row) {
    if (!entry.outlines[row]) return;
    const context = canvas.getContext("2d"), path = new Path2D(), [height, width] = entry.full;
    path.addPath(new Path2D(entry.outlines[row]), new DOMMatrix([canvas.width / width, 0, 0, canvas.height / height, 0, 0]));
    for (const [colour, thickness] of [["#000", 4], ["#fff", 2]].map(([each, width]) => [each, (width * canvas.width) / 448])) {
      context.strokeStyle = colour;
      context.lineWidth = thickness;
      context.stroke(path);
    }
  }

  // A map in words.
  function said(entry, metric, row, at) {
    const mean = entry.means[metric]?.[row][at], name = data.metrics[metric] ?? "Reconstruction";
    const who = entry.names[row] === entry.samples[row] ? entry.samples[row] : `${entry.names[row]} (${entry.samples[row]})`;
    const value = mean === null || mean === undefined ? "not measured" : `mean ${figure(mean)} ${data.unit}`;
    const scale = data.scales[metric], ends = scale?.own ? scale.layers[entry.layers[at]].map(figure) : null;
    return `${name} of ${entry.name}, ${entry.layers[at]}, ${who}` + (data.metrics[metric] ? `: ${value}` : "") +
      (ends ? `; colours from ${ends[0]} to ${ends[1]}` : "");
  }

  // A map large, beside its input; arrow keys go to other layers and samples.
  if (data.wide) {
    const dialog = make("dialog", { "aria-labelledby": "large-title" }), place = make("div", { class: "large" });
    const title = make("p", { id: "large-title", role: "status" }), buttons = make("div", { class: "controls" });
    let at = null, turn = 0;
    const draw = async () => {
      const mine = ++turn, entry = data.entries[at.entry], [height, width] = entry.size;
      const input = picture(entry.inputs[at.row]), map = strip(at.entry, at.metric, at.row);
      await Promise.all([input, map].map((image) => image && image.decode()));
      if (mine !== turn) return;
      title.textContent = said(entry, at.metric, at.row, at.layer);
      const sources = input ? [[input, 0, 0, input.width, input.height]] : [];
      sources.push([map, at.layer * (width + 1), 0, width, height]);
      place.replaceChildren(...sources.map((source, number) => {
        const name = number === sources.length - 1 ? title.textContent : `input ${entry.samples[at.row]}`;
        const canvas = make("canvas", { role: "img", "aria-label": name, width: 896, height: Math.round((896 * height) / width) });
        const context = canvas.getContext("2d");
        context.imageSmoothingEnabled = false;
        context.drawImage(...source, 0, 0, canvas.width, canvas.height);
        frame(canvas, entry, at.row);
        return canvas;
      }));
    };
    const go = (layers, rows) => {
      const entry = data.entries[at.entry], within = (value, count) => Math.max(0, Math.min(count - 1, value));
      at = { ...at, layer: within(at.layer + layers, entry.layers.length), row: within(at.row + rows, entry.samples.length) };
      draw();
    };
    const moves = { ArrowLeft: ["← layer", -1, 0], ArrowRight: ["layer →", 1, 0], ArrowUp: ["↑ sample", 0, -1], ArrowDown: ["↓ sample", 0, 1] };
    for (const [label, layers, rows] of Object.values(moves)) {
      const button = make("button", { type: "button" }, label);
      button.addEventListener("click", () => go(layers, rows));
      buttons.append(button);
    }
    const close = make("button", { type: "button" }, "Close");
    close.addEventListener("click", () => dialog.close());
    buttons.append(close);
    dialog.append(title, place, buttons);
    document.body.append(dialog);
    dialog.addEventListener("keydown", (event) => {
      if (!moves[event.key]) return;
      event.preventDefault();
      go(...moves[event.key].slice(1));
    });
    for (const image of all(".strip img[data-strip]")) {
      const [entry, metric, row] = image.dataset.strip.split("|"), owner = data.entries[entry];
      const button = make("button", { type: "button", "aria-label": `Large: ${image.alt}` });
      image.before(button);
      button.append(image);
      button.addEventListener("click", (event) => {
        const { left, width } = button.getBoundingClientRect(), count = owner.layers.length;
        const layer = event.detail ? Math.floor(((event.clientX - left) / width) * count) : 0;  // a key has no place
        at = { entry: Number(entry), metric, row: Number(row), layer: Math.max(0, Math.min(count - 1, layer)) };
        draw();
        dialog.showModal();
      });
    }
  }

  // Layers on one scale instead of their own.
  const whole = document.querySelector("[name=whole]");
  if (whole) whole.addEventListener("change", async () => {
    document.getElementById("maps").classList.toggle("whole", whole.checked);
    for (const canvas of all("#maps .framed canvas")) canvas.remove();
    if (!whole.checked) return;
    for (const image of all("#maps img[data-strip]")) {
      const [entry, metric] = image.dataset.strip.split("|"), scale = data.scales[metric];
      if (scale.own) image.after(await onWhole(data.entries[entry], scale, await codes(image)));
    }
  });

  function onWhole(entry, scale, { codes: own, width, palette }) {
    const canvas = make("canvas", { width, height: own.length / width, "aria-hidden": true }), context = canvas.getContext("2d");
    const image = context.createImageData(width, canvas.height), [low, high] = scale.whole, step = entry.size[1] + 1;
    own.forEach((code, place) => {
      if (code === 255) return;
      const layer = data.wide ? Math.floor((place % width) / step) : Math.floor(place / width);
      const value = decoded(code, scale.layers[entry.layers[layer]]);
      const to = Math.round(Math.max(0, Math.min(1, (value - low) / (high - low))) * 254);
      image.data.set([...palette.subarray(3 * to, 3 * to + 3), 255], 4 * place);
    });
    context.putImageData(image, 0, 0);
    return canvas;
  }

  const decoded = (code, [low, high]) => low + (code / 254) * (high - low);

  // A map over its image.
  const over = document.getElementById("over");
  if (over) {
    const [network, metric, sample, layer, opacity] =
      ["network", "metric", "sample", "layer", "opacity"].map((name) => over.querySelector(`[name="${name}"]`));
    const canvas = over.querySelector("canvas"), status = over.querySelector("[role=status]");
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
      const [height, width] = entry.size;
      const layers = [picture(entry.inputs[row]), strip(network.value, metric.value, row)];
      await Promise.all(layers.map((image) => image && image.decode()));
      if (mine !== turn) return;  // another choice came meanwhile
      const [input, map] = layers, context = canvas.getContext("2d");
      canvas.height = Math.round((canvas.width * height) / width);
      context.imageSmoothingEnabled = false;
      if (input) context.drawImage(input, 0, 0, canvas.width, canvas.height);
      context.globalAlpha = Number(opacity.value) / 100;
      if (map) context.drawImage(map, at * (width + 1), 0, width, height, 0, 0, canvas.width, canvas.height);
      context.globalAlpha = 1;
      frame(canvas, entry, row);
      status.textContent = said(entry, metric.value, row, at);
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
      const few = chosen.layers.length <= 8 ? " few" : "";
      const table = make("table", { class: data.wide ? `maps${few}` : "maps lines" }), head = table.createTHead().insertRow();
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
        const framed = make("div", { class: data.wide ? "strip" : "" });
        framed.append(drawn[i]);
        wide.append(framed);
      });
      const region = make("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": title });
      region.append(table);
      const hint = make("div", { class: "hint small" }, document.querySelector("#maps .hint").textContent);
      place.replaceChildren(hint, region);
      widths.observe(region);
    };
    for (const list of [pair, metric]) list.addEventListener("change", draw);
    draw();
  }

  // The canvas with the differences of one sample: layers side by side, or one below the other where maps are lines.
  function difference(pair, metric, left, right, a, b) {
    const [height, width] = data.entries[pair.a].size, count = pair.layers.length, gap = data.wide ? 1 : 0;
    const ends = data.scales[metric].layers, limit = data.limits[metric] ?? 1, means = [];
    const canvas = make("canvas", { role: "img" });
    canvas.width = data.wide ? count * (width + gap) : width;
    canvas.height = data.wide ? height : count;
    const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
    const points = new Uint32Array(image.data.buffer);  // a pixel each
    const at = (layer, y, x, stride) => (data.wide ? y * stride + layer * (width + gap) + x : layer * stride + x);
    pair.layers.forEach(([label, first, second], layer) => {
      const scaleA = ends[data.entries[pair.a].layers[first]], scaleB = ends[data.entries[pair.b].layers[second]];
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
        const codeA = a.codes[at(first, y, x, a.width)], codeB = b.codes[at(second, y, x, b.width)];
        if (codeA === 255 || codeB === 255) continue;
        const share = (decoded(codeB, scaleB) - decoded(codeA, scaleA)) / limit;
        points[at(layer, y, x, canvas.width)] = diverging[Math.round((Math.max(-1, Math.min(1, share)) * 0.5 + 0.5) * 254)];
      }
      const before = data.entries[pair.a].means[metric][left][first], after = data.entries[pair.b].means[metric][right][second];
      if (before !== null && after !== null) means.push(`${label} ${figure(after - before)}`);
    });
    context.putImageData(image, 0, 0);
    canvas.dataset.means = means.join(", ");
    if (!data.wide) [canvas.style.width, canvas.style.height] = [`${Math.max(120, Math.min(900, 12 * width))}px`, `${16 * count}px`];
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
    let palette = null;
    for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at)) {
      const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8)), part = bytes.subarray(at + 8, at + 8 + view.getUint32(at));
      if (kind === "IDAT") parts.push(part);
      if (kind === "PLTE") palette = part;
    }
    const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
    const rows = new Uint8Array(await new Response(stream).arrayBuffer());  // each begins with its filter, which is none
    const found = new Uint8Array(width * height);
    for (let y = 0; y < height; y++) found.set(rows.subarray(y * (width + 1) + 1, (y + 1) * (width + 1)), y * width);
    return { codes: found, width, palette };
  }
})();
