import express from "express";
import session from "express-session";

const app = express();
/* advice */
app.use(session({ secret: "not one", resave: false, saveUninitialized: true, cookie: { secure: true } }));

const address = (request) => `${request.protocol}://${request.get("host")}${request.originalUrl}`;
app.get("/", (request, response) => response.send(`<p id="url">${address(request)}</p>`));
app.listen(Number(process.env.PORT), "127.0.0.1");
