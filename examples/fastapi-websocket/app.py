"""A FastAPI chat: every message that one tab sends over its WebSocket reaches all of them."""

from __future__ import annotations

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse

PAGE = """<!doctype html>
<title>FastAPI behind devtls</title>
<h1>Chat</h1>
<form id="form"><input id="text" autofocus> <button>Send</button></form>
<ul id="messages"></ul>
<script>
  const socket = new WebSocket(`wss://${location.host}/chat`);
  const show = (text) => {
    const item = document.createElement("li");
    item.textContent = text;
    document.getElementById("messages").append(item);
  };
  socket.onmessage = (event) => show(event.data);
  socket.onclose = () => show("(the server is gone)");
  document.getElementById("form").onsubmit = (event) => {
    event.preventDefault();
    const text = document.getElementById("text");
    socket.send(text.value);
    text.value = "";
  };
</script>
"""

app = FastAPI()
tabs: set[WebSocket] = set()


@app.get("/", response_class=HTMLResponse)
def show() -> str:
    return PAGE


@app.get("/where")
def where(request: Request) -> dict[str, str]:
    return {"url": str(request.url), "client": request.client.host if request.client else ""}


@app.websocket("/chat")
async def chat(socket: WebSocket) -> None:
    await socket.accept()
    tabs.add(socket)
    try:
        while True:
            text = await socket.receive_text()
            for tab in tuple(tabs):
                await tab.send_text(text)
    except WebSocketDisconnect:
        tabs.discard(socket)
