"""Python's `oauthlib` judges the OAuth 1.0a signatures that our host made.

Reads one JSON line per signed request from stdin; prints one JSON line for all, exit 0 when everything held, 1
otherwise. For each request it signs the same with the same key, nonce and time, and verifies ours with the public key.
"""

import json
import sys
from types import SimpleNamespace
from urllib.parse import unquote

from oauthlib import oauth1
from oauthlib.oauth1.rfc5849 import signature
from oauthlib.oauth1.rfc5849.utils import parse_authorization_header


def judge(case):
    """What is wrong with one signed request; nothing where it is right."""
    own = dict(case["own"])
    client = oauth1.Client(
        case["consumer"],
        signature_method=oauth1.SIGNATURE_RSA,
        rsa_key=case["private"],
        resource_owner_key=own.get("oauth_token"),
        callback_uri=own.get("oauth_callback"),
        verifier=own.get("oauth_verifier"),
        nonce=case["nonce"],
        timestamp=case["timestamp"],
    )
    _, headers, _ = client.sign(case["url"], http_method=case["method"])
    theirs = dict(parse_authorization_header(headers["Authorization"]))
    ours = dict(parse_authorization_header(case["authorization"]))
    if ours != theirs:
        return f"ours {ours}, theirs {theirs}"
    query = case["url"].partition("?")[2]
    pairs = signature.collect_parameters(uri_query=query, headers={"Authorization": case["authorization"]})
    base = signature.signature_base_string(
        case["method"],
        signature.base_string_uri(case["url"]),
        signature.normalize_parameters(pairs),
    )

    # The header is encoded, what is verified is not.
    request = SimpleNamespace(
        http_method=case["method"], uri=case["url"], params=pairs, signature=unquote(ours["oauth_signature"])
    )
    if not signature.verify_rsa_sha1(request, case["public"]):
        return f"the public key does not verify it; base string {base}"
    return None


def main():
    lines = (json.loads(line) for line in sys.stdin if line.strip())
    cases = [line["signed"] for line in lines]
    wrong = []
    for case in cases:
        try:
            found = judge(case)
        except Exception as error:  # What the library refuses is wrong too.
            found = repr(error)
        if found:
            wrong.append(f"{case['method']} {case['url']}: {found}")
    passed = len(cases) >= 30 and not wrong
    detail = "" if passed else "; ".join(wrong) or f"only {len(cases)} cases"
    name = f"OAuth 1.0a signatures, {len(cases)} cases, {len(wrong)} differ"
    print(json.dumps({"case": name, "passed": passed, "detail": detail}))
    sys.exit(0 if passed else 1)


main()
