// Answers how many texts the page shows, and those with a contrast below `least`, as WCAG 2 reckons it: every visible
// text node and every field's value against all the backgrounds behind it.
const least = arguments[0];

const canvas = document.createElement("canvas");
canvas.width = canvas.height = 1;
const paint = canvas.getContext("2d", { willReadFrequently: true });

// Any colour of CSS as red, green, blue (0 to 255) and alpha (0 to 1).
const channels = (color) => {
  paint.clearRect(0, 0, 1, 1);
  paint.fillStyle = color;
  paint.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = paint.getImageData(0, 0, 1, 1).data;
  return { rgb: [red, green, blue], alpha: alpha / 255 };
};

const over = ({ rgb, alpha }, behind) => rgb.map((value, i) => value * alpha + behind[i] * (1 - alpha));

const behind = (element) => {
  const layers = [];
  for (let one = element; one; one = one.parentElement) {
    const style = getComputedStyle(one);
    if (style.backgroundImage !== "none") throw new Error(`text on a picture: ${one.outerHTML.slice(0, 80)}`);
    if (style.opacity !== "1" || style.filter !== "none") throw new Error(`text that is faded: ${one.outerHTML.slice(0, 80)}`);
    layers.push(channels(style.backgroundColor));
  }
  return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255]);
};

const luminance = (rgb) => {
  const [red, green, blue] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

const contrast = (element) => {
  const background = behind(element);
  const text = luminance(over(channels(getComputedStyle(element).color), background));
  const [lighter, darker] = [text, luminance(background)].sort((a, b) => b - a);
  return (lighter + 0.05) / (darker + 0.05);
};

const texts = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const { data, parentElement } = walker.currentNode;
  if (data.trim() && parentElement.checkVisibility({ visibilityProperty: true })) texts.push([data.trim(), parentElement]);
}
for (const field of document.querySelectorAll("input, textarea")) {
  if (field.checkVisibility()) texts.push([field.value, field]);
}

const poor = texts
  .map(([text, element]) => ({ text, ratio: contrast(element) }))
  .filter(({ ratio }) => ratio < least)
  .map(({ text, ratio }) => `${ratio.toFixed(2)}: ${text.slice(0, 60)}`);
return { texts: texts.length, poor };
