"""A Snowflake of a test's own: fakesnow's server with what the connector needs besides.

    server.py PORT FOLDER

fakesnow answers queries in Arrow and errors without an id; the real one answers who asks for it in
JSON, with ids, and checks passwords. The databases lie in FOLDER and outlive the process.
"""

import base64
import datetime
import decimal
import hashlib
import importlib
import json
import pathlib
import sys
import uuid

import duckdb
import jwt
import uvicorn
from cryptography.hazmat.primitives import serialization
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.instance import FakeSnow
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

# The package has a function of that name.
server = importlib.import_module("fakesnow.server")

EPOCH = datetime.datetime(1970, 1, 1)


def cell(value):
    """A value as it stands in a JSON row set: always text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        micros = (value.replace(tzinfo=None) - EPOCH) // datetime.timedelta(microseconds=1)
        return f"{micros // 1_000_000}.{micros % 1_000_000:06d}000"
    if isinstance(value, datetime.date):
        return str((value - EPOCH.date()).days)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    return str(value)


def rows(table, _rowtype):
    columns = [column.to_pylist() for column in table.columns]
    return [[cell(value) for value in row] for row in zip(*columns)]


# Rows take the way that Arrow would.
server.to_sf = rows
server.to_ipc = lambda table: json.dumps(table).encode()


execute = FakeSnowflakeCursor._execute


def executed(cursor, statement, *arguments, **named):
    """Lengths and comments are noted in another database, which DuckDB does not write within the
    same transaction: not for what MERGE makes for itself. And what a constraint refuses has a number
    in Snowflake."""
    table = statement.find(exp.Table)
    if not isinstance(statement, exp.Create) or (table and table.name.lower() == "merge_candidates"):
        statement.set("text_lengths", None)
        statement.set("table_comment", None)
    # DuckDB has one schema for temporary tables, Snowflake has them in all: here they are tables like
    # others, with the length of no column noted.
    properties = statement.args.get("properties") if isinstance(statement, exp.Create) else None
    if properties and properties.find(exp.TemporaryProperty):
        properties.find(exp.TemporaryProperty).pop()
    try:
        return execute(cursor, statement, *arguments, **named)
    except duckdb.ConstraintException:
        message = "NULL result in a non-nullable column"
        raise ProgrammingError(msg=message, errno=100072, sqlstate="22000") from None


FakeSnowflakeCursor._execute = executed


def changed(response, body):
    headers = {"content-type": "application/json"}
    return JSONResponse(body, status_code=response.status_code, headers=headers)


def key_is_right(data):
    """Snowflake's rules for log-in by a key pair ("Key-pair authentication"): the token is a JWT that
    the user's public key verifies, of at most an hour, from ACCOUNT.USER with the key's fingerprint,
    about ACCOUNT.USER, both in capitals."""
    pem = (pathlib.Path(sys.argv[2]) / "loader.pub").read_bytes()
    public = serialization.load_pem_public_key(pem)
    der = public.public_bytes(serialization.Encoding.DER,
                              serialization.PublicFormat.SubjectPublicKeyInfo)
    print_of_it = base64.b64encode(hashlib.sha256(der).digest()).decode()
    subject = f"{data['ACCOUNT_NAME']}.{data['LOGIN_NAME']}".upper()
    try:
        claims = jwt.decode(data["TOKEN"], public, algorithms=["RS256"],
                            options={"require": ["exp", "iat", "iss", "sub"]})
    except jwt.InvalidTokenError:
        return False
    return (claims["iss"] == f"{subject}.SHA256:{print_of_it}" and claims["sub"] == subject
            and 0 < claims["exp"] - claims["iat"] <= 3600 and "PASSWORD" not in data)


async def login(request):
    body = json.loads(await request.body())
    data = body["data"]
    if data.get("AUTHENTICATOR") == "SNOWFLAKE_JWT":
        refusal = None if key_is_right(data) else ("390144", "JWT token is invalid.")
    else:
        refusal = None if data.get("PASSWORD") == "right" else (
            "390100", "Incorrect username or password was specified.")
    if refusal:
        code, message = refusal
        return JSONResponse({"code": code, "message": message, "success": False, "data": None})
    data.setdefault("SESSION_PARAMETERS", {})
    # Every database has that schema, and a session starts in it.
    request.scope["query_string"] += b"&schemaName=PUBLIC"
    request = Request(request.scope, request.receive)
    request._body = json.dumps(body).encode()
    return await server.login_request(request)


async def query(request):
    response = await server.query_request(request)
    body = json.loads(response.body)
    if body.get("data") is None:
        # The session of a server that was restarted: the real one says so with status 200.
        return JSONResponse({**body, "data": {"queryId": str(uuid.uuid4())}})
    data = body["data"]
    data.setdefault("queryId", str(uuid.uuid4()))
    if data.get("queryResultFormat") == "arrow":
        data["rowset"] = json.loads(base64.b64decode(data.pop("rowsetBase64")) or b"[]")
        data["queryResultFormat"] = "json"
    return changed(response, body)


routes = [
    Route("/session/v1/login-request", login, methods=["POST"]),
    Route("/queries/v1/query-request", query, methods=["POST"]),
    *[route for route in server.routes if "query-request" not in route.path
      and "login" not in route.path],
]

if __name__ == "__main__":
    server.shared_fs = FakeSnow(db_path=sys.argv[2])
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(sys.argv[1]),
                log_level="error")
