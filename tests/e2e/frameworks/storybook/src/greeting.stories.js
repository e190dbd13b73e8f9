import { greeting } from "./greeting.js";

export default { title: "Greeting" };
export const First = { render: () => `<h1 id="greeting">${greeting}</h1>` };
