"use strict";
// Without this script input and result stand side by side; with it they lie on each other, under a slider.
for (const pair of document.querySelectorAll(".pair")) {
  const slider = pair.querySelector("input");
  const show = () => pair.style.setProperty("--at", slider.value);
  const drag = (event) => {
    const box = pair.getBoundingClientRect();
    slider.value = (100 * (event.clientX - box.left)) / box.width;
    show();
  };
  pair.classList.add("live");
  slider.addEventListener("input", show);
  // The whole picture is the handle: a thumb that can be hit with a finger would hide what it compares.
  pair.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    pair.setPointerCapture(event.pointerId);
    slider.focus({ preventScroll: true });
    drag(event);
  });
  pair.addEventListener("pointermove", (event) => {
    if (pair.hasPointerCapture(event.pointerId)) drag(event);
  });
  show();
}
