// The portal works without this script. It copies texts.
for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const label = button.firstChild;
    const before = label.data;
    try {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      label.data = "Copied";
    } catch {
      label.data = "Not copied";
    }
    setTimeout(() => (label.data = before), 2000);
  });
}
