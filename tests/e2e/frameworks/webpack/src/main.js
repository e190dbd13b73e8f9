import { greeting } from "./greeting.js";

const heading = document.createElement("h1");
heading.id = "greeting";
heading.textContent = greeting;
document.body.append(heading);
if (module.hot) module.hot.accept("./greeting.js", () => (heading.textContent = greeting));
