"""What every request passes on its way in: its id, the key, the faults that tests order, the log."""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from supaneon_sync.sandbox.faults import Faults, Rule

_HTML_524 = "<!DOCTYPE html><html><head><title>524: A timeout occurred</title></head><body></body></html>"


def error_shape(status: int, message: str, code: str, request_id: str) -> JSONResponse:
    """Return an answer with an error in it."""
    return JSONResponse({"request_id": request_id, "code": code, "message": message}, status)


class Gate:
    """What every request passes: its id, the key, the faults, the log."""

    def __init__(self, inner: ASGIApp, faults: Faults, key: str) -> None:
        self._inner = inner
        self._faults = faults
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        request = Request(scope)
        request_id = request.headers.get("x-request-id") or str(uuid.uuid4())
        scope["request_id"] = request_id
        entry = {
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode(),
        }
        rule = None
        answered = _Answered(send, request_id)
        if not self._knows(request.headers.get("authorization", "")):
            wrong = error_shape(401, "supplied credentials do not pass authentication", "", request_id)
            await wrong(scope, receive, answered.send)
        elif scope["path"].startswith("/sandbox/"):
            await self._inner(scope, receive, send)
            return
        else:
            rule = self._faults.take(scope["method"], scope["path"])
            await self._handle(rule, scope, receive, answered)
        self._faults.note(entry | {"status": answered.status, "fault": rule.kind if rule else None})

    def _knows(self, header: str) -> bool:
        scheme, _, key = header.partition(" ")
        return scheme.lower() == "bearer" and secrets.compare_digest(key.strip().encode(), self._key.encode())

    async def _handle(self, rule: Rule | None, scope: Scope, receive: Receive, answered: _Answered) -> None:
        if rule is None:
            await self._inner(scope, receive, answered.send)
            return
        instead = _instead(rule, scope["request_id"])
        if instead is not None:
            await instead(scope, receive, answered.send)
        elif rule.kind == "drop-before":
            await answered.drop(receive)
        elif rule.kind == "drop-after-commit":
            answered.muted = True
            await self._inner(scope, receive, answered.send)
            await answered.drop(receive)
        else:
            await asyncio.sleep(float(rule.options.get("seconds", 1)) if rule.kind == "slow" else 0)
            self._faults.apply(rule)
            await self._inner(scope, receive, answered.send)
            if rule.kind == "404-after-create" and answered.status == 201:
                created = json.loads(answered.body)["branch"]["id"]
                self._faults.hide(created, int(rule.options.get("reads", 2)))


def _instead(rule: Rule, request_id: str) -> Response | None:
    """Return the answer that a rule gives in place of the real one, if it gives one."""
    options = rule.options
    if rule.kind == "answer":
        status, message = int(options.get("status", 500)), str(options.get("message", "injected"))
        return error_shape(status, message, str(options.get("code", "")), request_id)
    if rule.kind == "524":
        return HTMLResponse(_HTML_524, 524)
    messages = {
        "423": "project already has running conflicting operations, scheduling of new ones is prohibited",
        "429": "too many requests",
        "503": "service unavailable",
    }
    if rule.kind not in messages:
        return None
    response = error_shape(int(rule.kind), messages[rule.kind], "", request_id)
    if rule.kind == "429":
        response.headers["Retry-After"] = str(options.get("retry_after", 1))
    return response


class _Answered:
    """Watches an answer go out, or holds it back and ends the connection."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None
        self.body = b""
        self.muted = False

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            header = (b"x-request-id", self._request_id.encode())
            message["headers"] = [*message.get("headers", []), header]
        else:
            self.body += message.get("body", b"")
        if not self.muted:
            await self._send(message)

    async def drop(self, receive: Receive) -> None:
        """End the connection without an answer, as a broken network does."""
        self.status = None
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if transport is not None:  # uvicorn's; other servers then answer 500
            transport.abort()
            while (await receive())["type"] != "http.disconnect":
                pass
