"""The MutatingAdmissionPolicy, evaluated as an API server would: conditions, variables, mutations
in their order, each on what the one before it made.

CEL comes from cel-python. Kubernetes' types `Object.…` and `JSONPatch` are messages whose fields
nobody checks there either; their dotted names are flattened here, which that library needs. What it
does not do is Kubernetes' own type check, and its limit on cost.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import celpy
from celpy import celtypes
from celpy.adapter import CELJSONEncoder, json_to_cel

from tests.k8s.manifests import Manifest, only

_MESSAGE = re.compile(r"\b(?:Object|JSONPatch)(?:\.\w+)*(?=\{)")


def admitted(pod: Manifest) -> Manifest:
    """Return ``pod`` as the policy lets it in."""
    spec = only("injection/policy.yaml")["spec"]
    if not all(evaluated(one["expression"], pod) for one in spec["matchConditions"]):
        return pod
    variables = {one["name"]: evaluated(one["expression"], pod) for one in spec["variables"]}
    for mutation in spec["mutations"]:
        assert mutation["patchType"] == "JSONPatch"
        pod = changed(pod, evaluated(mutation["jsonPatch"]["expression"], pod, variables))
    return pod


def evaluated(expression: str, pod: Manifest, variables: Manifest | None = None) -> Any:
    """Return the value of a CEL expression as plain data.

    Raises:
        celpy.CELEvalError: it fails, which refuses the pod.
    """
    names = {flat(found) for found in _MESSAGE.findall(expression)}
    environment = celpy.Environment(annotations=dict.fromkeys(names, celtypes.MessageType))
    program = environment.program(
        environment.compile(_MESSAGE.sub(lambda found: flat(found[0]), expression))
    )
    known = {"object": pod, "variables": variables or {}}
    value = program.evaluate({name: json_to_cel(held) for name, held in known.items()})
    return json.loads(json.dumps(value, cls=CELJSONEncoder))


def flat(name: str) -> str:
    """Return a type's name without dots."""
    return name.replace(".", "_")


def changed(document: Manifest, patch: list[Manifest]) -> Manifest:
    """Return ``document`` with a JSON patch applied; only additions occur here.

    Raises:
        KeyError: what it adds to is not there.
    """
    document = copy.deepcopy(document)
    for operation in patch:
        assert operation.keys() == {"op", "path", "value"}
        assert operation["op"] == "add"
        *way, last = (_unescaped(part) for part in operation["path"].split("/")[1:])
        place: Any = document
        for part in way:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if isinstance(place, list):
            place.insert(len(place) if last == "-" else int(last), operation["value"])
        else:
            place[last] = operation["value"]
    return document


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")
