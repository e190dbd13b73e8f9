from flask import Flask, redirect, url_for

app = Flask(__name__)
# advice


@app.get("/")
def page() -> str:
    return f"<p id=url>{url_for('page', _external=True)}</p>"


@app.get("/away")
def away() -> object:
    return redirect(url_for("page", _external=True))
