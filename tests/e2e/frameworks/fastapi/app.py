from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse

app = FastAPI()


@app.get("/")
def where(request: Request) -> dict[str, str]:
    return {"url": str(request.url)}


@app.get("/away")
def away(request: Request) -> RedirectResponse:
    return RedirectResponse(request.url_for("where"))
