/**
 * Prints an element without the rest of the page. Not by a window or frame of its
 * own, which policies and phones restrict, and not by a stylesheet in the page: an
 * adopted one needs no permission of a policy, changes no element, counts for paper
 * alone, and is removed afterwards. A browser that does not know :has or adopted
 * stylesheets (before Chrome 105, Firefox 121, Safari 16.4) prints the whole page.
 *
 * `printed` is a selector that the element alone matches.
 */
export function printAlone(element: Element, printed: string): void {
  if (element.getRootNode() === document && "adoptedStyleSheets" in document) {
    const around = `:has(${printed})`;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`@media print {
      body${around} :not(${around}, ${printed}, ${printed} *) { display: none !important }
      ${around} { all: unset !important; display: block !important; visibility: hidden !important }
      ${printed}, ${printed} * { all: revert !important; visibility: visible !important }
    }`);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    addEventListener("afterprint", () => (document.adoptedStyleSheets = document.adoptedStyleSheets.filter((s) => s !== sheet)), { once: true });
  }
  print();
}
