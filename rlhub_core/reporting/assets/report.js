"use strict";
// Tells the values of a chart where the pointer is, or where the arrow keys went.
// Texts are only ever set as text: what a run's files say cannot become markup.

const format = (value) => new Intl.NumberFormat("en", { maximumSignificantDigits: 4 }).format(value);

function nearest(sorted, x) {
  let low = 0;
  let high = sorted.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= x) low = middle;
    else high = middle;
  }
  return x - sorted[low] <= sorted[high] - x ? low : high;
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  made.className = className || "";
  made.textContent = text;
  return made;
}

function valuesAt(line, x, step) {
  const said = [];
  if (line.x.length && x >= line.x[0] - step && x <= line.x[line.x.length - 1] + step) {
    const at = nearest(line.x, x);
    const band = line.low ? ` (${format(line.low[at])} to ${format(line.high[at])})` : "";
    said.push(format(line.y[at]) + band);
  }
  if (line.points.length) {
    const [where, mean, low, high] = line.points[nearest(line.points.map((point) => point[0]), x)];
    if (Math.abs(where - x) <= step) said.push(`evaluation ${format(mean)} [${format(low)}, ${format(high)}]`);
  }
  return said.join(" · ");
}

function enliven(figure) {
  const chart = JSON.parse(figure.querySelector("script").textContent);
  const plot = figure.querySelector(".plot");
  const [left, right] = chart.x;
  const step = (right - left) / 50;
  const cursor = element("div", "", "cursor");
  const told = element("div", "", "told");
  let x = right;
  for (const each of [cursor, told]) {
    each.hidden = true;
    each.setAttribute("aria-hidden", "true");
    plot.append(each);
  }
  const slider = {
    tabindex: 0, role: "slider", "aria-label": `${plot.dataset.title}: values over ${chart.unit}`,
    "aria-valuemin": left, "aria-valuemax": right, "aria-valuenow": right, "aria-valuetext": "",
  };
  for (const [name, value] of Object.entries(slider)) plot.setAttribute(name, value);

  function show(wanted) {
    x = Math.min(right, Math.max(left, wanted));
    const across = ((x - left) / (right - left)) * 100;
    const title = `${Math.round(x).toLocaleString("en")} ${chart.unit}`;
    told.replaceChildren(element("b", title));
    const texts = [title];
    for (const line of chart.lines) {
      const values = valuesAt(line, x, step);
      if (!values) continue;
      texts.push(`${line.label}: ${values}`);
      told.append(element("span", texts[texts.length - 1], `c${line.look}`));
    }
    cursor.style.left = `${across}%`;
    told.style.left = across < 50 ? `calc(${across}% + .6rem)` : "auto";
    told.style.right = across < 50 ? "auto" : `calc(${100 - across}% + .6rem)`;
    cursor.hidden = told.hidden = false;
    plot.setAttribute("aria-valuenow", x);
    plot.setAttribute("aria-valuetext", texts.join("; "));
  }

  function hide() {
    cursor.hidden = told.hidden = true;
  }

  const moves = {
    ArrowLeft: () => x - step, ArrowRight: () => x + step, ArrowDown: () => x - step, ArrowUp: () => x + step,
    PageDown: () => x - 10 * step, PageUp: () => x + 10 * step, Home: () => left, End: () => right,
  };
  for (const event of ["pointermove", "pointerdown"]) {
    plot.addEventListener(event, (at) => {
      const box = plot.getBoundingClientRect();
      show(left + ((at.clientX - box.left) / box.width) * (right - left));
    });
  }
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("focus", () => plot.matches(":focus-visible") && show(x));
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(moves[event.key]());
  });
}

for (const figure of document.querySelectorAll("figure")) enliven(figure);
if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
  for (const video of document.querySelectorAll("details.video")) video.open = false;
}
// what is folded on the screen is printed all the same
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => (each.open = true)));
