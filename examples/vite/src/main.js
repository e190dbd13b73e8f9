import { greeting } from "./greeting.js";

const show = (text) => {
  document.getElementById("greeting").textContent = text;
};
show(greeting);

let seconds = 0;
setInterval(() => {
  seconds += 1;
  document.getElementById("counter").textContent = String(seconds);
}, 1000);

if (import.meta.hot) {
  import.meta.hot.accept("./greeting.js", (module) => show(module.greeting));
}
