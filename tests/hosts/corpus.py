"""The corpus: calls of a connector and what must come back, the same for every host.

Values of the contract are written as JSON: a record is an object with the names of the WIT file, an
option is the value or null, an enum is its name, a variant is {"tag", "val"}, bytes are a string.
Some objects stand for something else:

  {"$json": value}      a string that holds this value as JSON text
  {"$u64": number}      a number of type u64
  {"$bytes": text}      bytes, from text in UTF-8; the text may be {"$json": value}
  {"$shared": name}     a part of `shared` at the top of the corpus
  {"$contains": text}   only in `expect`: any string with this text in it
  {"$present": true}    only in `expect`: anything but null

"${NAME}" in a string is replaced by a variable: from the environment, or saved by an earlier case.
A result is {"ok": value} or {"error": variant}. `expect` is a part of it: objects may hold more
members, and each item of a list must match some item of the list that came.
"""

import base64
import json
import os
import re


def variables():
    """The variables that every corpus may use."""
    known = {name: os.environ[name] for name in ("BASE_URL", "EMAIL", "TOKEN")}
    known["AUTHORIZATION"] = "Basic " + base64.b64encode(f"{known['EMAIL']}:{known['TOKEN']}".encode()).decode()
    return known


def load():
    """The corpus that CORPUS names."""
    with open(os.environ["CORPUS"], encoding="utf-8") as file:
        return json.load(file)


def expand(value, known, shared):
    """The value with variables and everything that stands for something else put in."""
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda found: known[found.group(1)], value)
    if isinstance(value, list):
        return [expand(item, known, shared) for item in value]
    if not isinstance(value, dict):
        return value
    if "$shared" in value:
        return expand(shared[value["$shared"]], known, shared)
    if "$json" in value:
        return json.dumps(expand(value["$json"], known, shared))
    if "$u64" in value:
        return value["$u64"]
    if "$bytes" in value:
        return expand(value["$bytes"], known, shared).encode()
    return {name: expand(item, known, shared) for name, item in value.items()}


def mismatch(expected, actual, known, path=""):
    """Why the actual value is not as expected, or None."""
    if isinstance(expected, str):
        expected = expand(expected, known, {})
    if isinstance(expected, dict):
        if "$json" in expected:
            try:
                return mismatch(expected["$json"], json.loads(actual), known, path)
            except (TypeError, ValueError):
                return f"{path}: not JSON text: {actual!r}"
        if "$contains" in expected:
            text = expand(expected["$contains"], known, {})
            return None if isinstance(actual, str) and text in actual else f"{path}: {actual!r} lacks {text!r}"
        if "$present" in expected:
            return None if actual is not None else f"{path}: absent"
        if not isinstance(actual, dict):
            return f"{path}: {actual!r} is no object"
        found = (mismatch(item, actual.get(name), known, f"{path}/{name}") for name, item in expected.items())
        return next((why for why in found if why), None)
    if isinstance(expected, list):
        if not isinstance(actual, list):
            return f"{path}: {actual!r} is no list"
        for index, item in enumerate(expected):
            if all(mismatch(item, other, known) for other in actual):
                return f"{path}/{index}: nothing like {item!r} in {actual!r}"
        return None if expected or not actual else f"{path}: {actual!r} is not empty"
    return None if expected == actual else f"{path}: {actual!r} is not {expected!r}"


def pick(value, pointer):
    """The value at a JSON Pointer that goes on into strings that hold JSON text."""
    for name in pointer.split("/")[1:]:
        if isinstance(value, str):
            value = json.loads(value)
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


def run(host, call):
    """Runs the corpus through `call(interface, function, arguments)`; prints a line per case."""
    corpus, known, failures = load(), variables(), 0
    for case in corpus["cases"]:
        try:
            arguments = expand(case["arguments"], known, corpus["shared"])
            result = call(case["interface"], case["function"], arguments)
            detail = mismatch(case["expect"], result, known)
            if detail is None:
                known.update({name: pick(result, pointer) for name, pointer in case.get("save", {}).items()})
        except Exception as error:  # a host's own fault is the finding
            detail = f"{type(error).__name__}: {error}"
        failures += detail is not None
        line = {"host": host, "case": case["name"], "passed": detail is None, "detail": detail or ""}
        print(json.dumps(line), flush=True)
    return 1 if failures else 0
