"""Runs the corpus in Python, with the `wasmtime` package and nothing else.

Environment: COMPONENT (the .wasm), CORPUS, BASE_URL, EMAIL, TOKEN. Prints one JSON line per case;
exit code 0 if all passed.
"""

import os
import sys

import wasmtime
from wasmtime import component as wit

import corpus

CONTRACT = "workflow:connector/{}@0.1.0"


class Host:
    """A component, compiled once; every call gets a fresh instance."""

    def __init__(self, path):
        self.engine = wasmtime.Engine()
        self.component = wit.Component.from_file(self.engine, path)
        self.linker = wit.Linker(self.engine)
        self.linker.add_wasip2()
        self.linker.add_wasi_http()

    def call(self, interface, function, arguments):
        """One call of the contract, from JSON to JSON."""
        store = wasmtime.Store(self.engine)
        store.set_wasi(wasmtime.WasiConfig())
        store.set_wasi_http()
        instance = self.linker.instantiate(store, self.component)
        exported = instance.get_export_index(store, CONTRACT.format(interface))
        callee = instance.get_func(store, instance.get_export_index(store, function, exported))
        kind = callee.type(store)
        lowered = [lower(item, ty) for item, (_, ty) in zip(arguments, kind.params, strict=True)]
        cases = [("ok", kind.result.ok), ("error", kind.result.err)]
        tag, payload = case_of(callee(store, *lowered), cases)
        return {tag: lift(payload, dict(cases)[tag])}


def lower(value, ty):
    """JSON to what the package takes for a type of the contract."""
    if isinstance(ty, wit.OptionType):
        return None if value is None else lower(value, ty.payload)
    if isinstance(ty, wit.RecordType):
        record = wit.Record()
        for name, field in ty.fields:
            setattr(record, name, lower(value.get(name), field))
        return record
    if isinstance(ty, wit.ListType) and isinstance(value, list):
        return [lower(item, ty.element) for item in value]
    if isinstance(ty, wit.VariantType):
        payload = dict(ty.cases)[value["tag"]]
        return wit.Variant(value["tag"], None if payload is None else lower(value["val"], payload))
    return value


def lift(value, ty):
    """What the package gives for a type of the contract, as JSON."""
    if isinstance(ty, wit.OptionType):
        return None if value is None else lift(value, ty.payload)
    if isinstance(ty, wit.RecordType):
        return {name: lift(getattr(value, name), field) for name, field in ty.fields}
    if isinstance(ty, wit.ListType) and isinstance(value, list):
        return [lift(item, ty.element) for item in value]
    if isinstance(ty, wit.VariantType):
        tag, payload = case_of(value, ty.cases)
        kind = dict(ty.cases)[tag]
        return {"tag": tag} if kind is None else {"tag": tag, "val": lift(payload, kind)}
    if isinstance(value, bytes):
        return value.decode()
    return value


def case_of(value, cases):
    """The tag and payload of a variant. The package leaves the tag out where the payload's Python
    type tells it; what it then gives for a variant as payload has a tag of its own."""
    if isinstance(value, wit.Variant) and value.tag in dict(cases):
        return value.tag, value.payload
    for tag, kind in cases:
        classes = set()
        if kind is not None:
            kind.add_classes(classes)
        if (kind is None and value is None) or isinstance(value, tuple(classes)):
            return tag, value
    raise TypeError(f"no case for {value!r}")


if __name__ == "__main__":
    sys.exit(corpus.run("python-wasmtime", Host(os.environ["COMPONENT"]).call))
