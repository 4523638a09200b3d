"""What Ollama and Replicate answer natively, as far as their clients ask for it.

Shapes follow the two vendors' API references of 2025-2026. Replicate's paths want the key
``workshop-key``: the caller's own must not get this far.
"""

from __future__ import annotations

import json
import sys

from aiohttp import web

KEY = "Bearer workshop-key"
WORDS = ("rain", " and", " wind")
DONE = {"done": True, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": len(WORDS)}


def _said(model: str, content: str) -> dict[str, object]:
    message = {"role": "assistant", "content": content}
    return {"model": model, "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False}


async def chat(request: web.Request) -> web.StreamResponse:
    """Answer ``/api/chat``: whole, or a JSON line a word; a tool's call if one is offered."""
    asked = await request.json()
    if asked["model"] != "tiny":
        return web.json_response({"error": f"model '{asked['model']}' not found"}, status=404)
    if asked.get("tools") and asked["messages"][-1]["role"] == "user":
        name = asked["tools"][0]["function"]["name"]
        said = _said("tiny", "")
        call = {"function": {"name": name, "arguments": {"city": "Oslo"}}}
        message = {"role": "assistant", "content": "", "tool_calls": [call]}
        return web.json_response({**said, "message": message, **DONE})
    if asked.get("format"):
        return web.json_response({**_said("tiny", '{"city": "Oslo"}'), **DONE})
    if not asked.get("stream", True):
        return web.json_response({**_said("tiny", "".join(WORDS)), **DONE})
    answer = web.StreamResponse(headers={"content-type": "application/x-ndjson"})
    await answer.prepare(request)
    for line in (*(_said("tiny", word) for word in WORDS), {**_said("tiny", ""), **DONE}):
        await answer.write(json.dumps(line).encode() + b"\n")
    await answer.write_eof()
    return answer


async def embed(request: web.Request) -> web.Response:
    """Answer ``/api/embed``: a vector a text."""
    asked = await request.json()
    vectors = [[float(len(text)), 0.5] for text in asked["input"]]
    return web.json_response({"model": asked["model"], "embeddings": vectors})


def _prediction(request: web.Request, status: str) -> dict[str, object]:
    url = f"{request.scheme}://{request.host}/v1/predictions/p1"
    return {
        "id": "p1",
        "model": "acme/poet",
        "version": "1",
        "status": status,
        "input": {},
        "output": list(WORDS) if status == "succeeded" else None,
        "error": None,
        "logs": "",
        "urls": {"get": url, "cancel": f"{url}/cancel"},
        "created_at": "2026-01-01T00:00:00Z",
    }


async def predict(request: web.Request) -> web.Response:
    """Answer a prediction: done at once for who waits, else begun."""
    if request.headers.get("authorization") != KEY:
        return web.json_response({"detail": "Unauthenticated", "status": 401}, status=401)
    if request.match_info["name"] != "poet":
        return web.json_response({"detail": "no such model", "status": 404}, status=404)
    status = "succeeded" if request.headers.get("prefer", "").startswith("wait") else "processing"
    return web.json_response(_prediction(request, status), status=201)


async def prediction(request: web.Request) -> web.Response:
    """Answer how a prediction is."""
    if request.headers.get("authorization") != KEY:
        return web.json_response({"detail": "Unauthenticated", "status": 401}, status=401)
    return web.json_response(_prediction(request, "succeeded"))


def main() -> None:
    """Serve on the port that is named, until SIGTERM."""
    app = web.Application()
    app.router.add_post("/api/chat", chat)
    app.router.add_post("/api/embed", embed)
    app.router.add_post("/v1/models/{owner}/{name}/predictions", predict)
    app.router.add_get("/v1/predictions/p1", prediction)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))


if __name__ == "__main__":
    main()
