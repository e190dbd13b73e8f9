"use strict";

const show = (id, text, state) => {
  const element = document.getElementById(id);
  element.textContent = text;
  if (state) element.className = `value ${state}`;
};

show("origin", location.origin);
show("secure", window.isSecureContext ? "yes" : "no", window.isSecureContext ? "good" : "bad");

let socket;
let sentAt = 0;

const send = (text) => {
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  sentAt = performance.now();
  socket.send(text);
};

const connect = () => {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/echo`);
  socket.onopen = () => send("hello from the browser");
  socket.onmessage = (event) => {
    show("ws", `echo in ${(performance.now() - sentAt).toFixed(1)} ms`, "good");
    show("ws-echo", event.data);
  };
  socket.onclose = () => {
    show("ws", "closed, trying again", "bad");
    setTimeout(connect, 1000);
  };
};
connect();

document.getElementById("ws-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = document.getElementById("ws-input");
  if (input.value) send(input.value);
  input.value = "";
});

let ticks = 0;
const clock = new EventSource("/clock");
clock.onmessage = (event) => {
  ticks += 1;
  show("sse", new Date(JSON.parse(event.data).time).toLocaleTimeString(), "good");
  show("sse-count", String(ticks));
};
clock.onerror = () => show("sse", "lost, trying again", "bad");
