"""Ordinary OAuth clients (authlib, requests-oauthlib) against a simulated Jira: every dance to `myself`.

Environment: BASE_URL and CONTROL_URL of a Cloud, SIMULATOR, the program that is started as a Data Center.
Prints one JSON line per case; exit 0 when everything held, 1 otherwise.
"""

import html.parser
import json
import os
import subprocess
import sys
from urllib.parse import parse_qs, urljoin, urlsplit

# The simulator speaks plain HTTP on loopback.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth1Session as AuthlibOAuth1
from authlib.integrations.requests_client import OAuth2Session as AuthlibOAuth2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from oauthlib.oauth2 import OAuth2Error
from requests_oauthlib import OAuth1Session, OAuth2Session

CALLBACK = "http://127.0.0.1:1/callback"
SCOPES = ["read:jira-user", "read:jira-work", "offline_access"]


def must(held, what):
    if not held:
        raise AssertionError(what)


class Jira:
    """A simulator and its controls."""

    def __init__(self, base_url, control_url):
        self.base, self.control_url = base_url.rstrip("/"), control_url.rstrip("/")

    def control(self, method, path, body=None):
        answer = requests.request(method, self.control_url + path, json=body, timeout=30)
        must(answer.ok, f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def consent(self, how):
        self.control("PATCH", "/settings", {"consent": how})


class Form(html.parser.HTMLParser):
    """The form of a page as a person leaves it: hidden fields, what is chosen, where it goes."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields, self.choice = None, {}, None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.action = attributes["action"]
        elif tag == "input" and (attributes["type"] == "hidden" or "checked" in attributes):
            self.fields[attributes["name"]] = attributes["value"]
        elif tag == "select":
            self.choice = attributes["name"]
        elif tag == "option" and self.choice not in self.fields:
            self.fields[self.choice] = attributes["value"]


def back(answer):
    """Where a redirect leads: the whole address, and its parameters."""
    must(answer.status_code == 302, f"no redirect: {answer.status_code} {answer.text[:200]}")
    address = answer.headers["location"]
    must(address.startswith(CALLBACK), f"the redirect leads to {address}")
    return address, {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def visit(url):
    """Opens an authorization URL of a Jira that consents at once."""
    return back(requests.get(url, allow_redirects=False, timeout=30))[0]


def click(url, decision):
    """Opens an authorization URL and clicks a button on its page."""
    page = requests.get(url, allow_redirects=False, timeout=30)
    must(page.status_code == 200, f"no page: {page.status_code} {page.text[:200]}")
    form = Form(page.text)
    fields = {**form.fields, "decision": decision}
    return back(requests.post(urljoin(url, form.action), data=fields, allow_redirects=False, timeout=30))


def administrator(answer):
    must(answer.status_code == 200, f"myself: {answer.status_code} {answer.text[:200]}")
    must(answer.json()["displayName"] == "Administrator", "myself is not the administrator")


def three_legged(cloud):
    """Cloud by authlib: S256, list of sites, gateway, refresh that rotates."""
    app = cloud.control("POST", "/apps", {"name": "authlib", "callback_urls": [CALLBACK], "scopes": SCOPES})
    cloud.consent("auto")
    tokens = cloud.base + "/oauth/token"
    verifier = generate_token(64)
    client = AuthlibOAuth2(
        app["client_id"],
        app["client_secret"],
        scope=" ".join(SCOPES),
        redirect_uri=CALLBACK,
        code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_post",
    )
    url, state = client.create_authorization_url(
        cloud.base + "/authorize", audience="api.atlassian.com", prompt="consent", code_verifier=verifier
    )
    token = client.fetch_token(tokens, authorization_response=visit(url), state=state, code_verifier=verifier)
    must(token["expires_in"] == 3600 and token["token_type"] == "Bearer", "the token answer is unusual")
    sites = client.get(cloud.base + "/oauth/token/accessible-resources").json()
    must(len(sites) == 1 and "read:jira-user" in sites[0]["scopes"], f"the sites are {sites}")
    myself = f"{cloud.base}/ex/jira/{sites[0]['id']}/rest/api/3/myself"
    administrator(client.get(myself))
    must(client.get(myself).json()["self"].startswith(f"{cloud.base}/ex/jira/"), "self is not under the gateway")
    old = client.token["refresh_token"]
    client.refresh_token(tokens)
    must(client.token["refresh_token"] != old, "the refresh token was not rotated")
    administrator(client.get(myself))
    again = {"grant_type": "refresh_token", "refresh_token": old}
    again |= {"client_id": app["client_id"], "client_secret": app["client_secret"]}
    refused = requests.post(tokens, json=again, timeout=30)
    must((refused.status_code, refused.json()["error"]) == (403, "invalid_grant"), f"used twice: {refused.text}")


def clicked(cloud):
    """Cloud by requests-oauthlib, through the page a person sees."""
    app = cloud.control("POST", "/apps", {"name": "<b>clicked</b>", "callback_urls": [CALLBACK], "scopes": SCOPES})
    cloud.consent("ask")
    client = OAuth2Session(app["client_id"], redirect_uri=CALLBACK, scope=SCOPES, pkce="S256")
    url, state = client.authorization_url(cloud.base + "/authorize", audience="api.atlassian.com", prompt="consent")
    page = requests.get(url, timeout=30).text
    must("<b>clicked" not in page and "&lt;b&gt;clicked" in page, "the name of the app is not escaped")
    _, cancelled = click(url, "cancel")
    must(cancelled["error"] == "access_denied" and cancelled["state"] == state, f"cancel told {cancelled}")
    address, _ = click(url, "accept")
    tokens = cloud.base + "/oauth/token"
    client.fetch_token(
        tokens, authorization_response=address, client_secret=app["client_secret"], include_client_id=True
    )
    cloud_id = client.get(cloud.base + "/oauth/token/accessible-resources").json()[0]["id"]
    administrator(client.get(f"{cloud.base}/ex/jira/{cloud_id}/rest/api/3/myself"))
    missing = client.post(f"{cloud.base}/ex/jira/{cloud_id}/rest/api/3/issue", json={})
    must("scope does not match" in missing.text and missing.status_code == 401, f"no scope check: {missing.text}")


def service_account(cloud):
    """A service account's client credentials by authlib."""
    cloud.control("POST", "/accounts", {"name": "robot", "service": True})
    app = {"name": "robot", "kind": "service-account", "owner": "robot", "scopes": ["read:jira-user"]}
    app = cloud.control("POST", "/apps", app)
    client = AuthlibOAuth2(app["client_id"], app["client_secret"], token_endpoint_auth_method="client_secret_post")
    token = client.fetch_token(cloud.base + "/oauth/token", grant_type="client_credentials")
    must("refresh_token" not in token, "client credentials gave a refresh token")
    cloud_id = client.get(cloud.base + "/oauth/token/accessible-resources").json()[0]["id"]
    answer = client.get(f"{cloud.base}/ex/jira/{cloud_id}/rest/api/3/myself")
    must(answer.json()["accountType"] == "app", f"myself is no service account: {answer.text}")


def incoming_link(center):
    """Data Center's OAuth 2.0 by requests-oauthlib: PKCE, and a refresh that ends the old access token."""
    app = center.control("POST", "/apps", {"name": "link", "callback_urls": [CALLBACK], "scopes": ["WRITE"]})
    center.consent("auto")
    tokens = center.base + "/rest/oauth2/latest/token"
    client = OAuth2Session(app["client_id"], redirect_uri=CALLBACK, scope=["READ"], pkce="S256")
    url, _ = client.authorization_url(center.base + "/rest/oauth2/latest/authorize")
    credentials = {"client_secret": app["client_secret"], "include_client_id": True}
    old = client.fetch_token(tokens, authorization_response=visit(url), **credentials)["access_token"]
    myself = center.base + "/rest/api/2/myself"
    administrator(client.get(myself))
    extra = {"client_id": app["client_id"], "client_secret": app["client_secret"]}
    client.refresh_token(tokens, **extra)
    administrator(client.get(myself))
    stale = requests.get(myself, headers={"authorization": f"Bearer {old}"}, timeout=30)
    must(stale.status_code == 401, f"the old access token still works: {stale.status_code}")
    must(client.post(center.base + "/rest/api/2/issue", json={}).status_code == 403, "READ may write")
    wrong = OAuth2Session(app["client_id"], redirect_uri=CALLBACK, scope=["READ"], pkce="S256")
    url, _ = wrong.authorization_url(center.base + "/rest/oauth2/latest/authorize")
    wrong._code_verifier = "x" * 64
    try:
        wrong.fetch_token(tokens, authorization_response=visit(url), **credentials)
    except OAuth2Error as refused:
        must(refused.error == "invalid_grant", f"a wrong verifier is {refused.error}")
    else:
        raise AssertionError("a wrong verifier was accepted")


def key_pair():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


def application_link(center, name, session):
    """OAuth 1.0a with RSA-SHA1: `session` makes a client of one of the two libraries."""
    private, public = key_pair()
    center.control("POST", "/links", {"consumer_key": name, "public_key": public})
    center.consent("auto")
    servlet = center.base + "/plugins/servlet/oauth"
    client = session(name, rsa_key=private)
    client.fetch_request_token(servlet + "/request-token")
    # Both libraries add the request token to the address.
    if hasattr(client, "authorization_url"):
        address = visit(client.authorization_url(servlet + "/authorize"))
    else:
        address = visit(client.create_authorization_url(servlet + "/authorize"))
    client.parse_authorization_response(address)
    token = client.fetch_access_token(servlet + "/access-token")
    must(token["oauth_expires_in"] == "157680000", f"the access token lives {token}")
    administrator(client.get(center.base + "/rest/api/2/myself"))
    odd = {"jql": 'summary ~ "a+b & c=%20ü" OR project = DEMO', "fields": ["summary", "status"]}
    must(client.get(center.base + "/rest/api/2/search", params=odd).status_code == 200, "an odd query is refused")
    issue = {"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Bug"}, "summary": "By a link"}}
    made = client.post(center.base + "/rest/api/2/issue", json=issue)
    must(made.status_code == 201, f"no issue was made: {made.status_code} {made.text}")
    other, _ = key_pair()
    tokens = {"resource_owner_key": token["oauth_token"], "resource_owner_secret": token["oauth_token_secret"]}
    forged = OAuth1Session(name, rsa_key=other, signature_method="RSA-SHA1", **tokens)
    refused = forged.get(center.base + "/rest/api/2/myself")
    must(refused.status_code == 401 and "signature_invalid" in refused.text, "another key's signature is accepted")


def by_oauthlib(name, rsa_key):
    return OAuth1Session(name, rsa_key=rsa_key, signature_method="RSA-SHA1", callback_uri=CALLBACK)


def by_authlib(name, rsa_key):
    return AuthlibOAuth1(name, rsa_key=rsa_key, signature_method="RSA-SHA1", redirect_uri=CALLBACK)


def main():
    cloud = Jira(os.environ["BASE_URL"], os.environ["CONTROL_URL"])
    center = [os.environ["SIMULATOR"], "--personality", "data-center", "--context-path", "/jira", "--json"]
    process = subprocess.Popen(center, stdout=subprocess.PIPE, text=True)
    failed = False
    try:
        facts = json.loads(process.stdout.readline())
        center = Jira(facts["base_url"], facts["control_url"])
        cases = {
            "OAuth 2.0 (3LO) by authlib, with refresh": lambda: three_legged(cloud),
            "OAuth 2.0 (3LO) by requests-oauthlib, clicked": lambda: clicked(cloud),
            "client credentials of a service account by authlib": lambda: service_account(cloud),
            "OAuth 2.0 of Data Center by requests-oauthlib, with PKCE": lambda: incoming_link(center),
            "OAuth 1.0a with RSA-SHA1 by requests-oauthlib": lambda: application_link(center, "one", by_oauthlib),
            "OAuth 1.0a with RSA-SHA1 by authlib": lambda: application_link(center, "two", by_authlib),
        }
        for case, dance in cases.items():
            try:
                dance()
                verdict = {"passed": True, "detail": ""}
            except Exception as error:  # whatever the client makes of an answer it did not expect
                verdict = {"passed": False, "detail": f"{type(error).__name__}: {error}"}
                failed = True
            print(json.dumps({"case": case, **verdict}), flush=True)
    finally:
        process.terminate()
        process.wait(10)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
