"""Who gives tokens, and takes jobs for them: as strict as Google says.

    strict.py PUBLIC_KEY

Prints its port. A token is given for a JWT that the account's public key verifies (RFC 7523; Google's
"Using OAuth 2.0 for server to server applications"); a job is taken for a token that was given and has
not been revoked. GET /revoke revokes all.
"""

import json
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer

import jwt
from cryptography.hazmat.primitives import serialization

PUBLIC = serialization.load_pem_public_key(open(sys.argv[1], "rb").read())
SCOPE = "https://www.googleapis.com/auth/bigquery"
given = set()
count = 0


def wrong(form, url):
    """What is wrong with a request for a token."""
    if form.get("grant_type") != ["urn:ietf:params:oauth:grant-type:jwt-bearer"]:
        return "unsupported_grant_type"
    token = form["assertion"][0]
    if jwt.get_unverified_header(token) != {"alg": "RS256", "typ": "JWT", "kid": "k1"}:
        return "invalid_header"
    try:
        claims = jwt.decode(token, PUBLIC, algorithms=["RS256"], audience=url,
                            options={"require": ["exp", "iat", "iss", "aud", "scope"]})
    except jwt.InvalidTokenError:
        return "invalid_grant"
    if claims["iss"] != "loader@p.iam.gserviceaccount.com":
        return "invalid_issuer"
    if claims["scope"] != SCOPE:
        return "invalid_scope"
    if abs(claims["iat"] - time.time()) > 60 or claims["exp"] - claims["iat"] > 3600:
        return "invalid_time"
    return None


class Google(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def say(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        given.clear()
        self.say(200, {})

    def do_POST(self):
        global count
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if self.path == "/token":
            kind = self.headers["content-type"]
            if kind != "application/x-www-form-urlencoded":
                return self.say(400, {"error": "invalid_request"})
            url = f"http://127.0.0.1:{self.server.server_port}/token"
            error = wrong(urllib.parse.parse_qs(body), url)
            if error:
                return self.say(400, {"error": error})
            count += 1
            given.add(f"token-{count}")
            return self.say(200, {"access_token": f"token-{count}", "expires_in": 3599,
                                  "token_type": "Bearer"})
        if (self.headers["authorization"] or "").removeprefix("Bearer ") not in given:
            error = {"code": 401, "message": "m", "errors": [{"reason": "authError"}]}
            return self.say(401, {"error": error})
        self.say(200, {"jobReference": {"projectId": "p", "jobId": "j"},
                       "status": {"state": "DONE"}})


server = HTTPServer(("127.0.0.1", 0), Google)
print(server.server_port, flush=True)
server.serve_forever()
